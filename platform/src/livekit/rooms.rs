use std::collections::HashMap;

use super::{
    LiveKit, LiveKitError, proto,
    token::Grant,
    twirp::{Method, Repeat},
};

const fn method(name: &'static str, repeat: Repeat) -> Method {
    Method {
        service: "RoomService",
        name,
        repeat,
    }
}

static LIST_ROOMS: Method = method("ListRooms", Repeat::Safe);
// Safe: creating a room that is there answers with that room.
static CREATE_ROOM: Method = method("CreateRoom", Repeat::Safe);
static DELETE_ROOM: Method = method("DeleteRoom", Repeat::Safe);
static LIST_PARTICIPANTS: Method = method("ListParticipants", Repeat::Safe);
static GET_PARTICIPANT: Method = method("GetParticipant", Repeat::Safe);
static REMOVE_PARTICIPANT: Method = method("RemoveParticipant", Repeat::Safe);
static UPDATE_ROOM_METADATA: Method = method("UpdateRoomMetadata", Repeat::Safe);
static UPDATE_PARTICIPANT: Method = method("UpdateParticipant", Repeat::Safe);
static MUTE_TRACK: Method = method("MutePublishedTrack", Repeat::Safe);
static SEND_DATA: Method = method("SendData", Repeat::IfUnsent);

/// What to change of a participant; what is `None` or absent stays.
#[derive(Clone, Default)]
pub struct ParticipantUpdate {
    /// New metadata. LiveKit cannot set it to nothing.
    pub metadata: Option<String>,
    /// New name. LiveKit cannot set it to nothing.
    pub name: Option<String>,
    /// Attributes to set; an empty value removes one.
    pub attributes: HashMap<String, String>,
}

/// A data packet. Without receivers it goes to everyone in the room.
#[derive(Clone, Default)]
pub struct Data {
    /// At most 15 kB, LiveKit's bound for data packets.
    pub payload: Vec<u8>,
    /// What it is about; receivers filter by it.
    pub topic: Option<String>,
    /// Identities of the receivers.
    pub to: Vec<String>,
    /// Delivered in order and repeated when lost, or sent once.
    pub reliable: bool,
}

