//! SIP messages as text: parsing what arrives, writing what leaves (RFC 3261 §7).

use std::fmt::Write;

/// The most header lines that a message may have before it is refused.
const MAX_HEADERS: usize = 256;

/// The first line of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    Request { method: String, uri: String },
    Response { code: u16, phrase: String },
}

/// A SIP message. Header names compare without case; compact forms are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) start: Start,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn request(method: &str, uri: &str) -> Self {
        let start = Start::Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
        };
        Self {
            start,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A response with the headers that every response copies from its request (§8.2.6.2).
    pub(crate) fn response_to(request: &Self, code: u16, phrase: &str) -> Self {
        let start = Start::Response {
            code,
            phrase: phrase.to_owned(),
        };
        let copied = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"];
        let headers = request
            .headers
            .iter()
            .filter(|(name, _)| copied.contains(&name.as_str()))
            .cloned();
        Self {
            start,
            headers: headers.collect(),
            body: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn with_sdp(mut self, sdp: &str) -> Self {
        self.body = sdp.as_bytes().to_vec();
        self.with("Content-Type", "application/sdp")
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a header, in order.
    pub(crate) fn headers<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The number and the method of `CSeq`.
    pub(crate) fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.split_once(' ')?;
        Some((number.trim().parse().ok()?, method.trim()))
    }

    /// `None` when the bytes are no SIP message.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let split = find(bytes, b"\r\n\r\n")?;
        let head = std::str::from_utf8(bytes.get(..split)?).ok()?;
        let body = bytes.get(split + 4..)?;
        let mut lines = head.split("\r\n");
        let start = parse_start(lines.next()?)?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if headers.len() == MAX_HEADERS {
                return None;
            }
            if line.starts_with([' ', '\t']) {
                // A folded line continues the header before it (§7.3.1).
                let (_, value) = headers.last_mut()?;
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let (name, value) = line.split_once(':')?;
            headers.push((canonical(name.trim()), value.trim().to_owned()));
        }
        let mut message = Self {
            start,
            headers,
            body: Vec::new(),
        };
        let length = message
            .header("Content-Length")
            .map_or(Some(body.len()), |value| value.parse().ok())?;
        message.body = body.get(..length)?.to_vec();
        Some(message)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = match &self.start {
            Start::Request { method, uri } => format!("{method} {uri} SIP/2.0\r\n"),
            Start::Response { code, phrase } => format!("SIP/2.0 {code} {phrase}\r\n"),
        };
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n", self.body.len());
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

fn parse_start(line: &str) -> Option<Start> {
    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
        let (code, phrase) = rest.split_once(' ').unwrap_or((rest, ""));
        let code: u16 = code.parse().ok().filter(|code| (100..700).contains(code))?;
        return Some(Start::Response {
            code,
            phrase: phrase.to_owned(),
        });
    }
    let mut words = line.split(' ');
    let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
    (version == "SIP/2.0").then(|| Start::Request {
        method: method.to_owned(),
        uri: uri.to_owned(),
    })
}

/// Expands compact header names (§7.3.3) and settles the case of those that are copied into responses.
fn canonical(name: &str) -> String {
    let full = match name.to_ascii_lowercase().as_str() {
        "v" | "via" => "Via",
        "f" | "from" => "From",
        "t" | "to" => "To",
        "i" | "call-id" => "Call-ID",
        "m" | "contact" => "Contact",
        "c" | "content-type" => "Content-Type",
        "l" | "content-length" => "Content-Length",
        "cseq" => "CSeq",
        "record-route" => "Record-Route",
        _ => name,
    };
    full.to_owned()
}

/// The URI within `<…>`, or the whole value without parameters.
pub(crate) fn uri(header: &str) -> Option<&str> {
    match header.split_once('<') {
        Some((_, rest)) => rest.split_once('>').map(|(uri, _)| uri),
        None => header.split(';').next().map(str::trim),
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RINGING: &str = "SIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-1;rport=5070\r\n\
        f: <sip:+1@a>;tag=x\r\nt: <sip:+2@b;user=phone>;tag=y\r\ni: abc\r\nCSeq: 7 INVITE\r\n\
        m: <sip:1.2.3.4:5060;transport=udp>\r\nSubject: one\r\n two\r\nl: 0\r\n\r\n";

    #[test]
    fn compact_and_folded_headers_are_read() {
        let message = Message::parse(RINGING.as_bytes()).unwrap();
        assert_eq!(
            message.start,
            Start::Response {
                code: 180,
                phrase: "Ringing".to_owned()
            }
        );
        assert_eq!(message.cseq(), Some((7, "INVITE")));
        assert_eq!(message.header("To"), Some("<sip:+2@b;user=phone>;tag=y"));
        assert_eq!(
            message.header("Contact").and_then(uri),
            Some("sip:1.2.3.4:5060;transport=udp")
        );
        assert_eq!(message.header("subject"), Some("one two"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let message = Message::request("INVITE", "sip:+1@127.0.0.1:5060")
            .with("Via", "SIP/2.0/UDP h")
            .with_sdp("v=0\r\n");
        let parsed = Message::parse(&message.encode()).unwrap();
        assert_eq!((&parsed.start, &parsed.body), (&message.start, &message.body));
        assert_eq!(parsed.header("Content-Length"), Some("5"));
    }

    #[test]
    fn broken_messages_are_refused() {
        for text in [
            "",
            "\r\n\r\n",
            "SIP/2.0 99 Low\r\n\r\n",
            "INVITE sip:a\r\n\r\n",
            "SIP/2.0 200 OK\r\nContent-Length: 9\r\n\r\n",
        ] {
            assert_eq!(Message::parse(text.as_bytes()), None, "{text:?}");
        }
        for cut in 0..RINGING.len() - 1 {
            let _ = Message::parse(&RINGING.as_bytes()[..cut]);
        }
    }
}
