use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use events::{ClosePolicy, Region, Regions, agents::AgentRule};

use super::{
    access::{AccessConfig, TokenConfig},
    calls::CallsConfig,
    media::{IngressConfig, RecordingsConfig},
    registrations::Registration,
    telephony::Telephony,
};
use crate::Secret;

/// The whole configuration, checked. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Config {
    /// `livekit`: the LiveKit server, as API, as room server and as sender of webhooks.
    pub livekit: LiveKitConfig,
    /// `redis`: the bus that the gateway shares with the LiveKit server.
    pub redis: Redis,
    /// `http`: where the functions listen.
    pub http: Http,
    /// `sip`: the gateway.
    pub sip: Sip,
    /// `trunks` and `dispatch_rules`: what `trunkline apply` sets up at the LiveKit server. Default: nothing.
    pub telephony: Telephony,
    /// `agents`: `[{profile, numbers, rooms, attributes}]`, which calls are answered by which profile. Two entries that could
    /// both take one call are a fault. Default: none, so that every call is recorded as unmatched.
    pub agents: Vec<AgentRule>,
    /// `profiles`: the folder of the agent profiles, `<name>.yaml` each. Every profile that `agents` names must be there.
    /// Default `profiles`.
    pub profiles: PathBuf,
    /// `queue`: where jobs wait. Default `sqlite:data/queue.sqlite`.
    pub queue: QueueConfig,
    /// `store`: where records, transcripts and recordings go. Default `file:data/store`.
    pub store: StoreConfig,
    /// `worker`: the agent's process.
    pub worker: Worker,
    /// `providers`: keys of AI providers.
    pub providers: Providers,
    /// `tools.secrets`: what the tools of agent profiles send along, by the names that profiles know them by. Default: none.
    pub tool_secrets: BTreeMap<String, Secret>,
    /// `access`: who may use the HTTP API. `None` when there is no such section: the API is then not served at all.
    pub access: Option<AccessConfig>,
    /// `token`: the endpoint that clients get their tokens from.
    pub token: TokenConfig,
    /// `calls`: outbound calls and transfers.
    pub calls: CallsConfig,
    /// `recordings`: egress.
    pub recordings: RecordingsConfig,
    /// `ingress`: ingress.
    pub ingress: IngressConfig,
    /// `log`: what is logged, and how.
    pub log: LogConfig,
}

/// `livekit`.
#[derive(Debug, Clone)]
pub struct LiveKitConfig {
    /// `url`: of the server, `wss://…`; `ws://` only on loopback. Stands without a trailing slash. Falls back to
    /// `LIVEKIT_URL`, then to `ws://127.0.0.1:7880`.
    pub url: String,
    /// `api_key`, required. Falls back to `LIVEKIT_API_KEY`.
    pub api_key: String,
    /// `api_secret`, required, at least 32 characters. Falls back to `LIVEKIT_API_SECRET`.
    pub api_secret: Secret,
    /// `webhook_keys`: `[{api_key, api_secret}]` that webhooks may be signed with; several while keys are being
    /// changed. Default: the key and secret above.
    pub webhook_keys: Vec<ApiKey>,
}

/// A LiveKit key with its secret.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// `api_key`: the public part, as it stands in a token's `iss`.
    pub api_key: String,
    /// `api_secret`: at least 32 characters, as LiveKit demands of HS256.
    pub api_secret: Secret,
}

/// `redis`.
#[derive(Debug, Clone)]
pub struct Redis {
    /// `url`: `redis://[[user]:password@]host[:port][/db]`; the same server and database as the LiveKit server's. Secret,
    /// because it may hold a password. Default `redis://127.0.0.1:6379`.
    pub url: Secret,
}

/// `http`.
#[derive(Debug, Clone)]
pub struct Http {
    /// `listen`: address and port. Port 0 takes a free one. Default `127.0.0.1:9100`.
    pub listen: SocketAddr,
}

