//! A driver that is told what it was never prepared for, and what the peer sees of its end.

use std::time::Duration;

use super::*;
use crate::{
    MediaType,
    audio_track::RtcAudioTrack,
    data_channel::DataChannelInit,
    engine::{audio::SourceQueue, ident, peer::fresh_credentials, track::Track, transport},
    media_stream_track::MediaStreamTrack,
    peer_connection::OfferOptions,
    rtp_transceiver::{RtpTransceiverDirection, RtpTransceiverInit},
};

fn config() -> Config {
    Config {
        credentials: fresh_credentials(),
        extensions: Vec::new(),
        opus_payload_types: vec![109],
        controlling: true,
    }
}

fn driver() -> Box<Driver> {
    let transport = Transport::new(transport::bind().unwrap()).unwrap();
    Driver::new(Weak::new(), Arc::default(), config(), transport).unwrap()
}

fn audio_track() -> MediaStreamTrack {
    let source = Arc::new(SourceQueue::new(16_000, 1, 20));
    MediaStreamTrack::Audio(RtcAudioTrack(Track::local("mic", Some(source))))
}

fn receive_plan(ssrc: Option<u32>) -> ReceivePlan {
    ReceivePlan {
        ssrc,
        track: audio_track(),
        seal: Arc::default(),
    }
}

fn negotiated(media: Vec<MediaPlan>) -> Negotiated {
    Negotiated {
        credentials: fresh_credentials(),
        fingerprint: identity().unwrap().fingerprint.clone(),
        dtls_active: true,
        controlling: true,
        sctp: false,
        candidates: Vec::new(),
        media,
        channels: Vec::new(),
    }
}

#[tokio::test]
async fn unknown_and_odd_mids_do_not_panic() {
    let mut driver = driver();
    for mid in [
        "",
        "7",
        "a mid that is much longer than any that str0m can hold",
        "ünïcode",
        "\u{0}",
    ] {
        let plan = MediaPlan {
            mid: mid.to_owned(),
            kind: MediaType::Audio,
            send: Some(SendPlan {
                ssrc: 1,
                payload_type: 111,
                track: audio_track(),
                seal: Arc::default(),
            }),
            receive: Some(receive_plan(Some(2))),
        };
        driver.execute(Command::Negotiated(Box::new(negotiated(vec![plan]))));
    }
    driver.execute(Command::StopSending { ssrc: 99 });
    for candidate in [
        "",
        "candidate:",
        "a=candidate:1 1 udp",
        "\u{0}",
        "1 1 tcp 1 127.0.0.1 1 typ host tcptype active",
    ] {
        driver.execute(Command::RemoteCandidate(candidate.to_owned()));
    }
    assert!(driver.drain().is_ok());
}

#[tokio::test]
async fn a_section_without_sctp_first_may_get_it_later() {
    let mut driver = driver();
    driver.execute(Command::Negotiated(Box::new(negotiated(Vec::new()))));
    for _ in 0..2 {
        let with_sctp = Negotiated {
            sctp: true,
            ..negotiated(Vec::new())
        };
        driver.execute(Command::Negotiated(Box::new(with_sctp)));
    }
    assert!(driver.drain().is_ok());
}

#[tokio::test]
async fn a_section_reused_for_another_stream_follows_it() {
    let mut driver = driver();
    let track = audio_track();
    for ssrc in [Some(10), Some(10), Some(11), None, Some(12)] {
        let plan = MediaPlan {
            mid: "0".into(),
            kind: MediaType::Audio,
            send: None,
            receive: Some(ReceivePlan {
                track: track.clone(),
                ..receive_plan(ssrc)
            }),
        };
        driver.execute(Command::Negotiated(Box::new(negotiated(vec![plan]))));
        assert_eq!(driver.receivers.len(), 1);
        if let Some(ssrc) = ssrc {
            assert_eq!(driver.receivers[0].ssrc, Some(ssrc.into()));
        }
    }
    let ended = MediaPlan {
        mid: "0".into(),
        kind: MediaType::Audio,
        send: None,
        receive: None,
    };
    driver.execute(Command::Negotiated(Box::new(negotiated(vec![ended]))));
    assert!(driver.receivers.is_empty());
}

