//! Session descriptions (RFC 8866, RFC 9429) as far as a bundled, rtcp-mux peer needs them.

use crate::session_description::SdpParseError;

pub(crate) mod write;

/// Longer descriptions are refused: a room of 100 tracks needs some 60 kB.
const LONGEST: usize = 1 << 20;

/// A parsed description: attributes of the session, then its media sections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sdp {
    pub(crate) attributes: Attributes,
    pub(crate) sections: Vec<Section>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    pub(crate) kind: SectionKind,
    pub(crate) port: u16,
    pub(crate) attributes: Attributes,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Audio,
    Video,
    Application,
    #[default]
    Other,
}

/// `a=` lines in their order, split at the first colon.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes(Vec<(String, String)>);

/// What the describing side does with a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(crate) sends: bool,
    pub(crate) receives: bool,
}

/// The track that a section carries (RFC 8830).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Msid {
    pub(crate) stream: String,
    pub(crate) track: String,
}

/// A header extension (RFC 8285 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extmap {
    pub(crate) id: u8,
    pub(crate) uri: String,
}

impl Sdp {
    /// # Errors
    /// Names the offending line.
    pub(crate) fn parse(sdp: &str) -> Result<Self, SdpParseError> {
        if sdp.len() > LONGEST {
            return Err(refused("", "the description is too long"));
        }
        if !sdp.starts_with("v=0") {
            return Err(refused(sdp.lines().next().unwrap_or_default(), "expected v=0"));
        }
        let mut parsed = Self::default();
        for line in sdp.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            let Some((field, value)) = line.split_once('=') else {
                return Err(refused(line, "expected <type>=<value>"));
            };
            match field {
                "m" => parsed.sections.push(Section::parse(value)),
                "a" => parsed.innermost().push(value),
                _ => {}
            }
        }
        Ok(parsed)
    }

    fn innermost(&mut self) -> &mut Attributes {
        match self.sections.last_mut() {
            Some(section) => &mut section.attributes,
            None => &mut self.attributes,
        }
    }

    /// An attribute of the one bundled transport: from the session, else from the first section that has it.
    pub(crate) fn transport(&self, name: &str) -> Option<&str> {
        let in_sections = || {
            self.sections
                .iter()
                .find_map(|section| section.attributes.value(name))
        };
        self.attributes.value(name).or_else(in_sections)
    }
}

impl Section {
    fn parse(value: &str) -> Self {
        let mut fields = value.split_whitespace();
        let kind = match fields.next() {
            Some("audio") => SectionKind::Audio,
            Some("video") => SectionKind::Video,
            Some("application") => SectionKind::Application,
            _ => SectionKind::Other,
        };
        let port = fields.next().and_then(|port| port.parse().ok()).unwrap_or(0);
        Self {
            kind,
            port,
            attributes: Attributes::default(),
        }
    }

    pub(crate) fn mid(&self) -> &str {
        self.attributes.value("mid").unwrap_or_default()
    }

    /// Port 0 refuses a section, unless it is bundled only (RFC 9143 §6).
    pub(crate) fn rejected(&self) -> bool {
        self.port == 0 && !self.attributes.has("bundle-only")
    }

    pub(crate) fn direction(&self) -> Direction {
        let (sends, receives) = if self.rejected() || self.attributes.has("inactive") {
            (false, false)
        } else if self.attributes.has("sendonly") {
            (true, false)
        } else if self.attributes.has("recvonly") {
            (false, true)
        } else {
            (true, true)
        };
        Direction { sends, receives }
    }

    pub(crate) fn ssrc(&self) -> Option<u32> {
        let value = self.attributes.value("ssrc")?;
        value.split_whitespace().next()?.parse().ok()
    }

    /// From the section's own attribute, else from the older form inside the `ssrc` attributes.
    pub(crate) fn msid(&self) -> Option<Msid> {
        let of_ssrc = || {
            let mut ssrcs = self.attributes.values("ssrc");
            ssrcs.find_map(|value| Some(value.split_once(" msid:")?.1))
        };
        let value = self.attributes.value("msid").or_else(of_ssrc)?;
        let (stream, track) = value.split_once(' ')?;
        Some(Msid {
            stream: stream.into(),
            track: track.into(),
        })
    }

