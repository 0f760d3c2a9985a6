//! Workers that die, hang or are told to end, while the phone is up.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use audio::Codec;
use caller::{Call, Ear};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    harness::{Options, System, read_json, shared_turn},
    phone::{self, PAUSE, SOON, answered, voice},
};

const BRIDGE: &str = "Sorry, I was cut off for a moment. I am back now. Could you say that again?";
/// The answer to who asks the same again: it takes an agent that knows of the first time.
const ANSWER_AGAIN: &str = "As I said, you can park behind the house. It is free.";
/// From the worker's death to its heir's claim: what a caller is asked to bear.
pub(crate) const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(10);
/// A zombie's next heartbeat, and a second.
const SILENT_WITHIN: Duration = Duration::from_secs(4);
/// How many workers are killed in turn; `TRUNKLINE_TAKEOVERS` says otherwise.
const KILLS: usize = 2;

#[expect(clippy::disallowed_methods, reason = "a test's own switch, no configuration")]
fn kills() -> usize {
    std::env::var("TRUNKLINE_TAKEOVERS").map_or(KILLS, |count| count.parse().expect("a number"))
}

/// Gateway, functions and two workers, each in a process of its own.
async fn system() -> System {
    let mut system = System::start(Options {
        apart: true,
        ..Options::default()
    })
    .await;
    system.spawn("worker");
    wait_for_workers(&system, 2).await;
    system
}

