//! How calls end, and that nothing is left of them.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use audio::{Codec, correlate::best_lag};
use caller::{Caller, EndedBy};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    harness::{Options, System, children, read_json, shared_turn},
    phone::{self, PAUSE, SOON, answered, voice},
    wire::Weather,
};

/// After the end of a call, this long until nothing of it is left.
const CLEAN: Duration = Duration::from_secs(5);
/// Whoever leaves a room within the moment that the server takes to answer the offer of its track leaves a task of the SDK's, which
/// waits 10 s for that answer. Vital signs are told every 2 s.
const LAST_OFFER: Duration = Duration::from_secs(10 + 3);

/// What the process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vitals {
    pub(crate) tasks: u64,
    pub(crate) handles: u64,
    pub(crate) rss_kb: u64,
    pub(crate) calls: u64,
    pub(crate) rtp_ports: u64,
}

impl System {
    /// The newest vital signs in the log that are not older than now.
    pub(crate) async fn vitals(&self) -> Vitals {
        let mut seen = self
            .log_lines()
            .iter()
            .filter(|line| line["message"] == "vitals")
            .count();
        let mut kept_before = self.kept_connections();
        let until = Instant::now() + SOON;
        loop {
            let lines = self.log_lines();
            if let Some(line) = lines.iter().filter(|line| line["message"] == "vitals").nth(seen) {
                let number = |key: &str| line[key].as_u64().unwrap_or_else(|| panic!("{key} in {line}"));
                // Each of these is a task and a handle of its own. One that came or went about the moment of the line may be in it or not.
                let kept = self.kept_connections();
                if kept != kept_before && Instant::now() < until {
                    (seen, kept_before) = (seen + 1, kept);
                    continue;
                }
                return Vitals {
                    tasks: number("tasks").saturating_sub(kept),
                    handles: number("handles").saturating_sub(kept),
                    rss_kb: number("rss_kb"),
                    calls: number("calls"),
                    rtp_ports: number("rtp_ports"),
                };
            }
            assert!(Instant::now() < until, "no vital signs in {}", self.log.display());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// HTTP connections that are kept open for the next request: livekit-server's for webhooks, ours for its API.
    fn kept_connections(&self) -> u64 {
        let (webhooks, api) = (self.http.port(), port_of(&self.stack.http_url()));
        let sockets: BTreeSet<String> = children(&PathBuf::from(format!("/proc/{}/fd", self.pid().unwrap())))
            .into_iter()
            .filter_map(|handle| Some(std::fs::read_link(handle).ok()?.to_string_lossy().into_owned()))
            .collect();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let is_kept = |line: &&str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let is_open = columns[3] == "01" || columns[3] == "08";
            let ends_here = hex_port(columns[1]) == Some(webhooks) || hex_port(columns[2]) == Some(api);
            is_open && ends_here && sockets.contains(&format!("socket:[{}]", columns[9]))
        };
        table.lines().skip(1).filter(is_kept).count() as u64
    }

    /// Within [`CLEAN`] of now: no room, no call, no media port, no job, and no more handles and tasks than `before`.
    pub(crate) async fn assert_clean(&self, before: Vitals) {
        self.assert_clean_but_for(0, before).await;
    }

    /// The same, but for so many tasks of the SDK's, which go within [`LAST_OFFER`].
    async fn assert_clean_but_for(&self, offers: u64, before: Vitals) {
        let call_ended = Instant::now();
        loop {
            let rooms = self.rooms().list_rooms(Vec::new()).await.unwrap().len();
            let now = self.vitals().await;
            let jobs = self.jobs().await;
            let is_gone = rooms == 0 && jobs == 0 && now.calls == 0 && now.rtp_ports == 0;
            let is_gone = is_gone && now.handles <= before.handles && now.tasks <= before.tasks + offers;
            let after = call_ended.elapsed();
            if is_gone && now.tasks <= before.tasks {
                measured!("nothing is left {after:.1?} after the call");
                return;
            }
            let limit = if is_gone { LAST_OFFER } else { CLEAN };
            assert!(
                after < limit,
                "{limit:?} after the call {rooms} rooms and {jobs} jobs are left; before {before:?}, now {now:?}; log: {}",
                self.log.display()
            );
        }
    }
}

/// The port of an address as /proc/net/tcp writes it.
fn hex_port(address: &str) -> Option<u16> {
    u16::from_str_radix(address.rsplit(':').next()?, 16).ok()
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':')
        .next()
        .and_then(|port| port.trim_end_matches('/').parse().ok())
        .unwrap()
}

