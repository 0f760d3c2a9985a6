//! The enums of LiveKit's protocol. All of them may grow: an unknown value is kept by its name.

use crate::open_enum::open_enum;

open_enum! {
    /// What a participant is.
    pub enum ParticipantKind {
        /// A client: a browser, an app. LiveKit's default.
        Standard = "STANDARD",
        /// An ingress.
        Ingress = "INGRESS",
        /// An egress.
        Egress = "EGRESS",
        /// A phone call.
        Sip = "SIP",
        /// An agent.
        Agent = "AGENT",
        /// A connector, such as that of a messenger.
        Connector = "CONNECTOR",
        /// A bridge, such as that of a camera.
        Bridge = "BRIDGE",
    }
}

open_enum! {
    /// Why a participant left.
    pub enum DisconnectReason {
        /// It left by itself. Covers the caller's hang-up, a media timeout, a transfer and the gateway's own end of a call.
        ClientInitiated = "CLIENT_INITIATED",
        /// Another participant joined with its identity.
        DuplicateIdentity = "DUPLICATE_IDENTITY",
        /// The server shut down.
        ServerShutdown = "SERVER_SHUTDOWN",
        /// The API removed it.
        ParticipantRemoved = "PARTICIPANT_REMOVED",
        /// The API deleted the room.
        RoomDeleted = "ROOM_DELETED",
        /// It resumed a session that the server did not know.
        StateMismatch = "STATE_MISMATCH",
        /// It could not connect fully.
        JoinFailure = "JOIN_FAILURE",
        /// It was moved to another server.
        Migration = "MIGRATION",
        /// Its signalling connection broke.
        SignalClose = "SIGNAL_CLOSE",
        /// All participants of kind STANDARD, SIP and INGRESS had left.
        RoomClosed = "ROOM_CLOSED",
        /// The called party did not answer.
        UserUnavailable = "USER_UNAVAILABLE",
        /// The called party refused.
        UserRejected = "USER_REJECTED",
        /// The trunk failed.
        SipTrunkFailure = "SIP_TRUNK_FAILURE",
        /// The server heard nothing of it for too long.
        ConnectionTimeout = "CONNECTION_TIMEOUT",
        /// Its media failed.
        MediaFailure = "MEDIA_FAILURE",
        /// An agent reported an error.
        AgentError = "AGENT_ERROR",
    }
}

open_enum! {
    /// Why a room was closed.
    pub enum RoomEndReason {
        /// The API deleted it.
        ApiDelete = "ROOM_END_API_DELETE",
        /// It stood empty for too long.
        IdleTimeout = "ROOM_END_IDLE_TIMEOUT",
        /// The server shut down.
        ServerShutdown = "ROOM_END_SERVER_SHUTDOWN",
        /// It was started again elsewhere.
        Superseded = "ROOM_END_SUPERSEDED",
        /// It could not be opened.
        OpenFailed = "ROOM_END_OPEN_FAILED",
    }
}

open_enum! {
    /// Where a track's media comes from.
    pub enum TrackSource {
        /// It was not said. LiveKit leaves this default out: the first of the enum is `UNKNOWN`.
        Unspecified = "UNKNOWN",
        /// A microphone, or what stands for one.
        Microphone = "MICROPHONE",
        /// A camera.
        Camera = "CAMERA",
        /// A shared screen.
        ScreenShare = "SCREEN_SHARE",
        /// The sound of a shared screen.
        ScreenShareAudio = "SCREEN_SHARE_AUDIO",
    }
}

open_enum! {
    /// How far an egress is.
    pub enum EgressStatus {
        /// Accepted. LiveKit's default.
        Starting = "EGRESS_STARTING",
        /// It records.
        Active = "EGRESS_ACTIVE",
        /// It is about to stop.
        Ending = "EGRESS_ENDING",
        /// It has ended well.
        Complete = "EGRESS_COMPLETE",
        /// It has failed.
        Failed = "EGRESS_FAILED",
        /// It was stopped before it recorded.
        Aborted = "EGRESS_ABORTED",
        /// It ended at a limit; what there is has been kept.
        LimitReached = "EGRESS_LIMIT_REACHED",
    }
}

open_enum! {
    /// What an ingress is doing.
    pub enum IngressStatus {
        /// Nothing. LiveKit's default.
        Inactive = "ENDPOINT_INACTIVE",
        /// It waits for media.
        Buffering = "ENDPOINT_BUFFERING",
        /// It publishes.
        Publishing = "ENDPOINT_PUBLISHING",
        /// It failed.
        Error = "ENDPOINT_ERROR",
        /// Its source came to its end.
        Complete = "ENDPOINT_COMPLETE",
    }
}

open_enum! {
    /// How far a job of LiveKit Agents is.
    pub enum AgentJobStatus {
        /// Not accepted yet. LiveKit's default.
        Pending = "JS_PENDING",
        /// Accepted.
        Running = "JS_RUNNING",
        /// Ended well.
        Success = "JS_SUCCESS",
        /// Failed.
        Failed = "JS_FAILED",
    }
}
