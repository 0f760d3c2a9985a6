//! Two peer connections of this crate talk over the sockets of this host.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use libwebrtc::{
    audio_source::native::NativeAudioSource, audio_stream::native::NativeAudioStream,
    peer_connection_factory::native::PeerConnectionFactoryExt as _, prelude::*,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_stream::StreamExt as _;

/// Far above what it takes; a loaded machine is slow.
const LIMIT: Duration = Duration::from_secs(20);

struct Side {
    pc: PeerConnection,
    states: mpsc::Receiver<PeerConnectionState>,
    tracks: mpsc::Receiver<TrackEventParts>,
    channels: mpsc::Receiver<DataChannel>,
    candidates: Arc<Mutex<Vec<String>>>,
}

type TrackEventParts = (RtcAudioTrack, String);

impl Side {
    fn new() -> Self {
        let pc = PeerConnectionFactory
            .create_peer_connection(RtcConfiguration::default())
            .unwrap();
        let (state, states) = mpsc::channel(64);
        let (track, tracks) = mpsc::channel(64);
        let (channel, channels) = mpsc::channel(64);
        let candidates = Arc::new(Mutex::new(Vec::new()));
        pc.on_connection_state_change(Some(Box::new(move |next| state.try_send(next).unwrap())));
        pc.on_data_channel(Some(Box::new(move |opened| channel.try_send(opened).unwrap())));
        pc.on_track(Some(Box::new(move |event| {
            if let MediaStreamTrack::Audio(audio) = event.track {
                track.try_send((audio, event.streams[0].id())).unwrap();
            }
        })));
        let found = candidates.clone();
        pc.on_ice_candidate(Some(Box::new(move |candidate| {
            found.lock().unwrap().push(candidate.candidate());
        })));
        Self {
            pc,
            states,
            tracks,
            channels,
            candidates,
        }
    }

    async fn reaches(&mut self, wanted: PeerConnectionState) {
        let reached = async { while self.states.recv().await.expect("the connection lives") != wanted {} };
        timeout(LIMIT, reached)
            .await
            .unwrap_or_else(|_| panic!("not {wanted:?}"));
    }

    async fn takes_candidates_of(&self, other: &Side) {
        let candidates: Vec<String> = other.candidates.lock().unwrap().drain(..).collect();
        for candidate in candidates {
            let candidate = IceCandidate::parse("0", 0, &candidate).unwrap();
            self.pc.add_ice_candidate(candidate).await.unwrap();
        }
    }
}

/// One round of offer and answer, as the SDK does it: the offer travels as text.
async fn negotiate(offerer: &Side, answerer: &Side, options: OfferOptions) {
    let travelled = |description: &SessionDescription| {
        SessionDescription::parse(&description.to_string(), description.sdp_type()).unwrap()
    };
    let offer = offerer.pc.create_offer(options).await.unwrap();
    offerer.pc.set_local_description(offer.clone()).await.unwrap();
    answerer
        .pc
        .set_remote_description(travelled(&offer))
        .await
        .unwrap();
    let answer = answerer.pc.create_answer(AnswerOptions::default()).await.unwrap();
    answerer.pc.set_local_description(answer.clone()).await.unwrap();
    offerer
        .pc
        .set_remote_description(travelled(&answer))
        .await
        .unwrap();
    offerer.takes_candidates_of(answerer).await;
    answerer.takes_candidates_of(offerer).await;
}

fn publish(side: &Side, sample_rate: u32) -> (NativeAudioSource, RtpTransceiver) {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), sample_rate, 1, 40);
    let track = PeerConnectionFactory.create_audio_track("mic", source.clone());
    let init = RtpTransceiverInit {
        direction: RtpTransceiverDirection::SendOnly,
        stream_ids: vec!["PA_1".into()],
        send_encodings: Vec::new(),
    };
    (source, side.pc.add_transceiver(track.into(), init).unwrap())
}

async fn connected() -> (Side, Side, DataChannel) {
    let (mut a, mut b) = (Side::new(), Side::new());
    let channel =
        a.pc.create_data_channel("data", DataChannelInit::default())
            .unwrap();
    negotiate(&a, &b, OfferOptions::default()).await;
    a.reaches(PeerConnectionState::Connected).await;
    b.reaches(PeerConnectionState::Connected).await;
    (a, b, channel)
}

fn tone(sample_rate: u32, frame: u32) -> AudioFrame<'static> {
    let samples = sample_rate / 50;
    let data: Vec<i16> = (frame * samples..(frame + 1) * samples)
        .map(|index| {
            let at = f64::from(index) / f64::from(sample_rate);
            ((at * 440.0 * std::f64::consts::TAU).sin() * 10_000.0) as i16
        })
        .collect();
    AudioFrame {
        data: data.into(),
        sample_rate,
        num_channels: 1,
        samples_per_channel: samples,
    }
}

fn loud(frame: &AudioFrame<'_>) -> bool {
    frame.data.iter().any(|sample| sample.unsigned_abs() > 4_000)
}

