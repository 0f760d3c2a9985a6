//! Whether timeline, transcript, record and recording tell the same story as the phone. Pure.

use std::io::Cursor;
use std::time::Duration;

use audio::Resampler;
use audio::correlate::{mean_coefficient, piecewise};
use caller::{CallReport, Received};
use events::{CallRecord, Outcome, Speaker, Step};

use super::conversation::Exchange;
use super::progress::Archive;
use crate::voice::{RATE_HZ, Sentence};

/// Every good call has these steps, and in this order.
const STEPS: [Step; 9] = [
    Step::RoomStarted,
    Step::Webhook,
    Step::JobEnqueued,
    Step::Claimed,
    Step::AgentJoined,
    Step::Answered,
    Step::GreetingStarted,
    Step::UserTurn,
    Step::Hangup,
];
/// How far the phone's and the agent's idea of a moment may lie apart: detection by level on one side, a 1 s limit for the
/// first RTP before `active` on the other.
const APART: Duration = Duration::from_millis(1_500);
/// How alike the recording and what was spoken or heard must be at least.
const ALIKE: f64 = 0.6;
/// How far the recording's clock may be off when looking for a sound in it.
const SEARCH: Duration = Duration::from_millis(500);

/// What is compared.
pub(super) struct Evidence<'a> {
    pub(super) report: &'a CallReport,
    pub(super) exchanges: &'a [Exchange],
    pub(super) sentences: &'a [Sentence],
    pub(super) received: &'a Received,
    pub(super) archive: &'a Archive,
    pub(super) invited_at_ms: i64,
}

/// The result of one comparison.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) what: &'static str,
    pub(super) detail: String,
    pub(super) fault: Option<String>,
}

/// Detail when all is well, else what is wrong.
type Verdict = Result<String, String>;

