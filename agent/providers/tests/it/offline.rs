//! The offline programs themselves. They belong to the set-up of a machine that runs the tests: a missing one fails its
//! test with the name of its package.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use futures_util::{TryStreamExt, future::try_join_all};
use providers::{
    ProviderError, SpeechRequest, Stt, Tts,
    dialogue::words,
    offline::{EspeakNg, FLITE_VOICES, Flite, PocketSphinx, Slots, pocketsphinx::Phrase},
};

pub(crate) fn speech(text: &str, voice: &str, language: &str) -> SpeechRequest {
    SpeechRequest {
        text: text.to_owned(),
        voice: voice.to_owned(),
        language: language.to_owned(),
    }
}

pub(crate) async fn spoken(tts: &dyn Tts, request: SpeechRequest) -> Result<Vec<i16>, ProviderError> {
    tts.synthesize(request).try_concat().await
}

pub(crate) fn phrases(texts: &[&str]) -> Vec<Phrase> {
    let phrase = |(at, text): (usize, &&str)| Phrase {
        key: format!("phrases[{at}]"),
        words: words(text),
    };
    texts.iter().enumerate().map(phrase).collect()
}

/// Speech of plausible length and loudness.
fn assert_is_speech(samples: &[i16], rate_hz: u32, seconds: std::ops::Range<f64>) {
    let length = samples.len() as f64 / f64::from(rate_hz);
    assert!(seconds.contains(&length), "{length} s");
    let level = audio::level::rms_dbfs(samples);
    assert!((-35.0..-8.0).contains(&level), "{level} dBFS");
}

#[tokio::test]
async fn flite_speaks_with_each_voice() {
    let flite = Flite::new(Slots::default());
    for voice in FLITE_VOICES {
        let text = "We are open. Until six in the evening! Is that well?";
        let samples = spoken(&flite, speech(text, voice, "en-US")).await.unwrap();
        assert_is_speech(&samples, 16_000, 2.0..6.0);
    }
}

#[tokio::test]
async fn the_caller_does_not_wait_through_leading_silence() {
    let request = speech("Tomorrow we are open.", "", "en");
    let samples = spoken(&Flite::new(Slots::default()), request).await.unwrap();
    let begins = samples
        .iter()
        .position(|sample| sample.unsigned_abs() > 500)
        .unwrap();
    assert!(begins < 800, "it begins after {begins} samples");
}

#[tokio::test]
async fn espeak_speaks_russian_and_others() {
    let espeak = EspeakNg::new(Slots::default());
    for (text, voice, language) in [
        ("Мы открыты завтра с девяти утра до шести вечера.", "", "ru-RU"),
        ("Wir haben morgen von neun bis sechs Uhr geöffnet.", "", "de"),
        ("We are open from nine until six tomorrow.", "en-us+f3", "en"),
    ] {
        let samples = spoken(&espeak, speech(text, voice, language)).await.unwrap();
        assert_is_speech(&samples, 22_050, 1.5..6.0);
    }
}

