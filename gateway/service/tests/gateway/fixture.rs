//! Redis, livekit-server, the gateway, a trunk and a rule.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use caller::{Call, Caller, CallerConfig, Codec};
use dev::{LocalStack, LocalStackConfig, RtpPorts};
use events::{LegRecord, Regions};
use livekit_protocol as proto;
use platform::config::{
    CallsConfig, LiveKitConfig, Registration, SipLadder, SipNoAgent, SipSounds, SipTls, SipTlsServer,
};
use platform::livekit::LiveKit;
use platform::store::{FolderStore, Page, Store as _};
use service::{Gateway, GatewayConfig, GatewayStats, Timeouts};
use sip::admission::Limits;
use sip::{SessionTimes, StackStats};
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::{Instant, sleep};

use crate::certificate::Authority;
use crate::wire::Wire;

/// The number that the rule sends to [`ROOM`].
pub(crate) const NUMBER: &str = "+15550100";
pub(crate) const FROM: &str = "+15551234";
/// Whom the gateway dials.
pub(crate) const CALLEE: &str = "+15557777";
/// Of the trunk that demands one.
pub(crate) const PASSWORD: &str = "canary-password";
pub(crate) const ROOM: &str = "the-room";
pub(crate) const IDENTITY: &str = "sip_+15551234";
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long after a call's end it may still hold anything.
pub(crate) const RELEASE: Duration = Duration::from_secs(5);
/// Of the log, in the message of a failure.
const LAST_LINES: usize = 200;

static TURNS: RwLock<()> = RwLock::const_new(());

/// The turn of a test; held to its end.
pub(crate) struct Turn {
    _alone: Option<RwLockWriteGuard<'static, ()>>,
    _shared: Option<RwLockReadGuard<'static, ()>>,
}

/// What the gateway of a test is to be.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    /// Another way to livekit-server.
    pub(crate) livekit_url: Option<String>,
    pub(crate) calls: CallsConfig,
    pub(crate) registrations: Vec<Registration>,
    /// Servers of DNS; without any, the system's.
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) ladder: SipLadder,
    pub(crate) session: SessionTimes,
    pub(crate) info_dtmf: bool,
    pub(crate) no_agent: SipNoAgent,
    pub(crate) sounds: SipSounds,
    /// The address of a trunk over which whom phones refer to is called.
    pub(crate) referred: Option<String>,
    /// Without any: all but Opus.
    pub(crate) codecs: Vec<Codec>,
}

pub(crate) struct Fixture {
    pub(crate) gateway: Gateway,
    pub(crate) api: LiveKit,
    pub(crate) stack: LocalStack,
    pub(crate) rtp: RtpPorts,
    /// Of the gateway's certificate, and the one that it trusts.
    pub(crate) authority: Authority,
    /// Where the gateway records its calls.
    store: FolderStore,
    _folder: TempDir,
    _turn: Turn,
}

/// A server with a certificate of `authority`, and a client that trusts it.
fn tls(authority: &Authority, loopback: IpAddr) -> SipTls {
    let (certificate, key, _) = authority.issue("localhost");
    SipTls {
        server: Some(SipTlsServer {
            listen: SocketAddr::new(loopback, 0),
            certificate,
            key,
        }),
        authorities: Some(authority.file()),
    }
}

impl Fixture {
    /// With a trunk for [`NUMBER`] and a rule to [`ROOM`].
    pub(crate) async fn start(timeouts: Timeouts) -> Self {
        let fixture = Self::bare(timeouts).await;
        fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
        fixture
    }

    /// Without trunk and rule.
    pub(crate) async fn bare(timeouts: Timeouts) -> Self {
        Self::wishing(Wishes {
            timeouts,
            ..Wishes::default()
        })
        .await
    }

    /// With trunk and rule, and a wire between gateway and livekit-server.
    pub(crate) async fn wired(timeouts: Timeouts) -> (Self, Wire) {
        let (turn, stack) = Self::stack().await;
        let wire = Wire::to(&stack.ws_url()).await;
        let wishes = Wishes {
            timeouts,
            livekit_url: Some(wire.ws_url()),
            ..Wishes::default()
        };
        let fixture = Self::with(turn, stack, wishes).await;
        fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
        (fixture, wire)
    }

    /// With trunk and rule, and no other test beside it: for one that counts what the process holds, reads figures in its log, or
    /// keeps the machine busy.
    pub(crate) async fn alone(timeouts: Timeouts, limits: Limits) -> Self {
        Self::alone_wishing(Wishes {
            timeouts,
            limits,
            ..Wishes::default()
        })
        .await
    }

