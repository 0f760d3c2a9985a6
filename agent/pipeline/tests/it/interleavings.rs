//! Whatever the caller does and whenever: the history is what was played, and nothing is left.

use pipeline::{Speaker, SpokenTurn};
use proptest::prelude::*;

use crate::fakes::{Answer, WORD_SAMPLES};
use crate::world::{Call, Cast, GREETING};

const REPLIES: [&str; 3] = [
    "Of course, that can be done at once. |Is there anything else that I can do for you?",
    "No.",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen.",
];

/// Milliseconds of voice, then of silence.
type Step = (u64, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = |max: u64| (0..max / 20).prop_map(|frames| frames * 20);
    prop::collection::vec((length(1200), length(3000)), 1..10)
}

async fn run(steps: &[Step], stt: Vec<Answer>, llm: Vec<Answer>) {
    let mut call = Call::start(Cast {
        stt,
        llm,
        ..Cast::greeting("recording: after_notice")
    });
    for (voice, silence) in steps {
        call.voice(*voice).await.silence(*silence).await;
    }
    let report = call.end().await;
    call.assert_nothing_is_left();

    let agent: Vec<_> = report
        .turns
        .iter()
        .filter(|turn| turn.speaker == Speaker::Agent)
        .collect();
    for turn in &agent {
        let is_prefix = |reply: &str| reply.replace('|', "").starts_with(&turn.text);
        assert!(
            is_prefix(GREETING) || REPLIES.iter().any(|reply| is_prefix(reply)),
            "{:?} was never generated",
            turn.text
        );
    }
    let words: usize = agent
        .iter()
        .map(|turn| turn.text.split_whitespace().count())
        .sum();
    let played = call.sounds().len() / WORD_SAMPLES;
    assert!(
        words <= played && played <= words + agent.len(),
        "{words} words in the history, {played} words played"
    );
    // Within an utterance, paused and resumed or not, no sample is lost or doubled.
    let line = call.line();
    let sounding = line
        .iter()
        .enumerate()
        .filter(|(_, sample)| **sample != 0)
        .collect::<Vec<_>>();
    for pair in sounding.windows(2) {
        let ((_, before), (at, sample)) = (pair[0], pair[1]);
        let begins =
            |turn: &&SpokenTurn| usize::try_from(turn.started_at.as_micros()).unwrap() * 16 / 1000 == at;
        assert!(
            *sample == before % 30_000 + 1 || agent.iter().any(begins),
            "a break at sample {at}"
        );
    }
    let overlapping = agent
        .windows(2)
        .any(|pair| pair[1].started_at < pair[0].ended_at && !pair[0].text.is_empty());
    assert!(!overlapping, "two utterances at once");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_history_is_what_was_played_and_nothing_is_left(
        steps in steps(),
        wordless in prop::collection::vec(prop::bool::weighted(0.2), 1..6),
        replies in prop::collection::vec(0usize..3, 1..6),
    ) {
        let stt = wordless.iter().map(|wordless| Answer::Says(if *wordless { "" } else { "hello there" })).collect();
        let llm = replies.iter().map(|reply| Answer::Says(REPLIES[*reply])).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(&steps, stt, llm));
    }
}
