//! RTCP packets (RFC 3550 §6): what both ends tell each other of their streams, and their good-bye.

use crate::rtp::MAX_PACKET_BYTES;

const VERSION: u8 = 2;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
/// Of an SDES item.
const CNAME: u8 = 1;
const HEADER_BYTES: usize = 4;
const SENDER_BYTES: usize = 20;
const BLOCK_BYTES: usize = 24;

/// Whether a datagram that came to the RTP port is RTCP (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

/// What a sender says of its own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// When it said so, on a clock of its own: seconds in the upper 32 bits, their fractions in the lower.
    pub ntp: u64,
    /// The same moment on the stream's RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Bytes of their payloads.
    pub octets: u32,
}

/// What a receiver says of a stream (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Whose stream.
    pub ssrc: u32,
    /// Of the packets since the report before, how many of 256 were lost.
    pub fraction_lost: u8,
    /// Packets lost so far; fewer than none when some came twice. 24 bits with sign.
    pub lost: i32,
    /// The highest sequence number that came, with the number of its turns in the upper 16 bits.
    pub highest_sequence: u32,
    /// The interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// The middle 32 bits of [`SenderInfo::ntp`] of the last report that came from there; 0 before the first.
    pub last_report: u32,
    /// How long ago that was, in 1/65536 s.
    pub since_last_report: u32,
}

/// A compound packet, as far as it concerns us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compound {
    /// Who sent it.
    pub ssrc: u32,
    /// What it says of its own stream.
    pub sender: Option<SenderInfo>,
    /// What it says of ours.
    pub about_us: Option<Block>,
    /// It leaves.
    pub is_goodbye: bool,
}

/// Why a datagram is not a compound RTCP packet (RFC 3550, appendix A.2). Drop it and count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// Longer than an Ethernet frame.
    #[error("the packet is longer than an Ethernet frame")]
    Long,
    /// A part ends before its own lengths say so.
    #[error("a packet ends within itself")]
    Short,
    /// Not version 2.
    #[error("RTCP version {0}")]
    Version(u8),
    /// It does not begin with a report.
    #[error("it begins with type {0}, which is no report")]
    NoReport(u8),
    /// Padding anywhere but in the last packet.
    #[error("padding within the compound")]
    Padding,
}

impl Compound {
    /// Reads a datagram; `us` is the SSRC of our own stream.
    pub fn parse(datagram: &[u8], us: u32) -> Result<Self, RtcpError> {
        if datagram.len() > MAX_PACKET_BYTES {
            return Err(RtcpError::Long);
        }
        let mut compound: Option<Self> = None;
        let mut rest = datagram;
        while !rest.is_empty() || compound.is_none() {
            let (header, after) = rest.split_first_chunk::<HEADER_BYTES>().ok_or(RtcpError::Short)?;
            let &[first, kind, high, low] = header;
            if first >> 6 != VERSION {
                return Err(RtcpError::Version(first >> 6));
            }
            let length = usize::from(u16::from_be_bytes([high, low])) * 4;
            let (body, next) = after.split_at_checked(length).ok_or(RtcpError::Short)?;
            let is_padded = first & 0x20 != 0;
            if is_padded && (!next.is_empty() || compound.is_none()) {
                return Err(RtcpError::Padding);
            }
            let count = usize::from(first & 0x1F);
            match (&mut compound, kind) {
                (None, SENDER_REPORT | RECEIVER_REPORT) => {
                    compound = Some(report(kind, count, body, us)?);
                }
                (None, other) => return Err(RtcpError::NoReport(other)),
                // More than 31 streams: the rest is in further reports.
                (Some(compound), SENDER_REPORT | RECEIVER_REPORT) => {
                    let more = report(kind, count, body, us)?;
                    compound.about_us = compound.about_us.or(more.about_us);
                }
                (Some(compound), GOODBYE) => {
                    let mut leaving = body.as_chunks::<4>().0.iter().take(count);
                    let ssrc = compound.ssrc.to_be_bytes();
                    compound.is_goodbye |= leaving.any(|who| *who == ssrc);
                }
                // Descriptions, feedback, extensions: nothing that we act on.
                (Some(_), _) => {}
            }
            rest = next;
        }
        compound.ok_or(RtcpError::Short)
    }

