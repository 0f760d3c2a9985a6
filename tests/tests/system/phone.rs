//! The phone of a test: places calls into the system, with a synthetic voice.

use std::{path::PathBuf, process::Command, time::Duration};

use audio::{Codec, wav};
use caller::{Call, Caller, CallerConfig};

use crate::harness::{CALLER, DIALLED, System};

/// How long anything that should happen at once may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long a silence must be to end an utterance of the agent's: its sentences are closer together than this.
pub(crate) const PAUSE: Duration = Duration::from_millis(600);

/// A call to the agent's number with one codec.
pub(crate) fn config(system: &System, codec: Codec) -> CallerConfig {
    CallerConfig {
        codecs: vec![codec],
        ..CallerConfig::new(DIALLED, CALLER, system.sip)
    }
}

/// Places the call and waits for the answer.
pub(crate) async fn answered(system: &System, codec: Codec) -> Call {
    let call = Caller::new(config(system, codec)).place().await.unwrap();
    call.wait_answered(SOON)
        .await
        .unwrap_or_else(|e| panic!("{e}; log: {}", system.log.display()));
    call
}

/// The voice of a caller: 16 kHz, from flite. It is the agent's, too.
pub(crate) fn voice(text: &str) -> Vec<i16> {
    voice_of("slt", text)
}

/// Another one, as `rms`: in the first second of a call the agent takes its own voice for an echo.
pub(crate) fn voice_of(speaker: &str, text: &str) -> Vec<i16> {
    let file = tempfile::NamedTempFile::with_suffix(".wav").unwrap();
    let path = PathBuf::from(file.path());
    let done = Command::new("flite")
        .args(["-voice", speaker, "-t", text, "-o"])
        .arg(&path)
        .status();
    assert!(done.expect("flite is installed (Debian package flite)").success());
    let spoken = wav::read(&std::fs::read(&path).unwrap()).unwrap();
    let mut samples = Vec::new();
    audio::Resampler::new(spoken.sample_rate_hz, 16_000)
        .unwrap()
        .process(&spoken.samples, &mut samples);
    samples
}

/// `length` of a voice-like sound, for onsets that must be exact: a vowel of 150 Hz with its harmonics.
pub(crate) fn vowel(length: Duration) -> Vec<i16> {
    let samples = (length.as_secs_f64() * 16_000.0) as usize;
    (0..samples)
        .map(|n| {
            let t = n as f64 / 16_000.0;
            let wave: f64 = (1..=20)
                .map(|h| {
                    let hz = 150.0 * f64::from(h);
                    // Two formants of an open vowel, at 700 and 1200 Hz.
                    let gain: f64 = [700.0, 1200.0]
                        .iter()
                        .map(|f: &f64| (-((hz - f) / 200.0).powi(2)).exp())
                        .sum();
                    (gain + 0.1) * (std::f64::consts::TAU * hz * t).sin()
                })
                .sum();
            (wave * 3_000.0) as i16
        })
        .collect()
}

/// What a caller may ask the shipped receptionist, and what it answers.
pub(crate) const QUESTION: &str = "what time do you open tomorrow";
pub(crate) const ANSWER: &str = "Tomorrow we are open from nine in the morning until six in the evening.";
/// Another question, and its answer.
pub(crate) const OTHER_QUESTION: &str = "do you have parking";
pub(crate) const OTHER_ANSWER: &str = "Yes, there is free parking behind the house.";
/// What ends the conversation.
pub(crate) const GOODBYE: &str = "thank you goodbye";
/// What an agent says when a provider fails.
pub(crate) const FALLBACK: &str = "Sorry, I did not get that. Could you say it again?";
/// What the shipped receptionist says first.
pub(crate) const GREETING: &str =
    "Hello, this is the Garden Clinic. This call is recorded. How can I help you?";