    /// The same, with whatever else it is to be.
    pub(crate) async fn alone_wishing(wishes: Wishes) -> Self {
        let turn = Turn {
            _alone: Some(TURNS.write().await),
            _shared: None,
        };
        let fixture = Self::in_turn(turn, wishes).await;
        fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
        fixture
    }

    /// Without trunk and rule, for calls that are placed.
    pub(crate) async fn dialling(calls: CallsConfig) -> Self {
        Self::wishing(Wishes {
            calls,
            ..Wishes::default()
        })
        .await
    }

    /// Without trunk and rule.
    pub(crate) async fn wishing(wishes: Wishes) -> Self {
        Self::in_turn(turn().await, wishes).await
    }

    /// The same for whoever has servers of its own, which it starts in its turn.
    pub(crate) async fn in_turn(turn: Turn, wishes: Wishes) -> Self {
        let stack = Self::servers().await;
        Self::with(turn, stack, wishes).await
    }

    async fn stack() -> (Turn, LocalStack) {
        (turn().await, Self::servers().await)
    }

    async fn servers() -> LocalStack {
        platform::install_providers();
        crate::logs::collect();
        LocalStack::start(LocalStackConfig::default())
            .await
            .expect("Redis and livekit-server")
    }

    pub(crate) async fn with(turn: Turn, stack: LocalStack, wishes: Wishes) -> Self {
        let Wishes {
            timeouts,
            limits,
            livekit_url,
            calls,
            registrations,
            dns,
            ladder,
            session,
            info_dtmf,
            no_agent,
            sounds,
            referred,
            codecs,
        } = wishes;
        let codecs = if codecs.is_empty() {
            vec![Codec::G722, Codec::Pcmu, Codec::Pcma]
        } else {
            codecs
        };
        let folder = TempDir::new().expect("a folder");
        let store = FolderStore::open(folder.path()).await.expect("a store");
        let rtp = RtpPorts::reserve().expect("ports");
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let secret = platform::Secret::new(stack.keys().api_secret());
        let authority = Authority::new();
        let tls = tls(&authority, loopback);
        let api = api(&stack);
        let refer_trunk = match referred {
            Some(address) => Some(crate::outbound::trunk_at(&api, &address).await),
            None => None,
        };
        let config = GatewayConfig {
            livekit_url: livekit_url.unwrap_or_else(|| stack.ws_url()),
            api_key: stack.keys().api_key().to_owned(),
            api_secret: secret,
            redis_url: stack.redis_url().into(),
            listen: SocketAddr::new(loopback, 0),
            tcp: Some(SocketAddr::new(loopback, 0)),
            tls,
            certificate_every: Duration::from_millis(50),
            registrations,
            keep_alive: None,
            dns,
            advertised_address: loopback,
            rtp_ports: rtp.to_string().parse().expect("a range"),
            codecs,
            timeouts,
            calls,
            max_calls: 50,
            limits,
            session,
            info_dtmf,
            no_agent,
            refer_trunk,
            sounds,
            regions: Regions::default(),
            ladder,
        };
        let gateway = Gateway::start(config, Some(Arc::new(store.clone())))
            .await
            .expect("gateway");
        Self {
            gateway,
            api,
            stack,
            rtp,
            authority,
            store,
            _folder: folder,
            _turn: turn,
        }
    }

    /// A trunk for [`NUMBER`], the rest as given, with a rule to [`ROOM`].
    pub(crate) async fn trunk(&self, trunk: proto::SipInboundTrunkInfo) {
        self.direct(trunk, "").await;
    }

    /// A trunk for [`NUMBER`] with a rule to [`ROOM`], which needs a PIN.
    pub(crate) async fn locked(&self, pin: &str) {
        self.direct(proto::SipInboundTrunkInfo::default(), pin).await;
    }

    async fn direct(&self, trunk: proto::SipInboundTrunkInfo, pin: &str) {
        let direct = proto::SipDispatchRuleDirect {
            room_name: ROOM.into(),
            pin: pin.into(),
        };
        let rule = proto::sip_dispatch_rule::Rule::DispatchRuleDirect(direct);
        self.route(NUMBER, trunk, rule).await;
    }

    /// A trunk for `number`, with a room of its own for each call.
    pub(crate) async fn rooms(&self, number: &str) {
        let individual = proto::SipDispatchRuleIndividual {
            room_prefix: "call".into(),
            ..proto::SipDispatchRuleIndividual::default()
        };
        let rule = proto::sip_dispatch_rule::Rule::DispatchRuleIndividual(individual);
        self.route(number, proto::SipInboundTrunkInfo::default(), rule)
            .await;
    }

