//! What the gateway needs to know.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use audio::Codec;
use events::Regions;
use media::PortRange;
use platform::Secret;
use platform::config::{
    CallsConfig, Config, Registration, SipCodec, SipLadder, SipNoAgent, SipSounds, SipTls,
};
use platform::targets::{Policy, TargetError};
use sip::SessionTimes;
use sip::admission::Limits;
use thiserror::Error;

/// The gateway's configuration. It is checked by [`GatewayConfig::check`] at the start.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `ws://` or `wss://` address of livekit-server.
    pub livekit_url: String,
    pub api_key: String,
    pub api_secret: Secret,
    /// The Redis of livekit-server, `redis://…`.
    pub redis_url: Secret,
    /// Where SIP over UDP is listened on. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where SIP over TCP is listened on, if it is.
    pub tcp: Option<SocketAddr>,
    /// SIP over TLS.
    pub tls: SipTls,
    /// How often the certificate's files are looked at.
    pub certificate_every: Duration,
    /// Accounts that are kept registered.
    pub registrations: Vec<Registration>,
    /// How often the registrars of those over UDP are sent something that keeps a NAT awake, if they are.
    pub keep_alive: Option<Duration>,
    /// Servers of DNS; without any, the system's.
    pub dns: Vec<SocketAddr>,
    /// The address that callers reach this host by, for Contact and SDP.
    pub advertised_address: IpAddr,
    pub rtp_ports: PortRange,
    /// Codecs in order of preference; at least one.
    pub codecs: Vec<Codec>,
    pub timeouts: Timeouts,
    /// Whom calls may be placed and transferred to, how many at once and how long. With the default: nobody.
    pub calls: CallsConfig,
    /// Calls at once; the next gets 503 with Retry-After.
    pub max_calls: usize,
    /// Limits on messages, on calls that ring, and on connections.
    pub limits: Limits,
    /// Whether SIP INFO counts as a pressed key, in calls without telephone-events.
    pub info_dtmf: bool,
    /// What becomes of a caller whom no agent answers in time.
    pub no_agent: SipNoAgent,
    /// The outbound trunk over which whom a phone refers to is called. `None`: REFER is refused.
    pub refer_trunk: Option<String>,
    /// Recordings that callers hear.
    pub sounds: SipSounds,
    /// How long a SIP session may go unrefreshed.
    pub session: SessionTimes,
    /// How records read numbers without a country code.
    pub regions: Regions,
    /// Whether the SIP messages of calls are kept beside their records.
    pub ladder: SipLadder,
}

/// How long the gateway waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the INVITE until an agent must be heard; then 480. Default 10 s. The trunk's ringing timeout
    /// prevails when it is shorter.
    pub no_agent: Duration,
    /// How long a caller may take to enter a PIN, all attempts together. Default 60 s.
    pub pin: Duration,
    /// How long a call outlives an agent that vanished. At least the worker's lease + 5 s, so that another worker can take the call
    /// over. Default 15 s.
    pub agent_gone: Duration,
    /// From the 200 to the caller's first RTP packet. Default 30 s.
    pub first_media: Duration,
    /// Between two RTP packets of the caller. Default 15 s.
    pub media: Duration,
    /// A call's longest duration from the 200 on. Default 24 h. The trunk's limit prevails when it is shorter.
    pub max_call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            no_agent: Duration::from_secs(10),
            pin: Duration::from_mins(1),
            agent_gone: Duration::from_secs(15),
            first_media: Duration::from_secs(30),
            media: Duration::from_secs(15),
            max_call: Duration::from_hours(24),
        }
    }
}

/// A value that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("codecs: name at least one of OPUS, G722, PCMU, PCMA")]
    NoCodec,
    #[error("advertised_address: 0.0.0.0 is no address that callers can reach; name the host's public one")]
    AdvertisedUnspecified,
    #[error("rtp_ports: {0}")]
    Ports(String),
    #[error("no_agent_target: {0}; {remedy}", remedy = .0.remedy())]
    NoAgentTarget(TargetError),
    #[error("sounds.no_agent: it is missing, and no_agent is prompt; name a WAV file")]
    NoPrompt,
}

impl GatewayConfig {
    /// Certificates are renewed days before they end; a renewed one is in use this much later at most.
    pub const CERTIFICATE_EVERY: Duration = Duration::from_secs(10);

    /// The gateway's part of the product's configuration.
    ///
    /// # Errors
    /// [`ConfigError::Ports`] when the range holds no pair of ports.
    pub fn from_platform(config: &Config) -> Result<Self, ConfigError> {
        let ports = config.sip.rtp_ports;
        let rtp_ports =
            PortRange::new(ports.first, ports.last).map_err(|error| ConfigError::Ports(error.to_string()))?;
        Ok(Self {
            livekit_url: config.livekit.url.clone(),
            api_key: config.livekit.api_key.clone(),
            api_secret: config.livekit.api_secret.clone(),
            redis_url: config.redis.url.clone(),
            listen: config.sip.listen,
            tcp: config.sip.tcp,
            tls: config.sip.tls.clone(),
            certificate_every: Self::CERTIFICATE_EVERY,
            registrations: config.sip.registrations.clone(),
            keep_alive: config.sip.keep_alive,
            dns: config.sip.dns.clone(),
            advertised_address: config.sip.advertised_address,
            rtp_ports,
            codecs: config.sip.codecs.iter().map(|codec| codec_of(*codec)).collect(),
            timeouts: Timeouts {
                no_agent: config.sip.no_agent_timeout,
                agent_gone: config.sip.agent_gone_grace,
                ..Timeouts::default()
            },
            calls: config.calls.clone(),
            // More calls than ports cannot be: what is left out here is refused with 503 at the INVITE, before any question to LiveKit.
            max_calls: rtp_ports.calls(),
            limits: Limits {
                ringing: config.sip.max_ringing,
                ringing_per_source: config.sip.max_ringing_per_source,
                connections: config.sip.max_connections,
                connections_per_source: config.sip.max_connections_per_source,
                ..Limits::default()
            },
            info_dtmf: config.sip.info_dtmf,
            no_agent: config.sip.no_agent.clone(),
            refer_trunk: config.sip.refer_trunk.clone(),
            sounds: config.sip.sounds.clone(),
            session: SessionTimes::DEFAULT,
            regions: config.sip.regions(),
            ladder: config.sip.ladder,
        })
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first [`ConfigError`] found.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.codecs.is_empty() {
            return Err(ConfigError::NoCodec);
        }
        if self.advertised_address.is_unspecified() {
            return Err(ConfigError::AdvertisedUnspecified);
        }
        if self.no_agent == SipNoAgent::Prompt && self.sounds.no_agent.is_none() {
            return Err(ConfigError::NoPrompt);
        }
        Ok(())
    }

    /// Whom calls may go to, and where phones are sent that no agent answers, as a URI.
    pub(crate) fn targets(&self) -> Result<(Policy, Option<String>), ConfigError> {
        let targets = Policy::new(self.calls.targets.clone());
        let elsewhere = match &self.no_agent {
            SipNoAgent::Transfer(to) => {
                let target = targets.check(to, &[]).map_err(ConfigError::NoAgentTarget)?;
                Some(target.uri())
            }
            SipNoAgent::Refuse | SipNoAgent::Prompt => None,
        };
        Ok((targets, elsewhere))
    }
}

fn codec_of(codec: SipCodec) -> Codec {
    match codec {
        SipCodec::Opus => Codec::Opus,
        SipCodec::G722 => Codec::G722,
        SipCodec::Pcmu => Codec::Pcmu,
        SipCodec::Pcma => Codec::Pcma,
    }
}