#[tokio::test]
async fn what_cannot_be_spoken_is_refused_and_nothing_is_silence() {
    let (flite, espeak) = (Flite::new(Slots::default()), EspeakNg::new(Slots::default()));
    let long = "word ".repeat(500);
    for refused in [
        spoken(&flite, speech("Hi.", "nobody", "en")).await,
        spoken(&flite, speech("Привет.", "", "ru")).await,
        spoken(&flite, speech(&long, "", "en")).await,
        spoken(&espeak, speech("Hi.", "nobody", "en")).await,
        spoken(&espeak, speech("Hi.", "--version", "en")).await,
        spoken(&espeak, speech("Hi.", "/etc/passwd", "en")).await,
        spoken(&espeak, speech(&long, "", "en")).await,
    ] {
        assert!(matches!(refused, Err(ProviderError::Refused { .. })));
    }
    for nothing in ["", " … ", "[[]]", "\u{1}"] {
        assert!(
            spoken(&flite, speech(nothing, "", "en"))
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            spoken(&espeak, speech(nothing, "", "ru"))
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn twenty_sentences_at_once_are_spoken_alike() {
    let flite = Flite::new(Slots::new(2));
    let all = try_join_all((0..20).map(|_| spoken(&flite, speech("See you tomorrow.", "", "en"))))
        .await
        .unwrap();
    assert!(all.iter().all(|samples| *samples == all[0]));
}

#[tokio::test]
async fn missing_programs_are_named_by_their_packages() {
    let missing = "/nowhere/program";
    let flite = Flite::new(Slots::default()).with_program(missing);
    let espeak = EspeakNg::new(Slots::default()).with_program(missing);
    let (en, ru) = (speech("Hi.", "", "en"), speech("Привет.", "", "ru"));
    let failures = [
        spoken(&flite, en).await.unwrap_err().to_string(),
        spoken(&espeak, ru).await.unwrap_err().to_string(),
    ];
    assert!(
        failures[0].contains("install the Debian package flite"),
        "{}",
        failures[0]
    );
    assert!(
        failures[1].contains("install the Debian package espeak-ng"),
        "{}",
        failures[1]
    );

    let model = "/usr/share/pocketsphinx/model/en-us";
    let stt = PocketSphinx::load_with(&phrases(&["goodbye"]), Slots::default(), missing, model).unwrap();
    let failure = stt
        .transcribe(&vec![0; 16_000], "en")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        failure.contains("install the Debian package pocketsphinx"),
        "{failure}"
    );
    let faults =
        PocketSphinx::load_with(&phrases(&["goodbye"]), Slots::default(), missing, "/nowhere").unwrap_err();
    assert!(
        faults
            .to_string()
            .contains("install the Debian package pocketsphinx-en-us"),
        "{faults}"
    );
}

#[test]
fn words_that_cannot_be_heard_are_faults() {
    let faults = PocketSphinx::load(
        &phrases(&["see you at 9", "trunklynx please", "good morning"]),
        Slots::default(),
    )
    .unwrap_err();
    let told: Vec<_> = faults
        .0
        .iter()
        .map(|fault| (fault.key.as_str(), fault.problem.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "phrases[0]",
                "the recogniser's dictionary does not have the word `9`"
            ),
            (
                "phrases[1]",
                "the recogniser's dictionary does not have the word `trunklynx`"
            ),
        ]
    );
    assert!(PocketSphinx::load(&[], Slots::default()).is_err());
}

/// Set for the child process that [`nothing_is_written_to_a_disk`] starts of this same test binary.
const DISKLESS: &str = "PROVIDERS_TEST_DISKLESS";

/// What needs no place on a disk leaves nothing there, however its process ends.
#[test]
fn nothing_is_written_to_a_disk() {
    let tests = std::env::current_exe().unwrap();
    let output = Command::new(tests)
        .args([
            "--exact",
            "offline::speaker_and_hearer_of_the_disk_test",
            "--test-threads=1",
        ])
        .env(DISKLESS, "1")
        .env("TMPDIR", "/nowhere")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

/// Not a test of its own: what the test above runs. Does nothing when run among the others.
#[tokio::test]
async fn speaker_and_hearer_of_the_disk_test() {
    if std::env::var_os(DISKLESS).is_none() {
        return;
    }
    assert!(
        tempfile::tempfile().is_err(),
        "there is no folder for temporary files"
    );
    let samples = spoken(&Flite::new(Slots::default()), speech("Good morning.", "", "en"))
        .await
        .unwrap();
    let stt = PocketSphinx::load(&phrases(&["good morning", "goodbye"]), Slots::default()).unwrap();
    assert_eq!(stt.transcribe(&samples, "en").await.unwrap().text, "good morning");
}

/// A program that writes down how it was called.
fn spy(folder: &std::path::Path) -> (PathBuf, PathBuf) {
    let (program, seen) = (folder.join("spy"), folder.join("seen"));
    fs::write(
        &program,
        format!(
            "#!/bin/sh\necho \"$@\" > {0}\nenv >> {0}\ncat > /dev/null\n",
            seen.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    (program, seen)
}

#[tokio::test]
async fn no_word_stands_on_a_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let (program, seen) = spy(folder.path());
    let text = "canary says goodbye";
    let flite = Flite::new(Slots::default()).with_program(&program);
    let espeak = EspeakNg::new(Slots::default()).with_program(&program);
    let model = "/usr/share/pocketsphinx/model/en-us";
    let stt = PocketSphinx::load_with(&phrases(&[text]), Slots::default(), &program, model).unwrap();
    let assert_unseen = || {
        let called = fs::read_to_string(&seen).expect("it was called");
        assert!(!called.contains("canary") && called.contains("PATH="), "{called}");
        fs::remove_file(&seen).unwrap();
    };
    spoken(&flite, speech(text, "", "en")).await.unwrap_err();
    assert_unseen();
    spoken(&espeak, speech(text, "", "en")).await.unwrap_err();
    assert_unseen();
    assert_eq!(stt.transcribe(&vec![0; 16_000], "en").await.unwrap().text, "");
    assert_unseen();
}