#[tokio::test]
async fn the_peers_payload_type_is_used() {
    let mut driver = driver();
    for payload_type in [111, 109] {
        let plan = MediaPlan {
            mid: "0".into(),
            kind: MediaType::Audio,
            send: Some(SendPlan {
                ssrc: 5,
                payload_type,
                track: audio_track(),
                seal: Arc::default(),
            }),
            receive: None,
        };
        driver.execute(Command::Negotiated(Box::new(negotiated(vec![plan]))));
        assert_eq!(driver.senders.len(), 1);
        assert_eq!(driver.senders[0].payload_type, payload_type);
    }
}

/// Waits, bounded, for what engine threads do in real time.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(tokio::time::Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn started_peer() -> Arc<Peer> {
    let peer = Peer::new().unwrap();
    peer.create_data_channel(&ident::token(4), DataChannelInit::default())
        .unwrap();
    let offer = peer.create_offer(&OfferOptions::default()).unwrap();
    peer.set_local_description(offer).unwrap();
    assert_eq!(peer.connection_state(), PeerConnectionState::Connecting);
    peer
}

#[tokio::test]
async fn a_driver_that_panics_fails_the_connection() {
    let peer = started_peer();
    peer.command(Command::Panic).unwrap();
    eventually("the connection is Failed", || {
        peer.connection_state() == PeerConnectionState::Failed
    })
    .await;
    assert!(peer.command(Command::StopSending { ssrc: 1 }).is_err());
    peer.close();
    assert_eq!(peer.connection_state(), PeerConnectionState::Closed);
}

#[tokio::test]
async fn closing_releases_the_socket_before_it_returns() {
    let peer = started_peer();
    let address = peer.state.lock().address.unwrap();
    assert!(
        std::net::UdpSocket::bind(address).is_err(),
        "the socket is in use"
    );
    peer.close();
    std::net::UdpSocket::bind(address).unwrap();
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_driver() {
    let peer = started_peer();
    let address = peer.state.lock().address.unwrap();
    drop(peer);
    eventually("the socket is released", || {
        std::net::UdpSocket::bind(address).is_ok()
    })
    .await;
}

#[tokio::test]
async fn nothing_outlives_a_closed_connection() {
    let peer = Peer::new().unwrap();
    let channel = peer.create_data_channel("c", DataChannelInit::default()).unwrap();
    let MediaStreamTrack::Audio(track) = audio_track() else {
        panic!("an audio track")
    };
    let init = RtpTransceiverInit {
        direction: RtpTransceiverDirection::SendRecv,
        stream_ids: Vec::new(),
        send_encodings: Vec::new(),
    };
    let transceiver = peer
        .add_transceiver(MediaType::Audio, Some(track.clone().into()), init)
        .unwrap();
    let offer = peer.create_offer(&OfferOptions::default()).unwrap();
    peer.set_local_description(offer).unwrap();
    let remote = Peer::new().unwrap();
    remote
        .set_remote_description(peer.state.lock().pending_local.clone().unwrap())
        .unwrap();
    let answer = remote.create_answer().unwrap();
    remote.set_local_description(answer.clone()).unwrap();
    peer.set_remote_description(answer).unwrap();

    peer.close();
    remote.close();
    let source = Arc::downgrade(track.0.source.as_ref().unwrap());
    let left = (
        Arc::downgrade(&peer),
        Arc::downgrade(&remote),
        Arc::downgrade(&peer.signals),
        Arc::downgrade(&channel),
        Arc::downgrade(&transceiver),
        Arc::downgrade(&track.0),
    );
    drop((peer, remote, channel, transceiver, track));
    // The task that ran the driver lets go of the signals a moment after it has told of the end.
    eventually("the signals are let go", || left.2.strong_count() == 0).await;
    assert_eq!(left.0.strong_count() + left.1.strong_count(), 0, "peers");
    assert_eq!(left.3.strong_count(), 0, "channel");
    assert_eq!(left.4.strong_count(), 0, "transceiver");
    assert_eq!(left.5.strong_count(), 0, "track");
    assert_eq!(source.strong_count(), 0, "source");
}
