//! Webhooks are lost for good, and the process dies with its queue's memory of a call: the next start repairs what is left.

use std::{path::Path, time::Duration};

use audio::Codec;
use caller::Caller;
use livekit::{
    options::TrackPublishOptions,
    participant::ParticipantKind,
    prelude::{LocalAudioTrack, LocalTrack, Room, RoomEvent, RoomOptions},
    webrtc::audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
};
use livekit_api::access_token::{AccessToken, VideoGrants};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    harness::{Options, System, children, read_json, shared_turn},
    phone::{PAUSE, SOON, answered, config},
};

/// What the sweep says of the only call that it repaired. It says so after the last effect: what they left is seen before.
async fn repaired(system: &System) -> Value {
    let until = Instant::now() + SOON;
    loop {
        let lines = system.log_lines();
        let mut found = lines.into_iter().filter(|line| line["sweep"].is_string());
        if let Some(line) = found.next() {
            assert_eq!(found.next(), None);
            return line;
        }
        assert!(
            Instant::now() < until,
            "the sweep repairs no call; log: {}",
            system.log.display()
        );
        sleep(Duration::from_millis(20)).await;
    }
}

async fn end_room(system: &System) {
    let api = system.rooms();
    let rooms = Box::pin(api.list_rooms(Vec::new())).await.unwrap();
    Box::pin(api.delete_room(&rooms[0].name)).await.unwrap();
}

/// An event is kept when all that it brings about is done.
async fn wait_for_events(call: &Path, count: usize) {
    let until = Instant::now() + SOON;
    while children(&call.join("events")).len() < count {
        assert!(
            Instant::now() < until,
            "{} has not {count} events",
            call.display()
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// Joins as a browser would, with a microphone.
pub(crate) async fn browser(system: &System, name: &str) -> (Room, mpsc::UnboundedReceiver<RoomEvent>) {
    let keys = system.stack.keys();
    let token = AccessToken::with_api_key(keys.api_key(), keys.api_secret())
        .with_identity("browser")
        .with_grants(VideoGrants {
            room_join: true,
            room: name.to_owned(),
            ..Default::default()
        })
        .to_jwt()
        .unwrap();
    let url = system.stack.ws_url();
    let connect = Room::connect(&url, &token, RoomOptions::default());
    let (room, events) = Box::pin(connect).await.unwrap();
    // livekit-server tells of participants without a track only every three seconds.
    let source = NativeAudioSource::new(AudioSourceOptions::default(), 48_000, 1, 100);
    let track = LocalAudioTrack::create_audio_track("microphone", RtcAudioSource::Native(source));
    let me = room.local_participant();
    let publish = me.publish_track(LocalTrack::Audio(track), TrackPublishOptions::default());
    Box::pin(publish).await.unwrap();
    (room, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_worker_died_and_whose_job_is_gone_is_closed_soon_after_the_next_start() {
    let _turn = shared_turn().await;
    let mut system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    assert_eq!(system.open_calls().len(), 1);

    system.kill_serve().await;
    Box::pin(end_room(&system)).await;
    system.lose_job().await;
    system.restart_serve_unheard().await;
    let (folder, record) = system.new_record(&before, Duration::from_secs(10)).await;
    assert_eq!(record["outcome"]["kind"], "interrupted", "{record}");
    assert!(record["answered_at"].is_string(), "{record}");
    assert_eq!(record["turns"][0]["speaker"], "agent", "{record}");
    assert!(folder.join("transcript.json").exists());
    let file = std::fs::File::open(folder.join("recording.ogg")).unwrap();
    let played = audio::ogg::read(file, 16_000).unwrap().left.len() / 16;
    assert_eq!(record["recording"]["duration_ms"], played, "{record}");

    let line = repaired(&system).await;
    assert_eq!(
        (&line["level"], &line["sweep"]),
        (&"WARN".into(), &"orphaned".into())
    );
    assert_eq!(line["call_id"], record["call"]);
    assert!(system.open_calls().is_empty());
    assert_eq!(read_json(&folder.join("claim.json")).unwrap()["closed"], true);
    call.finish().await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_end_nobody_heard_of_is_closed_soon_after_the_next_start() {
    let _turn = shared_turn().await;
    let mut system = System::start(Options {
        agents: "[{profile: reception, numbers: [\"+15559999999\"]}]",
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = Caller::new(config(&system, Codec::G722)).place().await.unwrap();
    system.wait_for_new_call(&before).await;
    let folder = system.calls().difference(&before).next().unwrap().clone();
    wait_for_events(&folder, 2).await;

    system.kill_serve().await;
    Box::pin(end_room(&system)).await;
    system.restart_serve_unheard().await;
    let (_, record) = system.new_record(&before, Duration::from_secs(10)).await;
    assert_eq!(record["outcome"]["kind"], "no_match", "{record}");
    assert_eq!(record["outcome"]["reason"], "number_not_listed", "{record}");
    assert!(
        record["trunk"].is_string() && record["caller"]["phone"].is_string(),
        "{record}"
    );
    assert_eq!(repaired(&system).await["sweep"], "unclosed");
    assert!(system.open_calls().is_empty());
    call.finish().await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_no_webhook_told_of_gets_an_agent_soon_after_the_next_start() {
    let _turn = shared_turn().await;
    let mut system = System::start(Options {
        agents: "[{profile: reception}]",
        webhooks: false,
        ..Options::default()
    })
    .await;
    let before = system.calls();
    system.kill_serve().await;
    let (room, mut events) = browser(&system, "web-1").await;
    system.restart_serve().await;
    let agent_is_heard = async {
        loop {
            let event = events.recv().await.expect("the room goes on");
            if let RoomEvent::TrackSubscribed { participant, .. } = event {
                return participant.kind();
            }
        }
    };
    let kind = timeout(Duration::from_secs(10), agent_is_heard)
        .await
        .unwrap_or_else(|_| panic!("no agent; log: {}", system.log.display()));
    assert_eq!(kind, ParticipantKind::Agent);
    let line = repaired(&system).await;
    assert_eq!(
        (&line["sweep"], &line["outcome"]),
        (&"webhook_lost".into(), &"job_enqueued".into())
    );

    room.close().await.unwrap();
    let (_, record) = system.new_record(&before, SOON).await;
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    let until = Instant::now() + SOON;
    while !system.open_calls().is_empty() {
        assert!(Instant::now() < until, "the worker leaves its marker");
        sleep(Duration::from_millis(20)).await;
    }
    system.stop().await;
}
