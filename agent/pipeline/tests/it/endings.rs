//! How conversations end, and that nothing of them is left.

use std::time::Duration;

use pipeline::{ConversationEvent, EndReason, Speaker};
use tokio::time::timeout;

use crate::fakes::Answer;
use crate::world::{Call, Cast};

#[tokio::test(start_paused = true)]
async fn the_agent_says_goodbye_to_the_end_and_hangs_up() {
    let cast = Cast {
        llm: vec![Answer::SaysAndHangsUp(
            "Thank you for calling us. |Goodbye and have a nice day!",
        )],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    call.voice(400).await;
    call.until_agent_speaks().await;
    // What the caller says over the goodbye does not stop it.
    call.voice(1000).await;
    let goodbye = call.until_agent_is_done().await;
    assert_eq!(
        goodbye.text,
        "Thank you for calling us. Goodbye and have a nice day!"
    );
    assert!(!goodbye.interrupted);
    let report = call.report().await;
    assert_eq!(report.reason, EndReason::AgentEnded);
    assert_eq!(
        call.sounds().len(),
        11 * 3200,
        "the goodbye is not heard to its end"
    );
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_last_words_hangs_up_too() {
    let cast = Cast {
        llm: vec![Answer::SaysAndHangsUp("")],
        ..Cast::default()
    };
    let mut call = Call::start(cast);
    call.voice(400).await.silence(1000).await;
    let report = call.report().await;
    assert_eq!(report.reason, EndReason::AgentEnded);
    assert_eq!(report.turns.len(), 1, "the caller's turn is kept");
}

#[tokio::test(start_paused = true)]
async fn hanging_up_at_any_moment_ends_everything_at_once() {
    // Greeting in the making, greeting played, caller speaking, recogniser, model, synthesis, answer played.
    for moment_ms in [40, 500, 1700, 2050, 2350, 2500, 3500] {
        let mut call = Call::start(Cast::greeting("recording: off"));
        let speech: u64 = 1400;
        call.silence(moment_ms.min(speech)).await;
        call.voice(moment_ms.saturating_sub(speech).min(400)).await;
        call.silence(moment_ms.saturating_sub(speech + 400)).await;
        let at = call.now_ms();
        let report = call.end().await;
        assert_eq!(report.reason, EndReason::CallerGone);
        assert_eq!(call.now_ms(), at, "hanging up at {moment_ms} ms took time");
        call.assert_nothing_is_left();
        let silent = call.last_sound_ms();
        call.nothing(500).await;
        assert!(
            call.last_sound_ms() <= silent.max(at),
            "something was played to nobody"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_before_the_caller_hung_up_is_reported() {
    let mut call = Call::start(Cast::greeting("recording: off"));
    call.silence(700).await;
    let report = call.end().await;
    let [greeting] = report.turns.as_slice() else {
        panic!("one turn, not {:?}", report.turns)
    };
    assert_eq!(
        (greeting.text.as_str(), greeting.interrupted),
        ("Hello, this call", true)
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_is_greeted_who_is_gone_already() {
    let mut call = Call::start(Cast::greeting("recording: off"));
    call.hang_up();
    let report = call.report().await;
    assert_eq!(report.reason, EndReason::CallerGone);
    assert!(
        call.sentences.lock().unwrap().is_empty(),
        "a greeting was synthesised for nobody"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_conversation_is_silent_at_once() {
    let mut call = Call::start(Cast::greeting("recording: off"));
    call.silence(500).await;
    let at = call.now_ms();
    call.cancel.cancel();
    let report = call.report().await;
    assert_eq!(report.reason, EndReason::Cancelled);
    call.nothing(1000).await;
    assert!(call.last_sound_ms() <= at);
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_line_that_breaks_ends_the_conversation() {
    let mut call = Call::start(Cast::greeting("recording: off"));
    call.silence(300).await;
    call.cut_the_line();
    call.silence(300).await;
    assert_eq!(call.report().await.reason, EndReason::AudioOutFailed);
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn silence_on_both_sides_ends_after_the_idle_timeout() {
    let profile = "prompt: x\nrecording: off\nturns: {user_away_timeout: 5s, idle_timeout: 20s}".into();
    let mut call = Call::start(Cast {
        profile,
        ..Cast::default()
    });
    let ended = timeout(Duration::from_secs(30), async {
        while !call.is_over() {
            call.silence(100).await;
        }
    });
    ended.await.expect("it ends by itself");
    assert_eq!(call.report().await.reason, EndReason::Idle);
    let away = call.seen().iter().any(|event| {
        matches!(event, ConversationEvent::User { state: turns::UserState::Away, at } if at.as_secs() == 5)
    });
    assert!(away);
}

#[tokio::test(start_paused = true)]
async fn the_words_of_a_turn_that_was_not_answered_are_kept() {
    let mut call = Call::start(Cast {
        llm: vec![Answer::Hangs],
        ..Cast::default()
    });
    call.voice(400).await.silence(1000).await;
    let report = call.end().await;
    let [turn] = report.turns.as_slice() else {
        panic!("one turn, not {:?}", report.turns)
    };
    assert_eq!(
        (turn.speaker, turn.text.as_str()),
        (Speaker::User, "a large pizza please")
    );
}

#[tokio::test(start_paused = true)]
async fn last_words_that_were_recognised_before_the_turn_was_over_are_kept() {
    let mut call = Call::start(Cast {
        stt: vec![Answer::Says("bye")],
        ..Cast::default()
    });
    call.voice(300).await.silence(400).await;
    let report = call.end().await;
    assert_eq!(
        report
            .turns
            .iter()
            .map(|turn| turn.text.as_str())
            .collect::<Vec<_>>(),
        ["bye"]
    );
}
