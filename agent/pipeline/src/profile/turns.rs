//! The section `turns` of a profile: the turn machine's options under the peers' names.

use std::time::Duration;

use turns::Options;

use super::ProfileFault;
use super::fields::Fields;

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// Reads the options, and the prefix padding, which is not the machine's but stands beside its VAD options.
pub(super) fn read(fields: Option<Fields>, faults: &mut Vec<ProfileFault>) -> (Options, Duration) {
    let mut options = Options::default();
    let mut prefix_padding = Duration::from_millis(500);
    let Some(mut fields) = fields else {
        return (options, prefix_padding);
    };
    if let Some(mut vad) = fields.map("vad", faults) {
        vad.share("activation", &mut options.vad.activation, faults);
        vad.share("deactivation", &mut options.vad.deactivation, faults);
        vad.duration("min_speech", ZERO..=SECOND, &mut options.vad.min_speech, faults);
        vad.duration(
            "min_silence",
            ZERO..=2 * SECOND,
            &mut options.vad.min_silence,
            faults,
        );
        vad.duration("prefix_padding", ZERO..=SECOND, &mut prefix_padding, faults);
        vad.finish(faults);
    }
    if let Some(mut endpointing) = fields.map("endpointing", faults) {
        endpointing.duration(
            "min_delay",
            ZERO..=10 * SECOND,
            &mut options.endpointing.min_delay,
            faults,
        );
        endpointing.duration(
            "max_delay",
            ZERO..=10 * SECOND,
            &mut options.endpointing.max_delay,
            faults,
        );
        endpointing.finish(faults);
    }
    if let Some(mut section) = fields.map("interruption", faults) {
        let interruption = &mut options.interruption;
        interruption.enabled = section.flag("enabled", faults).unwrap_or(interruption.enabled);
        section.duration(
            "pause_after",
            ZERO..=5 * SECOND,
            &mut interruption.pause_after,
            faults,
        );
        section.duration(
            "min_duration",
            ZERO..=5 * SECOND,
            &mut interruption.min_duration,
            faults,
        );
        let timeout = &mut interruption.false_interruption_timeout;
        section.duration(
            "false_interruption_timeout",
            SECOND / 10..=10 * SECOND,
            timeout,
            faults,
        );
        section.duration(
            "early_answer",
            ZERO..=5 * SECOND,
            &mut interruption.early_answer,
            faults,
        );
        let answer = &mut interruption.early_answer_min_duration;
        section.duration("early_answer_min_duration", ZERO..=5 * SECOND, answer, faults);
        section.finish(faults);
    }
    let limits = &mut options.limits;
    fields.duration(
        "user_away_timeout",
        SECOND..=600 * SECOND,
        &mut limits.user_away,
        faults,
    );
    fields.duration("idle_timeout", SECOND..=3600 * SECOND, &mut limits.idle, faults);
    fields.finish(faults);
    (options, prefix_padding)
}
