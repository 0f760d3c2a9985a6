//! A conversation that goes on where another worker's broke off.

use pipeline::{ConversationEvent, Said, Speaker};

use crate::fakes::Answer;
use crate::world::{Call, Cast, GREETING};

const BRIDGE: &str = "I am back.";

fn taken_over(more: &str) -> Cast {
    let said = |speaker, text: &str| Said {
        speaker,
        text: text.to_owned(),
    };
    Cast {
        earlier: Some(vec![
            said(Speaker::Agent, GREETING),
            said(Speaker::User, "yes please"),
            said(Speaker::Agent, "What would you like?"),
        ]),
        ..Cast::greeting(&format!("bridge: {BRIDGE}\n{more}"))
    }
}

#[tokio::test(start_paused = true)]
async fn the_heir_bridges_instead_of_greeting_and_knows_what_was_said() {
    let mut call = Call::start(taken_over("recording: off"));
    call.until_agent_speaks().await;
    let first = call.until_agent_is_done().await;
    assert_eq!(first.text, BRIDGE);
    let greets = call.seen().iter().any(|event| {
        matches!(
            event,
            ConversationEvent::AgentStarted {
                is_greeting: true,
                ..
            }
        )
    });
    assert!(!greets, "a bridge is no greeting");
    call.voice(600).await;
    call.until_agent_speaks().await;
    assert_eq!(
        call.last_request(),
        [
            GREETING,
            "yes please",
            "What would you like?",
            BRIDGE,
            "a large pizza please"
        ]
    );
    let report = call.end().await;
    assert_eq!(
        report.turns[0].text, BRIDGE,
        "the report tells of this conversation alone"
    );
    call.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_bridge_is_no_notice() {
    let mut call = Call::start(taken_over("recording: after_notice"));
    call.until_agent_speaks().await;
    call.until_agent_is_done().await;
    call.silence(500).await;
    assert_eq!(call.end().await.recording_from, None);
}

#[tokio::test(start_paused = true)]
async fn a_yes_after_the_takeover_is_not_the_answer_to_the_consent_question() {
    for (earlier, opens) in [(true, false), (false, true)] {
        let mut cast = taken_over("recording: after_consent");
        cast.stt = vec![Answer::Says("yes")];
        if !earlier {
            cast.earlier = None;
        }
        let mut call = Call::start(cast);
        call.until_agent_speaks().await;
        call.until_agent_is_done().await;
        call.voice(600).await;
        call.until_agent_is_done().await;
        assert_eq!(call.end().await.recording_from.is_some(), opens, "{earlier}");
    }
}
