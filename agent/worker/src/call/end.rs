//! How a call ended, in the record's words.

use events::{EndCause, Outcome};
use livekit::DisconnectReason;

/// What ended the call, as the call's actor saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The caller left the room.
    CallerLeft {
        /// Why the gateway ended the call, if it says so.
        cause: Option<EndCause>,
    },
    /// The caller was put out of the room, or the room was deleted, by somebody else.
    CallerPutOut,
    /// The agent has transferred the caller, who has left.
    Transferred,
    /// The call's room closed while the agent joined: whoever called gave up.
    Vanished,
    /// Nobody came into the room.
    NobodyCame,
    /// The caller of a call that was taken over is in the room no more, or is not heard any more.
    CallerLost,
    /// The agent said goodbye, as its dialogue meant it to.
    Goodbye,
    /// The agent gave up: the caller was silent for too long, or the longest duration was reached.
    GaveUp,
    /// The conversation could not go on.
    Broken(String),
    /// This agent was put out of the room.
    PutOut(DisconnectReason),
    /// The process is told to stop now.
    Stopped,
    /// The claim is lost: the heir goes on, and nothing is written.
    Fenced,
}

impl End {
    /// The record's outcome; `answered`: the phone had been answered.
    pub(crate) fn outcome(&self, answered: bool) -> Outcome {
        match self {
            Self::CallerPutOut if answered => Outcome::OperatorHungUp,
            Self::CallerLeft { cause } => {
                let by_itself = if answered {
                    Outcome::CallerHungUp
                } else {
                    Outcome::Cancelled
                };
                cause.as_ref().and_then(EndCause::outcome).unwrap_or(by_itself)
            }
            Self::NobodyCame | Self::CallerPutOut => Outcome::Cancelled,
            Self::Goodbye => Outcome::Completed,
            Self::Transferred => Outcome::Transferred,
            Self::GaveUp => Outcome::AgentHungUp,
            Self::Broken(reason) => Outcome::Failed {
                reason: reason.clone(),
            },
            // The room closes under the agent when the caller has left before it was answered.
            Self::PutOut(_) | Self::Vanished if !answered => Outcome::Cancelled,
            Self::PutOut(reason) if is_by_operator(*reason) => Outcome::OperatorHungUp,
            Self::PutOut(reason) => Outcome::Failed {
                reason: format!("the agent was put out: {reason:?}"),
            },
            Self::Vanished | Self::CallerLost | Self::Stopped | Self::Fenced => Outcome::Interrupted,
        }
    }

    /// Whether this worker has lost sight of the caller before it could learn how the call ended.
    pub(crate) fn is_unseen(&self) -> bool {
        match self {
            Self::CallerLost | Self::Vanished => true,
            Self::PutOut(reason) => !is_by_operator(*reason),
            _ => false,
        }
    }

    /// Whether the room is to be deleted, which hangs up whatever phone is still in it.
    pub(crate) fn ends_the_room(&self) -> bool {
        !matches!(self, Self::Fenced | Self::Stopped | Self::Vanished)
    }
}

/// Whether LiveKit says that somebody has deleted the room or removed the participant. Nothing of ours does that to a call which is served.
fn is_by_operator(reason: DisconnectReason) -> bool {
    matches!(
        reason,
        DisconnectReason::RoomDeleted | DisconnectReason::ParticipantRemoved
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_leaves_has_cancelled_before_and_hung_up_after_the_answer() {
        for cause in [None, Some(EndCause::CallerHungUp)] {
            let left = End::CallerLeft { cause };
            assert_eq!(left.outcome(false), Outcome::Cancelled);
            assert_eq!(left.outcome(true), Outcome::CallerHungUp);
        }
    }

    #[test]
    fn a_call_that_the_gateway_ended_is_not_told_as_hung_up_by_its_caller() {
        let failed = |reason: &str| Outcome::Failed {
            reason: reason.to_owned(),
        };
        for (cause, outcome) in [
            (EndCause::NoAgent, Outcome::NoAgent),
            (EndCause::MediaTimeout, failed("media_timeout")),
            (EndCause::NotAcknowledged, failed("not_acknowledged")),
            (EndCause::SessionExpired, failed("session_expired")),
            (EndCause::MaxDuration, Outcome::AgentHungUp),
            (EndCause::Failed, failed("gateway")),
        ] {
            let left = End::CallerLeft { cause: Some(cause) };
            assert_eq!(left.outcome(true), outcome);
        }
    }

    #[test]
    fn a_room_that_closes_before_the_answer_was_left_by_its_caller() {
        let put_out = End::PutOut(DisconnectReason::RoomClosed);
        assert_eq!(put_out.outcome(false), Outcome::Cancelled);
        assert!(matches!(put_out.outcome(true), Outcome::Failed { .. }));
    }

    #[test]
    fn a_call_that_an_operator_ends_has_not_failed() {
        for reason in [
            DisconnectReason::RoomDeleted,
            DisconnectReason::ParticipantRemoved,
        ] {
            assert_eq!(End::PutOut(reason).outcome(true), Outcome::OperatorHungUp);
            assert_eq!(End::PutOut(reason).outcome(false), Outcome::Cancelled);
        }
        assert_eq!(End::CallerPutOut.outcome(true), Outcome::OperatorHungUp);
        assert_eq!(End::CallerPutOut.outcome(false), Outcome::Cancelled);
        let lost = End::PutOut(DisconnectReason::StateMismatch);
        assert!(matches!(lost.outcome(true), Outcome::Failed { .. }));
    }

    #[test]
    fn only_who_has_not_seen_the_end_asks_for_it() {
        let closed = |reason| End::PutOut(reason).is_unseen();
        assert!(End::CallerLost.is_unseen() && closed(DisconnectReason::RoomClosed));
        assert!(!closed(DisconnectReason::RoomDeleted));
        assert!(!End::CallerPutOut.is_unseen() && !End::Goodbye.is_unseen() && !End::Stopped.is_unseen());
    }

    #[test]
    fn a_worker_that_lost_the_call_leaves_the_room_to_its_heir() {
        assert!(!End::Fenced.ends_the_room());
        assert!(!End::Stopped.ends_the_room());
        assert!(End::Goodbye.ends_the_room());
    }
}
