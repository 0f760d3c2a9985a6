//! The stereo recording, held against what the phone sent and received.

use std::{path::Path, time::Duration};

use audio::{
    Codec,
    correlate::{Match, best_lag, mean_coefficient, piecewise},
    ogg,
};
use caller::{Call, Spoken};
use tokio::time::sleep;

use crate::{
    harness::{Options, System, shared_turn, turn},
    phone::{self, PAUSE, SOON, answered, voice},
};

const RATE: f64 = 16_000.0;
/// Speech that is looked for lies within this of where it is expected.
const SEARCH: isize = 16_000;

fn recording(folder: &Path) -> ogg::Recording {
    ogg::read(std::fs::File::open(folder.join("recording.ogg")).unwrap(), 16_000).unwrap()
}

/// What the phone said: the samples, and when they were on the wire.
async fn say(call: &Call, text: &str) -> (Vec<i16>, Spoken) {
    let samples = voice(text);
    let spoken = call.speak(&samples).await.unwrap();
    (samples, spoken)
}

/// Half a second.
const PIECE: usize = 8_000;

/// How speech lies in a channel of the recording.
struct Found {
    what: &'static str,
    /// Of each half second of it: the channel's own time minus the phone's, in ms.
    offsets: Vec<f64>,
    /// How alike they are, on average.
    coefficient: f64,
}

impl Found {
    fn median(&self) -> f64 {
        let mut offsets = self.offsets.clone();
        offsets.sort_by(f64::total_cmp);
        offsets[offsets.len() / 2]
    }

    fn print(&self, zero: f64) {
        let offsets = self.offsets.iter().map(|offset| format!("{:+.0}", offset - zero));
        let offsets = offsets.collect::<Vec<_>>().join(" ");
        measured!("{}: {offsets} ms, coefficient {:.3}", self.what, self.coefficient);
    }

    /// Within 40 ms of the phone's clock, and what this machine was late itself.
    fn judge(&self, zero: f64, late: Duration) {
        let Self {
            what,
            offsets,
            coefficient,
        } = self;
        assert!(
            *coefficient >= 0.8,
            "{what}: the recording does not hold what was on the wire"
        );
        for offset in offsets {
            let apart = offset - zero;
            assert!(
                apart.abs() <= 40.0 + late.as_secs_f64() * 1000.0,
                "{what}: {apart:.0} ms off the phone's clock"
            );
        }
    }
}

/// Looks for `speech`, on the phone's wire at `at`, in a channel. `start` is where the channel is expected to have the phone's
/// time zero, in seconds.
fn find(what: &'static str, speech: &[i16], at: Duration, channel: &[i16], start: f64) -> Found {
    let expected = ((at.as_secs_f64() + start) * RATE) as isize;
    let matches = piecewise(speech, channel, PIECE, expected - SEARCH..expected + SEARCH);
    assert!(matches.len() >= 2, "{what}: there is too little speech");
    let offset = |found: &Match| (found.lag_samples as f64 / RATE - at.as_secs_f64()) * 1000.0;
    Found {
        what,
        offsets: matches.iter().map(offset).collect(),
        coefficient: mean_coefficient(&matches),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_channels_keep_the_calls_clock_for_a_minute() {
    let _turn = turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    let greeting = ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    let first = say(&call, phone::QUESTION).await;
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    sleep(Duration::from_mins(1).saturating_sub(call.invited_at().elapsed())).await;
    let last = say(&call, phone::QUESTION).await;
    let answer = ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (folder, record) = system.new_record(&before, SOON).await;

    let heard = call.received();
    let cut = |from: caller::Moment, to: caller::Moment| {
        &heard.samples[from.sample..to.sample.min(from.sample + 48_000)]
    };
    let recording = recording(&folder);
    assert!(recording.complete);
    // The recording begins when the agent's track is up: find its time zero by the first words that the phone heard.
    let greeted = best_lag(
        cut(greeting.0, greeting.1),
        &recording.right,
        recording.right.len(),
    );
    let start = greeted.lag_samples as f64 / RATE - greeting.0.at.as_secs_f64();
    let rows = [
        find(
            "caller, at the start",
            &first.0,
            first.1.started,
            &recording.left,
            start,
        ),
        find(
            "agent, at the start",
            cut(greeting.0, greeting.1),
            greeting.0.at,
            &recording.right,
            start,
        ),
        find(
            "caller, after 60 s",
            &last.0,
            last.1.started,
            &recording.left,
            start,
        ),
        find(
            "agent, after 60 s",
            cut(answer.0, answer.1),
            answer.0.at,
            &recording.right,
            start,
        ),
    ];
    // One time zero for both channels: where the phone heard the greeting.
    let zero = rows[1].median();
    let late = call.report().rtp.max_send_lateness;
    measured!("this machine was up to {late:?} late");
    for row in &rows {
        row.print(zero);
    }
    for row in &rows {
        row.judge(zero, late);
    }
    assert_eq!(record["recording"]["policy"], "always");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_from_before_the_notice_was_heard_is_in_the_recording() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        recording: "after_notice",
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    let (greeting, silence) = ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    let question = say(&call, phone::QUESTION).await;
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (folder, record) = system.new_record(&before, SOON).await;

    let recording = recording(&folder);
    let heard = call.received();
    let notice = best_lag(
        &heard.samples[greeting.sample..silence.sample],
        &recording.right,
        recording.right.len(),
    );
    measured!(
        "the notice in the recording: coefficient {:.3}",
        notice.coefficient
    );
    assert!(
        notice.coefficient < 0.3,
        "the notice is in the recording: {notice:?}"
    );
    let said = best_lag(&question.0, &recording.left, recording.left.len());
    assert!(
        said.coefficient >= 0.8,
        "the question is not in the recording: {said:?}"
    );
    // The gate opened when the notice had been played, and the file begins no earlier.
    let recorded = recording.left.len() as f64 / RATE;
    let after_notice =
        call.report().ended().unwrap().0.as_secs_f64() - silence.at.as_secs_f64() + PAUSE.as_secs_f64();
    measured!("{recorded:.2} s recorded, {after_notice:.2} s since the notice");
    assert!(recorded <= after_notice + 0.5);
    assert_eq!(record["recording"]["policy"], "after_notice");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_recording_off_nothing_is_kept() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        recording: "off",
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    call.ear_from_start()
        .wait_for_utterance(PAUSE, SOON * 2)
        .await
        .unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (folder, record) = system.new_record(&before, SOON).await;
    assert!(
        record.get("recording").is_none_or(serde_json::Value::is_null),
        "{record}"
    );
    assert!(!folder.join("recording.ogg").exists());
    system.stop().await;
}
