//! A REFER of the phone's: whom it wants called in its place, and what comes of that.

use std::future::pending;
use std::time::Duration;

use livekit_protocol as proto;
use platform::livekit::{LiveKit, LiveKitError, ProtoDuration};
use platform::targets::{Policy, Target};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::transfer::HANG_UP_AFTER;

/// Beyond what the other phone may ring: for LiveKit's answer.
const TO_ANSWER: Duration = Duration::from_secs(10);

/// How a call stands that a phone has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Called {
    Stands,
    Failed { code: u16, phrase: &'static str },
}

impl Called {
    /// The status line's code and phrase.
    pub(super) fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Stands => (200, "OK"),
            Self::Failed { code, phrase } => (*code, phrase),
        }
    }
}

/// What the conversation has to see to.
pub(super) enum Followed {
    Called(Called),
    /// The other phone has been in the room for a while: this one is not needed any more.
    IsThere,
}

/// The REFER of one call that is being followed: one at a time.
#[derive(Default)]
pub(super) struct Referrals(State);

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Calling(oneshot::Receiver<Called>),
    Stands(Instant),
}

impl Referrals {
    /// Whether one is followed already.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.0, State::Idle)
    }

    /// Where the word on a call that is begun now is to go.
    pub(super) fn begin(&mut self) -> oneshot::Sender<Called> {
        let (told, called) = oneshot::channel();
        self.0 = State::Calling(called);
        told
    }

    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Followed {
        match &mut self.0 {
            State::Idle => pending().await,
            State::Calling(called) => {
                let called = called.await.unwrap_or(Called::Failed {
                    code: 500,
                    phrase: "Server Internal Error",
                });
                self.0 = match called {
                    Called::Stands => State::Stands(Instant::now() + HANG_UP_AFTER),
                    Called::Failed { .. } => State::Idle,
                };
                Followed::Called(called)
            }
            State::Stands(at) => {
                sleep_until(*at).await;
                self.0 = State::Idle;
                Followed::IsThere
            }
        }
    }
}

/// The number in a Refer-To, if it may be called. A URI with headers is none: with `Replaces` it means a call, not a number.
pub(super) fn number(refer_to: &str, targets: &Policy) -> Option<String> {
    let uri = match refer_to.split_once('<') {
        Some((_, rest)) => rest.split_once('>')?.0,
        None => refer_to.split(';').next()?,
    };
    let (scheme, rest) = uri.trim().split_once(':')?;
    if rest.contains('?') {
        return None;
    }
    let user = match scheme.to_ascii_lowercase().as_str() {
        "sip" | "sips" => rest.split_once('@')?.0,
        "tel" => rest,
        _ => return None,
    };
    match targets.check(user.split(';').next()?, &[]) {
        Ok(Target::Number(number)) => Some(number),
        Ok(Target::Sip { .. }) | Err(_) => None,
    }
}

/// Whom to call, and into which room.
pub(super) struct Wanted {
    pub(super) number: String,
    pub(super) trunk: String,
    pub(super) room: String,
    pub(super) ringing: Duration,
}

/// Calls it by LiveKit's API, as anybody would: whichever gateway takes it, its own limits hold.
pub(super) async fn call(livekit: LiveKit, wanted: Wanted) -> Called {
    let Wanted {
        number,
        trunk,
        room,
        ringing,
    } = wanted;
    let request = proto::CreateSipParticipantRequest {
        sip_trunk_id: trunk,
        sip_call_to: number,
        room_name: room,
        participant_identity: format!("sip_{:016x}", rand::random::<u64>()),
        ringing_timeout: Some(ProtoDuration {
            seconds: i64::try_from(ringing.as_secs()).unwrap_or_default(),
            nanos: 0,
        }),
        wait_until_answered: true,
        ..proto::CreateSipParticipantRequest::default()
    };
    let asked = livekit.within(ringing + TO_ANSWER);
    match Box::pin(asked.create_sip_participant(&request)).await {
        Ok(_) => Called::Stands,
        Err(LiveKitError::Sip { status, .. }) => Called::Failed {
            code: status,
            phrase: phrase(status),
        },
        Err(error) => {
            tracing::warn!(%error, "whom the phone referred to was not called");
            Called::Failed {
                code: 503,
                phrase: "Service Unavailable",
            }
        }
    }
}

/// Theirs may hold anything.
fn phrase(status: u16) -> &'static str {
    match status {
        404 => "Not Found",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Not Put Through",
    }
}

#[cfg(test)]
mod tests {
    use platform::config::Targets;

    use super::*;

    #[test]
    fn whom_a_phone_may_refer_to_is_a_listed_number_however_it_is_written() {
        let targets = Policy::new(Targets {
            numbers: vec!["+1555".parse().expect("a prefix")],
            ..Targets::default()
        });
        for to in [
            "<sip:+15558888@192.0.2.1:5060;transport=udp>",
            "\"Bob\" <sip:+15558888;phone-context=x@h;user=phone>;x=y",
            "sip:+15558888@h;x=y",
            "tel:+1-555-8888",
        ] {
            assert_eq!(number(to, &targets).as_deref(), Some("+15558888"), "{to}");
        }
        for to in [
            "<sip:+15558888@h?Replaces=id%3Bto-tag%3Da%3Bfrom-tag%3Db>",
            "<sip:+4930123456@h>",
            "<sip:bob@h>",
            "<sip:112@h>",
            "<sip:+1555%388@h>",
            "<https://h/+15558888>",
            "<sip:+15558888@h",
            "sip:h",
            "",
        ] {
            assert_eq!(number(to, &targets), None, "{to}");
        }
    }
}