/// `sip`.
#[derive(Debug, Clone)]
pub struct Sip {
    /// `listen`: address and port for SIP over UDP. Port 0 takes a free one. Default `0.0.0.0:5060`.
    pub listen: SocketAddr,
    /// `tcp`: address and port for SIP over TCP. Default: nobody listens.
    pub tcp: Option<SocketAddr>,
    /// `tls`: SIP over TLS.
    pub tls: SipTls,
    /// `max_connections`: connections by TCP and TLS that others may have open to us. 1 to 10,000, default 256.
    pub max_connections: usize,
    /// `max_connections_per_source`: how many of them may come from one source address. At most `max_connections`; default a
    /// quarter of it.
    pub max_connections_per_source: usize,
    /// `advertised_address`: the IP address that callers reach this host at, for Contact and SDP. Default: the address of
    /// `listen`; required when that is `0.0.0.0` or `[::]`.
    pub advertised_address: IpAddr,
    /// `rtp_ports`: UDP ports for media, both ends included; two for each call, so at least twice `worker.slots`.
    /// Default `20000-20999`.
    pub rtp_ports: PortRange,
    /// `default_region`: two-letter country (ISO 3166-1) by which numbers without `+` are read, where the trunk says
    /// nothing. Default `US`.
    pub default_region: Region,
    /// `no_agent_timeout`: ringing this long without an agent ends in 480. 1 s to 180 s, default `10s`.
    pub no_agent_timeout: Duration,
    /// `agent_gone_grace`: an answered call is kept this long after its agent vanished, so that another worker can take
    /// over. At least `worker.lease` + 5 s, at most 120 s, default `15s`.
    pub agent_gone_grace: Duration,
    /// `max_ringing`: calls that may ring at once, that is: neither answered nor refused. 1 to 10,000; default twice
    /// `worker.slots`, at least 8.
    pub max_ringing: usize,
    /// `max_ringing_per_source`: how many of them may come from one source address. At most `max_ringing`; default three
    /// quarters of it.
    pub max_ringing_per_source: usize,
    /// `codecs`: what is offered and accepted, best first. Default `[OPUS, G722, PCMU, PCMA]`.
    pub codecs: Vec<SipCodec>,
    /// `registrations`: accounts at providers that calls come by. Default: none.
    pub registrations: Vec<Registration>,
    /// `keep_alive`: how often the registrars of accounts over UDP are sent two line ends, so that a NAT on the way keeps the way open.
    /// 5 s to 10 m, default `25s`; `off`: never.
    pub keep_alive: Option<Duration>,
    /// `dns`: servers of DNS that trunks and registrars are looked for at. Default: the system's.
    pub dns: Vec<SocketAddr>,
    /// `info_dtmf`: whether SIP INFO counts as a pressed key, in calls without telephone-events. Default `false`.
    pub info_dtmf: bool,
    /// `no_agent` and `no_agent_target`: what becomes of a caller whom no agent answers in time. Default `refuse`.
    pub no_agent: SipNoAgent,
    /// `refer_trunk`: id of the outbound trunk over which whom a phone refers to (REFER) is called. Default: REFER is refused.
    pub refer_trunk: Option<String>,
    /// `sounds`: recordings that callers hear. Default: none.
    pub sounds: SipSounds,
    /// `records`: whether the gateway puts its detail record of each call into the store. Default: where the store is at hand, that is
    /// unless the gateway runs alone.
    pub records: Option<bool>,
    /// `ladder`: whether the SIP messages of calls are kept beside these records. Default `off`.
    pub ladder: SipLadder,
}

/// What becomes of a caller whom no agent answers. `Debug` does not show to whom.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum SipNoAgent {
    /// `refuse`: 480.
    #[default]
    Refuse,
    /// `prompt`: the call is answered, `sounds.no_agent` is heard, and the call ends.
    Prompt,
    /// `transfer`: the call is answered, and the phone is asked to call this number or SIP URI instead.
    Transfer(String),
}

impl fmt::Debug for SipNoAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "Refuse",
            Self::Prompt => "Prompt",
            Self::Transfer(_) => "Transfer(redacted)",
        })
    }
}

