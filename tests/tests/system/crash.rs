//! The process is killed in the middle of a call and started again.

use std::time::Duration;

use audio::Codec;
use dev::Program;
use tokio::time::{Instant, sleep};

use crate::{
    conversation::turns,
    harness::{Options, System, children, read_json, shared_turn},
    phone::{self, PAUSE, SOON, answered},
    trouble::ask_until_answered,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_call_leaves_its_recording_and_is_closed_as_interrupted_by_the_next_process() {
    let _turn = shared_turn().await;
    let mut system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let answered_at = Instant::now();
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    sleep(Duration::from_secs(10).saturating_sub(answered_at.elapsed())).await;
    let lived = answered_at.elapsed();

    system.kill_serve().await;
    let heard_before = call.received().samples.len();
    system.restart_serve().await;
    let (folder, record) = system.new_record(&before, Duration::from_mins(1)).await;
    assert_eq!(record["outcome"]["kind"], "interrupted", "{record}");
    // The phone is gone for the new process: nothing was said into the void, and nothing came to the phone.
    assert!(
        call.received().samples.len() - heard_before < 16_000,
        "media went on after the kill"
    );
    let greetings = count(&record, "greeting_started");
    assert_eq!(greetings, 1, "{record}");

    let file = std::fs::File::open(folder.join("recording.ogg")).unwrap();
    let recording = audio::ogg::read(file, 16_000).unwrap();
    let seconds = recording.left.len() as f64 / 16_000.0;
    measured!("killed after {lived:?}: {seconds:.2} s of recording are playable");
    assert!(seconds >= 8.0, "{seconds} s of recording are left");

    // Nothing is torn: every object of the call is whole, and nothing waits in the queue.
    for path in children(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
    {
        assert!(read_json(&path).is_some(), "{} is torn", path.display());
    }
    for path in children(&folder.join("events")) {
        assert!(read_json(&path).is_some(), "{} is torn", path.display());
    }
    let until = Instant::now() + SOON;
    while system.jobs().await > 0 {
        assert!(Instant::now() < until, "the job is still in the queue");
        sleep(Duration::from_millis(200)).await;
    }
    call.finish().await;

    // The process that found the ruins takes the next call as if nothing had been.
    let before = system.calls();
    let next = answered(&system, Codec::G722).await;
    next.ear_from_start()
        .wait_for_utterance(PAUSE, SOON * 2)
        .await
        .unwrap();
    next.hang_up().await;
    next.wait_ended(SOON).await.unwrap();
    let (_, record) = system.new_record(&before, SOON).await;
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_livekit_server_dies_and_comes_back_goes_on() {
    let _turn = shared_turn().await;
    let mut system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    call.ear_from_start()
        .wait_for_utterance(PAUSE, SOON * 2)
        .await
        .unwrap();
    system.stack.kill(Program::LiveKit).await.unwrap();
    system.stack.restart(Program::LiveKit).await.unwrap();
    // Redis has kept the room: phone and agent come back to it, and the conversation goes on.
    ask_until_answered(&call, SOON * 3).await;
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (_, record) = system.new_record(&before, SOON).await;
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    let said = turns(&record);
    assert_eq!(said[0], ("agent", phone::GREETING, false), "{record}");
    assert_eq!(said.last().unwrap().1, phone::ANSWER, "{record}");
    assert_eq!(system.calls().difference(&before).count(), 1);

    let before = system.calls();
    let next = answered(&system, Codec::G722).await;
    next.ear_from_start().wait_for_speech(SOON).await.unwrap();
    next.hang_up().await;
    next.wait_ended(SOON).await.unwrap();
    let (_, record) = system.new_record(&before, SOON).await;
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    system.stop().await;
}

fn count(record: &serde_json::Value, step: &str) -> usize {
    record["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["step"] == step)
        .count()
}
