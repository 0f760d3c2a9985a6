//! The transfer of the caller to somebody else, within what the deployment allows.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use pipeline::Transfers;
use platform::{
    livekit::{LiveKit, PhoneOutcome, ProtoDuration, proto},
    targets::{Policy, Target, TargetError},
};
use providers::tools::{Tool, ToolError, function};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{
    sync::Notify,
    time::{Duration, timeout},
};

/// How long the server and the gateway may take beside the ringing.
const BEYOND_RINGING: Duration = Duration::from_secs(10);
/// How long a caller who has left is waited for to have been transferred: the phone may hang up before the gateway says so.
const SETTLE: Duration = Duration::from_secs(1);

const NONE: u8 = 0;
const UNDER_WAY: u8 = 1;
const DONE: u8 = 2;

/// What is wrong with the destinations of a profile: a line each.
pub fn check(transfers: &Transfers, policy: &Policy) -> Vec<String> {
    let refused = transfers.destinations.iter().filter_map(|(name, to)| {
        let error = policy.check(to, &[]).err()?;
        Some(format!(
            "transfers.destinations.{name}: {error}; {}",
            error.remedy()
        ))
    });
    refused.collect()
}

/// The transfer of one call.
#[derive(Default)]
pub(crate) struct Transfer {
    state: AtomicU8,
    settled: Notify,
}

#[derive(Deserialize, JsonSchema)]
struct To {
    /// Where to.
    to: String,
}

/// What a transfer needs.
pub(crate) struct Line {
    pub(crate) livekit: LiveKit,
    pub(crate) policy: Policy,
    pub(crate) room: String,
    /// The phone's identity in the room; none: the caller has no phone.
    pub(crate) phone: Option<String>,
}

impl Transfer {
    /// Whether the caller, who has left, was transferred.
    pub(crate) async fn took_place(&self) -> bool {
        if self.state.load(Ordering::Acquire) == UNDER_WAY {
            let _ = timeout(SETTLE, self.settled.notified()).await;
        }
        self.state.load(Ordering::Acquire) == DONE
    }

    /// The tool.
    pub(crate) fn tool(self: &Arc<Self>, line: Line, transfers: Transfers) -> Arc<dyn Tool> {
        let (names, parameters) = (description(&transfers), parameters(&transfers));
        let limit = transfers.ringing_timeout + BEYOND_RINGING + SETTLE;
        let (transfer, line, transfers) = (self.clone(), Arc::new(line), Arc::new(transfers));
        let run = move |To { to }: To| {
            let (transfer, line, transfers) = (transfer.clone(), line.clone(), transfers.clone());
            async move { transfer.run(&line, &transfers, &to).await }
        };
        let tool = function("transfer_call", &names, run).with_parameters(parameters);
        Arc::new(tool.after_speech().limit(limit))
    }

    async fn run(&self, line: &Line, transfers: &Transfers, to: &str) -> Result<String, ToolError> {
        let Some(phone) = &line.phone else {
            return Err(ToolError("the caller is not on a phone".to_owned()));
        };
        let target = target(transfers, &line.policy, to).map_err(|error| {
            tracing::warn!(
                reason = error.reason(),
                "the model asked for a transfer that was refused"
            );
            ToolError(format!("refused: {error}"))
        })?;
        self.state.store(UNDER_WAY, Ordering::Release);
        let ringing = transfers.ringing_timeout;
        let request = proto::TransferSipParticipantRequest {
            participant_identity: phone.clone(),
            room_name: line.room.clone(),
            transfer_to: target.uri(),
            ringing_timeout: Some(ProtoDuration {
                seconds: i64::try_from(ringing.as_secs()).unwrap_or(i64::MAX),
                nanos: 0,
            }),
            ..proto::TransferSipParticipantRequest::default()
        };
        let livekit = line.livekit.within(ringing + BEYOND_RINGING);
        let transferred = livekit.transfer_sip_participant(&request).await;
        let state = if transferred.is_ok() { DONE } else { NONE };
        self.state.store(state, Ordering::Release);
        self.settled.notify_one();
        match transferred {
            // The caller is gone; there is nobody to say anything to.
            Ok(()) => Ok(String::new()),
            Err(error) => {
                let outcome = PhoneOutcome::of(&error).map(|(outcome, _)| outcome);
                tracing::info!(?outcome, %error, "a transfer did not take place");
                Err(ToolError(words(outcome).to_owned()))
            }
        }
    }
}