    pub(crate) async fn route(
        &self,
        number: &str,
        trunk: proto::SipInboundTrunkInfo,
        rule: proto::sip_dispatch_rule::Rule,
    ) {
        let trunk = proto::SipInboundTrunkInfo {
            name: "t".into(),
            numbers: vec![number.into()],
            ..trunk
        };
        let trunk = self.api.create_sip_inbound_trunk(trunk).await.expect("trunk");
        let rule = proto::SipDispatchRuleInfo {
            rule: Some(proto::SipDispatchRule { rule: Some(rule) }),
            trunk_ids: vec![trunk.sip_trunk_id],
            metadata: "mm".into(),
            attributes: [("biz".to_owned(), "x".to_owned())].into(),
            ..proto::SipDispatchRuleInfo::default()
        };
        self.api.create_sip_dispatch_rule(rule).await.expect("rule");
    }

    pub(crate) fn caller(&self) -> CallerConfig {
        CallerConfig::new(NUMBER, FROM, self.gateway.local_addr())
    }

    pub(crate) async fn dial(&self) -> Call {
        place(self.caller()).await
    }

    /// The caller's participant, once it is in the room with its track.
    pub(crate) async fn participant(&self) -> proto::ParticipantInfo {
        let deadline = Instant::now() + SOON;
        loop {
            let participants = self.api.list_participants(ROOM).await.unwrap_or_default();
            if let Some(found) = participants
                .into_iter()
                .find(|p| p.identity == IDENTITY && !p.tracks.is_empty())
            {
                return found;
            }
            assert!(Instant::now() < deadline, "the caller did not join");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the server has given a participant up. It takes about 20 s to be sure that nobody is there.
    pub(crate) async fn gone(&self, identity: &str) {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let participants = self.api.list_participants(ROOM).await.expect("the room is there");
            if !participants.iter().any(|p| p.identity == identity) {
                return;
            }
            assert!(Instant::now() < deadline, "{identity} is still in the room");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the gateway holds nothing and the caller is out of the room.
    pub(crate) async fn released(&self) {
        let deadline = Instant::now() + RELEASE;
        loop {
            let stats = self.gateway.stats();
            let participants = self
                .api
                .list_participants(ROOM)
                .await
                .expect("livekit-server answers");
            let in_room = participants.iter().any(|p| p.identity == IDENTITY);
            if is_empty(stats) && !in_room {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "left after a call: {stats:?}, in the room: {in_room}\n{}",
                crate::logs::last(LAST_LINES)
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What is kept below `prefix` under keys that end like this, with its key, in the order of the keys.
    pub(crate) async fn kept(&self, prefix: &str, end: &str) -> Vec<(String, String)> {
        let listing = self.store.list(prefix, Page::default()).await.expect("listed");
        let mut kept = Vec::new();
        let mut entries = listing.entries;
        entries.retain(|entry| entry.key.ends_with(end));
        for entry in entries {
            let object = self.store.get(&entry.key).await.expect("read").expect("there");
            let text = String::from_utf8(object.bytes.to_vec()).expect("text");
            kept.push((entry.key, text));
        }
        kept
    }

    /// The detail record of the one call that there was.
    pub(crate) async fn leg(&self) -> LegRecord {
        let records = self.kept("calls/", ".json").await;
        let [(key, record)] = records.as_slice() else {
            panic!("{} records", records.len());
        };
        let leg = LegRecord::decode(record).expect("a record");
        let call = leg.call.as_ref().expect("a call");
        assert!(
            key.ends_with(&format!("/{call}/sip/{}.json", leg.sip_call)),
            "{key}"
        );
        leg
    }

    pub(crate) async fn stop(self) {
        self.gateway.shutdown().await;
        assert!(is_empty(self.gateway.stats()), "{:?}", self.gateway.stats());
        crate::logs::assert_free_of(&[NUMBER, FROM, CALLEE, PASSWORD, self.stack.keys().api_secret()]);
        self.stack.stop().await.expect("stopped");
    }
}

/// Resolves when no test runs that wants to be alone.
pub(crate) async fn turn() -> Turn {
    Turn {
        _alone: None,
        _shared: Some(TURNS.read().await),
    }
}

pub(crate) async fn place(config: CallerConfig) -> Call {
    Caller::new(config).place().await.expect("placed")
}

fn is_empty(stats: GatewayStats) -> bool {
    let GatewayStats {
        calls,
        rtp_ports,
        sip: StackStats {
            calls: sip_calls,
            dialogs,
            ..
        },
        ..
    } = stats;
    (calls, rtp_ports, sip_calls, dialogs) == (0, 0, 0, 0)
}

fn api(stack: &LocalStack) -> LiveKit {
    let config = LiveKitConfig {
        url: stack.ws_url(),
        api_key: stack.keys().api_key().to_owned(),
        api_secret: platform::Secret::new(stack.keys().api_secret()),
        webhook_keys: Vec::new(),
    };
    LiveKit::new(&config).expect("client")
}
