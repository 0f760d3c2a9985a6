//! Whatever the caller does and whenever: the history is what was played, and nothing is left.

use pipeline::{Speaker, SpokenTurn};
use proptest::prelude::*;

use crate::fakes::{Answer, Hears, WORD_SAMPLES};
use crate::world::{Call, Cast, GREETING};

const REPLIES: [&str; 3] = [
    "Of course, that can be done at once. |Is there anything else that I can do for you?",
    "No.",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen.",
];

const FALLBACK: &str = "Sorry, I did not get that. Could you say it again?";
const REPROMPT: &str = "Sorry, are you still there?";
const AWAY_GOODBYE: &str = "Sorry, goodbye then.";

/// Milliseconds of voice, then of silence.
type Step = (u64, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = |max: u64| (0..max / 20).prop_map(|frames| frames * 20);
    prop::collection::vec((length(1200), length(3000)), 1..10)
}

/// More lines of profile: modes, words that are needed, callers who are away.
fn profile() -> impl Strategy<Value = String> {
    let mode = prop_oneof![Just("vad"), Just("stt")];
    let endpointing = prop_oneof![Just("fixed"), Just("dynamic")];
    (mode, endpointing, 0u8..3, any::<bool>()).prop_map(|(mode, endpointing, min_words, asks)| {
        let away = if asks {
            format!("reprompt: {REPROMPT}\naway_goodbye: {AWAY_GOODBYE}\n")
        } else {
            String::new()
        };
        format!(
            "recording: after_notice\n{away}turns: {{mode: {mode}, endpointing: {{mode: {endpointing}}}, \
             interruption: {{min_words: {min_words}}}, user_away_timeout: 1s}}"
        )
    })
}

/// What a recogniser makes of as many utterances as there can be; none: it does not listen.
fn hears() -> impl Strategy<Value = Option<Vec<Hears>>> {
    let words = prop::sample::select(vec!["", "uh-huh", "wait a moment", "I would like to"]);
    let broken = prop::bool::weighted(0.1);
    let one = (words, 0u64..800, broken).prop_map(|(words, at, broken)| Hears {
        interim: vec![(at, words)],
        last: if broken {
            Answer::Fails
        } else {
            Answer::Says(words)
        },
    });
    prop::option::of(prop::collection::vec(one, 200))
}

async fn run(steps: &[Step], cast: Cast) {
    let mut call = Call::start(cast);
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
            [GREETING, REPROMPT, AWAY_GOODBYE, FALLBACK]
                .into_iter()
                .chain(REPLIES)
                .any(is_prefix),
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
        profile in profile(),
        hears in hears(),
    ) {
        let stt = wordless.iter().map(|wordless| Answer::Says(if *wordless { "" } else { "hello there" })).collect();
        let llm = replies.iter().map(|reply| Answer::Says(REPLIES[*reply])).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let cast = Cast { stt, llm, hears, ..Cast::greeting(&profile) };
        runtime.block_on(run(&steps, cast));
    }
}
