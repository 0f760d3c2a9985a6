//! How long a recording plays, told by its pages alone.

/// Granule positions count samples at 48 kHz, whatever the rate of the audio (RFC 7845 §4).
const GRANULES_PER_MS: u64 = 48;
/// The fixed part of a page's header (RFC 3533 §6).
const HEADER_BYTES: usize = 27;
/// The granule position of a page on which no packet ends (RFC 3533 §6).
const NO_GRANULE: u64 = u64::MAX;

/// How long the recording in `ogg` plays, in milliseconds; 0 for what is no OGG/Opus.
///
/// It may have broken off when its writer was killed, and be continued as a chained stream by the next one (RFC 3533 §4): whole pages
/// of every stream count. No sample is decoded and no checksum is made.
pub fn recording_ms(ogg: &[u8]) -> u64 {
    let mut granules = 0;
    let mut stream = Stream::default();
    let mut rest = ogg;
    while let Some((page, behind)) = Page::first(rest) {
        if let Some(pre_skip) = page.pre_skip() {
            granules = u64::saturating_add(granules, stream.granules());
            stream = Stream {
                pre_skip: pre_skip.into(),
                end: 0,
            };
        } else if page.granule != NO_GRANULE {
            stream.end = page.granule;
        }
        rest = behind;
    }
    u64::saturating_add(granules, stream.granules()) / GRANULES_PER_MS
}

#[derive(Default)]
struct Stream {
    pre_skip: u64,
    /// The granule position of its last page.
    end: u64,
}

impl Stream {
    /// What plays of it (RFC 7845 §4.3).
    fn granules(&self) -> u64 {
        self.end.saturating_sub(self.pre_skip)
    }
}

struct Page<'a> {
    granule: u64,
    body: &'a [u8],
}

impl<'a> Page<'a> {
    /// The page that `bytes` begin with, and what comes behind it; `None` at the end, and at a page that broke off.
    fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let header = bytes.get(..HEADER_BYTES)?;
        let granule = header.strip_prefix(b"OggS\0")?.get(1..9)?;
        let segments = usize::from(*header.last()?);
        let table = bytes.get(HEADER_BYTES..HEADER_BYTES + segments)?;
        let start = HEADER_BYTES + segments;
        let end = start + table.iter().map(|length| usize::from(*length)).sum::<usize>();
        let page = Self {
            granule: u64::from_le_bytes(granule.try_into().ok()?),
            body: bytes.get(start..end)?,
        };
        Some((page, bytes.get(end..)?))
    }

    /// The pre-skip, if a stream begins with this page (RFC 7845 §5.1).
    fn pre_skip(&self) -> Option<u16> {
        match self.body.strip_prefix(b"OpusHead")? {
            [_, _, low, high, ..] => Some(u16::from_le_bytes([*low, *high])),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(granule: u64, body: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0\0".to_vec();
        page.extend_from_slice(&granule.to_le_bytes());
        page.extend_from_slice(&[0; 12]);
        page.push(2);
        page.extend_from_slice(&[u8::try_from(body.len()).unwrap(), 0]);
        page.extend_from_slice(body);
        page
    }

    /// Half a second of pre-skip, to be seen.
    fn stream(seconds: &[u64]) -> Vec<u8> {
        let head = b"OpusHead\x01\x02\xc0\x5d\x80\x3e\0\0\0\0\0";
        let mut ogg = [page(0, head), page(0, b"OpusTags")].concat();
        for second in seconds {
            ogg.extend(page(second * 48_000 + 24_000, b"sound"));
        }
        ogg
    }

    #[test]
    fn the_last_whole_page_tells_the_length_without_the_pre_skip() {
        assert_eq!(recording_ms(&stream(&[1, 2, 3])), 3_000);
        let mut torn = stream(&[1, 2, 3]);
        torn.truncate(torn.len() - 1);
        assert_eq!(recording_ms(&torn), 2_000);
    }

    #[test]
    fn chained_streams_add_up() {
        assert_eq!(recording_ms(&[stream(&[1, 2]), stream(&[1])].concat()), 3_000);
    }

    #[test]
    fn a_page_on_which_no_packet_ends_tells_nothing() {
        let ogg = [stream(&[1]), page(NO_GRANULE, b"half")].concat();
        assert_eq!(recording_ms(&ogg), 1_000);
    }

    #[test]
    fn what_is_no_recording_has_no_length() {
        for bytes in [&b""[..], b"OggS", b"RIFF", &page(u64::MAX - 1, b"x")[..20]] {
            assert_eq!(recording_ms(bytes), 0);
        }
        // Hostile granules do not overflow.
        let huge = [stream(&[]), page(u64::MAX - 1, b"x")].concat();
        recording_ms(&[huge.clone(), huge].concat());
    }
}
