//! The caller speaks while the agent does.

use pipeline::ConversationEvent;

use crate::fakes::{Answer, WORD_SAMPLES};
use crate::world::{Call, Cast, millis};

/// One sentence of 20 words: 4 s.
const LONG: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
                    seventeen eighteen nineteen twenty.";

/// The agent has been speaking [`LONG`] for 1 s. Returns when it began.
async fn speaking() -> (Call, u64) {
    let cast = Cast {
        llm: vec![Answer::Says(LONG), Answer::Says("As you wish, that is changed.")],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    call.voice(400).await;
    let began = call.until_agent_speaks().await;
    let rest = (began + 1000).saturating_sub(call.now_ms());
    call.silence(rest).await;
    (call, began)
}

fn paused_ms(call: &mut Call) -> Vec<u64> {
    let at = |event: &ConversationEvent| match event {
        ConversationEvent::Paused { at } => Some(millis(*at)),
        _ => None,
    };
    call.seen().iter().filter_map(at).collect()
}

/// Whether `sounds` counts up without a gap or a repetition.
fn is_whole(sounds: &[i16]) -> bool {
    sounds.windows(2).all(|pair| pair[1] == pair[0] % 30_000 + 1)
}

#[tokio::test(start_paused = true)]
async fn the_agent_is_silent_120_ms_after_the_onset_and_for_good_after_500_ms() {
    let (mut call, _) = speaking().await;
    let onset = call.now_ms();
    call.voice(700).await;
    assert_eq!(paused_ms(&mut call), [onset + 120]);
    let silent = call.last_sound_ms();
    assert!(
        silent - onset <= 300,
        "silent {} ms after the onset; the budget is 300",
        silent - onset
    );
    assert!(
        silent.saturating_sub(onset + 120) <= 60,
        "silent too long after the decision"
    );
    call.silence(400).await;
    assert_eq!(
        call.last_sound_ms(),
        silent,
        "the interrupted utterance is heard again"
    );
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_history_holds_only_the_words_that_were_heard() {
    let (mut call, began) = speaking().await;
    call.voice(700).await;
    let silent = call.last_sound_ms();
    call.until_agent_is_done().await;
    call.until_agent_speaks().await;
    let report = call.end().await;
    let interrupted = &report.turns[1];
    let words = usize::try_from((silent - began) / 200).unwrap();
    let heard: Vec<_> = LONG.split_whitespace().take(words).collect();
    assert_eq!((words, interrupted.text.as_str()), (5, heard.join(" ").as_str()));
    assert!(interrupted.interrupted);
    assert_eq!(
        call.last_request(),
        ["a large pizza please", &heard.join(" "), "a large pizza please"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_cough_of_100_ms_is_not_even_a_pause() {
    let (mut call, _) = speaking().await;
    call.voice(100).await;
    let answer = call.until_agent_is_done().await;
    assert_eq!((answer.text.as_str(), answer.interrupted), (LONG, false));
    assert_eq!(paused_ms(&mut call), [0; 0]);
    let line = call.line();
    let first = line.iter().position(|sample| *sample != 0).unwrap();
    let sound = &line[first..first + 20 * WORD_SAMPLES];
    assert!(is_whole(sound), "the far end heard a gap");
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_false_interruption_resumes_from_the_very_sample() {
    let (mut call, _) = speaking().await;
    call.voice(400).await;
    let answer = call.until_agent_is_done().await;
    assert_eq!((answer.text.as_str(), answer.interrupted), (LONG, false));
    assert_eq!(paused_ms(&mut call).len(), 1);
    let resumed = call
        .seen()
        .iter()
        .filter(|event| matches!(event, ConversationEvent::Resumed { .. }))
        .count();
    assert_eq!(resumed, 1);
    let sounds = call.sounds();
    assert!(is_whole(&sounds), "a sample is lost or doubled");
    assert_eq!(sounds.len(), 20 * WORD_SAMPLES);
    assert_eq!(
        call.requests.lock().unwrap().len(),
        1,
        "the false interruption was answered"
    );
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn false_interruptions_one_after_the_other_lose_nothing() {
    let (mut call, _) = speaking().await;
    for _ in 0..4 {
        call.voice(180).await.silence(460).await;
    }
    let answer = call.until_agent_is_done().await;
    assert_eq!(answer.text, LONG);
    assert_eq!(paused_ms(&mut call).len(), 4);
    assert!(is_whole(&call.sounds()));
    assert_eq!(call.sounds().len(), 20 * WORD_SAMPLES);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_short_answer_over_the_last_word_is_answered() {
    let (mut call, began) = speaking().await;
    let late = began + 4000 - 300 - call.now_ms();
    call.silence(late).await.voice(260).await;
    let answer = call.until_agent_is_done().await;
    assert!(!answer.interrupted);
    call.until_agent_speaks().await;
    assert_eq!(call.requests.lock().unwrap().len(), 2);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_uninterruptible_greeting_is_heard_to_its_end() {
    let mut call = Call::start(Cast::greeting("greeting_interruptible: false\nrecording: off"));
    call.silence(200).await.voice(800).await;
    let greeting = call.until_agent_is_done().await;
    assert!(!greeting.interrupted);
    assert_eq!(paused_ms(&mut call), [0; 0]);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_interruption_stops_model_and_synthesis_too() {
    let sentences = "This is the first sentence of many. |".repeat(40);
    let cast = Cast {
        llm: vec![Answer::Says(Box::leak(sentences.into_boxed_str()))],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    call.voice(400).await;
    call.until_agent_speaks().await;
    call.silence(400).await;
    assert!(
        call.alive.count() > 0,
        "nothing is streaming, so nothing can be shown"
    );
    call.voice(560).await;
    assert_eq!(call.alive.count(), 0, "requests outlive the interruption");
    call.end().await;
}
