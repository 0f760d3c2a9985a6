//! Messages out of a stream (RFC 3261 §18.3), never more of one in memory than it may have.

/// Longest head of a message, in bytes: start line, headers, and the empty line.
const MAX_HEAD: usize = 16 * 1024;
/// Longest body, in bytes.
const MAX_BODY: usize = 32 * 1024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const LINE_END: &[u8] = b"\r\n";

/// What a stream holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Message(Vec<u8>),
    /// A keep-alive, two line ends, which wants one in return (RFC 5626 §4.4.1).
    Ping,
}

/// A message too long, or one whose end nobody can tell: nothing that follows can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oversized {
    /// Its head or its body is longer than may be.
    TooLong,
    /// Content-Length is missing, unreadable, or there twice with two values.
    NoEnd,
}

/// Bytes in, frames out: [`Framer::push`] what was read, then call [`Framer::next`] until there is nothing more.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: Vec<u8>,
    /// Of the buffer: what was searched for the head's end already.
    searched: usize,
    /// The whole length of the message under way, once its head is there.
    length: Option<usize>,
    /// Whether one line end of a keep-alive has come.
    half_ping: bool,
}

impl Framer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn is_amid(&self) -> bool {
        !self.buffer.is_empty()
    }

    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Oversized> {
        if self.length.is_none() {
            if let Some(ping) = self.line_ends() {
                return Ok(Some(ping));
            }
            self.length = self.end()?;
        }
        let Some(length) = self.length.filter(|length| self.buffer.len() >= *length) else {
            return Ok(None);
        };
        let rest = self.buffer.split_off(length);
        let message = std::mem::replace(&mut self.buffer, rest);
        (self.length, self.searched) = (None, 0);
        Ok(Some(Frame::Message(message)))
    }

    /// Takes the line ends before a message (RFC 3261 §7.5), of which each second one is a keep-alive.
    fn line_ends(&mut self) -> Option<Frame> {
        while self.buffer.starts_with(LINE_END) {
            self.buffer.drain(..LINE_END.len());
            self.half_ping = !self.half_ping;
            if !self.half_ping {
                return Some(Frame::Ping);
            }
        }
        if self.buffer.first().is_some_and(|byte| *byte != b'\r') {
            self.half_ping = false;
        }
        None
    }

    /// Where the message ends; `None` while its head is not there.
    fn end(&mut self) -> Result<Option<usize>, Oversized> {
        // The mark may have begun in what was searched.
        let from = self.searched.saturating_sub(END_OF_HEAD.len() - 1);
        let unsearched = self.buffer.get(from..).unwrap_or_default();
        let found = unsearched
            .windows(END_OF_HEAD.len())
            .position(|window| window == END_OF_HEAD);
        self.searched = self.buffer.len();
        let Some(head) = found.map(|at| from + at + END_OF_HEAD.len()) else {
            return if self.buffer.len() < MAX_HEAD {
                Ok(None)
            } else {
                Err(Oversized::TooLong)
            };
        };
        if head > MAX_HEAD {
            return Err(Oversized::TooLong);
        }
        let body = content_length(self.buffer.get(..head).unwrap_or_default()).ok_or(Oversized::NoEnd)?;
        if body > MAX_BODY {
            return Err(Oversized::TooLong);
        }
        Ok(Some(head + body))
    }
}

/// The one Content-Length of a head, which a stream cannot be without (RFC 3261 §20.14).
fn content_length(head: &[u8]) -> Option<usize> {
    let mut found = None;
    for line in head.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        let name = name.trim_ascii();
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = std::str::from_utf8(value).ok()?.trim();
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let length: usize = value.parse().ok().filter(|_| is_number)?;
        if found.is_some_and(|earlier| earlier != length) {
            return None;
        }
        found = Some(length);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        format!("OPTIONS sip:h SIP/2.0\r\nL: {}\r\n\r\n{body}", body.len())
    }

    fn frames(framer: &mut Framer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next().expect("readable")).collect()
    }

    #[test]
    fn messages_and_keep_alives_come_out_however_the_stream_is_cut() {
        let (one, two) = (message("v=0\r\n\r\nx"), message(""));
        let stream = format!("\r\n\r\n{one}\r\n{two}\r\n\r\n\r\n\r\n");
        let expected = [
            Frame::Ping,
            Frame::Message(one.clone().into_bytes()),
            Frame::Message(two.clone().into_bytes()),
            Frame::Ping,
            Frame::Ping,
        ];
        for size in 1..=stream.len() {
            let mut framer = Framer::default();
            let mut found = Vec::new();
            for part in stream.as_bytes().chunks(size) {
                framer.push(part);
                found.extend(frames(&mut framer));
            }
            assert_eq!(found, expected, "in parts of {size}");
            assert!(!framer.is_amid());
        }
    }

    #[test]
    fn what_never_ends_is_given_up_with_bounded_memory() {
        let mut framer = Framer::default();
        framer.push(b"INVITE sip:h SIP/2.0\r\n");
        let mut pushed = 0;
        let given_up = loop {
            framer.push(b"X-More: and more, and more\r\n");
            pushed += 28;
            match framer.next() {
                Ok(frame) => assert_eq!(frame, None),
                Err(error) => break error,
            }
        };
        assert_eq!(given_up, Oversized::TooLong);
        assert!((MAX_HEAD - 64..=MAX_HEAD + 64).contains(&pushed), "{pushed}");
    }

    #[test]
    fn a_message_needs_one_length_within_bounds() {
        let cases = [
            ("Content-Length: 0", None),
            ("content-length : 0", None),
            ("l:0\r\nContent-Length: 0", None),
            ("X-Length: 0", Some(Oversized::NoEnd)),
            ("l: 0\r\nContent-Length: 5", Some(Oversized::NoEnd)),
            ("l: +1", Some(Oversized::NoEnd)),
            ("l: -1", Some(Oversized::NoEnd)),
            ("l:", Some(Oversized::NoEnd)),
            ("l: 1 2", Some(Oversized::NoEnd)),
            ("l: 32769", Some(Oversized::TooLong)),
            ("l: 99999999999999999999999", Some(Oversized::NoEnd)),
        ];
        for (header, expected) in cases {
            let mut framer = Framer::default();
            framer.push(format!("OPTIONS sip:h SIP/2.0\r\n{header}\r\n\r\n").as_bytes());
            assert_eq!(framer.next().err(), expected, "{header}");
        }
    }
}