/// `sip.sounds`: WAV files, 16-bit PCM, mono.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SipSounds {
    /// `pin`: asks for a PIN. Default: tones.
    pub pin: Option<PathBuf>,
    /// `wrong_pin`: it was none. Default: tones.
    pub wrong_pin: Option<PathBuf>,
    /// `right_pin`: it was one. Default: tones.
    pub right_pin: Option<PathBuf>,
    /// `no_agent`: nobody is there. Default: nothing.
    pub no_agent: Option<PathBuf>,
    /// `hold`: over and over, to whoever waits in an answered call. Default: nothing.
    pub hold: Option<PathBuf>,
}

/// Whether, and how, the SIP messages of calls are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SipLadder {
    /// Not at all.
    #[default]
    Off,
    /// Without what says who somebody is, or what somebody typed.
    Masked,
    /// As they are, without credentials.
    Whole,
}

/// `sip.tls`.
#[derive(Debug, Clone, Default)]
pub struct SipTls {
    /// `listen`, `certificate` and `key`: for those who connect to us. Default: nobody listens.
    pub server: Option<SipTlsServer>,
    /// `authorities`: PEM file of those whose certificates are trusted when we connect to others. Default: Mozilla's list.
    pub authorities: Option<PathBuf>,
}

/// Where SIP over TLS is listened for, and what we show there, as PEM files.
#[derive(Debug, Clone)]
pub struct SipTlsServer {
    /// `listen`: address and port.
    pub listen: SocketAddr,
    /// `certificate`: our certificate with its chain.
    pub certificate: PathBuf,
    /// `key`: its private key.
    pub key: PathBuf,
}

impl Sip {
    /// How functions and worker read numbers without a country code.
    pub fn regions(&self) -> Regions {
        Regions {
            default: Some(self.default_region),
            ..Regions::default()
        }
    }

    /// How a call is judged that no agent ever claimed.
    pub fn close_policy(&self) -> ClosePolicy {
        ClosePolicy {
            no_agent_after: self.no_agent_timeout,
            regions: self.regions(),
        }
    }
}

/// An audio codec of the SIP side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SipCodec {
    /// `OPUS`: 48 kHz, mends losses.
    Opus,
    /// `G722`: 16 kHz.
    G722,
    /// `PCMU`: 8 kHz, µ-law.
    Pcmu,
    /// `PCMA`: 8 kHz, A-law.
    Pcma,
}

/// UDP ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port, above `first`.
    pub last: u16,
}

impl PortRange {
    /// How many ports there are.
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// Whether `port` is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// `queue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueConfig {
    /// `sqlite:<path>`: a SQLite file on this machine.
    Sqlite(PathBuf),
    /// `sqs:<queue URL>`: an SQS FIFO queue.
    Sqs(SqsConfig),
}

impl QueueConfig {
    /// With relative paths taken from `base`.
    pub(super) fn below(self, base: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(base.join(path)),
            Self::Sqs(config) => Self::Sqs(config),
        }
    }
}

impl fmt::Display for QueueConfig {
    /// For a person: the path, or the queue's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Sqs(config) => f.write_str(config.name()),
        }
    }
}

/// `queue: sqs:https://sqs.<region>.amazonaws.com/<account>/<name>.fifo?<options>`.
#[derive(Clone, PartialEq, Eq)]
pub struct SqsConfig {
    /// The queue's URL without options, as SQS names it.
    pub url: String,
    /// Where requests go: scheme, host and port of the URL.
    pub endpoint: String,
    /// `region`. Default: the one in the host, then `AWS_REGION`, then `AWS_DEFAULT_REGION`.
    pub region: String,
    /// `dead_letters`: the URL of the queue whose length counts as dead letters. Default: what the queue's redrive
    /// policy names.
    pub dead_letters: Option<String>,
}

impl SqsConfig {
    /// The queue's name, the end of its URL.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Debug for SqsConfig {
    /// Without URLs: they hold the account's number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsConfig")
            .field("name", &self.name())
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// `store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// `file:<folder>`: a folder on this machine.
    Folder(PathBuf),
    /// `s3://<bucket>/<prefix>`: a bucket of S3 or of a service that speaks its language.
    S3(S3Config),
}

