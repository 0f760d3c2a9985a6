//! What bytes of a stranger's run through before anything is kept of them, without a socket: for fuzzing, and not part of the API.

use std::net::SocketAddr;
use std::sync::LazyLock;

use rsipstack::sip::{Method, SipMessage};
use tokio::time::Instant;

use super::convert;
use super::reliable::Awaited;
use super::timing::{Timing, has_token, min_se};
use crate::admission::{Admission, Limits, Rate, Verdict};
use crate::digest::client::Login;
use crate::stream::Framer;
use crate::{SessionTimes, SipUri};

static LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits {
    per_source: Rate {
        per_second: 1e9,
        burst: 1e9,
    },
    ..Limits::default()
});

/// As a datagram, and as what a connection brings in pieces.
///
/// # Panics
/// Where a stateless refusal holds more than one message: somebody could write answers of ours.
pub fn message(bytes: &[u8]) {
    let mut framer = Framer::default();
    for piece in bytes.chunks(61) {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(crate::stream::Frame::Message(message))) => datagram(&message),
                Ok(Some(crate::stream::Frame::Ping)) => {}
                Ok(None) => break,
                Err(_) => return datagram(bytes),
            }
        }
    }
    datagram(bytes);
}

fn datagram(bytes: &[u8]) {
    let source = SocketAddr::from(([192, 0, 2, 1], 5060));
    let verdict = Admission::new(*LIMITS).check(bytes, source, Instant::now().into_std());
    match verdict {
        Verdict::Pass => passed(bytes, source),
        Verdict::Reply(_, reply) => {
            let ends = reply.windows(4).filter(|window| window == b"\r\n\r\n").count();
            assert!(
                reply.starts_with(b"SIP/2.0 ") && ends == 1,
                "more than one answer"
            );
        }
        Verdict::Drop(_) => {}
    }
}

fn passed(bytes: &[u8], source: SocketAddr) {
    match SipMessage::try_from(bytes) {
        Ok(SipMessage::Request(request)) => {
            let _ = convert::invite(&request, source);
            let _ = Timing::new(SessionTimes::DEFAULT).answer(&request);
            let _ = has_token(&request.headers, &["Allow"], "UPDATE");
            let _ = Awaited::default().take(&request);
            let _ = SipUri::at(&request.uri.host_with_port.to_string());
        }
        Ok(SipMessage::Response(response)) => {
            let login = Login {
                username: "u".into(),
                password: "p".into(),
            };
            let _ = convert::answer(&response);
            let _ = convert::is_local(&response);
            let _ = convert::phrase(&response);
            let _ = convert::authorization(&response, &login, Method::Invite, "sip:h", b"");
            let _ = min_se(&response);
        }
        Err(_) => {}
    }
}
