//! Providers by their names.

use std::path::PathBuf;

use providers::{
    Choice, Faults, Llm, Registry, Stt, Tts, Wanted, deepgram::DeepgramConfig, openai::OpenAiConfig,
};

use crate::stub::{KEY, install_tls};

fn named(name: &str) -> Vec<Choice<'_>> {
    vec![Choice {
        name: Some(name),
        ..Choice::default()
    }]
}

fn english() -> Wanted<'static> {
    let dialogue = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../profiles/reception.dialogue.yaml");
    Wanted {
        language: "en-GB",
        dialogue: Some(dialogue),
        ..Wanted::default()
    }
}

fn names(registry: &Registry, wanted: &Wanted<'_>) -> Result<[&'static str; 3], Faults> {
    registry
        .build(wanted)
        .map(|made| [made.stt.name(), made.llm.name(), made.tts.name()])
}

fn with_key() -> Registry {
    install_tls();
    let openai = OpenAiConfig::new(KEY.to_owned(), "https://api.openai.com/v1");
    Registry::new(Some(openai), None).unwrap()
}

#[test]
fn without_a_key_everything_is_offline() {
    let registry = Registry::new(None, None).unwrap();
    assert_eq!(
        names(&registry, &english()).unwrap(),
        ["pocketsphinx", "dialogue", "flite"]
    );
    let auto = Wanted {
        stt: named("auto"),
        llm: named("auto"),
        tts: named("auto"),
        ..english()
    };
    assert_eq!(
        names(&registry, &auto).unwrap(),
        ["pocketsphinx", "dialogue", "flite"]
    );
}

#[test]
fn with_a_key_whatever_is_not_named_is_openai() {
    let registry = with_key();
    assert_eq!(names(&registry, &english()).unwrap(), ["openai"; 3]);
    let mixed = Wanted {
        llm: named("dialogue"),
        tts: named("espeak-ng"),
        ..english()
    };
    assert_eq!(
        names(&registry, &mixed).unwrap(),
        ["openai", "dialogue", "espeak-ng"]
    );
    let russian = Wanted {
        language: "ru",
        tts: named("espeak-ng"),
        ..Wanted::default()
    };
    assert_eq!(
        names(&registry, &russian).unwrap(),
        ["openai", "openai", "espeak-ng"]
    );
}

#[test]
fn all_that_stands_against_it_is_told_at_once() {
    let registry = Registry::new(None, None).unwrap();
    let wanted = Wanted {
        tools: Vec::new(),
        stt: named("whisper"),
        llm: named("openai"),
        tts: named("flite"),
        language: "ru",
        dialogue: Some("nowhere.yaml".into()),
    };
    let faults = names(&registry, &wanted).unwrap_err().to_string();
    let lines: Vec<_> = faults.lines().collect();
    assert_eq!(lines.len(), 4, "{faults}");
    assert!(
        lines[0].starts_with("dialogue: cannot read the dialogue nowhere.yaml"),
        "{faults}"
    );
    assert!(
        lines[1].contains("use one of: auto, pocketsphinx, openai, deepgram"),
        "{faults}"
    );
    assert!(lines[2].contains("set OPENAI_API_KEY"), "{faults}");
    assert!(lines[3].contains("use espeak-ng"), "{faults}");
}

#[test]
fn a_stage_may_have_several_providers_and_each_fault_names_its_place() {
    let wanted = Wanted {
        stt: [named("openai"), named("pocketsphinx")].concat(),
        llm: [named("openai"), named("dialogue")].concat(),
        tts: [named("openai"), named("flite")].concat(),
        ..english()
    };
    let made = with_key().build(&wanted).unwrap();
    assert_eq!(
        format!("{:?} {:?} {:?}", made.stt, made.llm, made.tts),
        r#"["openai", "pocketsphinx"] ["openai", "dialogue"] ["openai", "flite"]"#
    );
    let faults = names(&Registry::new(None, None).unwrap(), &wanted).unwrap_err();
    let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["providers.stt[0]", "providers.llm[0]", "providers.tts[0]"]);
}

#[test]
fn offline_needs_a_dialogue_and_english() {
    let registry = Registry::new(None, None).unwrap();
    let faults = names(
        &registry,
        &Wanted {
            language: "ru",
            ..Wanted::default()
        },
    )
    .unwrap_err();
    let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["providers.stt", "dialogue"]);
}

#[test]
fn deepgram_is_used_where_it_is_named_and_has_a_key() {
    let wanted = Wanted {
        stt: named("deepgram"),
        tts: named("deepgram"),
        ..english()
    };
    let faults = names(&Registry::new(None, None).unwrap(), &wanted).unwrap_err();
    let told: Vec<_> = faults.0.iter().map(ToString::to_string).collect();
    let remedy = "deepgram has no key; set DEEPGRAM_API_KEY, or use auto";
    assert_eq!(
        told,
        [
            format!("providers.stt: {remedy}"),
            format!("providers.tts: {remedy}")
        ]
    );
    install_tls();
    let deepgram = DeepgramConfig::new(KEY.to_owned(), "https://api.deepgram.com");
    let registry = Registry::new(None, Some(deepgram)).unwrap();
    assert_eq!(
        names(&registry, &wanted).unwrap(),
        ["deepgram", "dialogue", "deepgram"]
    );
    let made = registry.build(&wanted).unwrap();
    assert!(made.stt.streaming().is_some());
    // A key alone changes nothing.
    assert_eq!(
        names(&registry, &english()).unwrap(),
        ["pocketsphinx", "dialogue", "flite"]
    );
}

#[test]
fn what_is_wrong_with_either_service_is_told_at_once() {
    install_tls();
    let openai = OpenAiConfig::new(KEY.to_owned(), "http://10.0.0.7");
    let deepgram = DeepgramConfig::new(KEY.to_owned(), "nowhere");
    let faults = Registry::new(Some(openai), Some(deepgram)).unwrap_err();
    let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["providers.openai.base_url", "providers.deepgram.base_url"]);
}