    /// Appends our report, with our name (RFC 3550 §6.5.1), and the good-bye if it is one. `about_us` is here what we say of the peer's stream.
    pub fn write(&self, name: &str, out: &mut Vec<u8>) {
        let begin = out.len();
        let kind = if self.sender.is_some() {
            SENDER_REPORT
        } else {
            RECEIVER_REPORT
        };
        let count = u8::from(self.about_us.is_some());
        header(out, count, kind);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        if let Some(sender) = &self.sender {
            out.extend_from_slice(&sender.ntp.to_be_bytes());
            for word in [sender.rtp_timestamp, sender.packets, sender.octets] {
                out.extend_from_slice(&word.to_be_bytes());
            }
        }
        if let Some(block) = &self.about_us {
            out.extend_from_slice(&block.ssrc.to_be_bytes());
            out.push(block.fraction_lost);
            out.extend_from_slice(&block.lost.clamp(-0x80_0000, 0x7F_FFFF).to_be_bytes()[1..]);
            for word in [
                block.highest_sequence,
                block.jitter,
                block.last_report,
                block.since_last_report,
            ] {
                out.extend_from_slice(&word.to_be_bytes());
            }
        }
        close(out, begin);
        let begin = out.len();
        header(out, 1, SOURCE_DESCRIPTION);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        let name = &name.as_bytes()[..name.len().min(usize::from(u8::MAX))];
        out.push(CNAME);
        out.push(name.len() as u8);
        out.extend_from_slice(name);
        // At least one zero ends the chunk, and it is a multiple of four bytes.
        out.resize(out.len() + 4 - (out.len() - begin) % 4, 0);
        close(out, begin);
        if self.is_goodbye {
            let begin = out.len();
            header(out, 1, GOODBYE);
            out.extend_from_slice(&self.ssrc.to_be_bytes());
            close(out, begin);
        }
    }
}

fn report(kind: u8, count: usize, body: &[u8], us: u32) -> Result<Compound, RtcpError> {
    let (ssrc, mut rest) = body.split_first_chunk::<4>().ok_or(RtcpError::Short)?;
    let mut sender = None;
    if kind == SENDER_REPORT {
        let (said, after) = rest.split_first_chunk::<SENDER_BYTES>().ok_or(RtcpError::Short)?;
        sender = Some(SenderInfo {
            ntp: u64::from(word(said, 0)) << 32 | u64::from(word(said, 1)),
            rtp_timestamp: word(said, 2),
            packets: word(said, 3),
            octets: word(said, 4),
        });
        rest = after;
    }
    let blocks = rest.get(..count * BLOCK_BYTES).ok_or(RtcpError::Short)?;
    let mut blocks = blocks.as_chunks::<BLOCK_BYTES>().0.iter().map(block);
    Ok(Compound {
        ssrc: u32::from_be_bytes(*ssrc),
        sender,
        about_us: blocks.find(|block| block.ssrc == us),
        is_goodbye: false,
    })
}

