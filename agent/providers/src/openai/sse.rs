//! Server-sent events, as far as chat streams use them (HTML Living Standard, §9.2.6).

/// A line is one piece of a reply: hundreds of bytes. A whole reply in one line is some thousand.
const MAX_LINE_BYTES: usize = 1 << 20;

/// A line longer than any of use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Finds the data in a stream of bytes. Comments, other fields and blank lines are skipped; lines may end with LF, CR
/// LF, or the end of the stream.
///
/// Each `data` line counts as an event of its own: no chat server spreads an object over several lines, and some leave
/// out the blank lines between events.
#[derive(Default)]
pub(super) struct Decoder {
    line: Vec<u8>,
}

impl Decoder {
    /// Appends to `data` what `bytes` completes.
    pub(super) fn push(&mut self, bytes: &[u8], data: &mut Vec<String>) -> Result<(), TooLong> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        // What follows upon the last line end is no line yet.
        let rest = lines.next_back().unwrap_or_default();
        for end in lines {
            self.append(end)?;
            data.extend(self.finish());
        }
        self.append(rest)
    }

    /// What stands in the line that the end of the stream cut off.
    pub(super) fn finish(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        let data = String::from_utf8_lossy(line.strip_prefix(b"data:")?)
            .trim()
            .to_owned();
        (!data.is_empty()).then_some(data)
    }

    /// Keeps `bytes` of an answer that is no stream, for [`Decoder::held`].
    pub(super) fn hold(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.append(bytes)
    }

    /// All that was kept.
    pub(super) fn held(&mut self) -> Option<String> {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.line))
            .trim()
            .to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn append(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + part.len() > MAX_LINE_BYTES {
            return Err(TooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\nevent: message\r\ndata: {\"a\":1}\r\n\r\ndata:б\ndata: c \nid: 7\n\nretry: 1\ndata:\n\ndata: d";

    #[test]
    fn data_is_found_wherever_the_stream_is_cut() {
        for cut in 0..STREAM.len() {
            let (mut decoder, mut data) = (Decoder::default(), Vec::new());
            decoder.push(&STREAM.as_bytes()[..cut], &mut data).unwrap();
            decoder.push(&STREAM.as_bytes()[cut..], &mut data).unwrap();
            data.extend(decoder.finish());
            assert_eq!(data, ["{\"a\":1}", "б", "c", "d"], "cut at {cut}");
        }
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut decoder = Decoder::default();
        let flood = vec![b'x'; MAX_LINE_BYTES];
        assert_eq!(decoder.push(&flood, &mut Vec::new()), Ok(()));
        assert_eq!(decoder.push(b"x", &mut Vec::new()), Err(TooLong));
    }
}
