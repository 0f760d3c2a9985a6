//! Reading, also of files that a killed process left.

use std::io;

use ogg::reading::{OggReadError, PacketReader};
use ropus::{Channels, DecodeMode, Decoder};

use super::GRANULES_PER_SECOND;

/// A decoded stereo recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The rate of both channels, as asked for.
    pub sample_rate_hz: u32,
    /// The left channel: the caller.
    pub left: Vec<i16>,
    /// The right channel: the agent; as long as the left one.
    pub right: Vec<i16>,
    /// Whether the file ends with the end of its stream; if not, its writer was killed or the file was cut.
    pub complete: bool,
}

/// Why there is no recording in a file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no OGG page, or its packets cannot be read, before any audio.
    #[error("not an OGG file")]
    NotOgg(#[source] OggReadError),
    /// The first packet is not an `OpusHead` of version 1 with two channels in mapping family 0.
    #[error("not a stereo Opus stream")]
    NotStereoOpus,
    /// Opus decodes to 8, 12, 16, 24 or 48 kHz only.
    #[error("cannot decode to {0} Hz")]
    BadRate(u32),
    /// A packet with a good checksum is not Opus.
    #[error("audio packet {0} is not Opus")]
    BadPacket(u64),
    /// More than 24 hours of audio.
    #[error("the recording is longer than a day")]
    TooLong,
}

/// 24 hours.
const MAX_PACKETS: u64 = 24 * 3_600 * 50;
/// 120 ms at 48 kHz, the longest packet (RFC 6716 §2.1.4).
const MAX_PACKET_SAMPLES: usize = 5_760;

/// Decodes a whole file to `sample_rate_hz` (8000, 12000, 16000, 24000 or 48000). A file that breaks off
/// gives what it holds in whole pages.
pub fn read(file: impl io::Read + io::Seek, sample_rate_hz: u32) -> Result<Recording, ReadError> {
    let mut decoder =
        Decoder::new(sample_rate_hz, Channels::Stereo).map_err(|_| ReadError::BadRate(sample_rate_hz))?;
    let mut packets = PacketReader::new(file);
    let head = packets.read_packet_expected().map_err(ReadError::NotOgg)?;
    let pre_skip = pre_skip(&head.data).ok_or(ReadError::NotStereoOpus)?;
    let at_rate =
        |granules: u64| (granules * u64::from(sample_rate_hz) / u64::from(GRANULES_PER_SECOND)) as usize;

    let mut recording = Recording {
        sample_rate_hz,
        left: Vec::new(),
        right: Vec::new(),
        complete: false,
    };
    let mut pcm = vec![0; MAX_PACKET_SAMPLES * 2];
    // The second packet is `OpusTags`; the audio comes after it. What cannot be read any more is the cut end.
    let mut number = 0;
    let mut end = None;
    while let Ok(Some(packet)) = packets.read_packet() {
        number += 1;
        if number == 1 {
            continue;
        }
        if number > MAX_PACKETS {
            return Err(ReadError::TooLong);
        }
        let samples = decoder
            .decode(&packet.data, &mut pcm, DecodeMode::Normal)
            .map_err(|_| ReadError::BadPacket(number - 1))?;
        for pair in pcm[..samples * 2].as_chunks::<2>().0 {
            recording.left.push(pair[0]);
            recording.right.push(pair[1]);
        }
        if packet.last_in_stream() {
            end = Some(packet.absgp_page());
            break;
        }
    }
    if let Some(end) = end {
        recording.complete = true;
        recording.left.truncate(at_rate(end));
        recording.right.truncate(at_rate(end));
    }
    let skipped = at_rate(u64::from(pre_skip)).min(recording.left.len());
    recording.left.drain(..skipped);
    recording.right.drain(..skipped);
    Ok(recording)
}

/// The samples at 48 kHz to leave out at the start (RFC 7845 §5.1).
fn pre_skip(head: &[u8]) -> Option<u16> {
    match head.strip_prefix(b"OpusHead")? {
        [1, 2, low, high, _, _, _, _, _, _, 0] => Some(u16::from_le_bytes([*low, *high])),
        _ => None,
    }
}
