//! What is shown of an ingress.

use platform::livekit::proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the media comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Input {
    /// A client pushes by RTMP.
    Rtmp,
    /// A client pushes by WHIP.
    Whip,
    /// The ingress process fetches a URL.
    Url,
}

impl From<Input> for proto::IngressInput {
    fn from(input: Input) -> Self {
        match input {
            Input::Rtmp => Self::RtmpInput,
            Input::Whip => Self::WhipInput,
            Input::Url => Self::UrlInput,
        }
    }
}

impl From<proto::IngressInput> for Input {
    fn from(input: proto::IngressInput) -> Self {
        match input {
            proto::IngressInput::RtmpInput => Self::Rtmp,
            proto::IngressInput::WhipInput => Self::Whip,
            proto::IngressInput::UrlInput => Self::Url,
        }
    }
}

/// An ingress.
#[derive(Serialize, ToSchema)]
pub(crate) struct IngressView {
    /// `IN_…`.
    ingress: String,
    input: Input,
    name: String,
    room: String,
    participant_identity: String,
    /// `inactive`, `buffering`, `publishing`, `error`, `complete`.
    status: String,
    enabled: bool,
    transcoding: bool,
    /// Where a client pushes to; for RTMP and WHIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// What a client pushes with; shown only by the request that made the ingress.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_key: Option<String>,
}

impl IngressView {
    /// With its key, for whoever makes it.
    pub(crate) fn with_key(info: proto::IngressInfo) -> Self {
        let key = Some(info.stream_key.clone()).filter(|key| !key.is_empty());
        Self {
            stream_key: key,
            ..Self::from(info)
        }
    }
}

impl From<proto::IngressInfo> for IngressView {
    fn from(info: proto::IngressInfo) -> Self {
        let input = Input::from(info.input_type());
        let state = info.state.as_ref();
        let status = state.map_or("ENDPOINT_INACTIVE", |state| state.status().as_str_name());
        let status = status
            .strip_prefix("ENDPOINT_")
            .unwrap_or(status)
            .to_ascii_lowercase();
        Self {
            ingress: info.ingress_id,
            input,
            name: info.name,
            room: info.room_name,
            participant_identity: info.participant_identity,
            status,
            enabled: info.enabled.unwrap_or(true),
            transcoding: info.enable_transcoding.unwrap_or(input != Input::Whip),
            // The URL of a URL ingress may hold a key of its own.
            url: (input != Input::Url).then_some(info.url),
            stream_key: None,
        }
    }
}