fn target(transfers: &Transfers, policy: &Policy, to: &str) -> Result<Target, TargetError> {
    match transfers.destinations.get(to) {
        Some(destination) => policy.check(destination, &[]),
        None if transfers.numbers => policy.check(to, &[]),
        None => Err(TargetError::NotListed),
    }
}

fn words(outcome: Option<PhoneOutcome>) -> &'static str {
    match outcome {
        Some(PhoneOutcome::Busy) => "the line is busy; the caller is still here",
        Some(PhoneOutcome::Declined) => "the other side declined; the caller is still here",
        Some(PhoneOutcome::NoAnswer) => "nobody answered; the caller is still here",
        Some(PhoneOutcome::Invalid) => "there is no such number; the caller is still here",
        Some(PhoneOutcome::TrunkFailure) | None => {
            "it cannot be done at the moment; the caller is still here"
        }
    }
}

fn description(transfers: &Transfers) -> String {
    let mut text = "Transfers the caller, who leaves this conversation by it. Say so first. You are told when it did not work out."
        .to_owned();
    if !transfers.destinations.is_empty() {
        let names: Vec<_> = transfers.destinations.keys().map(String::as_str).collect();
        let _ = write!(text, " Known destinations: {}.", names.join(", "));
    }
    text
}

fn parameters(transfers: &Transfers) -> serde_json::Value {
    let names: Vec<_> = transfers.destinations.keys().collect();
    let to = if transfers.numbers {
        serde_json::json!({
            "type": "string",
            "description": "A known destination, or the number in E.164 (+49301234567) that the caller asked for.",
            "maxLength": 256,
        })
    } else {
        serde_json::json!({"type": "string", "enum": names})
    };
    serde_json::json!({"type": "object", "properties": {"to": to}, "required": ["to"], "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use platform::config::Targets;

    use super::*;

    fn policy() -> Policy {
        Policy::new(Targets {
            numbers: vec!["+49".parse().unwrap(), "+1".parse().unwrap()],
            sip_hosts: vec!["pbx.example.com".to_owned()],
            special: Vec::new(),
        })
    }

    fn transfers(numbers: bool) -> Transfers {
        let destinations = [
            ("sales", "+49301234567"),
            ("support", "sip:2001@pbx.example.com"),
            ("evil", "sip:x@evil.example.com"),
            ("hotline", "+19005551234"),
        ];
        Transfers {
            destinations: BTreeMap::from(destinations.map(|(name, to)| (name.to_owned(), to.to_owned()))),
            numbers,
            ringing_timeout: Duration::from_secs(30),
        }
    }

    #[test]
    fn a_model_reaches_what_is_listed_and_nothing_else() {
        for numbers in [false, true] {
            let target = |to| target(&transfers(numbers), &policy(), to).map(|target| target.uri());
            assert_eq!(target("sales").unwrap(), "tel:+49301234567");
            assert_eq!(target("support").unwrap(), "sip:2001@pbx.example.com");
            assert_eq!(target("evil"), Err(TargetError::NotListed));
            assert_eq!(target("hotline"), Err(TargetError::Premium));
            for to in ["112", "tel:911", "sip:112@pbx.example.com", "+1911"] {
                let refused = target(to).unwrap_err();
                let expected = if numbers {
                    TargetError::Emergency
                } else {
                    TargetError::NotListed
                };
                assert_eq!(refused, expected, "{to}");
            }
            assert_eq!(target("+33123456789"), Err(TargetError::NotListed));
        }
        assert!(target(&transfers(true), &policy(), "+49 30 7654321").is_ok());
        assert!(target(&transfers(false), &policy(), "+49307654321").is_err());
    }

    #[test]
    fn destinations_that_are_not_allowed_are_faults_before_any_call() {
        let faults = check(&transfers(false), &policy());
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(
            faults[0].starts_with("transfers.destinations.evil: "),
            "{faults:?}"
        );
        assert!(!faults.concat().contains("555"), "{faults:?}");
    }

    #[test]
    fn the_model_is_told_the_names_and_no_number() {
        let told = format!(
            "{}{}",
            description(&transfers(false)),
            parameters(&transfers(false))
        );
        assert!(told.contains("sales") && !told.contains("301234567"), "{told}");
    }
}
