//! The peer's description, parsed once into bounded types.

use std::net::IpAddr;

use audio::{Codec, OpusOptions};
use sdp_types::{Connection, Media, Session};

use super::crypto::Crypto;
use super::{Direction, LocalSrtp, MAX_BYTES, MAX_FORMATS, MAX_MEDIA, SdpError};
use crate::TelephoneEvents;

/// What matters of a description.
#[derive(Debug)]
pub(super) struct Description {
    /// Every `m=` line in order, since an answer has as many.
    pub(super) media: Vec<MediaLine>,
}

/// An `m=` line.
#[derive(Debug)]
pub(super) struct MediaLine {
    /// Its own words, to be repeated when it is refused.
    pub(super) kind: String,
    pub(super) transport: String,
    pub(super) first_format: String,
    pub(super) audio: Option<Audio>,
}

/// An `m=audio` line with a port.
#[derive(Debug)]
pub(super) struct Audio {
    pub(super) port: u16,
    /// The peer's own direction.
    pub(super) direction: Direction,
    pub(super) formats: Vec<Format>,
    /// `None`: there is no `c=` line.
    pub(super) address: Option<Result<IpAddr, BadAddress>>,
    /// The keys offered, as far as they can be used.
    cryptos: Vec<Crypto>,
    /// Whether RTCP may come beside the sound.
    pub(super) has_mux: bool,
    /// Where it is wanted otherwise; of the address beside it nothing is taken.
    pub(super) reports_port: Option<u16>,
}

/// Audio that can be used as we are told to.
pub(super) struct Usable<'a> {
    /// The place of its line.
    pub(super) index: usize,
    pub(super) line: &'a MediaLine,
    pub(super) audio: &'a Audio,
    /// The peer's key, if it is encrypted.
    pub(super) crypto: Option<Crypto>,
}

/// A payload type and what it means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) payload_type: u8,
    pub(super) meaning: Option<Meaning>,
    /// Of Opus.
    opus: OpusOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Codec(Codec),
    /// With the rate of its clock.
    TelephoneEvent(u32),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct BadAddress;

impl Description {
    pub(super) fn parse(text: &[u8]) -> Result<Self, SdpError> {
        if text.len() > MAX_BYTES {
            return Err(SdpError::TooLong(text.len()));
        }
        let session = Session::parse(text).map_err(SdpError::Syntax)?;
        if session.medias.len() > MAX_MEDIA {
            return Err(SdpError::TooManyMedia(session.medias.len()));
        }
        let media = session
            .medias
            .iter()
            .map(|media| MediaLine::parse(media, &session))
            .collect::<Result<_, _>>()?;
        Ok(Self { media })
    }