/// One comparison.
type Check = fn(&Evidence<'_>) -> Verdict;

/// Compares everything with everything.
pub(super) fn all(evidence: &Evidence<'_>) -> Vec<Finding> {
    let checks: [(&'static str, Check); 5] = [
        ("record", record),
        ("timeline", timeline),
        ("words", words),
        ("transcript", transcript),
        ("recording", recording),
    ];
    let found = checks.into_iter().map(|(what, check)| match check(evidence) {
        Ok(detail) => Finding {
            what,
            detail,
            fault: None,
        },
        Err(fault) => Finding {
            what,
            detail: String::new(),
            fault: Some(fault),
        },
    });
    found.collect()
}

/// The record names the outcome that the phone saw.
fn record(evidence: &Evidence<'_>) -> Verdict {
    let record = &evidence.archive.record;
    if !matches!(record.outcome, Outcome::CallerHungUp | Outcome::Completed) {
        let reason = record.outcome.reason().unwrap_or("no reason given");
        return Err(format!(
            "the caller hung up, but the outcome is {} ({reason})",
            record.outcome.kind()
        ));
    }
    if evidence.report.answered().is_none() || evidence.report.ended().is_none() {
        return Err("the phone was not answered, or never ended".to_owned());
    }
    Ok(format!(
        "{}, {} webhooks kept",
        record.outcome.kind(),
        evidence.archive.events
    ))
}

/// Every step is there, in order, and shared moments lie close together.
fn timeline(evidence: &Evidence<'_>) -> Verdict {
    let record = &evidence.archive.record;
    let mut from = 0;
    for step in &STEPS {
        let rest = record.timeline.get(from..).unwrap_or_default();
        let Some(place) = rest.iter().position(|entry| entry.step == *step) else {
            return Err(format!("the step `{}` is missing or out of order", step.as_str()));
        };
        from += place;
    }
    if !record.timeline.is_sorted_by_key(|entry| entry.at) {
        return Err("the steps are not in the order of time".to_owned());
    }
    let answered = record.answered_at.ok_or("the record knows no answer")?;
    let mut furthest = close(
        "the answer",
        answered.unix_ms() - evidence.invited_at_ms,
        evidence.report.answered(),
    )?;
    for (turn, exchange) in answers(record).zip(evidence.exchanges) {
        let started = turn.started_at.unix_ms() - evidence.invited_at_ms;
        furthest = furthest.max(close("an answer's start", started, Some(exchange.answer.0.at))?);
    }
    Ok(format!(
        "{} steps in order, phone and agent at most {furthest} ms apart",
        record.timeline.len()
    ))
}

/// The agent understood what the caller said, turn by turn.
fn words(evidence: &Evidence<'_>) -> Verdict {
    let record = &evidence.archive.record;
    let heard: Vec<_> = record
        .turns
        .iter()
        .filter(|turn| turn.speaker == Speaker::Caller)
        .collect();
    if heard.len() != evidence.sentences.len() {
        return Err(format!(
            "the caller spoke {} turns, the record has {}",
            evidence.sentences.len(),
            heard.len()
        ));
    }
    for (turn, sentence) in heard.iter().zip(evidence.sentences) {
        if normalised(turn.text.as_str()) != normalised(&sentence.text) {
            return Err(format!(
                "“{}” was understood as “{}”",
                sentence.text,
                turn.text.as_str()
            ));
        }
    }
    if answers(record).count() != evidence.exchanges.len() {
        return Err(format!(
            "{} answers were heard, the record has {}",
            evidence.exchanges.len(),
            answers(record).count()
        ));
    }
    Ok(format!("{} turns understood, word by word", heard.len()))
}

/// The transcript's file holds the record's turns.
fn transcript(evidence: &Evidence<'_>) -> Verdict {
    let file = evidence
        .archive
        .transcript
        .as_ref()
        .ok_or("there is no transcript")?;
    let turns = serde_json::to_value(&evidence.archive.record.turns).map_err(|error| error.to_string())?;
    if file.get("turns") != Some(&turns) {
        return Err("its turns differ from the record's".to_owned());
    }
    let count = evidence.archive.record.turns.len();
    Ok(format!("the same {count} turns as in the record"))
}

/// The left channel holds what the caller said and the right one what it heard, where the record's clock says.
fn recording(evidence: &Evidence<'_>) -> Verdict {
    let entry = evidence
        .archive
        .record
        .recording
        .as_ref()
        .ok_or("nothing was recorded")?;
    let file = evidence.archive.recording.as_ref().ok_or("its file is missing")?;
    let stereo = audio::ogg::read(Cursor::new(file), RATE_HZ).map_err(|error| error.to_string())?;
    let plays_ms = u64::try_from(stereo.left.len() / (RATE_HZ as usize / 1000)).unwrap_or(u64::MAX);
    if plays_ms.abs_diff(entry.duration_ms) > 100 {
        return Err(format!(
            "the record says {} ms, the file plays {plays_ms} ms",
            entry.duration_ms
        ));
    }
    let gate = Duration::from_millis(
        u64::try_from(entry.gate_opened_at.unix_ms() - evidence.invited_at_ms).unwrap_or(0),
    );
    let (mut left_least, mut right_least, mut compared) = (f64::INFINITY, f64::INFINITY, 0);
    for (exchange, sentence) in evidence.exchanges.iter().zip(evidence.sentences) {
        if exchange.spoken.started < gate {
            continue;
        }
        let (from, to) = (exchange.answer.0.at, exchange.answer.1.at);
        let heard = wide(
            evidence.received.between(from, to),
            evidence.received.sample_rate_hz,
        )?;
        let left = window(&stereo.left, gate, exchange.spoken.started, exchange.spoken.ended);
        let right = window(&stereo.right, gate, from, to);
        left_least = left_least.min(alike(&sentence.samples, left));
        right_least = right_least.min(alike(&heard, right));
        compared += 1;
    }
    if compared == 0 {
        return Err("the consent gate opened after the caller's last turn".to_owned());
    }
    let alike = format!("correlation left ≥ {left_least:.2}, right ≥ {right_least:.2}");
    if left_least.min(right_least) < ALIKE {
        return Err(format!("it is too unlike what was said and heard: {alike}"));
    }
    Ok(format!(
        "{:.1} s; {compared} turns as they were said and heard, {alike}",
        seconds(plays_ms)
    ))
}

/// How alike `sound` and what a [`window`] of the recording holds are, half second by half second.
fn alike(sound: &[i16], window: &[i16]) -> f64 {
    let reach = isize::try_from(2 * SEARCH.as_millis() * u128::from(RATE_HZ) / 1000).unwrap_or(isize::MAX);
    mean_coefficient(&piecewise(sound, window, RATE_HZ as usize / 2, 0..reach))
}

/// The agent's turns behind the greeting.
fn answers(record: &CallRecord) -> impl Iterator<Item = &events::TurnRecord> {
    let behind = record
        .turns
        .iter()
        .skip_while(|turn| turn.speaker != Speaker::Caller);
    behind.filter(|turn| turn.speaker == Speaker::Agent)
}

/// The distance in ms, when it is small enough.
fn close(what: &str, recorded_ms: i64, seen: Option<Duration>) -> Result<u64, String> {
    let seen_ms = seen
        .and_then(|seen| i64::try_from(seen.as_millis()).ok())
        .unwrap_or(i64::MAX);
    let apart = recorded_ms.abs_diff(seen_ms);
    if u128::from(apart) > APART.as_millis() {
        return Err(format!(
            "{what}: the record says {recorded_ms} ms after the INVITE, the phone {seen_ms} ms"
        ));
    }
    Ok(apart)
}

/// The recording from shortly before `from` to shortly after `to`, both since the INVITE.
fn window(channel: &[i16], gate: Duration, from: Duration, to: Duration) -> &[i16] {
    let index = |at: Duration| {
        let samples = at.saturating_sub(gate).as_millis() * u128::from(RATE_HZ) / 1000;
        usize::try_from(samples).unwrap_or(usize::MAX).min(channel.len())
    };
    channel
        .get(index(from.saturating_sub(SEARCH))..index(to + SEARCH))
        .unwrap_or_default()
}

/// At [`RATE_HZ`].
fn wide(samples: &[i16], rate_hz: u32) -> Result<Vec<i16>, String> {
    let mut wide = Vec::new();
    Resampler::new(rate_hz, RATE_HZ)
        .map_err(|error| error.to_string())?
        .process(samples, &mut wide);
    Ok(wide)
}

/// Words alone: recognisers differ in case and punctuation.
fn normalised(text: &str) -> Vec<String> {
    let words = text.split(|character: char| !character.is_alphanumeric() && character != '\'');
    words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[allow(clippy::cast_precision_loss, reason = "a recording is shorter than 2^52 ms")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_punctuation_make_no_difference() {
        assert_eq!(normalised("What's up, Doc?"), normalised("what's UP doc"));
        assert_ne!(normalised("one two"), normalised("one three"));
    }

    #[test]
    fn a_window_lies_where_the_gates_clock_says() {
        let channel = vec![0; 160_000];
        let s = Duration::from_secs;
        assert_eq!(window(&channel, s(2), s(4), s(5)).len(), 32_000);
        assert_eq!(window(&channel, s(2), s(1), s(2)).len(), 8_000);
        assert_eq!(window(&channel, s(2), s(11), s(90)).len(), 24_000);
    }

    #[test]
    fn moments_far_apart_are_named() {
        assert_eq!(close("x", 500, Some(Duration::from_millis(700))), Ok(200));
        let fault = close("the answer", 5_000, Some(Duration::from_millis(700))).unwrap_err();
        assert!(fault.contains("5000 ms") && fault.contains("700 ms"));
    }
}
