//! What is fuzzed. Each takes any bytes, and panics where the gateway would, or where it breaks its own word.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bus::Code;
use bus::ioinfo::{Dispatch, TrunkAuthentication};
use bus::sipinternal::{CreateParticipant, TransferParticipant};
use bus::wire::{Frame, Framed as _};
use media::dtmf::{self, Detector, Event};
use media::rtcp::{self, Compound};
use media::sdp::{self, LocalMedia, LocalSrtp};
use media::{Codec, MasterKey, Receiver, ReceiverOptions, Suite};
use prost::Message as _;

/// Messages of SIP: admission, framing, and what a call is made of.
pub(crate) fn sip(bytes: &[u8]) {
    sip::fuzz::message(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let subject = sip::digest::client::Subject {
            method: "INVITE",
            uri: "sip:h",
            body: b"",
            cnonce: "c",
        };
        let login = sip::digest::client::Login {
            username: "u".into(),
            password: "p".into(),
        };
        let answer = sip::digest::client::answer([text], &login, subject);
        assert!(
            !answer.is_some_and(|answer| answer.contains(['\r', '\n'])),
            "a header of the server's making"
        );
    }
}

/// Offers and answers, by each policy on encryption. What we say to an offer must be an answer to us.
pub(crate) fn sdp(bytes: &[u8]) {
    let keys = [
        (Suite::Aes128CmSha1_80, MasterKey::random()),
        (Suite::Aes128CmSha1_32, MasterKey::random()),
    ];
    let policies = [None, Some(false), Some(true)];
    for srtp in policies.map(|policy| {
        policy.map(|required| LocalSrtp {
            required,
            keys: &keys,
        })
    }) {
        let local = LocalMedia {
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            port: 40_000,
            codecs: &sdp::CODECS,
            session_id: 1,
            version: 1,
            srtp,
        };
        if let Ok((ours, agreed)) = sdp::answer(bytes, &local) {
            let read = sdp::parse_answer(ours.as_bytes(), &local).expect("our answer is one");
            assert_eq!(
                (read.codec, read.payload_type),
                (agreed.codec, agreed.payload_type),
                "{ours}"
            );
            assert_eq!(read.srtp.is_some(), agreed.srtp.is_some(), "{ours}");
        }
        let _ = sdp::parse_answer(bytes, &local);
    }
}

/// What comes by Redis. What is read is written as it was read.
pub(crate) fn psrpc(bytes: &[u8]) {
    let (kind, value) = match Frame::parse(bytes) {
        Ok(Some(Frame::Request(it))) => (it.frame(), it.raw_request),
        Ok(Some(Frame::Response(it))) => {
            let _ = Code::parse(&it.code);
            (it.frame(), it.raw_response)
        }
        Ok(Some(Frame::ClaimRequest(it))) => (it.frame(), Vec::new()),
        Ok(Some(Frame::ClaimResponse(it))) => (it.frame(), Vec::new()),
        Ok(None) | Err(_) => (Vec::new(), bytes.to_vec()),
    };
    if !kind.is_empty() {
        let again = Frame::parse(&kind).expect("ours");
        assert!(again.is_some(), "a frame that we write and cannot read");
    }
    if let Ok(request) = CreateParticipant::decode(value.as_slice()) {
        let times = [request.ringing_timeout, request.max_call_duration];
        let _ = times.map(|time| time.and_then(bus::wire::ProtoDuration::to_std));
        assert!(
            !format!("{request:?}").contains("password"),
            "Debug says more than ids"
        );
    }
    if let Ok(request) = TransferParticipant::decode(value.as_slice()) {
        let _ = request.ringing_timeout.and_then(bus::wire::ProtoDuration::to_std);
    }
    let _ = Dispatch::decode(value.as_slice());
    let _ = TrunkAuthentication::decode(value.as_slice());
}

/// What comes to the ports of a call. The first byte says how the rest is cut into datagrams; every third of them is followed by a frame.
pub(crate) fn rtp(bytes: &[u8]) {
    let Some((cut, rest)) = bytes.split_first() else {
        return;
    };
    let options = |codec: Codec| ReceiverOptions {
        codec,
        payload_type: codec.static_payload_type().unwrap_or(107),
        dtmf_payload_type: Some(101),
        jitter_target: Duration::from_millis(40),
    };
    let mut receivers = sdp::CODECS.map(|codec| Receiver::new(options(codec)));
    let mut detector = Detector::default();
    for (n, datagram) in (0_u32..).zip(rest.chunks(usize::from(*cut).max(16))) {
        let now = Duration::from_millis(7) * n;
        for receiver in &mut receivers {
            receiver.datagram(datagram, now);
            if n % 3 == 0 {
                receiver.frame(now);
            }
        }
        if let Ok(packet) = media::rtp::Packet::parse(datagram) {
            let mut written = Vec::new();
            packet.write(&mut written);
            assert_eq!(
                media::rtp::Packet::parse(&written),
                Ok(packet),
                "what is written is read"
            );
            detector.handle(packet.timestamp, packet.payload);
        }
        if rtcp::is_rtcp(datagram)
            && let Ok(compound) = Compound::parse(datagram, 7)
        {
            let mut written = Vec::new();
            compound.write("name", &mut written);
            let read =
                Compound::parse(&written, compound.about_us.map_or(7, |about| about.ssrc)).expect("ours");
            assert_eq!(read.ssrc, compound.ssrc, "what is written is read");
        }
        let _ = Event::parse(datagram);
        let _ = dtmf::of_info("application/dtmf-relay", datagram);
        let _ = dtmf::of_info("application/dtmf", datagram);
    }
    for receiver in &mut receivers {
        let seen = receiver.stats();
        assert!(
            seen.packets_malformed + seen.packets_foreign <= 1 + rest.len() as u64 / 16,
            "{seen:?}"
        );
    }
}