    /// The payload type that the describing side gave to `codec`, as `name/clock rate`.
    pub(crate) fn payload_type(&self, codec: &str) -> Option<u8> {
        let mut maps = self.attributes.values("rtpmap");
        maps.find_map(|value| {
            let (payload_type, encoding) = value.split_once(' ')?;
            let named = encoding.get(..codec.len())?.eq_ignore_ascii_case(codec);
            // Seven bits on the wire.
            named
                .then(|| payload_type.parse().ok())?
                .filter(|&payload_type: &u8| payload_type < 128)
        })
    }

    pub(crate) fn candidates(&self) -> impl Iterator<Item = &str> {
        self.attributes.values("candidate")
    }

    /// Those with one-byte ids (RFC 8285 §4.2).
    pub(crate) fn extmaps(&self) -> impl Iterator<Item = Extmap> {
        self.attributes.values("extmap").filter_map(|value| {
            let (id, uri) = value.split_once(' ')?;
            let id = id
                .split('/')
                .next()?
                .parse()
                .ok()
                .filter(|id| (1..=14).contains(id))?;
            let uri = uri.split_whitespace().next()?.to_owned();
            Some(Extmap { id, uri })
        })
    }
}

impl Attributes {
    fn push(&mut self, value: &str) {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        self.0.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The first of that name; empty for a flag.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |attribute| attribute.0 == name);
        named.map(|attribute| attribute.1.as_str())
    }
}

fn refused(line: &str, description: &str) -> SdpParseError {
    SdpParseError {
        line: line.chars().take(80).collect(),
        description: description.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUBSCRIBER_OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 AB:CD\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=max-message-size:65535\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:1\r\na=sendonly\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:109 opus/48000/2\r\n\
        a=extmap:2/recvonly urn:x attributes\r\na=extmap:15 urn:y\r\na=ssrc:77 cname:c\r\na=ssrc:77 msid:PA_1|TR_1 TR_1\r\n\
        a=candidate:1 1 udp 1 127.0.0.1 7882 typ host\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\n";

    #[test]
    fn a_server_offer_is_understood() {
        let sdp = Sdp::parse(SUBSCRIBER_OFFER).unwrap();
        assert_eq!(sdp.transport("fingerprint"), Some("sha-256 AB:CD"));
        assert_eq!(sdp.transport("ice-ufrag"), Some("abcd"));
        let [application, audio, video] = &sdp.sections[..] else {
            panic!("three sections")
        };
        assert_eq!(application.kind, SectionKind::Application);
        assert_eq!(audio.mid(), "1");
        assert_eq!(audio.payload_type("opus/48000"), Some(109));
        assert_eq!(audio.ssrc(), Some(77));
        let msid = audio.msid().unwrap();
        assert_eq!((msid.stream.as_str(), msid.track.as_str()), ("PA_1|TR_1", "TR_1"));
        assert_eq!(
            audio.direction(),
            Direction {
                sends: true,
                receives: false
            }
        );
        assert_eq!(
            audio.extmaps().collect::<Vec<_>>(),
            [Extmap {
                id: 2,
                uri: "urn:x".into()
            }]
        );
        assert_eq!(audio.candidates().count(), 1);
        assert!(video.rejected());
    }

    #[test]
    fn the_offending_line_is_named() {
        assert_eq!(Sdp::parse("hello").unwrap_err().line, "hello");
        assert_eq!(Sdp::parse("v=0\r\nnonsense\r\n").unwrap_err().line, "nonsense");
        assert!(Sdp::parse(&format!("v=0\r\n{}", "a=x\r\n".repeat(LONGEST / 4))).is_err());
    }

    fn read_everything(text: &str) {
        let Ok(sdp) = Sdp::parse(text) else { return };
        let _ = sdp.transport("ice-pwd");
        for section in &sdp.sections {
            let _ = (section.mid(), section.direction(), section.ssrc(), section.msid());
            let _ = section.payload_type("opus/48000");
            let _ = (section.candidates().count(), section.extmaps().count());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*") {
            read_everything(&format!("v=0\r\n{text}"));
        }

        #[test]
        fn arbitrary_lines_never_panic(lines in prop::collection::vec("(m|a)=(audio|mid|ssrc|msid|rtpmap|extmap|candidate|fmtp)[: ]\\PC{0,30}", 0..20)) {
            read_everything(&format!("v=0\r\n{}", lines.join("\r\n")));
        }

        #[test]
        fn a_damaged_offer_never_panics(at in 0..SUBSCRIBER_OFFER.len(), byte in any::<u8>()) {
            let mut damaged = SUBSCRIBER_OFFER.as_bytes().to_vec();
            damaged[at] = byte;
            read_everything(&String::from_utf8_lossy(&damaged));
        }
    }
}
