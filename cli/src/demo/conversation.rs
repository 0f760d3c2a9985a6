//! The caller's half of the conversation: listen to the greeting, speak, listen, speak, listen, hang up.

use std::time::Duration;

use caller::{Call, CallError, Moment, Spoken};
use tokio::sync::mpsc;

use crate::voice::Sentence;

/// How long the phone may ring.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long the agent may take to say something and to finish it.
const SPEECH_LIMIT: Duration = Duration::from_secs(45);
/// A pause that ends the agent's turn: longer than those between its sentences.
const PAUSE: Duration = Duration::from_millis(1_200);
/// How long the end may take after the caller's BYE.
const END_LIMIT: Duration = Duration::from_secs(5);

/// One turn of the caller and the answer to it, as the phone saw them.
pub(super) struct Exchange {
    pub(super) spoken: Spoken,
    /// The first and the last sound of the agent's answer.
    pub(super) answer: (Moment, Moment),
}

impl Exchange {
    /// From the caller's last sound to the agent's first, on the phone's side of the wire.
    pub(super) fn waited(&self) -> Duration {
        self.answer.0.at.saturating_sub(self.spoken.ended)
    }
}

/// What the view hears of before the store knows it.
pub(super) enum Note {
    /// The agent began to speak.
    AgentHeard(Duration),
    /// The caller began to say this.
    CallerSpeaks(Duration, String),
    /// The caller finished.
    CallerSpoke(Spoken),
}

/// Runs to the end of the call.
pub(super) async fn hold(
    call: &Call,
    sentences: &[Sentence],
    notes: mpsc::Sender<Note>,
) -> Result<Vec<Exchange>, CallError> {
    call.wait_answered(ANSWER_LIMIT).await?;
    let mut ear = call.ear_from_start();
    let mut exchanges = Vec::new();
    let tell = async |note| {
        // The view reads until the conversation ends.
        let _ = notes.send(note).await;
    };
    let greeting = ear.wait_for_speech(SPEECH_LIMIT).await?;
    tell(Note::AgentHeard(greeting.at)).await;
    ear.wait_for_silence(PAUSE, SPEECH_LIMIT).await?;
    for sentence in sentences {
        tell(Note::CallerSpeaks(
            call.invited_at().elapsed(),
            sentence.text.clone(),
        ))
        .await;
        let spoken = call.speak(&sentence.samples).await?;
        tell(Note::CallerSpoke(spoken)).await;
        let start = ear.wait_for_speech(SPEECH_LIMIT).await?;
        tell(Note::AgentHeard(start.at)).await;
        let end = ear.wait_for_silence(PAUSE, SPEECH_LIMIT).await?;
        exchanges.push(Exchange {
            spoken,
            answer: (start, end),
        });
    }
    call.hang_up().await;
    call.wait_ended(END_LIMIT).await?;
    Ok(exchanges)
}
