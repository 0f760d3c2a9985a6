//! The section `turns` of a profile: the turn machine's options under the peers' names.

use std::time::Duration;

use turns::{Endpointing, EndpointingMode, Interruption, Limits, Options, TurnMode, VadOptions};

use super::ProfileFault;
use super::fields::Fields;

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);
/// How often a caller is asked whether they are there, where the profile says by which words.
const REPROMPTS: u32 = 2;

const MODES: [(&str, TurnMode); 3] = [
    ("vad", TurnMode::Vad),
    ("stt", TurnMode::Stt),
    ("manual", TurnMode::Manual),
];

/// What the section says.
pub(super) struct TurnSection {
    pub(super) options: Options,
    /// Not the machine's, but beside its VAD options.
    pub(super) prefix_padding: Duration,
    /// Whether words move the end of a turn.
    pub(super) hint: bool,
}

/// Reads the options. `has_reprompt`: there are words for a caller who is away.
pub(super) fn read(
    fields: Option<Fields>,
    has_reprompt: bool,
    faults: &mut Vec<ProfileFault>,
) -> TurnSection {
    let mut section = TurnSection {
        options: Options::default(),
        prefix_padding: Duration::from_millis(500),
        hint: true,
    };
    let options = &mut section.options;
    if has_reprompt {
        options.limits.reprompts = REPROMPTS;
    }
    let Some(mut fields) = fields else {
        return section;
    };
    options.mode = fields.one_of("mode", &MODES, faults).unwrap_or_default();
    if let Some(vad) = fields.map("vad", faults) {
        read_vad(vad, &mut options.vad, &mut section.prefix_padding, faults);
    }
    if let Some(endpointing) = fields.map("endpointing", faults) {
        read_endpointing(endpointing, &mut options.endpointing, &mut section.hint, faults);
    }
    if let Some(interruption) = fields.map("interruption", faults) {
        read_interruption(interruption, &mut options.interruption, faults);
    }
    read_limits(&mut fields, has_reprompt, &mut options.limits, faults);
    fields.finish(faults);
    section
}

fn read_vad(
    mut fields: Fields,
    vad: &mut VadOptions,
    prefix_padding: &mut Duration,
    faults: &mut Vec<ProfileFault>,
) {
    fields.share("activation", &mut vad.activation, faults);
    fields.share("deactivation", &mut vad.deactivation, faults);
    fields.duration("min_speech", ZERO..=SECOND, &mut vad.min_speech, faults);
    fields.duration("min_silence", ZERO..=2 * SECOND, &mut vad.min_silence, faults);
    fields.duration("prefix_padding", ZERO..=SECOND, prefix_padding, faults);
    fields.finish(faults);
}

fn read_endpointing(
    mut fields: Fields,
    endpointing: &mut Endpointing,
    hint: &mut bool,
    faults: &mut Vec<ProfileFault>,
) {
    const MODES: [(&str, EndpointingMode); 2] = [
        ("fixed", EndpointingMode::Fixed),
        ("dynamic", EndpointingMode::Dynamic),
    ];
    const HINTS: [(&str, bool); 2] = [("rules", true), ("off", false)];
    endpointing.mode = fields.one_of("mode", &MODES, faults).unwrap_or_default();
    fields.duration(
        "min_delay",
        ZERO..=10 * SECOND,
        &mut endpointing.min_delay,
        faults,
    );
    fields.duration(
        "max_delay",
        ZERO..=10 * SECOND,
        &mut endpointing.max_delay,
        faults,
    );
    fields.share("alpha", &mut endpointing.alpha, faults);
    *hint = fields.one_of("hint", &HINTS, faults).unwrap_or(*hint);
    fields.finish(faults);
}

fn read_interruption(mut fields: Fields, interruption: &mut Interruption, faults: &mut Vec<ProfileFault>) {
    for (key, flag) in [
        ("enabled", &mut interruption.enabled),
        ("ignore_backchannels", &mut interruption.ignore_backchannels),
        (
            "resume_false_interruption",
            &mut interruption.resume_false_interruption,
        ),
        (
            "discard_audio_if_uninterruptible",
            &mut interruption.discard_audio_if_uninterruptible,
        ),
    ] {
        *flag = fields.flag(key, faults).unwrap_or(*flag);
    }
    let words = fields.whole("min_words", 0..=10, faults);
    if let Some(words) = words.and_then(|words| u32::try_from(words).ok()) {
        interruption.min_words = words;
    }
    let short = ZERO..=5 * SECOND;
    let timeout = &mut interruption.false_interruption_timeout;
    fields.duration(
        "false_interruption_timeout",
        SECOND / 10..=10 * SECOND,
        timeout,
        faults,
    );
    for (key, target) in [
        ("pause_after", &mut interruption.pause_after),
        ("min_duration", &mut interruption.min_duration),
        ("early_answer", &mut interruption.early_answer),
        (
            "early_answer_min_duration",
            &mut interruption.early_answer_min_duration,
        ),
    ] {
        fields.duration(key, short.clone(), target, faults);
    }
    fields.finish(faults);
}

fn read_limits(fields: &mut Fields, has_reprompt: bool, limits: &mut Limits, faults: &mut Vec<ProfileFault>) {
    let reprompts = fields.whole("reprompts", 1..=10, faults);
    if let Some(reprompts) = reprompts.and_then(|reprompts| u32::try_from(reprompts).ok()) {
        limits.reprompts = reprompts;
        if !has_reprompt {
            let remedy = "write the profile's `reprompt`, or remove it";
            fields.fault("reprompts", "there is nothing to be said", remedy, faults);
        }
    }
    for (key, range, limit) in [
        ("user_away_timeout", SECOND..=600 * SECOND, &mut limits.user_away),
        ("idle_timeout", SECOND..=3600 * SECOND, &mut limits.idle),
        ("user_turn_limit", 5 * SECOND..=40 * SECOND, &mut limits.user_turn),
        (
            "max_duration",
            60 * SECOND..=86_400 * SECOND,
            &mut limits.duration,
        ),
    ] {
        fields.duration(key, range, limit, faults);
    }
}
