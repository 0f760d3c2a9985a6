//! Writing our own descriptions: a pure function of what is to be said.

use std::fmt::Write as _;

use str0m::ice::IceCreds;

use super::{Extmap, Msid};

/// A local description.
pub(crate) struct Description<'a> {
    pub(crate) session_id: u64,
    pub(crate) version: u64,
    pub(crate) credentials: &'a IceCreds,
    pub(crate) fingerprint: &'a str,
    pub(crate) setup: Setup,
    pub(crate) cname: &'a str,
    pub(crate) sections: Vec<LocalSection>,
}

/// The DTLS role (RFC 8842 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// In offers.
    ActPass,
    /// In answers: we begin the handshake, which saves a round trip.
    Active,
}

pub(crate) struct LocalSection {
    pub(crate) mid: String,
    pub(crate) media: LocalMedia,
}

pub(crate) enum LocalMedia {
    Application,
    Audio(LocalStream),
    Video(LocalStream),
}

pub(crate) struct LocalStream {
    pub(crate) direction: &'static str,
    pub(crate) payload_type: u8,
    pub(crate) extensions: Vec<Extmap>,
    /// The track sent and its SSRC; none when nothing is sent.
    pub(crate) sending: Option<(Msid, u32)>,
}

impl Description<'_> {
    pub(crate) fn write(&self) -> String {
        let mids: Vec<&str> = self.sections.iter().map(|section| section.mid.as_str()).collect();
        let mut sdp = format!(
            "v=0\r\no=- {} {} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=extmap-allow-mixed\r\n\
             a=msid-semantic: WMS\r\n",
            self.session_id,
            self.version,
            mids.join(" ")
        );
        for section in &self.sections {
            self.write_section(&mut sdp, section);
        }
        sdp
    }

    fn write_section(&self, sdp: &mut String, section: &LocalSection) {
        match &section.media {
            LocalMedia::Application => {
                sdp.push_str("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n");
                self.write_transport(sdp, &section.mid);
                sdp.push_str("a=sctp-port:5000\r\na=max-message-size:262144\r\n");
            }
            LocalMedia::Audio(stream) => {
                let pt = stream.payload_type;
                let _ = write!(sdp, "m=audio 9 UDP/TLS/RTP/SAVPF {pt}\r\n");
                self.write_transport(sdp, &section.mid);
                write_stream(sdp, stream);
                let _ = write!(
                    sdp,
                    "a=rtpmap:{pt} opus/48000/2\r\na=rtcp-fb:{pt} transport-cc\r\na=fmtp:{pt} minptime=10;useinbandfec=1\r\n"
                );
                self.write_ssrc(sdp, stream);
            }
            LocalMedia::Video(stream) => {
                let pt = stream.payload_type;
                let _ = write!(sdp, "m=video 9 UDP/TLS/RTP/SAVPF {pt}\r\n");
                self.write_transport(sdp, &section.mid);
                write_stream(sdp, stream);
                let _ = write!(
                    sdp,
                    "a=rtpmap:{pt} VP8/90000\r\na=rtcp-fb:{pt} nack pli\r\na=rtcp-fb:{pt} transport-cc\r\n"
                );
                self.write_ssrc(sdp, stream);
            }
        }
    }

    fn write_transport(&self, sdp: &mut String, mid: &str) {
        let setup = match self.setup {
            Setup::ActPass => "actpass",
            Setup::Active => "active",
        };
        let _ = write!(
            sdp,
            "c=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=ice-options:trickle\r\na=fingerprint:{}\r\na=setup:{setup}\r\n\
             a=mid:{mid}\r\n",
            self.credentials.ufrag, self.credentials.pass, self.fingerprint
        );
    }

    fn write_ssrc(&self, sdp: &mut String, stream: &LocalStream) {
        if let Some((_, ssrc)) = &stream.sending {
            let _ = write!(sdp, "a=ssrc:{ssrc} cname:{}\r\n", self.cname);
        }
    }
}

fn write_stream(sdp: &mut String, stream: &LocalStream) {
    for Extmap { id, uri } in &stream.extensions {
        let _ = write!(sdp, "a=extmap:{id} {uri}\r\n");
    }
    let _ = write!(sdp, "a={}\r\n", stream.direction);
    if let Some((msid, _)) = &stream.sending {
        let _ = write!(sdp, "a=msid:{} {}\r\n", msid.stream, msid.track);
    }
    sdp.push_str("a=rtcp-mux\r\na=rtcp-rsize\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sdp::{Sdp, SectionKind};

    #[test]
    fn what_is_written_can_be_read() {
        let sending = (
            Msid {
                stream: "PA_1".into(),
                track: "mic".into(),
            },
            77,
        );
        let description = Description {
            session_id: 1,
            version: 2,
            credentials: &IceCreds {
                ufrag: "user".into(),
                pass: "secret".into(),
            },
            fingerprint: "sha-256 AB:CD",
            setup: Setup::ActPass,
            cname: "me",
            sections: vec![
                LocalSection {
                    mid: "0".into(),
                    media: LocalMedia::Audio(LocalStream {
                        direction: "sendonly",
                        payload_type: 109,
                        extensions: vec![Extmap {
                            id: 4,
                            uri: "urn:x".into(),
                        }],
                        sending: Some(sending.clone()),
                    }),
                },
                LocalSection {
                    mid: "1".into(),
                    media: LocalMedia::Application,
                },
            ],
        };
        let sdp = Sdp::parse(&description.write()).unwrap();
        assert_eq!(sdp.attributes.value("group"), Some("BUNDLE 0 1"));
        assert_eq!(sdp.transport("ice-pwd"), Some("secret"));
        assert_eq!(sdp.transport("setup"), Some("actpass"));
        let audio = &sdp.sections[0];
        assert_eq!(audio.msid(), Some(sending.0));
        assert_eq!(audio.ssrc(), Some(77));
        assert_eq!(audio.payload_type("opus/48000"), Some(109));
        assert_eq!(audio.extmaps().next().unwrap().id, 4);
        assert!(audio.direction().sends && !audio.direction().receives);
        assert_eq!(sdp.sections[1].kind, SectionKind::Application);
    }
}
