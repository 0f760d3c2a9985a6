//! What is shown of an egress: neither stream keys nor secrets.

use platform::livekit::proto;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An egress.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct EgressView {
    /// `EG_…`.
    egress: String,
    room: String,
    /// `starting`, `active`, `ending`, `complete`, `failed`, `aborted`, `limit_reached`.
    status: String,
    /// Nanoseconds since 1970; 0: not yet.
    started_at_ns: i64,
    /// Nanoseconds since 1970; 0: not yet.
    ended_at_ns: i64,
    /// Why it ended, by LiveKit's words.
    details: String,
    /// 0: no error.
    error_code: i32,
    files: Vec<FileView>,
    streams: Vec<StreamView>,
}

/// A file that was written.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct FileView {
    /// Its key in the bucket. With `{time}` in the name it is right only once the egress has ended.
    path: String,
    /// Nanoseconds.
    duration_ns: i64,
    /// Bytes.
    size: i64,
}

/// A stream, without its key.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct StreamView {
    /// Scheme and host.
    host: String,
    /// `active`, `finished`, `failed`.
    status: String,
}

impl EgressView {
    pub(crate) fn id(&self) -> &str {
        &self.egress
    }
}

impl From<proto::EgressInfo> for EgressView {
    fn from(info: proto::EgressInfo) -> Self {
        let status = word(info.status().as_str_name(), "EGRESS_");
        let file = |file: proto::FileInfo| FileView {
            path: file.filename,
            duration_ns: file.duration,
            size: file.size,
        };
        let segments = |segments: proto::SegmentsInfo| FileView {
            path: segments.playlist_name,
            duration_ns: segments.duration,
            size: segments.size,
        };
        let files = info.file_results.into_iter().map(file);
        Self {
            egress: info.egress_id,
            room: info.room_name,
            status,
            started_at_ns: info.started_at,
            ended_at_ns: info.ended_at,
            details: info.details,
            error_code: info.error_code,
            files: files
                .chain(info.segment_results.into_iter().map(segments))
                .collect(),
            streams: info.stream_results.into_iter().map(StreamView::from).collect(),
        }
    }
}

impl From<proto::StreamInfo> for StreamView {
    fn from(stream: proto::StreamInfo) -> Self {
        let status = word(stream.status().as_str_name(), "");
        Self {
            host: host(&stream.url),
            status,
        }
    }
}

fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

/// Scheme and host alone: application, key and query may be secret.
fn host(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_stream_is_shown_but_its_host() {
        for url in [
            "rtmp://live.example.com/app/canary",
            "rtmp://canary@live.example.com",
            "rtmp://live.example.com?canary",
        ] {
            assert_eq!(host(url), "rtmp://live.example.com");
        }
    }
}
