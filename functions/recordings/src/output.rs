//! Where an egress writes to: checked, and turned into LiveKit's words.

use access::{Fail, outside::OutsideUrl};
use platform::{
    config::{RecordingsConfig, S3Target},
    livekit::proto,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const MAX_URLS: usize = 4;
const STREAM_SCHEMES: [&str; 2] = ["rtmp", "rtmps"];

/// Where it goes: a file, segments, or streams; one of each at most.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outputs {
    /// A file in `recordings.s3`.
    pub(crate) file: Option<FileOutput>,
    /// An HLS playlist with its segments in `recordings.s3`.
    pub(crate) hls: Option<HlsOutput>,
    /// `rtmp://` or `rtmps://` URLs, at most 4. Their keys never come back.
    #[serde(default)]
    pub(crate) streams: Vec<String>,
}

/// A file.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileOutput {
    /// What it contains.
    pub(crate) kind: FileKind,
    /// Its key in the bucket. LiveKit's `{room_name}`, `{room_id}`, `{time}` and the like may stand in it; `-{room_id}` and `-{time}` are
    /// appended where they do not, so that no recording overwrites another. The extension is appended too.
    pub(crate) path: String,
}

/// What a file contains.
#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileKind {
    /// AAC, and video.
    Mp4,
    /// Opus.
    Ogg,
}

/// Segments.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HlsOutput {
    /// The playlist's key in the bucket, without extension, completed as a file's path is; segments have it as their prefix.
    pub(crate) path: String,
    /// 1 to 10 seconds, default 4.
    pub(crate) segment_s: Option<u32>,
}

/// Ready for LiveKit.
#[derive(Default)]
pub(crate) struct Checked {
    pub(crate) files: Vec<proto::EncodedFileOutput>,
    pub(crate) segments: Vec<proto::SegmentedFileOutput>,
    pub(crate) streams: Vec<proto::StreamOutput>,
}

/// Checks all of it.
pub(crate) async fn check(outputs: Outputs, config: &RecordingsConfig) -> Result<Checked, Fail> {
    let is_ogg = outputs
        .file
        .as_ref()
        .is_some_and(|file| file.kind == FileKind::Ogg);
    if is_ogg && (outputs.hls.is_some() || !outputs.streams.is_empty()) {
        return Err(Fail::invalid(
            "outputs",
            "OGG cannot go with HLS or streams: LiveKit encodes once for all",
            "use mp4, or start two",
        ));
    }
    let mut checked = Checked::default();
    if let Some(file) = outputs.file {
        checked.files.push(proto::EncodedFileOutput {
            file_type: match file.kind {
                FileKind::Mp4 => proto::EncodedFileType::Mp4,
                FileKind::Ogg => proto::EncodedFileType::Ogg,
            }
            .into(),
            filepath: path("outputs.file.path", &file.path)?,
            output: Some(proto::encoded_file_output::Output::S3(s3(config)?)),
            ..proto::EncodedFileOutput::default()
        });
    }
    if let Some(hls) = outputs.hls {
        let seconds = hls.segment_s.unwrap_or(4);
        if !(1..=10).contains(&seconds) {
            return Err(Fail::invalid(
                "outputs.hls.segment_s",
                "it is out of bounds",
                "set it to 1 to 10",
            ));
        }
        let path = path("outputs.hls.path", &hls.path)?;
        checked.segments.push(proto::SegmentedFileOutput {
            playlist_name: format!("{path}.m3u8"),
            filename_prefix: path,
            segment_duration: seconds,
            output: Some(proto::segmented_file_output::Output::S3(s3(config)?)),
            ..proto::SegmentedFileOutput::default()
        });
    }
    if !outputs.streams.is_empty() {
        checked.streams.push(proto::StreamOutput {
            protocol: proto::StreamProtocol::Rtmp.into(),
            urls: streams("outputs.streams", outputs.streams, config).await?,
        });
    }
    if checked.files.is_empty() && checked.segments.is_empty() && checked.streams.is_empty() {
        return Err(Fail::invalid(
            "outputs",
            "there is none",
            "set file, hls or streams",
        ));
    }
    Ok(checked)
}

