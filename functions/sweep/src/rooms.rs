//! LiveKit's rooms, as its API tells them.

use std::error::Error;

use async_trait::async_trait;
use events::{
    EgressId, RoomName, Timestamp,
    livekit::{Attributes, Egress, EgressFile, EgressStatus, Participant, ParticipantKind, Room},
};
use platform::livekit::{LiveKit, LiveKitError, proto};

/// Why LiveKit did not tell.
pub type RoomsError = Box<dyn Error + Send + Sync>;

/// What the sweep asks LiveKit.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// All rooms, each with the moment of its creation.
    ///
    /// # Errors
    /// When LiveKit does not answer.
    async fn list(&self) -> Result<Vec<Room>, RoomsError>;

    /// The participants of `room` whose media connection is established: those that `participant_joined` was sent for.
    ///
    /// # Errors
    /// When LiveKit does not answer.
    async fn participants(&self, room: &RoomName) -> Result<Vec<Participant>, RoomsError>;

    /// The egress; `None` when LiveKit does not know it (any more: it forgets a day after the end).
    ///
    /// # Errors
    /// When LiveKit does not answer.
    async fn egress(&self, egress: &EgressId) -> Result<Option<Egress>, RoomsError>;

    /// The egresses that start, run or end.
    ///
    /// # Errors
    /// When LiveKit does not answer.
    async fn active_egresses(&self) -> Result<Vec<Egress>, RoomsError>;

    /// Asks for `room` as one does who wants to create it. That changes nothing about one that lives. One that a dead server left in
    /// LiveKit's list, where it would stay for ever, is taken up by another server, found empty and closed.
    ///
    /// # Errors
    /// When LiveKit does not answer.
    async fn revive(&self, room: &RoomName) -> Result<(), RoomsError>;
}

#[async_trait]
impl Rooms for LiveKit {
    async fn list(&self) -> Result<Vec<Room>, RoomsError> {
        let rooms = self.list_rooms(&[]).await?;
        Ok(rooms.into_iter().filter_map(room).collect())
    }

    async fn participants(&self, room: &RoomName) -> Result<Vec<Participant>, RoomsError> {
        let participants = self.list_participants(room.as_str()).await?;
        Ok(participants.into_iter().filter_map(participant).collect())
    }

    async fn egress(&self, egress: &EgressId) -> Result<Option<Egress>, RoomsError> {
        let request = proto::ListEgressRequest {
            egress_id: egress.as_str().to_owned(),
            ..proto::ListEgressRequest::default()
        };
        let found = self.list_egress(&request).await?;
        Ok(found.into_iter().find_map(self::egress))
    }

