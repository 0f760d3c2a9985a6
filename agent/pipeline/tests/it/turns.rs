//! Turns that go well.

use std::sync::Arc;
use std::time::Duration;

use pipeline::{ConversationEvent, EndReason, Profile, Speaker};
use providers::{Chain, Message, Tts};
use turns::{AgentState, UserState};

use crate::fakes::{Alive, Answer, FakeTts};
use crate::world::{Call, Cast, GREETING, millis};

#[tokio::test(start_paused = true)]
async fn a_greeting_a_turn_and_its_answer() {
    let mut call = Call::start(Cast::greeting("recording: off"));
    assert_eq!(
        call.until_agent_speaks().await,
        100,
        "the synthesis takes 100 ms and nothing else does"
    );
    let greeting = call.until_agent_is_done().await;
    assert_eq!((greeting.text.as_str(), greeting.interrupted), (GREETING, false));
    assert_eq!(millis(greeting.ended_at - greeting.started_at), 1200);
    call.voice(600).await;
    let last_voice = call.now_ms();
    assert_eq!(
        call.until_agent_speaks().await,
        last_voice + 800,
        "0.5 s of silence, 0.2 s model, 0.1 s voice"
    );
    let answer = call.until_agent_is_done().await;
    assert_eq!(
        answer.text,
        "It will be with you in one hour. Anything else that I can do for you today?"
    );
    let report = call.end().await;
    assert_eq!(report.reason, EndReason::CallerGone);
    let said: Vec<_> = report
        .turns
        .iter()
        .map(|turn| (turn.speaker, turn.text.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (Speaker::Agent, GREETING),
            (Speaker::User, "a large pizza please"),
            (Speaker::Agent, answer.text.as_str())
        ]
    );
    assert_eq!(call.last_request(), [GREETING, "a large pizza please"]);
    assert!(matches!(
        call.requests.lock().unwrap()[0].messages[0],
        Message::Assistant(_)
    ));
    assert_eq!(call.requests.lock().unwrap()[0].system, "You sell pizza.");
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn latencies_stand_in_the_report_under_the_peers_names() {
    let mut call = Call::start(Cast::default());
    call.silence(200).await.voice(600).await;
    call.until_agent_is_done().await;
    let report = call.end().await;
    let [user, agent] = report.turns.as_slice() else {
        panic!("two turns, not {:?}", report.turns)
    };
    let ms = |duration: Option<std::time::Duration>| duration.map(millis);
    assert_eq!((millis(user.started_at), millis(user.ended_at)), (200, 800));
    assert_eq!(
        ms(user.latency.transcription_delay),
        Some(360),
        "0.26 s of silence, 0.1 s recogniser"
    );
    assert_eq!(ms(user.latency.end_of_turn_delay), Some(500));
    assert_eq!(ms(agent.latency.llm_ttft), Some(200));
    assert_eq!(ms(agent.latency.tts_ttfb), Some(100));
    assert_eq!(ms(agent.latency.e2e_latency), Some(800));
    assert_eq!(ms(agent.latency.transcription_delay), Some(360));
}

#[tokio::test(start_paused = true)]
async fn the_recogniser_gets_the_turn_with_its_prefix_padding() {
    let mut call = Call::start(Cast::default());
    call.silence(2000).await.voice(600).await.silence(400).await;
    // 0.5 s before, 0.6 s of voice, 0.26 s until the silence is certain.
    assert_eq!(*call.utterances.lock().unwrap(), [16 * 1360]);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn states_are_told() {
    let mut call = Call::start(Cast::default());
    call.voice(300).await;
    call.until_agent_is_done().await;
    let mut agent = Vec::new();
    let mut user = Vec::new();
    for event in call.seen() {
        match event {
            ConversationEvent::Agent { state, .. } => agent.push(*state),
            ConversationEvent::User { state, .. } => user.push(*state),
            _ => {}
        }
    }
    assert_eq!(
        agent[..3],
        [AgentState::Listening, AgentState::Thinking, AgentState::Speaking]
    );
    assert_eq!(user, [UserState::Speaking, UserState::Listening]);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_speaks_on_before_the_answer_is_answered_once_and_whole() {
    let cast = Cast {
        stt: vec![
            Answer::Says("a large pizza"),
            Answer::Says("a large pizza with olives"),
        ],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    call.voice(400).await.silence(600).await.voice(400).await;
    call.until_agent_is_done().await;
    let report = call.end().await;
    let said: Vec<_> = report
        .turns
        .iter()
        .map(|turn| (turn.speaker, turn.text.as_str()))
        .collect();
    assert_eq!(said.len(), 2);
    assert_eq!(said[0], (Speaker::User, "a large pizza with olives"));
    assert_eq!(call.last_request(), ["a large pizza with olives"]);
    // The second attempt heard both halves and the silence between them, no sample twice.
    assert_eq!(call.utterances.lock().unwrap()[1], 16 * 1660);
}

#[tokio::test(start_paused = true)]
async fn noise_without_words_is_not_answered() {
    let cast = Cast {
        stt: vec![Answer::Says("")],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    call.voice(200).await.silence(3000).await;
    assert!(call.sounds().is_empty());
    let report = call.end().await;
    assert!(report.turns.is_empty());
    assert!(call.requests.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_turn_ends_though_the_network_falls_silent_in_the_middle_of_a_word() {
    let mut call = Call::start(Cast::default());
    call.voice(400).await.nothing(3000).await;
    assert!(!call.sounds().is_empty(), "the turn was never answered");
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn markdown_is_neither_spoken_nor_remembered() {
    let cast = Cast {
        llm: vec![Answer::Says("**Sure!** That is a `large` pizza 🍕 for you.")],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    call.voice(400).await;
    let answer = call.until_agent_is_done().await;
    assert_eq!(answer.text, "Sure! That is a large pizza for you.");
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_greeting_synthesised_before_is_heard_at_once() {
    let cast = Cast::greeting("recording: off");
    let phrases = cast.phrases.clone();
    let mut first = Call::start(cast);
    first.until_agent_is_done().await;
    first.end().await;
    let mut second = Call::start(Cast {
        phrases,
        ..Cast::greeting("recording: off")
    });
    assert_eq!(second.until_agent_speaks().await, 0);
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_greeting_prepared_before_the_first_call_is_heard_at_once() {
    let cast = Cast::greeting("recording: off");
    let profile = Profile::parse(cast.profile.as_bytes()).unwrap();
    let tts = FakeTts::new("fake", &cast.tts, Alive::default());
    let chain = Chain::new(Arc::new(tts.clone()) as Arc<dyn Tts>, Vec::new());
    let phrases = cast.phrases.clone();
    phrases.prepare(&profile, chain.clone(), 16_000).await.unwrap();
    phrases.prepare(&profile, chain.clone(), 16_000).await.unwrap();
    assert_eq!(
        tts.sentences.lock().unwrap().len(),
        4,
        "greeting, apology, goodbye, bridge, once each"
    );
    let mut call = Call::start(cast);
    assert_eq!(call.until_agent_speaks().await, 0);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_who_does_not_listen_holds_nothing_up() {
    let cast = Cast {
        events: 1,
        ..Cast::greeting("recording: off")
    };
    let mut call = Call::start(cast);
    call.silence(1500).await.voice(400).await.silence(5000).await;
    let report = call.end().await;
    assert_eq!(report.turns.len(), 3);
    assert!(report.lost_events > 0);
}

#[tokio::test(start_paused = true)]
async fn the_far_end_may_want_another_rate() {
    let cast = Cast {
        sample_rate_hz: 48_000,
        ..Cast::greeting("recording: off")
    };
    let mut call = Call::start(cast);
    let greeting = call.until_agent_is_done().await;
    assert_eq!(millis(greeting.ended_at - greeting.started_at), 1200);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_report_tells_what_the_conversation_took_of_its_providers() {
    let mut call = Call::start(Cast::default());
    call.voice(600).await;
    call.until_agent_is_done().await;
    call.voice(400).await;
    call.until_agent_is_done().await;
    let usage = call.end().await.usage;
    // Each reply takes 10 tokens, of which 4 were kept, and 5.
    assert_eq!(
        (
            usage.llm_requests,
            usage.llm_prompt_tokens,
            usage.llm_prompt_cached_tokens,
            usage.llm_completion_tokens
        ),
        (2, 20, 8, 10)
    );
    let spoken = call.sentences.lock().unwrap().concat().chars().count();
    assert_eq!(usage.tts_characters, u64::try_from(spoken).unwrap());
    assert!(
        usage.tts_audio > Duration::from_millis(100),
        "{:?}",
        usage.tts_audio
    );
    let heard = call.utterances.lock().unwrap().iter().sum::<usize>() / 16;
    assert_eq!(
        usage.stt_audio,
        Duration::from_millis(u64::try_from(heard).unwrap())
    );
}
