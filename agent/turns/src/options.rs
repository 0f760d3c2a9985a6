//! The machine's options: peers' names, peers' defaults.

use std::time::Duration;

/// Everything that can be tuned about turns.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Options {
    /// Who decides that a caller's turn is over.
    pub mode: TurnMode,
    /// When voice begins and ends.
    pub vad: VadOptions,
    /// When a caller's turn is over.
    pub endpointing: Endpointing,
    /// When a caller's voice stops the agent.
    pub interruption: Interruption,
    /// How long each state may last.
    pub limits: Limits,
    /// Whether the recogniser tells words while they are spoken ([`crate::Input::Interim`]). Where it does not, the machine
    /// asks for a transcript in the middle of a voice whose words it needs. Default false.
    pub has_interim: bool,
}

/// Who decides that a caller's turn is over. In every mode it is voice that begins one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TurnMode {
    /// Voice activity: the delay runs from the last voice.
    #[default]
    Vad,
    /// The recogniser: the delay runs from its end of utterance or, where it gives none, from its transcript. The caller
    /// interrupts by words, never by voice alone.
    Stt,
    /// Somebody else, by [`crate::Input::Commit`]; the caller's voice neither ends turns nor interrupts.
    Manual,
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

/// Whether the delay adapts to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndpointingMode {
    /// It is `min_delay`.
    #[default]
    Fixed,
    /// It begins at `min_delay` and follows the caller's hesitations: an exponential moving average of the silences after
    /// which a turn went on, a turn without one counting as `min_delay`.
    Dynamic,
}

/// How long after the caller's last voice the turn is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Endpointing {
    /// Default [`EndpointingMode::Fixed`].
    pub mode: EndpointingMode,
    /// The delay, counted from the last voice. Default 0.5 s.
    pub min_delay: Duration,
    /// The most that a hint, or the caller's hesitations, may raise the delay to. Default 3.0 s.
    pub max_delay: Duration,
    /// How much the past weighs in the moving average, 0.0 to 1.0. Default 0.9.
    pub alpha: f32,
}

impl Default for Endpointing {
    fn default() -> Self {
        Self {
            mode: EndpointingMode::Fixed,
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(3),
            alpha: 0.9,
        }
    }
}

impl Endpointing {
    /// The delay for a turn that is over with this probability (0.0 to 1.0; anything else counts as the nearer of the
    /// two): `min_delay` for a certain end, `max_delay` for a certain continuation, in proportion between.
    pub fn hinted(&self, probability: f32) -> Duration {
        let open = if probability.is_nan() {
            0.0
        } else {
            1.0 - probability.clamp(0.0, 1.0)
        };
        let extra = self.max_delay.saturating_sub(self.min_delay).mul_f32(open);
        (self.min_delay + extra).clamp(self.min_delay, self.max_delay.max(self.min_delay))
    }
}

/// Barge-in, in two steps: a pause that can be taken back, then the interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, as the peers have them"
)]
pub struct Interruption {
    /// Whether the caller can stop the agent at all. Default true.
    pub enabled: bool,
    /// Voice over the agent's speech after which its playout pauses. Default 120 ms.
    pub pause_after: Duration,
    /// Voice over the agent's speech after which the utterance ends for good. Default 0.5 s.
    pub min_duration: Duration,
    /// Words that the caller must have said as well; 0: voice is enough, unless the words are known and are a backchannel.
    /// Default 0.
    pub min_words: u32,
    /// Whether words that only show that the caller listens leave the agent its turn. Default true.
    pub ignore_backchannels: bool,
    /// Whether the agent pauses at `pause_after`, to go on where it was when the interruption proves false. Otherwise it
    /// speaks on until it is interrupted for good. Default true.
    pub resume_false_interruption: bool,
    /// Whether what the caller says over an utterance that cannot be interrupted is dropped; otherwise it is answered
    /// after it. Default true.
    pub discard_audio_if_uninterruptible: bool,
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
            min_words: 0,
            ignore_backchannels: true,
            resume_false_interruption: true,
            discard_audio_if_uninterruptible: true,
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
    /// How often a caller who is away is asked whether they are there, `user_away` apart; then comes the goodbye. 0: never,
    /// and nothing follows from being away. Default 0.
    pub reprompts: u32,
    /// Silence on both sides after which the conversation ends. Default 300 s.
    pub idle: Duration,
    /// The longest conversation: then, as soon as nobody speaks, comes the goodbye. Default 4 h.
    pub duration: Duration,
    /// How long after that nobody may have stopped speaking; then it ends without one. Default 60 s.
    pub overtime: Duration,
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
            reprompts: 0,
            idle: Duration::from_mins(5),
            duration: Duration::from_hours(4),
            overtime: Duration::from_mins(1),
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
    /// The moving average's weight is not between 0 and 1.
    #[error("endpointing.alpha must lie between 0 and 1")]
    Alpha,
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
            ..
        } = self;
        let ordered = 0.0 <= vad.deactivation && vad.deactivation <= vad.activation && vad.activation <= 1.0;
        if !ordered {
            return Err(OptionsError::Thresholds);
        }
        if endpointing.min_delay > endpointing.max_delay {
            return Err(OptionsError::Delays);
        }
        if !(0.0..=1.0).contains(&endpointing.alpha) {
            return Err(OptionsError::Alpha);
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
            reprompts: _,
            idle,
            duration,
            overtime,
        } = *limits;
        let all = [
            initializing,
            user_turn,
            thinking,
            stalled,
            stopping,
            user_away,
            idle,
            duration,
            overtime,
        ];
        if all.iter().any(Duration::is_zero) {
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
        assert_eq!(with(|o| o.endpointing.alpha = f32::NAN), Err(OptionsError::Alpha));
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
