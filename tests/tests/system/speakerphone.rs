//! Callers whose microphone hears their loudspeaker.

use std::time::Duration;

use audio::Codec;
use caller::{Caller, CallerConfig, Speakerphone};

use crate::{
    conversation::{LATE, turns},
    harness::{Options, System, turn},
    phone::{self, PAUSE, SOON, config, voice},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_not_interrupted_by_its_own_echo_and_is_by_its_caller() {
    let _turn = turn().await;
    let system = System::start(Options::default()).await;
    let (question, words) = (voice(phone::QUESTION), voice(phone::OTHER_QUESTION));
    for codec in [Codec::G722, Codec::Pcmu] {
        let before = system.calls();
        let phone = CallerConfig {
            speakerphone: Some(Speakerphone {
                gain_db: -20.0,
                delay: Duration::from_millis(150),
            }),
            ..config(&system, codec)
        };
        let call = Caller::new(phone).place().await.unwrap();
        call.wait_answered(SOON).await.unwrap();
        let mut ear = call.ear_from_start();
        ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();

        let mut ear = call.ear();
        call.speak(&question).await.unwrap();
        ear.wait_for_speech(SOON).await.unwrap();
        let (spoken, silent) = tokio::join!(
            call.speak(&words),
            ear.wait_for_silence(Duration::from_millis(200), SOON)
        );
        let after = silent.unwrap().at.saturating_sub(spoken.unwrap().started);
        println!("{codec:?}: silent {after:?} after the caller began to speak over the agent");
        ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
        call.hang_up().await;
        call.wait_ended(SOON).await.unwrap();
        let late = call.report().rtp.max_send_lateness;

        let (folder, record) = system.new_record(&before, SOON).await;
        let said = turns(&record);
        if late > LATE {
            // What was made up while frames were late is no echo of anything.
            println!("{codec:?}: this machine was up to {late:?} late; nothing is said of echoes: {said:?}");
            continue;
        }
        assert_eq!(said[0], ("agent", phone::GREETING, false), "{record}");
        let callers: Vec<_> = said.iter().filter(|turn| turn.0 == "caller").collect();
        assert_eq!(callers.len(), 2, "an echo was taken for words: {record}");
        let cut = said.iter().filter(|turn| turn.2).count();
        assert_eq!(
            (cut, said[2].2),
            (1, true),
            "the first answer alone was interrupted: {record}"
        );
        let report = std::fs::read_to_string(folder.join("report.json")).unwrap();
        let pauses = report.matches("agent_paused").count();
        assert!(pauses <= 1, "the agent paused {pauses} times: {report}");
    }
    system.stop().await;
}