async fn wait_for_workers(system: &System, count: usize) {
    let until = Instant::now() + SOON;
    let waiting = || {
        let lines = system.log_lines();
        lines
            .iter()
            .filter(|line| line["message"] == "waiting for calls")
            .count()
    };
    while waiting() < count {
        assert!(
            Instant::now() < until,
            "the workers are not ready; log: {}",
            system.log.display()
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// The only call in the store that is not in `before`.
fn folder(system: &System, before: &std::collections::BTreeSet<PathBuf>) -> PathBuf {
    system.calls().difference(before).next().expect("a call").clone()
}

fn claim(call: &Path) -> Value {
    read_json(&call.join("claim.json")).expect("a claim")
}

/// The process of the worker that holds the call; a worker's name begins with it.
fn holder(call: &Path) -> Pid {
    let claim = claim(call);
    let name = claim["worker"].as_str().unwrap();
    Pid::from_raw(name.split('-').nth(1).unwrap().parse().unwrap())
}

/// Waits for the claim of generation `generation`.
async fn taken_over(call: &Path, generation: u64) {
    let until = Instant::now() + TAKEN_OVER_WITHIN + SOON;
    while claim(call)["generation"] != generation {
        assert!(Instant::now() < until, "nobody took the call: {}", claim(call));
        sleep(Duration::from_millis(10)).await;
    }
}

async fn next_utterance(ear: &mut Ear<'_>) {
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
}

async fn say(call: &Call, ear: &mut Ear<'_>, text: &str) {
    call.speak(&voice(text)).await.unwrap();
    next_utterance(ear).await;
}

fn said<'a>(record: &'a Value, speaker: &str) -> Vec<&'a str> {
    let turns = record["turns"].as_array().unwrap().iter();
    turns
        .filter(|turn| turn["speaker"] == speaker)
        .map(|turn| turn["text"].as_str().unwrap())
        .collect()
}

/// Waits until the store knows of `turns` turns, so that the worker may die.
async fn checkpointed(call: &Path, turns: usize) {
    let until = Instant::now() + SOON;
    let known = || {
        let agent = read_json(&call.join("agent.json"))?;
        Some(agent["turns"].as_array()?.len())
    };
    while known() < Some(turns) {
        assert!(Instant::now() < until, "{:?} of {turns} turns", known());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Hears the greeting, asks, hears the answer, and waits until the store has all three turns; the call's folder.
async fn asked_once(
    system: &System,
    before: &std::collections::BTreeSet<PathBuf>,
    call: &Call,
    ear: &mut Ear<'_>,
) -> PathBuf {
    next_utterance(ear).await;
    say(call, ear, phone::OTHER_QUESTION).await;
    let folder = folder(system, before);
    checkpointed(&folder, 3).await;
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_worker_is_killed_goes_on_in_another_with_its_history() {
    let _turn = shared_turn().await;
    let mut system = system().await;
    for run in 1..=kills() {
        let before = system.calls();
        let call = answered(&system, Codec::G722).await;
        let mut ear = call.ear_from_start();
        let folder = asked_once(&system, &before, &call, &mut ear).await;

        let victim = holder(&folder);
        kill(victim, Signal::SIGKILL).unwrap();
        let killed_at = Instant::now();
        taken_over(&folder, 2).await;
        let taken_after = killed_at.elapsed();
        ear.wait_for_speech(SOON).await.unwrap();
        let heard_after = killed_at.elapsed();
        measured!("run {run}: taken over after {taken_after:?}, the bridge was heard after {heard_after:?}");
        assert!(taken_after <= TAKEN_OVER_WITHIN, "{taken_after:?}");
        ear.wait_for_silence(PAUSE, SOON).await.unwrap();
        say(&call, &mut ear, phone::OTHER_QUESTION).await;

        assert!(call.report().ended().is_none(), "the phone was hung up");
        call.hang_up().await;
        call.wait_ended(SOON).await.unwrap();
        let (_, record) = system.new_record(&before, SOON).await;
        assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
        assert_eq!(
            said(&record, "caller"),
            [phone::OTHER_QUESTION, phone::OTHER_QUESTION],
            "{record}"
        );
        let agent = said(&record, "agent");
        assert_eq!(agent.first().copied(), Some(phone::GREETING));
        assert_eq!(agent[agent.len() - 2..], [BRIDGE, ANSWER_AGAIN], "{record}");

        system
            .others
            .retain(|other| other.id() != u32::try_from(victim.as_raw()).ok());
        system.spawn("worker");
        wait_for_workers(&system, 2 + run).await;
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_stopped_in_mid_sentence_and_goes_on_is_silent_and_writes_nothing() {
    let _turn = shared_turn().await;
    let system = system().await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    let folder = asked_once(&system, &before, &call, &mut ear).await;

    let zombie = holder(&folder);
    call.speak(&voice(phone::OTHER_QUESTION)).await.unwrap();
    ear.wait_for_speech(SOON).await.unwrap();
    kill(zombie, Signal::SIGSTOP).unwrap();
    let stopped_at = Instant::now();
    // What was on its way when it was stopped; then the bridge.
    ear.wait_for_silence(PAUSE, SOON).await.unwrap();
    taken_over(&folder, 2).await;
    next_utterance(&mut ear).await;
    sleep(Duration::from_secs(15).saturating_sub(stopped_at.elapsed())).await;
    let of_the_heir = (claim(&folder)["worker"].clone(), agent_of(&folder));
    let mut awake = call.ear();
    kill(zombie, Signal::SIGCONT).unwrap();
    let woken_at = Instant::now();
    // It has most of its sentence left.
    let spoke = awake.wait_for_speech(SILENT_WITHIN).await.is_ok();
    measured!("the zombie spoke after it woke: {spoke}");
    sleep(SILENT_WITHIN.saturating_sub(woken_at.elapsed())).await;
    let unasked = call.ear().wait_for_speech(Duration::from_secs(3)).await;
    assert!(
        unasked.is_err(),
        "the zombie, or its heir, spoke unasked: {unasked:?}"
    );
    let fenced = system.log_lines().iter().any(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("silent from here on"))
    });
    assert!(
        fenced,
        "the zombie does not know {:?} after it woke",
        woken_at.elapsed()
    );
    assert_eq!((claim(&folder)["worker"].clone(), agent_of(&folder)), of_the_heir);

    let mut ear = call.ear();
    say(&call, &mut ear, phone::OTHER_QUESTION).await;
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (_, record) = system.new_record(&before, SOON).await;
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    // Whether what was said just before the end has come into the history depends on the moment; what was asked before and after has.
    let asked = said(&record, "caller");
    assert!(
        (2..=3).contains(&asked.len()) && asked.iter().all(|text| *text == phone::OTHER_QUESTION),
        "{record}"
    );
    system.stop().await;
}

fn agent_of(call: &Path) -> Value {
    read_json(&call.join("agent.json")).expect("progress")["worker"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_end_ends_its_call_in_its_own_time_and_leaves_the_next_to_another() {
    let _turn = shared_turn().await;
    let mut system = System::start(Options {
        apart: true,
        slots: 1,
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    next_utterance(&mut ear).await;
    let first = folder(&system, &before);
    let first_worker = holder(&first);

    // Its only slot is taken: this job waits, and the phone rings.
    let all = system.calls();
    let second = caller::Caller::new(phone::config(&system, Codec::G722))
        .place()
        .await
        .unwrap();
    system.wait_for_new_call(&all).await;
    kill(first_worker, Signal::SIGTERM).unwrap();
    system.spawn("worker");
    second.wait_answered(SOON).await.unwrap();
    let second_folder = folder(&system, &all);
    assert_ne!(holder(&second_folder), first_worker);

    // The call that was there goes on as if nothing had been.
    say(&call, &mut ear, phone::QUESTION).await;
    call.hang_up().await;
    second.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let at = system
        .others
        .iter()
        .position(|other| other.id() == u32::try_from(first_worker.as_raw()).ok());
    let mut ended = system.others.remove(at.unwrap());
    let status = timeout(SOON, ended.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    let record = read_json(&first.join("record.json")).expect("written before the worker ended");
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    assert_eq!(said(&record, "caller"), [phone::QUESTION]);
    system.stop().await;
}
