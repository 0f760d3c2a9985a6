//! A test INVITE that rings nobody: it offers no codec that anybody speaks, so that the gateway asks LiveKit for the trunk and refuses.

use std::{net::SocketAddr, time::Duration};

use caller::{CallError, Caller, CallerConfig, EndedBy};

use super::{Area, Finding};

/// How long the gateway may take, which asks livekit-server for up to 3 s.
const LIMIT: Duration = Duration::from_secs(5);
/// No number of anybody's.
const USER: &str = "trunkline-doctor";

/// Nothing, when it is refused as it should be.
pub(super) async fn examine(gateway: SocketAddr) -> Option<Finding> {
    let ip = gateway.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let config = CallerConfig {
        local: ip,
        // GSM (RFC 3551): static payload type 3, and in no `sip.codecs`.
        offer: Some(format!(
            "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 3\r\na=rtpmap:3 GSM/8000\r\n"
        )),
        ..CallerConfig::new(USER, USER, gateway)
    };
    let call = match Caller::new(config).place().await {
        Ok(call) => call,
        Err(error) => {
            let remedy = "look at the addresses and the free ports of this machine";
            return Some(Finding::warning(Area::Gateway, error.to_string(), remedy));
        }
    };
    match call.wait_ended(LIMIT).await {
        Ok(EndedBy::Refused {
            code: code @ 500..,
            phrase,
            reason,
        }) => {
            let reason = reason.unwrap_or(phrase);
            Some(Finding::error(
                Area::Gateway,
                format!("a test call is refused with {code}: {reason}"),
                "see the log of the gateway, and the table of SIP answers in docs/troubleshooting.md",
            ))
        }
        // 404, 488, or 401 and 407 where the trunk wants a password.
        Ok(EndedBy::Refused { .. }) => None,
        Err(CallError::Late { .. }) | Ok(EndedBy::NoAnswer { .. }) => {
            call.hang_up().await;
            Some(Finding::warning(
                Area::Gateway,
                "a test call is not answered, though OPTIONS is",
                "see the log of the gateway: does it reach its Redis? livekit-sip may leave calls that match no trunk without an answer",
            ))
        }
        Ok(by) => Some(Finding::warning(
            Area::Gateway,
            format!("a test call that fits nothing ends otherwise than refused: {by}"),
            "is it Trunkline's gateway, or livekit-sip, that listens there?",
        )),
        Err(error) => Some(Finding::warning(
            Area::Gateway,
            error.to_string(),
            "see the log of the gateway",
        )),
    }
}