fn block(bytes: &[u8; BLOCK_BYTES]) -> Block {
    let losses = word(bytes, 1);
    Block {
        ssrc: word(bytes, 0),
        fraction_lost: (losses >> 24) as u8,
        // The sign is in bit 23.
        lost: ((losses << 8) as i32) >> 8,
        highest_sequence: word(bytes, 2),
        jitter: word(bytes, 3),
        last_report: word(bytes, 4),
        since_last_report: word(bytes, 5),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let at = at * 4;
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn header(out: &mut Vec<u8>, count: u8, kind: u8) {
    out.extend_from_slice(&[VERSION << 6 | count, kind, 0, 0]);
}

/// Writes the length of the packet that begins there: its words but one.
fn close(out: &mut [u8], begin: usize) {
    let words = ((out.len() - begin) / 4 - 1) as u16;
    out[begin + 2..begin + 4].copy_from_slice(&words.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compound() -> Compound {
        Compound {
            ssrc: 0x1122_3344,
            sender: Some(SenderInfo {
                ntp: 0x0000_0001_8000_0000,
                rtp_timestamp: 160,
                packets: 7,
                octets: 1_120,
            }),
            about_us: Some(Block {
                ssrc: 9,
                fraction_lost: 128,
                lost: -2,
                highest_sequence: 0x0001_0005,
                jitter: 3,
                last_report: 0x0001_8000,
                since_last_report: 65_536,
            }),
            is_goodbye: true,
        }
    }

    fn written(compound: &Compound) -> Vec<u8> {
        let mut out = Vec::new();
        compound.write("abc", &mut out);
        out
    }

    #[test]
    fn what_is_written_is_what_the_rfc_draws() {
        let bytes = written(&compound());
        let expected: [&[u8]; 6] = [
            &[
                0x81, 200, 0, 12, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1, 0x80, 0, 0, 0,
            ],
            &[0, 0, 0, 160, 0, 0, 0, 7, 0, 0, 4, 96],
            &[
                0, 0, 0, 9, 128, 0xFF, 0xFF, 0xFE, 0, 1, 0, 5, 0, 0, 0, 3, 0, 1, 0x80, 0, 0, 1, 0, 0,
            ],
            &[
                0x81, 202, 0, 3, 0x11, 0x22, 0x33, 0x44, 1, 3, b'a', b'b', b'c', 0, 0, 0,
            ],
            &[0x81, 203, 0, 1, 0x11, 0x22, 0x33, 0x44],
            &[],
        ];
        assert_eq!(bytes, expected.concat());
        assert!(is_rtcp(&bytes));
    }

    #[test]
    fn what_is_written_is_read() {
        for (sender, about_us, is_goodbye) in [
            (true, true, true),
            (false, true, false),
            (true, false, false),
            (false, false, true),
        ] {
            let whole = compound();
            let said = Compound {
                sender: whole.sender.filter(|_| sender),
                about_us: whole.about_us.filter(|_| about_us),
                is_goodbye,
                ..whole
            };
            assert_eq!(Compound::parse(&written(&said), 9), Ok(said));
            let told = Compound::parse(&written(&said), 8).unwrap();
            assert_eq!(told.about_us, None, "it is another stream's");
        }
        // Names of every length end on a whole word.
        for length in 0..9 {
            let mut out = Vec::new();
            compound().write(&"n".repeat(length), &mut out);
            assert_eq!(Compound::parse(&out, 9), Ok(compound()), "{length}");
        }
    }

    #[test]
    fn what_is_no_compound_packet_is_refused() {
        let good = written(&compound());
        for end in 0..good.len() {
            let parsed = Compound::parse(&good[..end], 9);
            // Whole packets of it are one, too.
            let is_whole = end == 52 || end == 68;
            assert_eq!(parsed.is_ok(), is_whole, "{end}: {parsed:?}");
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Compound::parse(&bytes, 9)
        };
        assert_eq!(with(0, 0x41), Err(RtcpError::Version(1)));
        assert_eq!(with(0, 0xA1), Err(RtcpError::Padding));
        assert_eq!(with(0, 0x82), Err(RtcpError::Short));
        assert_eq!(with(1, 202), Err(RtcpError::NoReport(202)));
        assert_eq!(with(3, 255), Err(RtcpError::Short));
        assert_eq!(with(52, 0xA1), Err(RtcpError::Padding));
        // A good-bye of somebody else's is not the sender's.
        assert!(!with(good.len() - 1, 0).unwrap().is_goodbye);
        assert_eq!(
            Compound::parse(&[0; MAX_PACKET_BYTES + 1], 9),
            Err(RtcpError::Long)
        );
        assert_eq!(Compound::parse(&[], 9), Err(RtcpError::Short));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, us: u32) {
            let _ = Compound::parse(&bytes, us);
        }

        #[test]
        fn no_change_of_a_packet_makes_it_panic(at in 0..76_usize, byte: u8, cut in 0..77_usize) {
            let mut bytes = written(&compound());
            bytes[at] = byte;
            bytes.truncate(cut);
            if let Ok(told) = Compound::parse(&bytes, 9) {
                prop_assert!(told.about_us.is_none_or(|block| (-0x80_0000..=0x7F_FFFF).contains(&block.lost)));
            }
        }
    }
}