    async fn active_egresses(&self) -> Result<Vec<Egress>, RoomsError> {
        let request = proto::ListEgressRequest {
            active: true,
            ..proto::ListEgressRequest::default()
        };
        match self.list_egress(&request).await {
            Ok(found) => Ok(found.into_iter().filter_map(self::egress).collect()),
            // A server without Redis has none.
            Err(LiveKitError::Refused { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn revive(&self, room: &RoomName) -> Result<(), RoomsError> {
        let request = proto::CreateRoomRequest {
            name: room.as_str().to_owned(),
            ..proto::CreateRoomRequest::default()
        };
        self.create_room(request).await?;
        Ok(())
    }
}

/// `None` for a room that could be no call: its webhooks would have been refused, too.
fn room(room: proto::Room) -> Option<Room> {
    let created_ms = match room.creation_time_ms {
        0 => room.creation_time.checked_mul(1_000)?,
        ms => ms,
    };
    let created_at = Timestamp::from_unix_ms(created_ms).filter(|at| *at > Timestamp::EPOCH)?;
    Some(Room {
        call: room.sid.parse().ok()?,
        name: room.name.parse().ok()?,
        created_at: Some(created_at),
        metadata: room.metadata.into(),
    })
}

fn egress(info: proto::EgressInfo) -> Option<Egress> {
    let status = proto::EgressStatus::try_from(info.status);
    let files = info.file_results.into_iter();
    let files = files.map(|file| (file.filename, file.size, file.duration));
    let segments = info.segment_results.into_iter();
    let segments = segments.map(|segments| (segments.playlist_name, segments.size, segments.duration));
    let file = |(filename, size, duration): (String, i64, i64)| EgressFile {
        filename: filename.chars().take(1024).collect(),
        size_bytes: u64::try_from(size).unwrap_or(0),
        duration_ms: u64::try_from(duration).unwrap_or(0) / 1_000_000,
    };
    Some(Egress {
        id: info.egress_id.parse().ok()?,
        call: info.room_id.parse().ok(),
        room: info.room_name.parse().ok(),
        status: status.map_or_else(
            |_| EgressStatus::Unknown(info.status.to_string()),
            |status| EgressStatus::from(status.as_str_name()),
        ),
        error_code: info.error_code,
        updated_at: Timestamp::from_unix_ms(info.updated_at / 1_000_000).filter(|at| *at > Timestamp::EPOCH),
        files: files.chain(segments).map(file).collect(),
    })
}

fn participant(participant: proto::ParticipantInfo) -> Option<Participant> {
    if participant.state() != proto::participant_info::State::Active {
        return None;
    }
    let joined_ms = match participant.joined_at_ms {
        0 => participant.joined_at.checked_mul(1_000)?,
        ms => ms,
    };
    let kind = proto::participant_info::Kind::try_from(participant.kind);
    Some(Participant {
        sid: participant.sid.parse().ok()?,
        identity: participant.identity.parse().ok()?,
        kind: kind.map_or_else(
            |_| ParticipantKind::Unknown(participant.kind.to_string()),
            |kind| ParticipantKind::from(kind.as_str_name()),
        ),
        attributes: Attributes::from(
            participant
                .attributes
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>(),
        ),
        joined_at: Timestamp::from_unix_ms(joined_ms).filter(|at| *at > Timestamp::EPOCH),
        disconnect_reason: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_call_if_it_has_a_sid_and_a_creation_to_the_second_at_least() {
        let wire = proto::Room {
            sid: "RM_x".to_owned(),
            name: "call-x".to_owned(),
            creation_time: 1_795_196_401,
            ..proto::Room::default()
        };
        let read = room(wire.clone()).unwrap();
        assert_eq!(read.created_at.unwrap().unix_ms(), 1_795_196_401_000);
        let exact = proto::Room {
            creation_time_ms: 1_795_196_401_568,
            ..wire.clone()
        };
        assert_eq!(
            room(exact).unwrap().created_at.unwrap().unix_ms(),
            1_795_196_401_568
        );
        for broken in [
            proto::Room {
                sid: String::new(),
                ..wire.clone()
            },
            proto::Room {
                creation_time: 0,
                ..wire
            },
        ] {
            assert!(room(broken).is_none());
        }
    }

    #[test]
    fn participants_count_from_the_moment_that_livekit_tells_of_them() {
        let wire = |state: proto::participant_info::State, kind| proto::ParticipantInfo {
            sid: "PA_x".to_owned(),
            identity: "sip_x".to_owned(),
            state: state.into(),
            kind,
            joined_at_ms: 1_795_196_401_568,
            ..proto::ParticipantInfo::default()
        };
        let active = proto::participant_info::State::Active;
        let kind = |kind| participant(wire(active, kind)).unwrap().kind;
        assert_eq!(kind(0), ParticipantKind::Standard);
        assert_eq!(kind(3), ParticipantKind::Sip);
        assert_eq!(kind(4), ParticipantKind::Agent);
        assert_eq!(kind(99), ParticipantKind::Unknown("99".to_owned()));
        assert!(participant(wire(proto::participant_info::State::Joined, 3)).is_none());
    }
}
