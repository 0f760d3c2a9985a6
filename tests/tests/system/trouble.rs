//! What the program leans on is away for a while, slow, or of another opinion about the time. No call is lost for it, and the log says
//! what it was.

use std::{process::Stdio, time::Duration};

use audio::Codec;
use caller::{Call, Caller};
use platform::queue::Queue as _;
use serde_json::Value;
use tokio::{
    process::Command,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    conversation::turns,
    harness::{Options, System, shared_turn},
    phone::{self, PAUSE, SOON, answered, voice},
    wire::Weather,
};

/// How long something is away.
const AWAY: Duration = Duration::from_secs(10);

async fn greeted(call: &Call) {
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
}

/// Hangs up; the record says that all was well.
async fn ends_well(
    system: &System,
    call: &Call,
    before: &std::collections::BTreeSet<std::path::PathBuf>,
) -> Value {
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (_, record) = system.new_record(before, SOON * 3).await;
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    record
}

/// What Redis knows outlives it.
async fn save_redis(system: &System) {
    let url = system.stack.redis_url();
    let (_, port) = url.rsplit_once(':').unwrap();
    let saved = Command::new("redis-cli")
        .args(["-p", port, "save"])
        .env("REDISCLI_AUTH", system.stack.keys().redis_password())
        .output();
    assert_eq!(saved.await.unwrap().stdout, b"OK\n");
}

/// Asks again and again until the agent says something, and then once more.
pub(crate) async fn ask_until_answered(call: &Call, limit: Duration) {
    let mut ear = call.ear();
    let until = Instant::now() + limit;
    loop {
        call.speak(&voice(phone::QUESTION)).await.unwrap();
        if ear.wait_for_utterance(PAUSE, SOON).await.is_ok() {
            break;
        }
        assert!(Instant::now() < until, "nobody answers any more");
    }
    // Of the first one that was heard a part may have been lost, and what the agent says of it is cut off: the answer comes after this one.
    call.speak(&voice(phone::QUESTION)).await.unwrap();
    let mut ear = call.ear();
    ear.wait_for_utterance(PAUSE, SOON).await.unwrap();
}