/// Checks URLs to stream to.
pub(crate) async fn streams(
    field: &str,
    urls: Vec<String>,
    config: &RecordingsConfig,
) -> Result<Vec<String>, Fail> {
    if urls.len() > MAX_URLS {
        return Err(Fail::invalid(field, "there are more than 4", "send fewer"));
    }
    for (at, url) in urls.iter().enumerate() {
        OutsideUrl::parse(url, &STREAM_SCHEMES, &config.private_hosts)
            .await
            .map_err(|error| error.fail(&format!("{field}[{at}]")))?;
    }
    Ok(urls)
}

/// Where files are.
pub(crate) fn target(config: &RecordingsConfig) -> Result<&S3Target, Fail> {
    config.s3.as_ref().ok_or_else(|| {
        Fail::conflict(
            "no_s3",
            "there is no place for files",
            "set recordings.s3, or stream",
        )
    })
}

/// The same in LiveKit's words.
pub(crate) fn s3(config: &RecordingsConfig) -> Result<proto::S3Upload, Fail> {
    let s3 = target(config)?;
    Ok(proto::S3Upload {
        access_key: s3.access_key.clone(),
        secret: s3.secret.expose().to_owned(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone().unwrap_or_default(),
        bucket: s3.bucket.clone(),
        force_path_style: s3.path_style,
        ..proto::S3Upload::default()
    })
}

/// A key that cannot leave its bucket's folders, with no empty, hidden or climbing segment, and that nobody else's recording can have.
pub(crate) fn path(field: &str, text: &str) -> Result<String, Fail> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.=@+/{}".contains(&b);
    let segment = |segment: &str| !segment.is_empty() && !segment.starts_with('.');
    if text.len() <= 512 && text.bytes().all(plain) && text.split('/').all(segment) {
        // The store does not ask before it overwrites, and every caller writes into the same bucket.
        let missing = ["{room_id}", "{time}"]
            .into_iter()
            .filter(|part| !text.contains(part));
        Ok(missing.fold(text.to_owned(), |path, part| format!("{path}-{part}")))
    } else {
        Err(Fail::invalid(
            field,
            "it is no key",
            "use folders and a name of letters, digits and -_.=@+{}, such as calls/{room_name}-{time}",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_climb_and_are_nobody_elses() {
        for (good, key) in [
            ("a", "a-{room_id}-{time}"),
            ("calls/{room_name}-{time}", "calls/{room_name}-{time}-{room_id}"),
            ("{time}/{room_id}.x", "{time}/{room_id}.x"),
        ] {
            assert_eq!(path("path", good).ok().as_deref(), Some(key));
        }
        let long = "a".repeat(513);
        for bad in [
            "", "/a", "a/", "../a", "a/../b", "a//b", ".a", "a\\b", "a b", "a\0", "s3://b/a", &long,
        ] {
            assert!(path("path", bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn outputs_that_cannot_be_are_refused_before_livekit_is_asked() {
        let file = |kind| {
            Some(FileOutput {
                kind,
                path: "a".into(),
            })
        };
        let outputs = |file, streams: &[&str]| Outputs {
            file,
            hls: None,
            streams: streams.iter().map(ToString::to_string).collect(),
        };
        let config = RecordingsConfig::default();
        for (outputs, reason) in [
            (outputs(None, &[]), "invalid"),
            (outputs(file(FileKind::Mp4), &[]), "no_s3"),
            (
                outputs(file(FileKind::Ogg), &["rtmp://93.184.216.34/a"]),
                "invalid",
            ),
            (outputs(None, &["rtmp://127.0.0.1/live/key"]), "private_url"),
            (outputs(None, &["http://93.184.216.34/a"]), "invalid"),
            (outputs(None, &["rtmp://93.184.216.34/a"; 5]), "invalid"),
        ] {
            let fail = check(outputs, &config).await.map(|_| ()).unwrap_err();
            assert_eq!(fail.reason(), reason);
        }
        let checked = check(outputs(None, &["rtmp://93.184.216.34/a"]), &config)
            .await
            .unwrap();
        assert_eq!(checked.streams[0].urls.len(), 1);
    }
}
