//! Placing a call: whom, from where, with what.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use audio::Codec;
use media::sdp::make_offer;
use rand::Rng;
use rand::distr::Alphanumeric;
use tokio::net::UdpSocket;

use crate::call::Call;
use crate::driver::Offered;
use crate::ear::EarOptions;
use crate::error::CallError;
use crate::mouth::Speakerphone;
use crate::sip::digest::Credentials;
use crate::sip::requests::Identity;
use crate::sip::uac::Uac;

/// A call to place.
#[derive(Clone)]
pub struct CallerConfig {
    /// The called number or user.
    pub to: String,
    /// The calling number or user.
    pub from: String,
    /// Where the INVITE goes.
    pub target: SocketAddr,
    /// The host of the called and the calling URI; by default the target's address and port.
    pub host: Option<String>,
    /// The name shown beside the calling number; none by default.
    pub display_name: Option<String>,
    /// The codecs offered, in this order (default G.722, PCMU, PCMA). telephone-event is offered beside them.
    pub codecs: Vec<Codec>,
    /// The answer to a 401 or 407; without it a challenge ends the call.
    pub credentials: Option<Credentials>,
    /// Headers added to the INVITE.
    pub headers: Vec<(String, String)>,
    /// An offer in place of our own, for tests of what does not fit.
    pub offer: Option<String>,
    /// The address that SIP and RTP are bound to (default 127.0.0.1).
    pub local: IpAddr,
    /// How much of what comes back is kept (default ten minutes).
    pub max_recording: Duration,
    /// What counts as speech.
    pub ear: EarOptions,
    /// What of the sound that comes the microphone hears as well; nothing by default.
    pub speakerphone: Option<Speakerphone>,
}

impl CallerConfig {
    pub fn new(to: impl Into<String>, from: impl Into<String>, target: SocketAddr) -> Self {
        Self {
            to: to.into(),
            from: from.into(),
            target,
            host: None,
            display_name: None,
            codecs: vec![Codec::G722, Codec::Pcmu, Codec::Pcma],
            credentials: None,
            headers: Vec::new(),
            offer: None,
            local: IpAddr::V4(Ipv4Addr::LOCALHOST),
            max_recording: Duration::from_mins(10),
            ear: EarOptions::default(),
            speakerphone: None,
        }
    }
}

/// A phone.
pub struct Caller {
    config: CallerConfig,
}

impl Caller {
    pub fn new(config: CallerConfig) -> Self {
        Self { config }
    }

    /// Sends the INVITE and returns at once.
    ///
    /// # Errors
    ///
    /// [`CallError::Socket`] only: whatever SIP brings is seen by the `wait_…` methods.
    pub async fn place(&self) -> Result<Call, CallError> {
        let config = &self.config;
        let bind = || UdpSocket::bind((config.local, 0));
        let sip = bind().await.map_err(CallError::Socket)?;
        let rtp = Arc::new(bind().await.map_err(CallError::Socket)?);
        let offered = Offered {
            rtp: rtp.local_addr().map_err(CallError::Socket)?,
            codecs: config.codecs.clone(),
        };
        let offer = config
            .offer
            .clone()
            .unwrap_or_else(|| make_offer(&offered.local()));
        let identity = identity(config, sip.local_addr().map_err(CallError::Socket)?);
        let call_id = identity.call_id.clone();
        let uac = Uac::new(
            identity,
            config.credentials.clone(),
            config.headers.clone(),
            offer,
        );
        Ok(Call::start(config, call_id, uac, sip, rtp, offered))
    }
}

fn identity(config: &CallerConfig, local: SocketAddr) -> Identity {
    let host = config.host.clone().unwrap_or_else(|| config.target.to_string());
    let unique = || -> String {
        rand::rng()
            .sample_iter(Alphanumeric)
            .take(16)
            .map(char::from)
            .collect()
    };
    Identity {
        to_uri: format!("sip:{}@{host}", config.to),
        from_uri: format!("sip:{}@{host}", config.from),
        display_name: config.display_name.clone(),
        call_id: format!("{}@{}", unique(), local.ip()),
        tag: unique(),
        local,
        target: config.target,
        unique: unique(),
    }
}