fn logged(system: &System, words: &str) -> bool {
    let says = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains(words));
    system.log_lines().iter().any(says)
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_90_seconds_lose_no_call() {
    let _turn = shared_turn().await;
    for clock_ahead_s in [90, -90] {
        let system = System::start(Options {
            clock_ahead_s,
            ..Options::default()
        })
        .await;
        let before = system.calls();
        let call = answered(&system, Codec::G722).await;
        greeted(&call).await;
        ends_well(&system, &call, &before).await;
        let told = logged(&system, "livekit-server's clock is ahead");
        assert_eq!(told, clock_ahead_s < 0, "{clock_ahead_s} s");
        system.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_for_ten_seconds_costs_a_call_no_more_than_a_pause() {
    let _turn = shared_turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    greeted(&call).await;

    let (store, elsewhere) = (system.store(), system.dir.path().join("elsewhere"));
    std::fs::rename(&store, &elsewhere).unwrap();
    // Where the folder was is a file now, so that nothing can be made there.
    std::fs::write(&store, "").unwrap();
    sleep(AWAY).await;
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&elsewhere, &store).unwrap();

    // The claim has expired meanwhile, or has not: in both cases somebody goes on listening, soon.
    ask_until_answered(&call, SOON * 2).await;
    let record = ends_well(&system, &call, &before).await;
    assert!(record["turns"].as_array().unwrap().len() > 1, "{record}");
    assert!(
        logged(&system, "the claim was not renewed"),
        "log: {}",
        system.log.display()
    );
    system.stop().await;
}

/// A worker asks the queue anew every 10 s, and is refused after 5 s: so long that both fall into it.
const LOCKED: Duration = Duration::from_secs(16);

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_locked_when_the_phone_rings_delays_the_answer_and_loses_no_call() {
    let _turn = shared_turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    let script = "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                  c.execute('BEGIN EXCLUSIVE')\nprint('locked', flush=True)\ntime.sleep(float(sys.argv[2]))";
    let mut holder = Command::new("python3")
        .args(["-c", script])
        .arg(system.dir.path().join("queue.sqlite"))
        .arg(LOCKED.as_secs().to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut locked = [0; 6];
    tokio::io::AsyncReadExt::read_exact(holder.stdout.as_mut().unwrap(), &mut locked)
        .await
        .unwrap();
    let locked_at = Instant::now();
    sleep(LOCKED.checked_sub(Duration::from_secs(3)).unwrap()).await;
    let call = Caller::new(phone::config(&system, Codec::G722))
        .place()
        .await
        .unwrap();
    call.wait_answered(SOON).await.unwrap();
    assert!(locked_at.elapsed() >= LOCKED, "the queue was not locked");
    greeted(&call).await;
    ends_well(&system, &call, &before).await;
    assert!(
        logged(&system, "the queue gave no job"),
        "log: {}",
        system.log.display()
    );
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_slow_or_refuses_for_a_while_loses_no_call() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        wired: true,
        ..Options::default()
    })
    .await;
    let wire = system.wire.as_ref().unwrap();
    for weather in [
        Weather::Slow(Duration::from_secs(1)),
        Weather::Answer("429 Too Many Requests"),
        Weather::Answer("503 Service Unavailable"),
    ] {
        let before = system.calls();
        wire.turn(weather);
        let call = Caller::new(phone::config(&system, Codec::G722))
            .place()
            .await
            .unwrap();
        system.wait_for_new_call(&before).await;
        if weather != Weather::Slow(Duration::from_secs(1)) {
            sleep(Duration::from_secs(3)).await;
            assert!(call.report().ended().is_none(), "the phone was given up");
            wire.turn(Weather::Fair);
        }
        call.wait_answered(SOON).await.unwrap();
        greeted(&call).await;
        wire.turn(weather);
        let away_until = Instant::now() + AWAY;
        let mut ear = call.ear();
        call.speak(&voice(phone::QUESTION)).await.unwrap();
        ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
        sleep_until(away_until).await;
        call.hang_up().await;
        call.wait_ended(SOON).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        wire.turn(Weather::Fair);
        let (_, record) = system.new_record(&before, SOON * 3).await;
        assert_eq!(
            record["outcome"]["kind"], "caller_hung_up",
            "{weather:?}: {record}"
        );
        assert_eq!(record["turns"][2]["text"], phone::ANSWER, "{weather:?}: {record}");
    }
    let named = |code: &str| {
        let text = std::fs::read_to_string(&system.log).unwrap();
        let warns = |line: &str| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
        text.lines().any(|line| warns(line) && line.contains(code))
    };
    for code in ["429", "503"] {
        assert!(named(code), "{code} is not told; log: {}", system.log.display());
    }
    system.stop().await;
}

/// With what it knows saved before, as a Redis that keeps its data does.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_restarts_in_a_call_loses_neither_this_one_nor_the_next() {
    let _turn = shared_turn().await;
    let mut system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    greeted(&call).await;

    save_redis(&system).await;
    system.stack.restart(dev::Program::Redis).await.unwrap();
    let mut ear = call.ear();
    call.speak(&voice(phone::QUESTION)).await.unwrap();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    let record = ends_well(&system, &call, &before).await;
    assert_eq!(record["turns"][2]["text"], phone::ANSWER, "{record}");
    assert!(
        logged(&system, "connection to Redis lost"),
        "log: {}",
        system.log.display()
    );

    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    greeted(&call).await;
    ends_well(&system, &call, &before).await;
    system.stop().await;
}

