//! Whatever the caller does and whenever: the history is what was played, and nothing is left.

use std::sync::Arc;
use std::time::Duration;

use pipeline::{ConversationReport, Speaker, SpokenTurn};
use proptest::prelude::*;
use providers::{
    Message,
    tools::{Tool, ToolError, function},
};
use tokio::time::sleep;

use crate::fakes::{Answer, Hears, WORD_SAMPLES};
use crate::world::{Call, Cast, GREETING};

const REPLIES: [&str; 3] = [
    "Of course, that can be done at once. |Is there anything else that I can do for you?",
    "No.",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen.",
];

/// Said with a call.
const LOOKS: &str = "Let me see. ";
const ACTS: &str = "I will do that now.";
const FALLBACK: &str = "Sorry, I did not get that. Could you say it again?";
/// After a model that only calls, when it has to answer, three times.
const GOODBYE: &str = "Sorry, we have technical problems. Please call again later. Goodbye.";
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
            "recording: after_notice\nhold: Sorry, one moment.\n{away}turns: {{mode: {mode}, endpointing: {{mode: {endpointing}}}, \
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

/// What a model says, and calls where it has tools: one that runs at once, one that runs when the agent was heard.
fn answers(with_tools: bool) -> impl Strategy<Value = Vec<Answer>> {
    let mut all: Vec<_> = REPLIES.into_iter().map(Answer::Says).collect();
    if with_tools {
        all.push(Answer::SaysAndCalls(LOOKS, &[("find", "{}"), ("find", "{}")]));
        all.push(Answer::SaysAndCalls(ACTS, &[("act", "{}")]));
        all.push(Answer::SaysAndCalls("", &[("act", "{}"), ("find", "{}")]));
    }
    prop::collection::vec(prop::sample::select(all), 1..6)
}

fn tools() -> Vec<Arc<dyn Tool>> {
    let find = function(
        "find",
        "Finds.",
        |_: serde_json::Map<String, serde_json::Value>| async {
            sleep(Duration::from_millis(300)).await;
            Ok("found".to_owned())
        },
    );
    let act = function(
        "act",
        "Acts.",
        |_: serde_json::Map<String, serde_json::Value>| async {
            sleep(Duration::from_millis(700)).await;
            Err(ToolError("it did not work".to_owned()))
        },
    );
    vec![Arc::new(find), Arc::new(act.after_speech())]
}

/// Whether `text` is made of what was generated, of which only the last may be cut off.
fn is_generated(text: &str) -> bool {
    let text = text.trim_start();
    let phrases = [GREETING, REPROMPT, AWAY_GOODBYE, FALLBACK, GOODBYE, LOOKS, ACTS];
    let mut all = phrases.into_iter().chain(REPLIES);
    all.any(|said| {
        let said = said.replace('|', "");
        let said = said.trim();
        said.starts_with(text) || text.strip_prefix(said).is_some_and(is_generated)
    })
}

async fn run(steps: &[Step], cast: Cast) {
    let mut call = Call::start(cast);
    for (voice, silence) in steps {
        call.voice(*voice).await.silence(*silence).await;
    }
    let report = call.end().await;
    call.assert_nothing_is_left();
    assert_history_was_played(&call, &report);
    assert_silent_outside_of_turns(&call, &report);
    assert_calls_have_results(&call);
}

fn agents(report: &ConversationReport) -> Vec<&SpokenTurn> {
    let turns = report.turns.iter();
    turns.filter(|turn| turn.speaker == Speaker::Agent).collect()
}

fn assert_history_was_played(call: &Call, report: &ConversationReport) {
    let agent = agents(report);
    for turn in &agent {
        assert!(is_generated(&turn.text), "{:?} was never generated", turn.text);
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
}

/// One utterance at a time, nothing beside them, and none of them with a sample lost or doubled, paused and resumed or not.
fn assert_silent_outside_of_turns(call: &Call, report: &ConversationReport) {
    let agent = agents(report);
    let sample = |at: Duration| usize::try_from(at.as_micros()).unwrap() * 16 / 1000;
    let line = call.line();
    let sounding = line
        .iter()
        .enumerate()
        .filter(|(_, sample)| **sample != 0)
        .collect::<Vec<_>>();
    for (at, _) in &sounding {
        let holds = |turn: &&SpokenTurn| (sample(turn.started_at)..=sample(turn.ended_at)).contains(at);
        assert!(agent.iter().any(holds), "a sound outside of all turns at {at}");
    }
    for pair in sounding.windows(2) {
        let ((_, before), (at, sounds)) = (pair[0], pair[1]);
        let begins = |turn: &&SpokenTurn| sample(turn.started_at) == at;
        assert!(
            *sounds == before % 30_000 + 1 || agent.iter().any(begins),
            "a break at sample {at}"
        );
    }
    let overlapping = agent
        .windows(2)
        .any(|pair| pair[1].started_at < pair[0].ended_at && !pair[0].text.is_empty());
    assert!(!overlapping, "two utterances at once");
}

/// Whatever a model was told of: behind calls stand their results, one each.
fn assert_calls_have_results(call: &Call) {
    for request in call.requests.lock().unwrap().iter() {
        let mut messages = request.messages.iter().peekable();
        while let Some(message) = messages.next() {
            let calls = match message {
                Message::Calls(calls) => calls,
                Message::Result(result) => panic!("{result:?} without its call"),
                Message::User(_) | Message::Assistant(_) => continue,
            };
            let mut owed: Vec<_> = calls.iter().map(|call| call.id.as_str()).collect();
            while let Some(Message::Result(result)) = messages.next_if(|it| matches!(it, Message::Result(_)))
            {
                let paid = owed.iter().position(|id| *id == result.id);
                owed.remove(paid.expect("a result of a call"));
            }
            assert!(owed.is_empty(), "calls without results: {owed:?}");
        }
    }
}

fn converse(
    steps: &[Step],
    wordless: &[bool],
    llm: Vec<Answer>,
    hears: Option<Vec<Hears>>,
    profile: &str,
    tools: Vec<Arc<dyn Tool>>,
) {
    let stt = wordless
        .iter()
        .map(|wordless| Answer::Says(if *wordless { "" } else { "hello there" }))
        .collect();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let cast = Cast {
        stt,
        hears,
        llm,
        tools,
        ..Cast::greeting(profile)
    };
    runtime.block_on(run(steps, cast));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_history_is_what_was_played_and_nothing_is_left(
        steps in steps(),
        wordless in prop::collection::vec(prop::bool::weighted(0.2), 1..6),
        llm in answers(false),
        profile in profile(),
        hears in hears(),
    ) {
        converse(&steps, &wordless, llm, hears, &profile, Vec::new());
    }

    #[test]
    fn with_tools_the_history_is_what_was_played_and_each_call_has_its_result(
        steps in steps(),
        wordless in prop::collection::vec(prop::bool::weighted(0.2), 1..6),
        llm in answers(true),
        profile in profile(),
        hears in hears(),
    ) {
        converse(&steps, &wordless, llm, hears, &profile, tools());
    }
}