/// A call whose greeting has been heard, so that everything of a first call is loaded.
async fn warm_up(system: &System) -> Vitals {
    let before = system.calls();
    let call = answered(system, Codec::G722).await;
    call.ear_from_start().wait_for_speech(SOON).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    system.new_record(&before, SOON).await;
    sleep(CLEAN).await;
    system.vitals().await
}

fn outcome(record: &Value) -> &str {
    record["outcome"]["kind"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_hangs_up_in_the_conversation_and_nothing_is_left() {
    let _turn = shared_turn().await;
    let system = System::start(Options::default()).await;
    let vitals = warm_up(&system).await;
    let before = system.calls();

    let call = answered(&system, Codec::Pcmu).await;
    call.ear_from_start()
        .wait_for_utterance(PAUSE, SOON * 2)
        .await
        .unwrap();
    call.hang_up().await;
    assert_eq!(call.wait_ended(SOON).await.unwrap(), EndedBy::Caller);

    let (_, record) = system.new_record(&before, CLEAN).await;
    assert_eq!(outcome(&record), "caller_hung_up");
    system.assert_clean(vitals).await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_the_call_and_the_record_says_so() {
    let _turn = shared_turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::Pcmu).await;
    call.ear_from_start()
        .wait_for_utterance(PAUSE, SOON * 2)
        .await
        .unwrap();
    let rooms = system.rooms().list_rooms(Vec::new()).await.unwrap();
    system.rooms().delete_room(&rooms[0].name).await.unwrap();
    let ended = call.wait_ended(SOON).await.unwrap();
    assert!(matches!(ended, EndedBy::Callee { .. }), "{ended:?}");
    let (_, record) = system.new_record(&before, CLEAN).await;
    assert_eq!(outcome(&record), "operator_hung_up", "{record}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_says_goodbye_and_hangs_up_and_nothing_is_left() {
    let _turn = shared_turn().await;
    let system = System::start(Options::default()).await;
    let vitals = warm_up(&system).await;
    let before = system.calls();

    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.speak(&voice(phone::GOODBYE)).await.unwrap();
    ear.wait_for_speech(SOON * 2).await.unwrap();
    let ended = call.wait_ended(SOON).await.unwrap();
    assert!(matches!(ended, EndedBy::Callee { .. }), "{ended:?}");
    // The last words were heard to their end before the phone was hung up.
    let received = call.received().samples;
    for sentence in ["Thank you for calling the Garden Clinic.", "Goodbye."] {
        let found = best_lag(&voice(sentence), &received, received.len());
        measured!("{sentence:?}: coefficient {:.3}", found.coefficient);
        assert!(
            found.coefficient >= 0.8,
            "{sentence:?} was not heard to its end: {found:?}"
        );
    }

    let (_, record) = system.new_record(&before, CLEAN).await;
    assert_eq!(outcome(&record), "completed");
    system.assert_clean(vitals).await;
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_ringing_leaves_a_cancelled_record_and_nothing_else() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        slots: 1,
        ..Options::default()
    })
    .await;
    let vitals = warm_up(&system).await;
    // The only slot is taken, so the second phone rings.
    let first = answered(&system, Codec::G722).await;
    let before = system.calls();
    let second = Caller::new(phone::config(&system, Codec::G722))
        .place()
        .await
        .unwrap();
    second.wait_ringing(SOON).await.unwrap();
    system.wait_for_new_call(&before).await;
    second.hang_up().await;
    assert_eq!(second.wait_ended(SOON).await.unwrap(), EndedBy::Cancelled);

    let (_, record) = system.new_record(&before, CLEAN).await;
    assert_eq!(outcome(&record), "cancelled", "{record}");
    assert_is_complete(&record);
    first.hang_up().await;
    first.wait_ended(SOON).await.unwrap();
    system.assert_clean_but_for(1, vitals).await;
    system.stop().await;
}

/// What an unanswered call's record must tell, whoever closed it.
fn assert_is_complete(record: &Value) {
    for key in ["caller", "called", "trunk", "rule", "sip_call", "profile"] {
        assert!(!record[key].is_null(), "{key}: {record}");
    }
    let steps: Vec<_> = record["timeline"].as_array().unwrap().iter().collect();
    let steps: Vec<_> = steps
        .iter()
        .map(|entry| entry["step"].as_str().unwrap())
        .collect();
    for step in ["invite", "ringing", "caller_joined", "job_enqueued"] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_the_agent_joins_leaves_a_cancelled_record_and_no_room() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        wired: true,
        ..Options::default()
    })
    .await;
    let vitals = warm_up(&system).await;
    // At once after the claim, and so late that the agent's join makes a room of its own.
    for late in [Duration::ZERO, Duration::from_secs(2)] {
        system.wire.as_ref().unwrap().turn(Weather::LateAgent(late));
        let before = system.calls();
        // The phone's own join must be over: else it is given up, and the room may outlast the CANCEL.
        let steps = ["claimed", "room_joined"];
        let seen = steps.map(|step| system.count("step", step));
        let call = Caller::new(phone::config(&system, Codec::G722))
            .place()
            .await
            .unwrap();
        call.wait_ringing(SOON).await.unwrap();
        let until = Instant::now() + SOON;
        while steps
            .iter()
            .zip(seen)
            .any(|(step, seen)| system.count("step", step) == seen)
        {
            assert!(
                Instant::now() < until,
                "not claimed; log: {}",
                system.log.display()
            );
            sleep(Duration::from_millis(5)).await;
        }
        // A room that the agent's join makes is a call of its own to the functions.
        let folder = system.calls().difference(&before).next().cloned().unwrap();
        call.hang_up().await;
        call.wait_ended(SOON).await.unwrap();
        if !late.is_zero() {
            // livekit-server closes an empty room in its own time, which would be about that of the agent.
            for room in system.rooms().list_rooms(Vec::new()).await.unwrap() {
                let _ = system.rooms().delete_room(&room.name).await;
            }
        }
        let until = Instant::now() + SOON;
        let record = loop {
            if let Some(record) = read_json(&folder.join("record.json")) {
                break record;
            }
            assert!(Instant::now() < until, "no record; log: {}", system.log.display());
            sleep(Duration::from_millis(20)).await;
        };
        measured!("agent {late:?} late: {}", record["outcome"]["kind"]);
        if late.is_zero() {
            // Whether the answer or the CANCEL was first is the network's.
            assert!(
                ["cancelled", "caller_hung_up"].contains(&outcome(&record)),
                "{record}"
            );
        } else {
            assert_eq!(outcome(&record), "cancelled", "{record}");
        }
        assert_is_complete(&record);
        call.finish().await;
        // The room that the agent's join has made was no call; either room may have an offer that is not answered yet.
        system.assert_clean_but_for(2, vitals).await;
        assert!(system.open_calls().is_empty(), "{}", folder.display());
    }
    assert_eq!(
        system.count("message", "the call's room closed while the agent joined"),
        1
    );
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_agent_the_phone_gets_480_after_ten_seconds() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        slots: 1,
        ..Options::default()
    })
    .await;
    let first = answered(&system, Codec::G722).await;
    let before = system.calls();
    let second = Caller::new(phone::config(&system, Codec::G722))
        .place()
        .await
        .unwrap();
    let ended = second.wait_ended(Duration::from_secs(15)).await.unwrap();
    let EndedBy::Refused { code, reason, .. } = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(code, 480);
    assert!(
        reason.is_some_and(|reason| !reason.is_empty()),
        "a Reason header says why"
    );
    let report = second.finish().await;
    let (after, _) = report.ended().unwrap();
    measured!("480 after {after:?}");
    assert!(
        (9.0..=11.0).contains(&after.as_secs_f64()),
        "480 came after {after:?}"
    );

    let (_, record) = system.new_record(&before, CLEAN).await;
    assert_eq!(outcome(&record), "no_agent", "{record}");
    first.hang_up().await;
    first.wait_ended(SOON).await.unwrap();
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rule_the_phone_gets_404_at_once() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        rule: false,
        ..Options::default()
    })
    .await;
    let call = Caller::new(phone::config(&system, Codec::G722))
        .place()
        .await
        .unwrap();
    let ended = call.wait_ended(SOON).await.unwrap();
    assert!(matches!(ended, EndedBy::Refused { code: 404, .. }), "{ended:?}");
    let report = call.finish().await;
    let (after, _) = report.ended().unwrap();
    measured!("404 after {after:?}");
    assert!(after < Duration::from_secs(1), "404 came after {after:?}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_no_agent_has_is_named_in_the_record() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        agents: "[{profile: reception, numbers: [\"+15550100999\"]}]",
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = Caller::new(phone::config(&system, Codec::G722))
        .place()
        .await
        .unwrap();
    let ended = call.wait_ended(Duration::from_secs(15)).await.unwrap();
    assert!(matches!(ended, EndedBy::Refused { code: 480, .. }), "{ended:?}");
    let (_, record) = system.new_record(&before, CLEAN).await;
    assert_eq!(outcome(&record), "no_match", "{record}");
    assert_eq!(record["outcome"]["reason"], "number_not_listed", "{record}");
    system.stop().await;
}
