//! The agent's own share of each answer: what is left of its latencies without endpointing and providers. Pure.
//!
//! The record tells when the caller's voice ended and the agent's began, the stubs when they were asked and when they answered.

use std::collections::BTreeMap;
use std::time::Duration;

use events::{CallRecord, Speaker, TurnRecord};

use super::caller::Answer;
use super::stubs::{Served, number_in};

/// Of one answer, in milliseconds. The parts overlap where the model is asked before the turn is over, so that they may be more than
/// the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// Beyond the longer of the endpointing delay and the way to the model's first sentence, and the synthesis behind it.
    pub(super) total: i64,
    /// From the silence that ends an utterance to the recogniser's being asked.
    pub(super) transcription: i64,
    /// From the transcript to the model's being asked.
    pub(super) llm: i64,
    /// The end of the turn, beyond the endpointing delay or the transcript, whichever was later.
    pub(super) end_of_turn: i64,
    /// From the end of the turn, or the first sentence if that was later, to the synthesiser's being asked.
    pub(super) tts: i64,
    /// From the first sound of the synthesiser to the first sample that goes out.
    pub(super) playout: i64,
    /// Not in the total, since most of it is transport: from the last sample that the caller spoke to the last voice that the agent
    /// noticed, and from the agent's first sample to the caller's ear. With the agent's own latency they are all that the caller waits.
    pub(super) hearing: i64,
    pub(super) delivery: i64,
}

/// An answer that was heard further from its beginning in the record is another one.
const SAME: i64 = 1_500;

/// The profile's delays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delays {
    /// Silence that ends the turn.
    pub(super) endpointing: Duration,
    /// Silence that ends an utterance, which is then transcribed.
    pub(super) min_silence: Duration,
}

/// The share of each answer in the record that is known in all its parts.
pub(super) fn of(
    record: &CallRecord,
    served: &BTreeMap<u32, Served>,
    answers: &[Answer],
    delays: Delays,
) -> Vec<Share> {
    let pairs = record.turns.iter().zip(record.turns.iter().skip(1));
    pairs
        .filter(|(asked, answered)| asked.speaker == Speaker::Caller && answered.speaker == Speaker::Agent)
        .filter_map(|(asked, answered)| {
            let served = served.get(&number_in(asked.text.as_str())?)?;
            let began = answered.started_at.unix_ms();
            let heard = answers
                .iter()
                .find(|answer| (answer.heard_ms - began).abs() < SAME)?;
            share(asked, answered, served, heard, delays)
        })
        .collect()
}

fn share(
    asked: &TurnRecord,
    answered: &TurnRecord,
    served: &Served,
    heard: &Answer,
    delays: Delays,
) -> Option<Share> {
    let ms = |delay: Duration| i64::try_from(delay.as_millis()).ok();
    let (endpointing, min_silence) = (ms(delays.endpointing)?, ms(delays.min_silence)?);
    let end_of_turn = i64::from(asked.latency.end_of_turn_delay_ms?);
    let transcribed = i64::from(asked.latency.transcription_delay_ms?);
    let whole = i64::from(answered.latency.e2e_latency_ms?);
    let (llm_asked, sentence) = (served.llm_asked?, served.llm_sentence?);
    let (tts_asked, tts_first) = (served.tts_asked?, served.tts_first?);
    let voice_ended = asked.ended_at.unix_ms();

    let stt = served.stt_answered - served.stt_asked;
    let words = min_silence + stt + (sentence - llm_asked);
    let share = Share {
        total: whole - endpointing.max(words) - (tts_first - tts_asked),
        transcription: served.stt_asked - (voice_ended + min_silence),
        llm: llm_asked - served.stt_answered,
        end_of_turn: end_of_turn - endpointing.max(transcribed),
        tts: tts_asked - sentence.max(voice_ended + end_of_turn),
        playout: answered.started_at.unix_ms() - tts_first,
        hearing: voice_ended - heard.asked_ms,
        delivery: heard.heard_ms - answered.started_at.unix_ms(),
    };
    Some(share)
}

#[cfg(test)]
mod tests {
    use events::{Outcome, Timestamp, TurnLatency};

    use super::*;

    const DELAYS: Delays = Delays {
        endpointing: Duration::from_millis(500),
        min_silence: Duration::from_millis(250),
    };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_795_196_400_000 + ms).unwrap()
    }

    fn record(question: &str) -> CallRecord {
        let (call, room) = ("RM_x".parse().unwrap(), "bench-x".parse().unwrap());
        let mut record = CallRecord::new(call, room, Outcome::Completed, at(0), at(9_000));
        let turn = |speaker, text: &str, from, to, latency| TurnRecord {
            speaker,
            text: text.into(),
            started_at: at(from),
            ended_at: at(to),
            interrupted: false,
            latency,
        };
        let asked = TurnLatency {
            transcription_delay_ms: Some(358),
            end_of_turn_delay_ms: Some(503),
            ..TurnLatency::default()
        };
        let answered = TurnLatency {
            e2e_latency_ms: Some(760),
            ..TurnLatency::default()
        };
        record.turns = vec![
            turn(Speaker::Agent, "Hello.", 0, 500, TurnLatency::default()),
            turn(Speaker::Caller, question, 1_000, 2_000, asked),
            turn(Speaker::Agent, "Thank you.", 2_760, 4_000, answered),
        ];
        record
    }

    fn served() -> BTreeMap<u32, Served> {
        let at = |ms: i64| 1_795_196_400_000 + ms;
        let served = Served {
            stt_asked: at(2_255),
            stt_answered: at(2_356),
            llm_asked: Some(at(2_360)),
            llm_sentence: Some(at(2_641)),
            tts_asked: Some(at(2_645)),
            tts_first: Some(at(2_746)),
        };
        BTreeMap::from([(104, served)])
    }

    fn heard() -> Vec<Answer> {
        let answer = |asked_ms: i64, heard_ms: i64| Answer {
            waited: Duration::ZERO,
            asked_ms: 1_795_196_400_000 + asked_ms,
            heard_ms: 1_795_196_400_000 + heard_ms,
        };
        vec![answer(-9_000, -8_000), answer(1_900, 2_830)]
    }

    #[test]
    fn what_endpointing_and_providers_took_is_not_the_agents_own() {
        let shares = of(&record("question 104"), &served(), &heard(), DELAYS);
        let expected = Share {
            // 760 without 250 + 101 + 281 to the first sentence, and 101 to its sound.
            total: 27,
            transcription: 5,
            llm: 4,
            end_of_turn: 3,
            tts: 4,
            playout: 14,
            hearing: 100,
            delivery: 70,
        };
        assert_eq!(shares, [expected]);
    }

    #[test]
    fn an_answer_that_is_not_known_in_all_its_parts_has_no_share() {
        assert_eq!(of(&record("question 105"), &served(), &heard(), DELAYS), []);
        let mut served = served();
        served.get_mut(&104).unwrap().tts_first = None;
        assert_eq!(of(&record("question 104"), &served, &heard(), DELAYS), []);
    }
}