impl LiveKit {
    /// The rooms of these names, or all rooms when there are none.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn list_rooms(&self, names: &[&str]) -> Result<Vec<proto::Room>, LiveKitError> {
        let request = proto::ListRoomsRequest {
            names: names.iter().map(ToString::to_string).collect(),
        };
        let found: proto::ListRoomsResponse = self.call(&LIST_ROOMS, &Grant::RoomList, &request).await?;
        Ok(found.rooms)
    }

    /// Makes the room, or returns the one that has the name already.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn create_room(&self, request: proto::CreateRoomRequest) -> Result<proto::Room, LiveKitError> {
        self.call(&CREATE_ROOM, &Grant::RoomCreate, &request).await
    }

    /// Ends the room and sends everybody away. A room that is gone is no error.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn delete_room(&self, room: &str) -> Result<(), LiveKitError> {
        let request = proto::DeleteRoomRequest {
            room: room.to_owned(),
        };
        let done: Result<proto::DeleteRoomResponse, _> =
            self.call(&DELETE_ROOM, &Grant::RoomCreate, &request).await;
        unless_gone(done)
    }

    /// Everybody in the room; nobody when the room is gone.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn list_participants(&self, room: &str) -> Result<Vec<proto::ParticipantInfo>, LiveKitError> {
        let request = proto::ListParticipantsRequest {
            room: room.to_owned(),
        };
        let found: Result<proto::ListParticipantsResponse, _> = self
            .call(&LIST_PARTICIPANTS, &Grant::RoomAdmin(room), &request)
            .await;
        Ok(if_there(found)?
            .map(|found| found.participants)
            .unwrap_or_default())
    }

    /// One participant; `None` when it or the room is gone.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn participant(
        &self,
        room: &str,
        identity: &str,
    ) -> Result<Option<proto::ParticipantInfo>, LiveKitError> {
        if_there(
            self.call(&GET_PARTICIPANT, &Grant::RoomAdmin(room), &who(room, identity))
                .await,
        )
    }

    /// Sends a participant away. One that is gone is no error.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn remove_participant(&self, room: &str, identity: &str) -> Result<(), LiveKitError> {
        let done: Result<proto::RemoveParticipantResponse, _> = self
            .call(&REMOVE_PARTICIPANT, &Grant::RoomAdmin(room), &who(room, identity))
            .await;
        unless_gone(done)
    }

    /// Sets the room's metadata.
    ///
    /// # Errors
    /// [`LiveKitError::NotFound`] when the room is gone; otherwise as [`LiveKitError`] says.
    pub async fn update_room_metadata(
        &self,
        room: &str,
        metadata: &str,
    ) -> Result<proto::Room, LiveKitError> {
        let request = proto::UpdateRoomMetadataRequest {
            room: room.to_owned(),
            metadata: metadata.to_owned(),
        };
        self.call(&UPDATE_ROOM_METADATA, &Grant::RoomAdmin(room), &request)
            .await
    }

    /// Changes a participant's metadata, name or attributes.
    ///
    /// # Errors
    /// [`LiveKitError::NotFound`] when the participant is gone; otherwise as [`LiveKitError`] says.
    pub async fn update_participant(
        &self,
        room: &str,
        identity: &str,
        update: ParticipantUpdate,
    ) -> Result<proto::ParticipantInfo, LiveKitError> {
        let request = proto::UpdateParticipantRequest {
            room: room.to_owned(),
            identity: identity.to_owned(),
            metadata: update.metadata.unwrap_or_default(),
            name: update.name.unwrap_or_default(),
            attributes: update.attributes,
            permission: None,
        };
        self.call(&UPDATE_PARTICIPANT, &Grant::RoomAdmin(room), &request)
            .await
    }

    /// Mutes a track for everybody, or lets it be heard again; LiveKit unmutes only when `room.enable_remote_unmute` is set.
    ///
    /// # Errors
    /// [`LiveKitError::NotFound`] when participant or track is gone; otherwise as [`LiveKitError`] says.
    pub async fn mute_track(
        &self,
        room: &str,
        identity: &str,
        track_sid: &str,
        muted: bool,
    ) -> Result<(), LiveKitError> {
        let request = proto::MuteRoomTrackRequest {
            room: room.to_owned(),
            identity: identity.to_owned(),
            track_sid: track_sid.to_owned(),
            muted,
        };
        let _: proto::MuteRoomTrackResponse =
            self.call(&MUTE_TRACK, &Grant::RoomAdmin(room), &request).await?;
        Ok(())
    }

    /// Sends a data packet to participants of the room. Never repeated once it may have been sent.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn send_data(&self, room: &str, data: Data) -> Result<(), LiveKitError> {
        let kind = if data.reliable {
            proto::data_packet::Kind::Reliable
        } else {
            proto::data_packet::Kind::Lossy
        };
        let request = proto::SendDataRequest {
            room: room.to_owned(),
            data: data.payload,
            kind: kind.into(),
            destination_identities: data.to,
            topic: data.topic,
            nonce: rand::random::<u128>().to_be_bytes().to_vec(),
            ..proto::SendDataRequest::default()
        };
        let proto::SendDataResponse {} = self.call(&SEND_DATA, &Grant::RoomAdmin(room), &request).await?;
        Ok(())
    }

    pub(super) async fn call<Q: prost::Message, R: prost::Message + Default>(
        &self,
        method: &'static Method,
        grant: &Grant<'_>,
        request: &Q,
    ) -> Result<R, LiveKitError> {
        let token = self.inner.signer.call(grant)?;
        self.inner.twirp.call(method, &token, request).await
    }
}

fn who(room: &str, identity: &str) -> proto::RoomParticipantIdentity {
    proto::RoomParticipantIdentity {
        room: room.to_owned(),
        identity: identity.to_owned(),
        revoke_token_ts: 0,
    }
}

pub(super) fn if_there<T>(result: Result<T, LiveKitError>) -> Result<Option<T>, LiveKitError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(LiveKitError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A delete that finds nothing has reached its end, be it by an earlier attempt whose answer was lost.
pub(super) fn unless_gone<T>(result: Result<T, LiveKitError>) -> Result<(), LiveKitError> {
    if_there(result).map(|_| ())
}