impl StoreConfig {
    /// With relative paths taken from `base`.
    pub(super) fn below(self, base: &Path) -> Self {
        match self {
            Self::Folder(path) => Self::Folder(base.join(path)),
            Self::S3(config) => Self::S3(S3Config {
                spool: base.join(config.spool),
                ..config
            }),
        }
    }
}

impl fmt::Display for StoreConfig {
    /// For a person: the path, or bucket and prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3(config) => write!(f, "s3://{}/{}", config.bucket, config.prefix),
        }
    }
}

/// `store: s3://<bucket>/<prefix>?<options>`.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// `region`. Default: `AWS_REGION`, then `AWS_DEFAULT_REGION`.
    pub region: String,
    /// `endpoint`: another service than AWS, `https://…`; `http://` only on loopback.
    pub endpoint: Option<String>,
    /// `path_style`: the bucket stands in the path and not in the host's name. Default `false`.
    pub path_style: bool,
    /// `encryption` and `kms_key`. Default: the bucket's own.
    pub encryption: S3Encryption,
    /// `spool`: the folder on this machine that streams are kept in until they are stored. Default `data/spool`.
    pub spool: PathBuf,
}

impl fmt::Debug for S3Config {
    /// Without the endpoint and the key's name, which tell of the account.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .field("spool", &self.spool)
            .finish_non_exhaustive()
    }
}

/// What S3 is told to encrypt objects with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum S3Encryption {
    /// Nothing is said: the bucket's default applies.
    #[default]
    Bucket,
    /// `encryption=s3`: keys of S3's own (SSE-S3, AES-256).
    S3,
    /// `encryption=kms`: a key of KMS (SSE-KMS); `kms_key` names it, else it is the account's key for S3.
    Kms(Option<String>),
}

/// `worker`.
#[derive(Debug, Clone)]
pub struct Worker {
    /// `slots`: calls at the same time. 1 to 1,000, default 8.
    pub slots: usize,
    /// `lease`: a call whose worker is silent this long is taken over. 3 s to 60 s, default `9s`.
    pub lease: Duration,
    /// `heartbeat`: how often a worker renews its lease. At least 500 ms, at most a third of `lease`, so that two lost
    /// ones do no harm. Default `3s`.
    pub heartbeat: Duration,
    /// `drain_limit`: how long calls may go on after SIGTERM. Up to 12 h, default `10m`.
    pub drain_limit: Duration,
}

/// `providers`.
#[derive(Debug, Clone)]
pub struct Providers {
    /// `openai`: an OpenAI-compatible service. `None` when no key is set: profiles then use offline providers.
    pub openai: Option<OpenAi>,
    /// `deepgram`. `None` when no key is set: no profile can name it then.
    pub deepgram: Option<Deepgram>,
}

/// `providers.openai`.
#[derive(Debug, Clone)]
pub struct OpenAi {
    /// `api_key`. Falls back to `OPENAI_API_KEY`.
    pub api_key: Secret,
    /// `base_url`: `https://…`; `http://` only on loopback. Stands without a trailing slash. Falls back to
    /// `OPENAI_BASE_URL`, then to `https://api.openai.com/v1`.
    pub base_url: String,
}

/// `providers.deepgram`.
#[derive(Debug, Clone)]
pub struct Deepgram {
    /// `api_key`. Falls back to `DEEPGRAM_API_KEY`.
    pub api_key: Secret,
    /// `base_url`: `https://…`; `http://` only on loopback. Stands without a trailing slash. Default `https://api.deepgram.com`.
    pub base_url: String,
}

/// `log`.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `level`: `off`, `error`, `warn`, `info`, `debug` or `trace`, or a list of `target=level` behind one
    /// (`info,service=debug`). Targets are the names of the crates, `service` being the gateway. Targets that could leak are capped whatever it says. Default `info`.
    pub level: String,
    /// `format`: default `json`.
    pub format: LogFormat,
    /// Texts that are masked wherever they turn up in a line: every secret of the configuration. Not a key of the file.
    pub secrets: Vec<Secret>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Json,
            secrets: Vec::new(),
        }
    }
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `json`: one object per line.
    #[default]
    Json,
    /// `text`: for a person at a terminal.
    Text,
}
