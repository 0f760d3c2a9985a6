//! The machine's options: peers' names, peers' defaults.

use std::time::Duration;

/// Everything that can be tuned about turns.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Options {
    /// When voice begins and ends.
    pub vad: VadOptions,
    /// When a caller's turn is over.
    pub endpointing: Endpointing,
    /// When a caller's voice stops the agent.
    pub interruption: Interruption,
    /// How long each state may last.
    pub limits: Limits,
}

/// Voice activity: what [`crate::VoiceGate`] makes of probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VadOptions {
    /// Probability from which a frame counts as voice while there was none. 0.0 to 1.0; default 0.5.
    pub activation: f32,
    /// Probability under which a frame counts as silence while there was voice. 0.0 to `activation`; default 0.35.
    pub deactivation: f32,
    /// Voice in a row that makes a beginning. Default 50 ms.
    pub min_speech: Duration,
    /// Silence in a row that makes an end. Default 250 ms.
    pub min_silence: Duration,
}

impl Default for VadOptions {
    fn default() -> Self {
        Self {
            activation: 0.5,
            deactivation: 0.35,
            min_speech: Duration::from_millis(50),
            min_silence: Duration::from_millis(250),
        }
    }
}

/// How long after the caller's last voice the turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpointing {
    /// The delay, counted from the last voice. Default 0.5 s.
    pub min_delay: Duration,
    /// The most that a hint may raise the delay to. Default 3.0 s.
    pub max_delay: Duration,
}

impl Default for Endpointing {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(3),
        }
    }
}

/// Barge-in, in two steps: a pause that can be taken back, then the interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interruption {
    /// Whether the caller can stop the agent at all. Default true.
    pub enabled: bool,
    /// Voice over the agent's speech after which its playout pauses. Default 120 ms.
    pub pause_after: Duration,
    /// Voice over the agent's speech after which the utterance ends for good. Default 0.5 s.
    pub min_duration: Duration,
    /// The longest pause without a decision; then the agent goes on. Default 2.0 s.
    pub false_interruption_timeout: Duration,
    /// A short answer given over the agent's last words counts as a turn when it ended at most this long
    /// before them. Default 1.0 s.
    pub early_answer: Duration,
    /// Voice that such an answer has at least; less is a cough. Default 200 ms.
    pub early_answer_min_duration: Duration,
}

impl Default for Interruption {
    fn default() -> Self {
        Self {
            enabled: true,
            pause_after: Duration::from_millis(120),
            min_duration: Duration::from_millis(500),
            false_interruption_timeout: Duration::from_secs(2),
            early_answer: Duration::from_secs(1),
            early_answer_min_duration: Duration::from_millis(200),
        }
    }
}

/// The exit timer of each state: none can be entered for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Before the first [`crate::Input::Say`] or [`crate::Input::Listen`]. Default 10 s.
    pub initializing: Duration,
    /// Voice without an end, as of music on hold: the turn is cut there. Default 30 s.
    pub user_turn: Duration,
    /// From the end of a turn to the first audio of the reply. Longer than the sum of the providers' own time
    /// limits, which come first and are heard. Default 35 s.
    pub thinking: Duration,
    /// Playout without progress. Default 12 s.
    pub stalled: Duration,
    /// From an interruption to the playout's word that it is silent. Default 1 s.
    pub stopping: Duration,
    /// Silence on both sides after which the caller is away. Default 15 s.
    pub user_away: Duration,
    /// Silence on both sides after which the conversation ends. Default 300 s.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            initializing: Duration::from_secs(10),
            user_turn: Duration::from_secs(30),
            thinking: Duration::from_secs(35),
            stalled: Duration::from_secs(12),
            stopping: Duration::from_secs(1),
            user_away: Duration::from_secs(15),
            idle: Duration::from_mins(5),
        }
    }
}

/// Options that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The VAD's thresholds are not 0 ≤ deactivation ≤ activation ≤ 1.
    #[error("vad.deactivation must lie between 0 and vad.activation, and that at most at 1")]
    Thresholds,
    /// `min_delay` is above `max_delay`.
    #[error("endpointing.min_delay must not exceed endpointing.max_delay")]
    Delays,
    /// The pause would come after the interruption that it announces.
    #[error("interruption.pause_after must not exceed interruption.min_duration")]
    Steps,
    /// The caller would be away after the conversation has ended.
    #[error("limits.user_away must not exceed limits.idle")]
    Away,
    /// A limit of zero would leave its state as it is entered.
    #[error("every limit must be longer than zero")]
    ZeroLimit,
}

impl Options {
    /// Whether the options agree with each other; [`crate::TurnMachine::new`] asks.
    pub fn check(&self) -> Result<(), OptionsError> {
        let Self {
            vad,
            endpointing,
            interruption,
            limits,
        } = self;
        let ordered = 0.0 <= vad.deactivation && vad.deactivation <= vad.activation && vad.activation <= 1.0;
        if !ordered {
            return Err(OptionsError::Thresholds);
        }
        if endpointing.min_delay > endpointing.max_delay {
            return Err(OptionsError::Delays);
        }
        if interruption.pause_after > interruption.min_duration {
            return Err(OptionsError::Steps);
        }
        if limits.user_away > limits.idle {
            return Err(OptionsError::Away);
        }
        let Limits {
            initializing,
            user_turn,
            thinking,
            stalled,
            stopping,
            user_away,
            idle,
        } = *limits;
        if [
            initializing,
            user_turn,
            thinking,
            stalled,
            stopping,
            user_away,
            idle,
        ]
        .iter()
        .any(Duration::is_zero)
        {
            return Err(OptionsError::ZeroLimit);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_agree_with_each_other() {
        assert_eq!(Options::default().check(), Ok(()));
    }

    #[test]
    fn contradictions_are_named() {
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.check()
        };
        assert_eq!(with(|o| o.vad.deactivation = 0.6), Err(OptionsError::Thresholds));
        assert_eq!(
            with(|o| o.vad.activation = f32::NAN),
            Err(OptionsError::Thresholds)
        );
        assert_eq!(
            with(|o| o.endpointing.min_delay = Duration::from_secs(4)),
            Err(OptionsError::Delays)
        );
        assert_eq!(
            with(|o| o.interruption.pause_after = Duration::from_secs(1)),
            Err(OptionsError::Steps)
        );
        assert_eq!(
            with(|o| o.limits.user_away = Duration::from_secs(301)),
            Err(OptionsError::Away)
        );
        assert_eq!(
            with(|o| o.limits.thinking = Duration::ZERO),
            Err(OptionsError::ZeroLimit)
        );
    }
}
