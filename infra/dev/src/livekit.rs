//! livekit-server: its loopback configuration.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ports::{TcpReservation, UdpReservation};
use crate::redis::RedisSettings;
use crate::server::Server;
use crate::stack::Keys;
use crate::{StackError, files, probe};

pub(crate) const NAME: &str = "livekit-server";
/// Logged by the server once every port is bound.
const BOUND: &str = "starting LiveKit server";

/// What livekit-server is started with; kept for a restart on the same ports.
#[derive(Debug, Clone)]
pub(crate) struct LiveKitSettings {
    pub(crate) http: u16,
    rtc_tcp: u16,
    rtc_udp: u16,
    redis: RedisSettings,
    pub(crate) webhook_url: Option<String>,
    pub(crate) empty_timeout: Duration,
    pub(crate) departure_timeout: Duration,
    pub(crate) media_unreachable: bool,
}

/// The ports of one livekit-server, held until it starts.
#[derive(Debug)]
pub(crate) struct LiveKitPorts {
    http: TcpReservation,
    rtc_tcp: TcpReservation,
    rtc_udp: UdpReservation,
}

impl LiveKitPorts {
    pub(crate) fn reserve() -> Result<Self, StackError> {
        Ok(Self {
            http: TcpReservation::new()?,
            rtc_tcp: TcpReservation::new()?,
            rtc_udp: UdpReservation::new()?,
        })
    }

    pub(crate) fn release(self) {
        self.http.release();
        self.rtc_tcp.release();
        self.rtc_udp.release();
    }
}

impl LiveKitSettings {
    pub(crate) fn new(
        ports: &LiveKitPorts,
        redis: RedisSettings,
        webhook_url: Option<String>,
        empty_timeout: Duration,
        departure_timeout: Duration,
        media_unreachable: bool,
    ) -> Self {
        Self {
            http: ports.http.port(),
            rtc_tcp: ports.rtc_tcp.port(),
            rtc_udp: ports.rtc_udp.port(),
            redis,
            webhook_url,
            empty_timeout,
            departure_timeout,
            media_unreachable,
        }
    }

    pub(crate) fn spawn(&self, program: &Path, dir: &Path, keys: &Keys) -> Result<Server, StackError> {
        let path = dir.join("livekit.yaml");
        files::write_private(&path, &self.render(keys))?;
        let args = ["--config".to_owned(), path.to_string_lossy().into_owned()];
        Server::spawn(NAME, program, &args, &dir.join("livekit-server.log"))
    }

    /// Ready when this process (not one that took the port before it) has bound its ports and answers.
    pub(crate) async fn is_ready(&self, server: &Server, log_from: u64) -> bool {
        let log = std::fs::read(server.log()).unwrap_or_default();
        let fresh = log
            .get(usize::try_from(log_from).unwrap_or(0)..)
            .unwrap_or_default();
        String::from_utf8_lossy(fresh).contains(BOUND) && probe::http_ok(self.http, "/").await
    }

    /// JSON, which is YAML too, so that nothing needs quoting by hand.
    fn render(&self, keys: &Keys) -> String {
        let mut config = json!({
            "port": self.http,
            "bind_addresses": ["127.0.0.1"],
            "rtc": {
                "udp_port": self.rtc_udp,
                "tcp_port": self.rtc_tcp,
                "use_external_ip": false,
                // Every host candidate is rewritten to it, so loopback candidates must be allowed.
                "node_ip": "127.0.0.1",
                "enable_loopback_candidate": true,
                "interfaces": { "includes": ["lo"] },
                // Keeps the server from naming public STUN servers to its clients.
                "stun_servers": ["127.0.0.1:3478"],
            },
            "redis": {
                "address": probe::loopback(self.redis.port).to_string(),
                "password": self.redis.password,
            },
            "keys": { keys.api_key(): keys.api_secret() },
            "room": {
                "empty_timeout": self.empty_timeout.as_secs(),
                "departure_timeout": self.departure_timeout.as_secs(),
            },
            "turn": { "enabled": false },
            "logging": { "level": "info", "json": true },
        });
        if self.media_unreachable
            && let Some(rtc) = config.get_mut("rtc").and_then(Value::as_object_mut)
        {
            // For documentation (RFC 5737). With ICE lite the server does not look for its clients by itself.
            rtc.insert("node_ip".to_owned(), json!("192.0.2.1"));
            rtc.insert("use_ice_lite".to_owned(), json!(true));
        }
        if let (Some(url), Some(map)) = (&self.webhook_url, config.as_object_mut()) {
            map.insert(
                "webhook".to_owned(),
                json!({ "api_key": keys.api_key(), "urls": [url] }),
            );
        }
        config.to_string()
    }
}