/// As when the answer to a receive was lost: the queue gives the job out again and again, while the call is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_for_ten_seconds_costs_a_call_no_more_than_a_pause() {
    let _turn = shared_turn().await;
    let mut system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    greeted(&call).await;

    save_redis(&system).await;
    system.stack.kill(dev::Program::Redis).await.unwrap();
    sleep(AWAY).await;
    system.stack.restart(dev::Program::Redis).await.unwrap();
    // Within some seconds livekit-server has closed the sessions of gateway and agent, and both have come back.
    ask_until_answered(&call, SOON * 3).await;
    let record = ends_well(&system, &call, &before).await;
    let said = turns(&record);
    assert_eq!(said[0], ("agent", phone::GREETING, false), "{record}");
    assert_eq!(said.last().unwrap().1, phone::ANSWER, "{record}");
    let calls = system.calls().difference(&before).count();
    assert_eq!(calls, 1, "it has stayed the same call");
    system.stop().await;
}

/// The gateway cannot leave the room then, nor say why. It does so when it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_hangs_up_while_redis_is_away_has_hung_up() {
    let _turn = shared_turn().await;
    let mut system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    greeted(&call).await;

    save_redis(&system).await;
    system.stack.kill(dev::Program::Redis).await.unwrap();
    sleep(AWAY / 2).await;
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    sleep(AWAY / 2).await;
    system.stack.restart(dev::Program::Redis).await.unwrap();
    let back = Instant::now();
    let (_, record) = system.new_record(&before, SOON * 3).await;
    println!("the record came {:?} after Redis", back.elapsed());
    assert_eq!(record["outcome"]["kind"], "caller_hung_up", "{record}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_to_whom_nothing_comes_of_its_callers_sound_subscribes_to_it_anew() {
    let _turn = shared_turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    greeted(&call).await;

    // As if the stream had got stuck on the way.
    let api = system.rooms();
    let rooms = Box::pin(api.list_rooms(Vec::new())).await.unwrap();
    let room = &rooms[0].name;
    let there = Box::pin(api.list_participants(room)).await.unwrap();
    let agent = there.iter().find(|who| who.identity.starts_with("agent-"));
    let phone = there.iter().find(|who| !who.identity.starts_with("agent-"));
    let track = phone.unwrap().tracks[0].sid.clone();
    let stuck = api.update_subscriptions(room, &agent.unwrap().identity, vec![track], false);
    Box::pin(stuck).await.unwrap();

    ask_until_answered(&call, SOON * 2).await;
    assert!(
        logged(&system, "subscribing to it anew"),
        "log: {}",
        system.log.display()
    );
    let record = ends_well(&system, &call, &before).await;
    assert_eq!(turns(&record).last().unwrap().1, phone::ANSWER, "{record}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_live_call_that_the_queue_gives_out_again_is_never_put_aside() {
    let _turn = shared_turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    greeted(&call).await;
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=10)\n\
                  c.execute(\"update message set receipt = 'lost', visible_ms = 0\")\nc.commit()";
    let queue = system.dir.path().join("queue.sqlite");
    let done = Command::new("python3")
        .args(["-c", script])
        .arg(queue)
        .status()
        .await;
    assert!(done.unwrap().success());
    // Three would be the end of it.
    let until = Instant::now() + SOON * 4;
    while system.count(
        "message",
        "the call is served here already; the copy of its job waits",
    ) < 4
    {
        assert!(
            Instant::now() < until,
            "the job comes no more; log: {}",
            system.log.display()
        );
        sleep(Duration::from_millis(100)).await;
    }
    let depth = system.queue().await.depth().await.unwrap();
    assert_eq!((depth.visible + depth.in_flight, depth.dead), (1, 0));
    ends_well(&system, &call, &before).await;
    let until = Instant::now() + SOON * 2;
    while system.jobs().await > 0 {
        assert!(Instant::now() < until, "the job outlives its call");
        sleep(Duration::from_millis(100)).await;
    }
    system.stop().await;
}
