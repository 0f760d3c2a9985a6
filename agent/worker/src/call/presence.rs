//! Who is in the room: a fold of the SDK's events into the few that a call turns on.

use std::collections::HashMap;

use events::{EndCause, livekit::attribute};
use livekit::{
    DisconnectReason,
    participant::ParticipantKind,
    prelude::{
        DisconnectReason as LeaveReason, Participant, ParticipantIdentity, RemoteAudioTrack,
        RemoteParticipant, RemoteTrack, RemoteTrackPublication, Room, RoomEvent, TrackKind,
    },
};

/// What has changed for the call.
#[derive(Debug)]
pub(crate) enum Change {
    /// The caller is in the room.
    CallerJoined(RemoteParticipant),
    /// The caller can be heard.
    Track(RemoteAudioTrack),
    /// The caller has pressed a key of the phone.
    Digit(char),
    /// The phone was answered; at once for a caller without a phone.
    Answered,
    /// The caller is gone.
    CallerLeft {
        /// Why the gateway ended the call, if it says so.
        cause: Option<EndCause>,
    },
    /// Somebody has put the caller out, or has deleted the room.
    CallerPutOut,
    /// The caller's connection is lost, or ours, or the server with all that it knew: nobody has hung up, and the caller may come back.
    CallerLost,
    /// And has.
    CallerBack,
    /// This agent is out of the room for good.
    Closed(DisconnectReason),
}

/// The caller, as far as is known.
#[derive(Default)]
pub(crate) struct Presence {
    caller: Option<RemoteParticipant>,
    /// Who was the caller, and is waited for.
    lost: Option<Lost>,
    answered: bool,
    cause: Option<EndCause>,
}

/// By what a caller is known again, whose participant is another one then.
struct Lost {
    identity: ParticipantIdentity,
    /// Of a phone: another call may come under the same identity.
    sip_call: Option<String>,
}

impl Lost {
    fn is(&self, participant: &RemoteParticipant) -> bool {
        participant.identity() == self.identity && sip_call(participant) == self.sip_call
    }
}

impl Presence {
    /// Whether the phone was answered.
    pub(crate) fn answered(&self) -> bool {
        self.answered
    }

    /// The identity of the caller's phone, if the caller has one.
    pub(crate) fn phone(&self) -> Option<String> {
        let caller = self.caller.as_ref()?;
        (caller.kind() == ParticipantKind::Sip).then(|| caller.identity().to_string())
    }

    /// The identity of the caller, if there is one.
    pub(crate) fn identity(&self) -> Option<String> {
        Some(self.caller.as_ref()?.identity().to_string())
    }

    /// The caller's track that should be heard: there, and not muted.
    pub(crate) fn audible(&self) -> Option<RemoteTrackPublication> {
        let publications = self.caller.as_ref()?.track_publications();
        let is_audible = |publication: &RemoteTrackPublication| {
            publication.kind() == TrackKind::Audio && !publication.is_muted()
        };
        publications.into_values().find(is_audible)
    }

    /// What is already there when the agent joins.
    pub(crate) fn look(&mut self, room: &Room) -> Vec<Change> {
        let mut changes = Vec::new();
        for participant in room.remote_participants().into_values() {
            self.joined(&participant, &mut changes);
            for publication in participant.track_publications().into_values() {
                if let Some(track) = publication.track() {
                    self.track(&participant, track, &mut changes);
                }
            }
        }
        changes
    }

    /// Takes one event of the room.
    pub(crate) fn on(&mut self, event: RoomEvent) -> Vec<Change> {
        let mut changes = Vec::new();
        match event {
            RoomEvent::ParticipantConnected(participant) => self.joined(&participant, &mut changes),
            RoomEvent::TrackSubscribed {
                track, participant, ..
            } => {
                self.joined(&participant, &mut changes);
                self.track(&participant, track, &mut changes);
            }
            RoomEvent::ParticipantAttributesChanged {
                participant: Participant::Remote(participant),
                ..
            } if self.is_caller(&participant) => {
                self.attributes(&participant, &mut changes);
            }
            RoomEvent::ParticipantDisconnected(participant) if self.is_caller(&participant) => {
                self.attributes(&participant, &mut changes);
                self.caller = None;
                let cause = self.cause.clone();
                changes.push(match departed(cause.as_ref(), participant.disconnect_reason()) {
                    Departed::Lost => {
                        self.lost = Some(Lost {
                            identity: participant.identity(),
                            sip_call: sip_call(&participant),
                        });
                        Change::CallerLost
                    }
                    Departed::PutOut => Change::CallerPutOut,
                    Departed::Left => Change::CallerLeft { cause },
                });
            }
            RoomEvent::SipDTMFReceived {
                digit, participant, ..
            } if participant.as_ref().is_none_or(|it| self.is_caller(it)) => {
                changes.extend(
                    digit
                        .and_then(|digit| digit.chars().next())
                        .map(|it| Change::Digit(it.to_ascii_uppercase())),
                );
            }
            RoomEvent::Disconnected { reason } => changes.push(Change::Closed(reason)),
            _ => {}
        }
        changes
    }

    fn is_caller(&self, participant: &RemoteParticipant) -> bool {
        self.caller
            .as_ref()
            .is_some_and(|caller| caller.sid() == participant.sid())
    }