    /// The audio that can be used: encrypted before plain, then the first.
    pub(super) fn audio(&self, srtp: Option<LocalSrtp<'_>>) -> Result<Usable<'_>, SdpError> {
        let (mut plain, mut refusal) = (None, None);
        for (index, line) in self.media.iter().enumerate() {
            let Some(audio) = &line.audio else { continue };
            let usable = |crypto| Usable {
                index,
                line,
                audio,
                crypto,
            };
            match line.protection(audio, srtp) {
                Ok(Some(crypto)) => return Ok(usable(Some(crypto))),
                Ok(None) => plain = plain.or(Some(usable(None))),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        plain.ok_or_else(|| {
            refusal.unwrap_or_else(|| {
                if self.media.iter().any(|line| line.kind == "audio") {
                    SdpError::PortZero
                } else {
                    SdpError::NoAudio
                }
            })
        })
    }
}

impl MediaLine {
    fn parse(media: &Media, session: &Session) -> Result<Self, SdpError> {
        let mut formats = media.fmt.split_ascii_whitespace();
        let first_format = formats.clone().next().unwrap_or("0").to_owned();
        let audio = if media.media == "audio" && media.port != 0 {
            if formats.by_ref().nth(MAX_FORMATS).is_some() {
                return Err(SdpError::TooManyFormats);
            }
            Some(Audio::parse(media, session))
        } else {
            None
        };
        Ok(Self {
            kind: media.media.clone(),
            transport: media.proto.clone(),
            first_format,
            audio,
        })
    }

    /// The key by which this line can be used; `None` if it can be as it is, unencrypted.
    ///
    /// Keys in a line of plain RTP are an offer to encrypt that whoever does not know them passes over.
    fn protection(&self, audio: &Audio, srtp: Option<LocalSrtp<'_>>) -> Result<Option<Crypto>, SdpError> {
        // AVPF (RFC 4585) adds feedback only, which nobody has to send.
        let is_secure = match self.transport.as_str() {
            "RTP/AVP" | "RTP/AVPF" => false,
            "RTP/SAVP" | "RTP/SAVPF" => true,
            other => return Err(SdpError::UnsupportedTransport(other.to_owned())),
        };
        let Some(srtp) = srtp else {
            return if is_secure {
                Err(SdpError::EncryptionOff)
            } else {
                Ok(None)
            };
        };
        let is_ours = |crypto: &&Crypto| srtp.key(crypto.suite).is_some();
        match audio.cryptos.iter().find(is_ours) {
            Some(crypto) => Ok(Some(*crypto)),
            None if is_secure => Err(SdpError::NoCommonSuite),
            None if srtp.required => Err(SdpError::NotEncrypted),
            None => Ok(None),
        }
    }
}

impl Audio {
    fn parse(media: &Media, session: &Session) -> Self {
        let direction = media
            .attributes
            .iter()
            .chain(&session.attributes)
            .find_map(|attribute| Direction::from_name(&attribute.attribute))
            .unwrap_or_default();
        let attribute = |name: &str| {
            let mut attributes = media.attributes.iter();
            attributes.find(|attribute| attribute.attribute == name)
        };
        let reports_port = attribute("rtcp")
            .and_then(|attribute| attribute.value.as_deref()?.split_ascii_whitespace().next())
            .and_then(|port| port.parse().ok())
            .filter(|port| *port != 0);
        let connection = media.connections.first().or(session.connection.as_ref());
        let payload_types = media
            .fmt
            .split_ascii_whitespace()
            .filter_map(|format| format.parse().ok());
        let formats = payload_types
            .filter(|payload_type| *payload_type < 128)
            .map(|payload_type| Format {
                payload_type,
                meaning: meaning(payload_type, media),
                opus: opus(payload_type, media),
            })
            .collect();
        Self {
            port: media.port,
            direction,
            formats,
            address: connection.map(address),
            cryptos: cryptos(media),
            has_mux: attribute("rtcp-mux").is_some(),
            reports_port: reports_port.or(media.port.checked_add(1)),
        }
    }

    /// The first format, in the order of `codecs`, that means one of them.
    pub(super) fn choose(&self, codecs: &[Codec]) -> Result<(Codec, u8), SdpError> {
        let of = |codec: Codec| {
            self.formats
                .iter()
                .find(move |format| format.meaning == Some(Meaning::Codec(codec)))
        };
        codecs
            .iter()
            .find_map(|&codec| of(codec).map(|format| (codec, format.payload_type)))
            .ok_or_else(|| SdpError::NoCommonCodec {
                ours: names(codecs),
                theirs: self.format_names(),
            })
    }

    /// What the peer wants of Opus with this payload type.
    pub(super) fn opus(&self, payload_type: u8) -> OpusOptions {
        let mut formats = self.formats.iter();
        let format = formats.find(|format| format.payload_type == payload_type);
        format.map(|format| format.opus).unwrap_or_default()
    }

    /// Those on the clock of `codec`. Beside Opus many phones have those at 8000 Hz only (baresip does): better these than none.
    pub(super) fn telephone_events(&self, codec: Codec) -> Option<TelephoneEvents> {
        let on = |clock_rate_hz: u32| {
            let mut formats = self.formats.iter();
            let format =
                formats.find(|format| format.meaning == Some(Meaning::TelephoneEvent(clock_rate_hz)))?;
            Some(TelephoneEvents {
                payload_type: format.payload_type,
                clock_rate_hz,
            })
        };
        on(codec.clock_rate_hz()).or_else(|| on(8_000).filter(|_| codec == Codec::Opus))
    }

    fn format_names(&self) -> String {
        let name = |format: &Format| match format.meaning {
            Some(Meaning::Codec(codec)) => codec.name().to_owned(),
            Some(Meaning::TelephoneEvent(_)) => "telephone-event".to_owned(),
            None => format.payload_type.to_string(),
        };
        self.formats.iter().map(name).collect::<Vec<_>>().join(" ")
    }
}

/// What a payload type stands for: by its `a=rtpmap`, else by the static table (RFC 3551 §6).
fn meaning(payload_type: u8, media: &Media) -> Option<Meaning> {
    let Some(encoding) = attribute_of(payload_type, "rtpmap", media) else {
        return super::CODECS
            .into_iter()
            .find(|codec| codec.static_payload_type() == Some(payload_type))
            .map(Meaning::Codec);
    };
    let mut parts = encoding.split('/');
    let (name, rate, channels) = (parts.next()?, parts.next()?, parts.next().unwrap_or("1"));
    let rate: u32 = rate.parse().ok()?;
    if name.eq_ignore_ascii_case("telephone-event") {
        return (channels == "1").then_some(Meaning::TelephoneEvent(rate));
    }
    let codec = Codec::from_name(name)?;
    let expected = if codec == Codec::Opus { "2" } else { "1" };
    (rate == codec.clock_rate_hz() && channels == expected).then_some(Meaning::Codec(codec))
}

/// The parameters of Opus (RFC 7587 §6.1) that bind whoever sends to the peer. What it says of its own sending
/// (`sprop-…`), and of stereo, changes nothing: one decoder takes all.
fn opus(payload_type: u8, media: &Media) -> OpusOptions {
    let mut options = OpusOptions::default();
    let parameters = attribute_of(payload_type, "fmtp", media).unwrap_or_default();
    for (name, value) in parameters.split(';').filter_map(|one| one.split_once('=')) {
        let Ok(value) = value.trim().parse::<u32>() else {
            continue;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "useinbandfec" => options.fec = value == 1,
            "cbr" => options.cbr = value == 1,
            "maxplaybackrate" => options.max_playback_rate_hz = value,
            "maxaveragebitrate" => options.max_bitrate = value,
            _ => {}
        }
    }
    options
}

/// What `a=rtpmap` or `a=fmtp` says of a payload type.
fn attribute_of<'a>(payload_type: u8, name: &str, media: &'a Media) -> Option<&'a str> {
    media
        .attributes
        .iter()
        .filter(|attribute| attribute.attribute == name)
        .find_map(|attribute| {
            let (number, value) = attribute.value.as_deref()?.trim().split_once(' ')?;
            (number.parse() == Ok(payload_type)).then(|| value.trim())
        })
}

fn cryptos(media: &Media) -> Vec<Crypto> {
    media
        .attributes
        .iter()
        .filter(|attribute| attribute.attribute == "crypto")
        .filter_map(|attribute| Crypto::parse(attribute.value.as_deref()?))
        .collect()
}

fn address(connection: &Connection) -> Result<IpAddr, BadAddress> {
    let address = connection.try_address().map_err(|_| BadAddress)?;
    if address.ip.is_multicast() {
        Err(BadAddress)
    } else {
        Ok(address.ip)
    }
}

fn names(codecs: &[Codec]) -> String {
    codecs
        .iter()
        .map(|codec| codec.name())
        .collect::<Vec<_>>()
        .join(" ")
}
