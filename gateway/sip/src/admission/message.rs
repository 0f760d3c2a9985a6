//! The head of a SIP message: as much as is needed to admit or refuse it.

/// Not a SIP message, or one that could not be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start<'a> {
    Request { method: &'a str },
    Response,
}

/// A message that has all that RFC 3261 §8.1.1 demands, but Max-Forwards.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) start: Start<'a>,
    /// Whole Via values in order, one per header line; several hops may stand in one.
    pub(super) via: Vec<&'a str>,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) call_id: &'a str,
    pub(super) cseq: &'a str,
    pub(super) cseq_method: &'a str,
    /// Whole Require values, one per header line.
    pub(super) require: Vec<&'a str>,
    pub(super) max_forwards: Option<&'a str>,
    /// The body is shorter than its Content-Length says (RFC 3261 §18.3), or there are two that say different things.
    pub(super) body_is_short: bool,
}

const MAX_HEADERS: usize = 256;

impl<'a> Head<'a> {
    pub(super) fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let end = find(datagram, b"\r\n\r\n").ok_or(Malformed)?;
        let (head, body) = datagram.split_at_checked(end).ok_or(Malformed)?;
        let body_length = body.len().saturating_sub(4);
        let head = std::str::from_utf8(head).map_err(|_| Malformed)?;
        let (first, headers) = head.split_once("\r\n").ok_or(Malformed)?;
        let mut fields = Fields::default();
        for line in logical_lines(headers)? {
            fields.read(line)?;
        }
        let cseq = fields.cseq.ok_or(Malformed)?;
        let (number, cseq_method) = cseq.split_once(char::is_whitespace).ok_or(Malformed)?;
        number.parse::<u32>().map_err(|_| Malformed)?;
        if fields.via.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            start: start_line(first)?,
            via: fields.via,
            from: fields.from.ok_or(Malformed)?,
            to: fields.to.ok_or(Malformed)?,
            call_id: fields.call_id.ok_or(Malformed)?,
            cseq,
            cseq_method: cseq_method.trim(),
            require: fields.require,
            max_forwards: fields.max_forwards,
            body_is_short: fields.lengths_differ
                || fields.content_length.is_some_and(|length| length > body_length),
        })
    }

    /// Whether To has a tag: then the message belongs to a dialog (RFC 3261 §12.2.2).
    pub(super) fn has_to_tag(&self) -> bool {
        let after_uri = self.to.rsplit('>').next().unwrap_or_default();
        after_uri.to_ascii_lowercase().contains(";tag=")
    }
}

fn start_line(line: &str) -> Result<Start<'_>, Malformed> {
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("SIP/2.0"), Some(code), _) => {
            let valid = code.len() == 3 && code.parse::<u16>().is_ok_and(|code| (100..700).contains(&code));
            if valid {
                Ok(Start::Response)
            } else {
                Err(Malformed)
            }
        }
        (Some(method), Some(uri), Some("SIP/2.0")) if words.next().is_none() => {
            let is_token = !method.is_empty() && method.bytes().all(is_token_byte);
            if is_token && !uri.is_empty() {
                Ok(Start::Request { method })
            } else {
                Err(Malformed)
            }
        }
        _ => Err(Malformed),
    }
}

/// RFC 3261 §25.1, `token`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Header lines, continuations joined to what they continue (RFC 3261 §7.3.1).
fn logical_lines(headers: &str) -> Result<Vec<&str>, Malformed> {
    let mut lines = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in headers.split("\r\n") {
        // A bare CR or LF would be a line's end to some and not to others.
        if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(Malformed);
        }
        let continues = line.starts_with([' ', '\t']);
        if !continues && at > 0 {
            lines.push(headers.get(start..at - 2).ok_or(Malformed)?);
            start = at;
        }
        at += line.len() + 2;
        if lines.len() > MAX_HEADERS {
            return Err(Malformed);
        }
    }
    lines.push(headers.get(start..).ok_or(Malformed)?);
    Ok(lines)
}

#[derive(Default)]
struct Fields<'a> {
    via: Vec<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    call_id: Option<&'a str>,
    cseq: Option<&'a str>,
    require: Vec<&'a str>,
    max_forwards: Option<&'a str>,
    content_length: Option<usize>,
    lengths_differ: bool,
}

impl<'a> Fields<'a> {
    fn read(&mut self, line: &'a str) -> Result<(), Malformed> {
        let (name, value) = line.split_once(':').ok_or(Malformed)?;
        let (name, value) = (name.trim_end(), value.trim());
        let slot = match name.to_ascii_lowercase().as_str() {
            "via" | "v" => {
                self.via.push(value);
                return Ok(());
            }
            "content-length" | "l" => {
                let length = value.parse().map_err(|_| Malformed)?;
                self.lengths_differ |= self.content_length.is_some_and(|earlier| earlier != length);
                self.content_length = Some(length);
                return Ok(());
            }
            "require" => {
                self.require.push(value);
                return Ok(());
            }
            "from" | "f" => &mut self.from,
            "to" | "t" => &mut self.to,
            "call-id" | "i" => &mut self.call_id,
            "cseq" => &mut self.cseq,
            "max-forwards" => &mut self.max_forwards,
            _ => return Ok(()),
        };
        if value.is_empty() || slot.is_some() {
            return Err(Malformed);
        }
        *slot = Some(value);
        Ok(())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
