//! A caller who needs a PIN: answered, asked, let in or hung up on.
//!
//! No digit of it is logged, or kept anywhere: it goes from the phone's packets into the question to LiveKit.

use std::sync::Arc;

use bus::ioinfo::{Dispatch, DispatchRequest};
use tokio::time::{Instant, sleep_until};

use super::Context;
use super::line::{Line, Said};
use super::machine::EndReason;
use super::media_leg::Encryption;
use super::pin::{Act, Lengths, Pin, PinEntry};
use super::setup::Verdict;
use crate::bridge::Cue;

/// Why a caller is not let in.
pub(super) struct Barred {
    pub(super) reason: EndReason,
    /// In words, for the BYE and the log.
    pub(super) why: &'static str,
}

impl From<EndReason> for Barred {
    fn from(reason: EndReason) -> Self {
        let why = reason.as_str();
        Self { reason, why }
    }
}

impl Barred {
    pub(super) fn refused(why: &'static str) -> Self {
        let reason = EndReason::Refused;
        Self { reason, why }
    }
}

/// Lets the caller enter a PIN that opens a room. It may be dropped at any time.
pub(super) async fn ask(
    context: &Arc<Context>,
    line: &mut Line<'_>,
    question: &DispatchRequest,
) -> Result<Dispatch, Barred> {
    let lengths = Lengths {
        enter: context.sounds.length(Cue::Enter),
        wrong: context.sounds.length(Cue::Wrong),
    };
    let mut entry = PinEntry::new(context.config.timeouts.pin, lengths, Instant::now().into_std());
    loop {
        while let Some(act) = entry.poll_act() {
            match act {
                Act::Play(cue) => line.play(cue).await,
                Act::Check(pin) => {
                    if let Some(dispatch) = check(context, line, question, pin).await? {
                        let rule = dispatch.sip_dispatch_rule_id.as_str();
                        tracing::info!(step = "pin_accepted", rule, "the caller is let in");
                        line.play(Some(Cue::Right)).await;
                        return let_in(line, dispatch);
                    }
                    tracing::info!(step = "pin_refused", "no rule has the PIN that was entered");
                    entry.refused(Instant::now().into_std());
                }
                Act::End(reason) => return Err(reason.into()),
            }
        }
        let wake_at = entry.poll_timeout().map_or_else(Instant::now, Instant::from_std);
        // Both arms are cancel-safe.
        tokio::select! {
            said = line.next() => match said {
                Said::Key(digit) => entry.pressed(digit, Instant::now().into_std()),
                Said::Over(reason) => return Err(reason.into()),
            },
            () = sleep_until(wake_at) => entry.handle_timeout(Instant::now().into_std()),
        }
    }
}

/// The room that the PIN opens, if it does. What is pressed meanwhile counts for nothing.
async fn check(
    context: &Context,
    line: &mut Line<'_>,
    question: &DispatchRequest,
    pin: Pin,
) -> Result<Option<Dispatch>, Barred> {
    let digits = pin.into_digits();
    let question = DispatchRequest {
        // Who enters none is let into rooms without one.
        no_pin: digits.is_empty(),
        pin: digits,
        ..question.clone()
    };
    let mut answer = std::pin::pin!(context.bus.evaluate_dispatch_rules(question));
    let answer = loop {
        // Both arms are cancel-safe: the answer is not dropped.
        tokio::select! {
            answer = &mut answer => break answer,
            said = line.next() => if let Said::Over(reason) = said {
                return Err(reason.into());
            },
        }
    };
    match answer {
        Ok(dispatch) => Ok((Verdict::of(&dispatch) == Verdict::Room).then_some(dispatch)),
        Err(error) => {
            tracing::warn!(%error, "LiveKit did not say whether the PIN is right");
            Err(Barred::refused("dispatch look-up failed"))
        }
    }
}

/// The rule that a PIN belongs to may want more than the one that asked for it.
fn let_in(line: &Line<'_>, dispatch: Dispatch) -> Result<Dispatch, Barred> {
    let encryption = Encryption::of(dispatch.media.as_ref());
    if encryption == Encryption::Required && line.media.suite().is_none() {
        return Err(Barred::refused("SRTP is required"));
    }
    Ok(dispatch)
}
