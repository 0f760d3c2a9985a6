//! RTP packets (RFC 3550 §5.1).

/// The fixed part of the header.
pub const HEADER_BYTES: usize = 12;
/// The longest packet taken: all that an Ethernet frame holds.
pub const MAX_PACKET_BYTES: usize = 1_500;

const VERSION: u8 = 2;

/// A packet, its payload borrowed from the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// For audio: the first packet after a pause (RFC 3551 §4.1).
    pub marker: bool,
    /// 0..=127.
    pub payload_type: u8,
    /// Rises by one per packet and wraps.
    pub sequence: u16,
    /// The time of the first sample on the codec's RTP clock; wraps.
    pub timestamp: u32,
    /// The stream.
    pub ssrc: u32,
    /// Without padding, contributing sources and extension.
    pub payload: &'a [u8],
}

/// Why a datagram is not an RTP packet. Drop it and count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Shorter than its header, its contributing sources or its extension.
    #[error("the packet ends within its header")]
    Short,
    /// Longer than [`MAX_PACKET_BYTES`].
    #[error("the packet is longer than an Ethernet frame")]
    Long,
    /// Not version 2.
    #[error("RTP version {0}")]
    Version(u8),
    /// An RTCP packet that came to the RTP port (payload types 64..=95 with the marker bit; RFC 5761 §4).
    #[error("an RTCP packet")]
    Rtcp,
    /// The last byte says there is more padding than payload, or none.
    #[error("{0} bytes of padding")]
    Padding(u8),
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        if datagram.len() > MAX_PACKET_BYTES {
            return Err(RtpError::Long);
        }
        let (header, rest) = datagram
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(RtpError::Short)?;
        let &[first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = header;
        if first >> 6 != VERSION {
            return Err(RtpError::Version(first >> 6));
        }
        if (192..=223).contains(&second) {
            return Err(RtpError::Rtcp);
        }
        let sources = usize::from(first & 0x0F) * 4;
        let mut payload = rest.get(sources..).ok_or(RtpError::Short)?;
        if first & 0x10 != 0 {
            let (extension, after) = payload.split_first_chunk::<4>().ok_or(RtpError::Short)?;
            let words = usize::from(u16::from_be_bytes([extension[2], extension[3]]));
            payload = after.get(words * 4..).ok_or(RtpError::Short)?;
        }
        if first & 0x20 != 0 {
            let &padding = payload.last().ok_or(RtpError::Padding(0))?;
            let kept = payload
                .len()
                .checked_sub(usize::from(padding))
                .filter(|_| padding > 0);
            payload = &payload[..kept.ok_or(RtpError::Padding(padding))?];
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7F,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            payload,
        })
    }

    /// Appends the packet to `out`, without contributing sources, extension and padding.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION << 6);
        out.push(u8::from(self.marker) << 7 | self.payload_type & 0x7F);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FULL: &[u8] = &[
        0xB1, 0x89, 0x12, 0x34, 0, 0, 0, 0xA0, 0xDE, 0xAD, 0xBE,
        0xEF, // padding, extension, one source; marker, type 9
        1, 2, 3, 4, // the source
        0xBE, 0xDE, 0, 1, 9, 9, 9, 9, // an extension of one word
        0x55, 0x66, 0x77, // the payload
        0, 2, // two bytes of padding
    ];

    #[test]
    fn sources_extension_and_padding_are_taken_off() {
        let packet = Packet::parse(FULL).unwrap();
        assert_eq!(
            packet,
            Packet {
                marker: true,
                payload_type: 9,
                sequence: 0x1234,
                timestamp: 160,
                ssrc: 0xDEAD_BEEF,
                payload: &[0x55, 0x66, 0x77],
            }
        );
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(Packet::parse(&FULL[..11]), Err(RtpError::Short));
        assert_eq!(Packet::parse(&FULL[..15]), Err(RtpError::Short));
        assert_eq!(Packet::parse(&FULL[..22]), Err(RtpError::Short));
        assert_eq!(Packet::parse(&FULL[..24]), Err(RtpError::Padding(0)));
        assert_eq!(Packet::parse(&[0; 12]), Err(RtpError::Version(0)));
        assert_eq!(
            Packet::parse(&[0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(RtpError::Rtcp)
        );
        assert_eq!(Packet::parse(&[0x80; 1_501]), Err(RtpError::Long));
        let mut padded = FULL.to_vec();
        *padded.last_mut().unwrap() = 6;
        assert_eq!(Packet::parse(&padded), Err(RtpError::Padding(6)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            marker: bool, payload_type in 0u8..64, sequence: u16, timestamp: u32, ssrc: u32,
            payload in prop::collection::vec(any::<u8>(), 0..1_400),
        ) {
            let packet = Packet { marker, payload_type, sequence, timestamp, ssrc, payload: &payload };
            let mut datagram = Vec::new();
            packet.write(&mut datagram);
            prop_assert_eq!(Packet::parse(&datagram), Ok(packet));
        }

        #[test]
        fn no_bytes_make_it_panic(first: u8, mut bytes: Vec<u8>) {
            bytes.insert(0, 0x80 | first & 0x3F);
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert!(packet.payload.len() + HEADER_BYTES <= bytes.len());
            }
        }
    }
}