#[tokio::test]
async fn messages_pass_both_ways_in_their_order() {
    let (_a, mut b, sending) = connected().await;
    let answering = timeout(LIMIT, b.channels.recv()).await.unwrap().unwrap();
    assert_eq!(answering.label(), "data");
    let (heard, mut messages) = mpsc::channel(1_000);
    sending.on_message(Some(Box::new(move |message| {
        heard.try_send(message.data.to_vec()).unwrap();
    })));
    let echo = answering.clone();
    answering.on_message(Some(Box::new(move |message| {
        echo.send(message.data, message.binary).unwrap();
    })));
    let opened = async {
        while sending.state() != DataChannelState::Open {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, opened).await.unwrap();
    for number in 0..200_u32 {
        let mut message = number.to_be_bytes().to_vec();
        message.resize(15_000, 0);
        sending.send(&message, true).unwrap();
    }
    for number in 0..200_u32 {
        let message = timeout(LIMIT, messages.recv()).await.unwrap().unwrap();
        assert_eq!(message[..4], number.to_be_bytes());
        assert_eq!(message.len(), 15_000);
    }
    let drained = async {
        while sending.buffered_amount() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, drained).await.unwrap();
}

#[tokio::test]
async fn a_late_track_is_announced_and_heard_and_silence_follows() {
    let (a, mut b, _channel) = connected().await;
    let (source, transceiver) = publish(&a, 16_000);
    negotiate(&a, &b, OfferOptions::default()).await;
    let (track, stream) = timeout(LIMIT, b.tracks.recv()).await.unwrap().unwrap();
    assert_eq!(stream, "PA_1");
    assert_eq!(track.id(), "mic");
    let mut frames = NativeAudioStream::new(track, 16_000, 1);
    let capture = async {
        for frame in 0..50 {
            source.capture_frame(&tone(16_000, frame)).await.unwrap();
        }
    };
    let listen = async {
        let mut heard = 0;
        while heard < 60 {
            heard += u32::from(loud(&frames.next().await.expect("the stream goes on")));
        }
    };
    timeout(LIMIT, async { tokio::join!(capture, listen) })
        .await
        .unwrap();

    // Nothing is captured any more: the frames go on in real time, and they are silent in the end.
    let began = Instant::now();
    let mut last = None;
    for _ in 0..100 {
        last = timeout(LIMIT, frames.next()).await.unwrap();
    }
    assert!(began.elapsed() > Duration::from_millis(300), "about a second");
    assert!(!loud(&last.unwrap()));

    a.pc.remove_track(transceiver.sender()).unwrap();
    negotiate(&a, &b, OfferOptions::default()).await;
    assert!(b.pc.transceivers()[0].receiver().streams().is_empty());
}

#[tokio::test]
async fn an_ice_restart_leaves_connected_and_comes_back() {
    let (mut a, mut b, _channel) = connected().await;
    let restart = OfferOptions {
        ice_restart: true,
        ..Default::default()
    };
    negotiate(&a, &b, restart).await;
    a.reaches(PeerConnectionState::Connecting).await;
    a.reaches(PeerConnectionState::Connected).await;
    b.reaches(PeerConnectionState::Connected).await;
}

#[tokio::test]
async fn taking_a_track_back_is_offered_unless_the_connection_is_closed_at_once() {
    let (a, b, _channel) = connected().await;
    let (_source, transceiver) = publish(&a, 48_000);
    negotiate(&a, &b, OfferOptions::default()).await;
    a.pc.remove_track(transceiver.sender()).unwrap();
    negotiate(&a, &b, OfferOptions::default()).await;
    assert_eq!(
        transceiver.current_direction(),
        Some(RtpTransceiverDirection::Inactive)
    );

    let (_source, transceiver) = publish(&a, 48_000);
    negotiate(&a, &b, OfferOptions::default()).await;
    a.pc.remove_track(transceiver.sender()).unwrap();
    let (offer, ()) = tokio::join!(a.pc.create_offer(OfferOptions::default()), async { a.pc.close() });
    assert_eq!(offer.unwrap_err().error_type, RtcErrorType::InvalidState);
}

#[tokio::test(start_paused = true)]
async fn what_is_added_meanwhile_does_not_wait_behind_what_was_taken_back() {
    let side = Side::new();
    let (_source, transceiver) = publish(&side, 48_000);
    side.pc.remove_track(transceiver.sender()).unwrap();
    let began = Instant::now();
    let (offer, _published) = tokio::join!(side.pc.create_offer(OfferOptions::default()), async {
        publish(&side, 48_000)
    });
    assert_eq!(offer.unwrap().to_string().matches("m=audio").count(), 2);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn closing_is_told_to_the_peer_as_a_lost_connection() {
    let (a, mut b, channel) = connected().await;
    let (_source, transceiver) = publish(&a, 48_000);
    let sender = transceiver.sender();
    assert!(sender.track().is_some());
    a.pc.close();
    assert_eq!(a.pc.connection_state(), PeerConnectionState::Closed);
    assert_eq!(channel.state(), DataChannelState::Closed);
    assert!(sender.track().is_none(), "tracks and sources are let go");
    assert!(a.pc.create_offer(OfferOptions::default()).await.is_err());
    b.reaches(PeerConnectionState::Disconnected).await;
    assert_ne!(b.pc.connection_state(), PeerConnectionState::Failed);
}
