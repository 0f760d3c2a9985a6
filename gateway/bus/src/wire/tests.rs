use super::*;
use crate::ioinfo::{
    Dispatch, DispatchRequest, DispatchResult, TrunkAuthentication, TrunkAuthenticationRequest,
};
use crate::{Channel, Code};

/// Recorded between a client and livekit-server 1.13.5.
const SAMPLES: &str = include_str!("../../samples/ioinfo.txt");

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let lines = SAMPLES.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').expect("two words"))
        .map(|(channel, hex)| (channel, bytes(hex)))
        .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|c| u8::try_from(c.to_digit(16).expect("hex")).expect("small"))
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn responses() -> Vec<Response> {
    let frames = samples()
        .into_iter()
        .map(|(_, payload)| Frame::parse(&payload).expect("readable"));
    frames
        .filter_map(|frame| {
            if let Some(Frame::Response(response)) = frame {
                Some(response)
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn every_recorded_frame_is_written_as_it_was_read() {
    for (channel, payload) in samples() {
        let frame = Frame::parse(&payload).expect("readable").expect("known");
        let (written, kind) = match &frame {
            Frame::Request(message) => (message.frame(), "|REQ"),
            Frame::Response(message) => (message.frame(), "|RES"),
            Frame::ClaimRequest(message) => (message.frame(), "|CLAIM"),
            Frame::ClaimResponse(message) => (message.frame(), "|RCLAIM"),
        };
        assert_eq!(written, payload, "{channel}");
        assert!(channel.ends_with(kind), "{channel}: {frame:?}");
    }
}

#[test]
fn the_channels_of_a_recorded_call_are_the_ones_that_we_name() {
    let (service, method, topic) = ("IOInfo", "GetSIPTrunkAuthentication", "");
    let client = "CLI_capture00000";
    let expected = [
        Channel::Request {
            service,
            method,
            topic,
        },
        Channel::Claim { service, client },
        Channel::ClaimGrant {
            service,
            method,
            topic,
        },
        Channel::Response { service, client },
    ];
    let recorded: Vec<_> = samples()
        .into_iter()
        .take(4)
        .map(|(channel, _)| channel)
        .collect();
    assert_eq!(recorded, expected.map(|channel| channel.name()));
}

#[test]
fn the_recorded_answers_are_understood() {
    let [trunk, accepted, no_rule, malformed] = responses().try_into().expect("four responses");
    let trunk = TrunkAuthentication::decode(trunk.raw_response.as_slice()).expect("readable");
    assert_eq!((trunk.username.as_str(), trunk.password.as_str()), ("u", "p"));
    assert!(trunk.sip_trunk_id.starts_with("ST_"));

    let accepted = Dispatch::decode(accepted.raw_response.as_slice()).expect("readable");
    assert_eq!(accepted.result(), DispatchResult::Accept);
    assert_eq!(
        (
            accepted.room_name.as_str(),
            accepted.participant_metadata.as_str()
        ),
        ("direct-room", "mm")
    );
    assert_eq!(
        accepted.participant_attributes.get("biz").map(String::as_str),
        Some("x")
    );
    assert_eq!(accepted.sip_trunk_id, trunk.sip_trunk_id);
    assert!(
        accepted
            .room_config
            .is_some_and(|config| config.windows(2).any(|bytes| bytes == b"rm"))
    );

    let no_rule = Dispatch::decode(no_rule.raw_response.as_slice()).expect("readable");
    assert_eq!(no_rule.result(), DispatchResult::Drop);

    assert_eq!(Code::parse(&malformed.code), Some(Code::MalformedRequest));
}

#[test]
fn the_recorded_requests_read_as_ours() {
    let requests: Vec<_> = samples()
        .into_iter()
        .filter_map(|(_, payload)| match Frame::parse(&payload) {
            Ok(Some(Frame::Request(request))) => Some(request.raw_request),
            _ => None,
        })
        .collect();
    let trunk = TrunkAuthenticationRequest::decode(requests[0].as_slice()).expect("readable");
    assert_eq!(trunk.encode_to_vec(), requests[0]);
    let dispatch = DispatchRequest::decode(requests[1].as_slice()).expect("readable");
    assert_eq!(dispatch.encode_to_vec(), requests[1]);
    assert!(TrunkAuthenticationRequest::decode(requests[3].as_slice()).is_err());
}

#[test]
fn no_number_and_no_password_is_shown_by_debug() {
    let (_, payload) = &samples()[4];
    let Ok(Some(Frame::Request(request))) = Frame::parse(payload) else {
        panic!("a request")
    };
    let dispatch = DispatchRequest::decode(request.raw_request.as_slice()).expect("readable");
    assert!(!format!("{dispatch:?}").contains("555"));
    let trunk = TrunkAuthentication {
        username: "canary-u".into(),
        password: "canary-p".into(),
        ..Default::default()
    };
    assert!(!format!("{trunk:?}").contains("canary"));
}

#[test]
fn broken_bytes_are_an_error_and_foreign_types_are_passed_over() {
    for (_, payload) in samples() {
        for cut in 1..payload.len() {
            let _ = Frame::parse(&payload[..cut]);
        }
    }
    assert!(Frame::parse(&[0xff; 8]).is_err());
    let foreign = Msg {
        type_url: "type.googleapis.com/internal.Stream".into(),
        ..Msg::default()
    };
    assert_eq!(Frame::parse(&foreign.encode_to_vec()), Ok(None));
}

#[test]
fn a_duration_that_is_not_set_is_none() {
    let duration = |seconds, nanos| ProtoDuration { seconds, nanos }.to_std();
    assert_eq!(duration(0, 0), None);
    assert_eq!(duration(-1, 0), None);
    assert_eq!(duration(90, 5), Some(std::time::Duration::new(90, 5)));
}