    /// The first phone or ordinary participant is the caller; agents, recorders and ingress never are.
    fn joined(&mut self, participant: &RemoteParticipant, changes: &mut Vec<Change>) {
        if self.caller.is_some()
            || !matches!(
                participant.kind(),
                ParticipantKind::Sip | ParticipantKind::Standard
            )
        {
            return;
        }
        let change = match &self.lost {
            None => Change::CallerJoined(participant.clone()),
            Some(lost) if lost.is(participant) => Change::CallerBack,
            // Nobody else takes a conversation over.
            Some(_) => return,
        };
        self.lost = None;
        self.caller = Some(participant.clone());
        changes.push(change);
        self.attributes(participant, changes);
    }

    fn track(&self, participant: &RemoteParticipant, track: RemoteTrack, changes: &mut Vec<Change>) {
        if let (true, RemoteTrack::Audio(track)) = (self.is_caller(participant), track) {
            changes.push(Change::Track(track));
        }
    }

    fn attributes(&mut self, participant: &RemoteParticipant, changes: &mut Vec<Change>) {
        let attributes = participant.attributes();
        let is_phone = participant.kind() == ParticipantKind::Sip;
        if let Some(cause) = attributes.get(attribute::END).filter(|_| is_phone) {
            self.cause = Some(EndCause::from(cause.as_str()));
        }
        if (is_active(&attributes) || !is_phone) && !self.answered {
            self.answered = true;
            changes.push(Change::Answered);
        }
    }
}

/// Whether a phone was answered, by the attributes of its participant.
pub(crate) fn is_active(attributes: &HashMap<String, String>) -> bool {
    attributes
        .get(attribute::SIP_CALL_STATUS)
        .is_some_and(|status| status == "active")
}

fn sip_call(participant: &RemoteParticipant) -> Option<String> {
    participant.attributes().get(attribute::SIP_CALL).cloned()
}

/// How a caller's participant went.
#[derive(Debug, PartialEq, Eq)]
enum Departed {
    Left,
    PutOut,
    Lost,
}

/// By what LiveKit gives for the reason; and by the gateway, where it has said why it ended the call: it may have removed the phone itself,
/// from a room that it could not leave.
fn departed(cause: Option<&EndCause>, reason: LeaveReason) -> Departed {
    if cause.is_some() {
        Departed::Left
    } else if is_lost(reason) {
        Departed::Lost
    } else if is_put_out(reason) {
        Departed::PutOut
    } else {
        Departed::Left
    }
}

/// Whether somebody has put a participant out, or has deleted the room.
fn is_put_out(reason: LeaveReason) -> bool {
    matches!(reason, LeaveReason::ParticipantRemoved | LeaveReason::RoomDeleted)
}

/// Whether the gateway ended the call by itself.
pub(crate) fn is_of_gateway(cause: Option<&EndCause>) -> bool {
    cause.is_some_and(|cause| cause.outcome().is_some())
}

/// Whether a participant is gone without having left. A server that has died gives no reason, nor does our own session when it is made
/// anew: the SDK then misses everybody at once. Who is put out by another session of the same identity has made that one anew.
fn is_lost(reason: LeaveReason) -> bool {
    matches!(
        reason,
        LeaveReason::UnknownReason
            | LeaveReason::DuplicateIdentity
            | LeaveReason::ConnectionTimeout
            | LeaveReason::ServerShutdown
            | LeaveReason::MediaFailure
            | LeaveReason::SignalClose
            | LeaveReason::StateMismatch
            | LeaveReason::JoinFailure
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_put_out_has_not_hung_up() {
        assert!(is_put_out(LeaveReason::RoomDeleted) && is_put_out(LeaveReason::ParticipantRemoved));
        assert!(!is_put_out(LeaveReason::ClientInitiated) && !is_put_out(LeaveReason::RoomClosed));
    }

    #[test]
    fn a_phone_of_which_its_gateway_has_said_the_end_has_left_however_it_went() {
        for reason in [
            LeaveReason::ParticipantRemoved,
            LeaveReason::ConnectionTimeout,
            LeaveReason::ClientInitiated,
        ] {
            for cause in [EndCause::CallerHungUp, EndCause::MediaTimeout] {
                assert_eq!(departed(Some(&cause), reason), Departed::Left, "{reason:?}");
            }
        }
        assert_eq!(departed(None, LeaveReason::ParticipantRemoved), Departed::PutOut);
        assert_eq!(departed(None, LeaveReason::ConnectionTimeout), Departed::Lost);
        assert_eq!(departed(None, LeaveReason::ClientInitiated), Departed::Left);
    }

    #[test]
    fn who_leaves_on_purpose_is_not_lost() {
        for reason in [
            LeaveReason::ClientInitiated,
            LeaveReason::ParticipantRemoved,
            LeaveReason::RoomDeleted,
            LeaveReason::RoomClosed,
            LeaveReason::UserRejected,
            LeaveReason::UserUnavailable,
        ] {
            assert!(!is_lost(reason), "{reason:?}");
        }
        for reason in [
            LeaveReason::UnknownReason,
            LeaveReason::DuplicateIdentity,
            LeaveReason::ConnectionTimeout,
        ] {
            assert!(is_lost(reason), "{reason:?}");
        }
    }
}
