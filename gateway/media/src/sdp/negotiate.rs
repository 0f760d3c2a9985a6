//! Offers and answers.

use std::net::SocketAddr;

use audio::Codec;
use sdp_types::{Connection, Media, MediaType, Origin, Session, TransportProto};

use super::{
    Direction, LocalMedia, Negotiated, SdpError, crypto,
    description::{Description, MediaLine, Usable},
    offered_events, offered_payload_type,
};
use crate::srtp::SrtpKeys;
use crate::{ReportsTo, TelephoneEvents};

/// Answers an offer: the description to send, and what is agreed on.
///
/// Of our codecs the first that the offer has is chosen, with the offer's payload type, and telephone-events
/// if the offer has them. Of `m=audio` lines an encrypted one is taken before a plain one, then the first; every other line is
/// refused with port 0 (RFC 3264 §6).
pub fn answer(offer: &[u8], local: &LocalMedia<'_>) -> Result<(String, Negotiated), SdpError> {
    let description = Description::parse(offer)?;
    let usable = description.audio(local.srtp)?;
    let (codec, payload_type) = usable.audio.choose(local.codecs)?;
    let negotiated = negotiated(&usable, local, codec, payload_type)?;
    let mut ours = our_audio(
        local,
        &[(codec, payload_type)],
        negotiated.events.as_slice(),
        negotiated.direction,
    );
    ours.proto.clone_from(&usable.line.transport);
    if negotiated.reports_to == ReportsTo::WithSound {
        ours.add_attribute_from_str("rtcp-mux");
    }
    if let (Some(theirs), Some(keys)) = (usable.crypto, negotiated.srtp) {
        ours.add_attribute_with_value("crypto", crypto::line(theirs.tag, keys.suite, keys.sending));
    }
    let mut session = our_session(local);
    for (place, line) in description.media.iter().enumerate() {
        session.add_media(if place == usable.index {
            ours.clone()
        } else {
            refused(line)
        });
    }
    Ok((session.to_string(), negotiated))
}

/// An offer of all our codecs and telephone-events, both ways.
pub fn make_offer(local: &LocalMedia<'_>) -> String {
    let formats: Vec<_> = local
        .codecs
        .iter()
        .map(|codec| (*codec, offered_payload_type(*codec)))
        .collect();
    let mut ours = our_audio(
        local,
        &formats,
        &offered_events(local.codecs),
        Direction::SendRecv,
    );
    if let Some(srtp) = local.srtp {
        if srtp.required {
            ours.proto = TransportProto::RtpSavp.to_string();
        }
        for (tag, (suite, key)) in (1..).zip(srtp.keys) {
            ours.add_attribute_with_value("crypto", crypto::line(tag, *suite, *key));
        }
    }
    let mut session = our_session(local);
    session.add_media(ours);
    session.to_string()
}

/// Reads the answer to [`make_offer`]. The first of our codecs that the answer has is agreed on.
pub fn parse_answer(answer: &[u8], local: &LocalMedia<'_>) -> Result<Negotiated, SdpError> {
    let description = Description::parse(answer)?;
    let usable = description.audio(local.srtp)?;
    let (codec, payload_type) = usable.audio.choose(local.codecs)?;
    negotiated(&usable, local, codec, payload_type)
}

fn negotiated(
    usable: &Usable<'_>,
    local: &LocalMedia<'_>,
    codec: Codec,
    payload_type: u8,
) -> Result<Negotiated, SdpError> {
    let audio = usable.audio;
    let address = audio
        .address
        .ok_or(SdpError::NoAddress)?
        .map_err(|_| SdpError::BadAddress)?;
    let nowhere = address.is_unspecified();
    // Who names no address cannot be sent to, whatever its direction says (RFC 3264 §8.4).
    let theirs = match (nowhere, audio.direction) {
        (true, Direction::SendRecv) => Direction::SendOnly,
        (true, Direction::RecvOnly) => Direction::Inactive,
        (_, direction) => direction,
    };
    let reports_to = if audio.has_mux {
        ReportsTo::WithSound
    } else {
        let port = audio.reports_port.filter(|_| !nowhere);
        ReportsTo::Address(port.map(|port| SocketAddr::new(address, port)))
    };
    Ok(Negotiated {
        reports_to,
        codec,
        payload_type,
        opus: audio.opus(payload_type),
        events: audio.telephone_events(codec),
        remote: (!nowhere).then(|| SocketAddr::new(address, audio.port)),
        direction: theirs.reversed(),
        held: matches!(theirs, Direction::SendOnly | Direction::Inactive),
        srtp: usable.crypto.and_then(|theirs| {
            Some(SrtpKeys {
                suite: theirs.suite,
                sending: local.srtp?.key(theirs.suite)?,
                receiving: theirs.key,
            })
        }),
    })
}

fn our_session(local: &LocalMedia<'_>) -> Session {
    let origin = Origin::with_ip_addr(local.session_id, local.version, local.address);
    let mut session = Session::new(origin, "trunkline");
    session.set_connection(Connection::from_ip_addr(local.address));
    session
}

fn our_audio(
    local: &LocalMedia<'_>,
    formats: &[(Codec, u8)],
    events: &[TelephoneEvents],
    direction: Direction,
) -> Media {
    let numbers: Vec<_> = formats
        .iter()
        .map(|(_, number)| *number)
        .chain(events.iter().map(|events| events.payload_type))
        .map(|number| number.to_string())
        .collect();
    let mut media = Media::new(
        MediaType::Audio,
        local.port,
        TransportProto::RtpAvp,
        numbers.join(" "),
    );
    for (codec, number) in formats {
        let (name, rate) = (codec.name(), codec.clock_rate_hz());
        if *codec == Codec::Opus {
            // Always two channels in the name, and one in the sound unless `stereo` says so (RFC 7587 §7).
            media.add_attribute_with_value("rtpmap", format!("{number} {name}/{rate}/2"));
            media.add_attribute_with_value("fmtp", format!("{number} useinbandfec=1"));
        } else {
            media.add_attribute_with_value("rtpmap", format!("{number} {name}/{rate}"));
        }
    }
    for events in events {
        let (number, rate) = (events.payload_type, events.clock_rate_hz);
        media.add_attribute_with_value("rtpmap", format!("{number} telephone-event/{rate}"));
        media.add_attribute_with_value("fmtp", format!("{number} 0-15"));
    }
    media.add_attribute_with_value("ptime", 20);
    media.add_attribute_from_str(direction.name());
    media
}

fn refused(line: &MediaLine) -> Media {
    Media {
        media: line.kind.clone(),
        port: 0,
        num_ports: None,
        proto: line.transport.clone(),
        fmt: line.first_format.clone(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}
