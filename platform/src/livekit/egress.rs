use super::{
    LiveKit, LiveKitError, proto,
    token::Grant,
    twirp::{Method, Repeat},
};

const fn method(name: &'static str, repeat: Repeat) -> Method {
    Method {
        service: "Egress",
        name,
        repeat,
    }
}

// Done twice, it records twice.
static START_ROOM_COMPOSITE: Method = method("StartRoomCompositeEgress", Repeat::IfUnsent);
static START_PARTICIPANT: Method = method("StartParticipantEgress", Repeat::IfUnsent);
static START_TRACK: Method = method("StartTrackEgress", Repeat::IfUnsent);
static UPDATE_STREAM: Method = method("UpdateStream", Repeat::IfUnsent);
static UPDATE_LAYOUT: Method = method("UpdateLayout", Repeat::Safe);
static STOP: Method = method("StopEgress", Repeat::IfUnsent);
static LIST: Method = method("ListEgress", Repeat::Safe);

/// What is to be recorded.
#[derive(Clone)]
pub enum EgressStart {
    /// A room, mixed.
    Room(Box<proto::RoomCompositeEgressRequest>),
    /// One participant.
    Participant(Box<proto::ParticipantEgressRequest>),
    /// One track.
    Track(Box<proto::TrackEgressRequest>),
}

impl LiveKit {
    /// Starts an egress. Where no egress process is free, LiveKit says so after 22–24 s only, and starts it when one becomes free
    /// meanwhile: a deadline below 25 s may leave one that nobody knows of ([`LiveKit::within`]).
    ///
    /// Never repeated once it may have been sent.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn start_egress(&self, start: &EgressStart) -> Result<proto::EgressInfo, LiveKitError> {
        let grant = Grant::RoomRecord;
        match start {
            EgressStart::Room(request) => self.call(&START_ROOM_COMPOSITE, &grant, &**request).await,
            EgressStart::Participant(request) => self.call(&START_PARTICIPANT, &grant, &**request).await,
            EgressStart::Track(request) => self.call(&START_TRACK, &grant, &**request).await,
        }
    }

    /// Adds URLs to a streaming egress and removes others. Success says nothing of the new URLs: their state is in the list.
    ///
    /// # Errors
    /// [`LiveKitError::NotFound`] when it is not known; otherwise as [`LiveKitError`] says.
    pub async fn update_stream(
        &self,
        request: &proto::UpdateStreamRequest,
    ) -> Result<proto::EgressInfo, LiveKitError> {
        self.call(&UPDATE_STREAM, &Grant::RoomRecord, request).await
    }

    /// Sets the layout of an egress of a whole room with its video.
    ///
    /// # Errors
    /// [`LiveKitError::NotFound`] when it is not known, or not in its room; otherwise as [`LiveKitError`] says.
    pub async fn update_layout(
        &self,
        egress_id: &str,
        layout: &str,
    ) -> Result<proto::EgressInfo, LiveKitError> {
        let request = proto::UpdateLayoutRequest {
            egress_id: egress_id.to_owned(),
            layout: layout.to_owned(),
        };
        self.call(&UPDATE_LAYOUT, &Grant::RoomRecord, &request).await
    }

    /// Ends an egress.
    ///
    /// # Errors
    /// [`LiveKitError::NotFound`] when it is not known; otherwise as [`LiveKitError`] says.
    pub async fn stop_egress(&self, egress_id: &str) -> Result<proto::EgressInfo, LiveKitError> {
        let request = proto::StopEgressRequest {
            egress_id: egress_id.to_owned(),
        };
        self.call(&STOP, &Grant::RoomRecord, &request).await
    }

    /// The egresses of a room, one egress by its id, or all of the last day; an id that is not known is no egress.
    ///
    /// # Errors
    /// As [`LiveKitError`] says.
    pub async fn list_egress(
        &self,
        request: &proto::ListEgressRequest,
    ) -> Result<Vec<proto::EgressInfo>, LiveKitError> {
        let found: Result<proto::ListEgressResponse, _> = self.call(&LIST, &Grant::RoomRecord, request).await;
        Ok(super::rooms::if_there(found)?
            .map(|found| found.items)
            .unwrap_or_default())
    }
}
