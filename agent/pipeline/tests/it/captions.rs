//! What is told of both sides while they speak, and what the caller writes instead.

use pipeline::{Caption, Control, ConversationEvent, Speaker};

use crate::words::hears;
use crate::world::{Call, Cast, GREETING};

/// What was told of one side: which segment, what, and whether that was all.
fn told(call: &mut Call, of: Speaker) -> Vec<(u32, String, bool)> {
    let captions = call.seen().iter().filter_map(|event| match event {
        ConversationEvent::Caption(caption) if caption.speaker == of => Some(caption),
        _ => None,
    });
    let parts = captions.map(|caption| {
        let Caption {
            segment,
            text,
            is_final,
            ..
        } = caption;
        (*segment, text.clone(), *is_final)
    });
    parts.collect()
}

#[tokio::test(start_paused = true)]
async fn the_agents_words_are_told_as_they_are_heard() {
    let mut call = Call::start(Cast::greeting("recording: off"));
    call.until_agent_is_done().await;
    let told = told(&mut call, Speaker::Agent);
    assert!(told.len() > 3, "{told:?}");
    for pair in told.windows(2) {
        let [(_, before, _), (_, after, _)] = pair else {
            unreachable!()
        };
        assert!(after.starts_with(before.as_str()), "{told:?}");
    }
    assert_eq!(told.last(), Some(&(1, GREETING.to_owned(), true)));
    let finals = told.iter().filter(|(_, _, is_final)| *is_final);
    assert_eq!(finals.count(), 1);
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn of_an_agent_that_is_interrupted_no_more_is_told_in_the_end_than_was_heard() {
    let mut call = Call::start(Cast::greeting("recording: off"));
    call.until_agent_speaks().await;
    call.silence(600).await;
    call.controls.send(Control::Interrupt).await.unwrap();
    let turn = call.until_agent_is_done().await;
    assert!(
        turn.interrupted && turn.text.len() < GREETING.len(),
        "{}",
        turn.text.len()
    );
    let told = told(&mut call, Speaker::Agent);
    assert_eq!(told.last(), Some(&(1, turn.text.clone(), true)));
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_callers_words_are_told_while_they_are_recognised_and_once_for_good() {
    let mut call = Call::start(Cast {
        hears: Some(vec![hears(
            &[(100, "a large"), (300, "a large pizza")],
            "a large pizza please",
        )]),
        ..Cast::default()
    });
    call.voice(400).await;
    call.until_agent_is_done().await;
    let told = told(&mut call, Speaker::User);
    let said: Vec<_> = told
        .iter()
        .map(|(segment, text, _)| (*segment, text.as_str()))
        .collect();
    assert!(
        said.contains(&(1, "a large")) && said.contains(&(1, "a large pizza")),
        "{said:?}"
    );
    assert_eq!(told.last(), Some(&(1, "a large pizza please".to_owned(), true)));
    call.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_writes_interrupts_and_is_answered() {
    let mut call = Call::start(Cast::greeting("recording: off"));
    call.until_agent_speaks().await;
    call.silence(600).await;
    call.controls
        .send(Control::Text("a small one".into()))
        .await
        .unwrap();
    assert!(call.until_agent_is_done().await.interrupted);
    let answer = call.until_agent_is_done().await;
    assert!(answer.text.starts_with("It will be with you"));
    assert_eq!(call.last_request().last().unwrap(), "a small one");
    let report = call.end().await;
    let users = report.turns.iter().filter(|turn| turn.speaker == Speaker::User);
    assert_eq!(
        users.map(|turn| turn.text.as_str()).collect::<Vec<_>>(),
        ["a small one"]
    );
    assert_eq!(format!("{:?}", Control::Text("a small one".into())), "Text(..)");
}
