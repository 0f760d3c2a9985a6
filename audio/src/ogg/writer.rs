//! Writing.

use std::io;

use ogg::writing::{PacketWriteEndInfo, PacketWriter};
use ropus::{Application, Bitrate, Channels, Encoder};

use super::GRANULES_PER_SECOND;

/// How a recording is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The serial number of the OGG stream; any number will do, different ones let files be chained. Default
    /// 1.
    pub serial: u32,
    /// The bit rate in bit/s, for both channels together, 6000..=510000. Default 32000: two talkers who take
    /// turns.
    pub bitrate: u32,
    /// The encoder's effort, 0..=10. Default 5, which costs about 1 % of a core.
    pub complexity: u8,
    /// Comments for `OpusTags`, as (name, value): the name in ASCII without `=`. Default none.
    pub comments: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            serial: 1,
            bitrate: 32_000,
            complexity: 5,
            comments: Vec::new(),
        }
    }
}

/// Writes a stereo recording, caller left, agent right.
///
/// Frames of 20 ms at 16 kHz go in. A page is closed and the output flushed every second, so that a process
/// that is killed leaves a playable file that lacks less than its last second. [`OpusWriter::finish`] marks
/// the end and the exact length.
pub struct OpusWriter<W: io::Write> {
    pages: PacketWriter<'static, W>,
    encoder: Encoder,
    serial: u32,
    pre_skip: u64,
    /// Packets written so far, and those of them since the last page ended.
    packets: u64,
    in_page: u32,
    interleaved: Vec<i16>,
    packet: Vec<u8>,
}

const PACKETS_PER_PAGE: u32 = 50;
/// Larger than any 20 ms packet (RFC 6716 §3.4: 1275 bytes).
const MAX_PACKET_BYTES: usize = 1_500;
const VENDOR: &str = concat!("trunkline ", env!("CARGO_PKG_VERSION"));

impl<W: io::Write> OpusWriter<W> {
    /// The rate of both inputs, in Hz.
    pub const SAMPLE_RATE_HZ: u32 = 16_000;
    /// The samples of one input frame: 320, which is 20 ms.
    pub const FRAME_SAMPLES: usize = 320;
    const GRANULES_PER_FRAME: u64 = GRANULES_PER_SECOND as u64 / 50;

    /// Writes and flushes the two header pages.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for options out of their range, else what the output says. An output that failed once
    /// is of no more use.
    pub fn new(out: W, options: &Options) -> io::Result<Self> {
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        if !(6_000..=510_000).contains(&options.bitrate) || options.complexity > 10 {
            let Options {
                bitrate, complexity, ..
            } = options;
            return Err(invalid(format!(
                "Opus has no bit rate {bitrate} with complexity {complexity}"
            )));
        }
        let encoder = Encoder::builder(Self::SAMPLE_RATE_HZ, Channels::Stereo, Application::Voip)
            .bitrate(Bitrate::Bits(options.bitrate))
            .complexity(options.complexity)
            .build()
            .map_err(|error| invalid(format!("Opus encoder: {error:?}")))?;
        let pre_skip = encoder.lookahead() * (GRANULES_PER_SECOND / Self::SAMPLE_RATE_HZ);
        let mut writer = Self {
            pages: PacketWriter::new(out),
            encoder,
            serial: options.serial,
            pre_skip: u64::from(pre_skip),
            packets: 0,
            in_page: 0,
            interleaved: Vec::with_capacity(Self::FRAME_SAMPLES * 2),
            packet: vec![0; MAX_PACKET_BYTES],
        };
        writer.page(head(pre_skip), PacketWriteEndInfo::EndPage, 0)?;
        writer.page(tags(&options.comments), PacketWriteEndInfo::EndPage, 0)?;
        Ok(writer)
    }

    /// Adds 20 ms: 320 samples of each channel.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when a channel has another length (nothing is written then), else what the output says.
    pub fn write(&mut self, left: &[i16], right: &[i16]) -> io::Result<()> {
        let end = if self.in_page + 1 == PACKETS_PER_PAGE {
            PacketWriteEndInfo::EndPage
        } else {
            PacketWriteEndInfo::NormalPacket
        };
        let granule = (self.packets + 1) * Self::GRANULES_PER_FRAME;
        self.encode(left, right, end, granule)
    }

    /// Ends the recording: writes the encoder's last milliseconds, marks the end of the stream, flushes and
    /// gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        // The sound of the last frame is complete only with the packet after it; the granule position cuts
        // the rest off (RFC 7845 §4.4).
        let granule = self.packets * Self::GRANULES_PER_FRAME + self.pre_skip;
        let silence = [0; 320];
        self.encode(&silence, &silence, PacketWriteEndInfo::EndStream, granule)?;
        Ok(self.pages.into_inner())
    }

    /// How much has been written, in 20 ms frames.
    pub fn frames(&self) -> u64 {
        self.packets
    }

    fn encode(
        &mut self,
        left: &[i16],
        right: &[i16],
        end: PacketWriteEndInfo,
        granule: u64,
    ) -> io::Result<()> {
        if left.len() != Self::FRAME_SAMPLES || right.len() != Self::FRAME_SAMPLES {
            let lengths = format!(
                "a frame has 320 samples per channel, not {} and {}",
                left.len(),
                right.len()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, lengths));
        }
        self.interleaved.clear();
        self.interleaved
            .extend(left.iter().zip(right).flat_map(|(&left, &right)| [left, right]));
        let length = self
            .encoder
            .encode(&self.interleaved, &mut self.packet)
            .map_err(|error| io::Error::other(format!("Opus encoder: {error:?}")))?;
        self.packets += 1;
        self.in_page += 1;
        self.page(self.packet[..length].to_vec(), end, granule)
    }

    fn page(&mut self, packet: Vec<u8>, end: PacketWriteEndInfo, granule: u64) -> io::Result<()> {
        let closes = end != PacketWriteEndInfo::NormalPacket;
        self.pages.write_packet(packet, self.serial, end, granule)?;
        if closes {
            self.in_page = 0;
            self.pages.inner_mut().flush()?;
        }
        Ok(())
    }
}

/// `OpusHead` (RFC 7845 §5.1): version 1, two channels, no gain, channel mapping family 0.
fn head(pre_skip: u32) -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend_from_slice(&(pre_skip as u16).to_le_bytes());
    head.extend_from_slice(&16_000u32.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    head
}

/// `OpusTags` (RFC 7845 §5.2).
fn tags(comments: &[(String, String)]) -> Vec<u8> {
    let mut tags = b"OpusTags".to_vec();
    let mut add = |text: &str| {
        tags.extend_from_slice(&(text.len() as u32).to_le_bytes());
        tags.extend_from_slice(text.as_bytes());
    };
    add(VENDOR);
    let count = comments.len() as u32;
    let mut list = Vec::new();
    for (name, value) in comments {
        let comment = format!("{name}={value}");
        list.extend_from_slice(&(comment.len() as u32).to_le_bytes());
        list.extend_from_slice(comment.as_bytes());
    }
    tags.extend_from_slice(&count.to_le_bytes());
    tags.extend_from_slice(&list);
    tags
}
