use ::turns::{EndpointingMode, TurnMode};

use super::*;

fn faults(yaml: &str) -> Vec<String> {
    match Profile::parse(yaml.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(ProfileError::Faults(faults)) => faults.into_iter().map(|fault| fault.key).collect(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_small_profile_has_the_peers_defaults() {
    let profile =
        Profile::parse(b"prompt: You sell pizza.\ngreeting: Hello, this call is recorded.\n").unwrap();
    assert_eq!(profile.language, "en");
    assert_eq!(profile.recording, RecordingPolicy::AfterNotice);
    assert_eq!(profile.timeouts, Timeouts::default());
    assert_eq!(profile.max_unrecoverable_errors, 3);
    assert_eq!(profile.turns, ::turns::Options::default());
    assert_eq!(profile.prefix_padding, Duration::from_millis(500));
    assert!(profile.greeting_interruptible);
    assert!(profile.preemptive_generation);
    assert_eq!(profile.audio_in, AudioIn::default());
}

fn choice(name: &str, model: Option<&str>, voice: Option<&str>) -> ProviderChoice {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    ProviderChoice {
        name: name.to_owned(),
        model: owned(model),
        voice: owned(voice),
    }
}

#[test]
fn every_key_is_read() {
    let yaml = "
prompt: Ты продаёшь пиццу.
greeting: Здравствуйте!
greeting_interruptible: false
language: ru-RU
voice: anna
providers:
  stt: {name: openai, model: whisper-1}
  llm: dialogue
  tts: [{name: openai, voice: alloy}, espeak-ng]
dialogue: pizza.yaml
recording: off
fallback: Повторите?
goodbye: Пока.
bridge: Я снова тут.
reprompt: Алло?
away_goodbye: До связи.
time_up: Пора.
timeouts: {stt: 5s, llm: 800ms, tts: 2s}
max_retry: 1
retry_interval: 300ms
max_unrecoverable_errors: 5
audio_in: {echo_cancellation: false, noise_suppression: very_high, gain_control: true}
turns:
  mode: stt
  vad: {activation: 0.6, deactivation: 0.4, min_speech: 60ms, min_silence: 0.3s, prefix_padding: 400ms}
  endpointing: {mode: dynamic, min_delay: 400ms, max_delay: 2s, alpha: 0.5, hint: off}
  interruption: {enabled: true, pause_after: 100ms, min_duration: 400ms, false_interruption_timeout: 1s, early_answer: 0s,
    early_answer_min_duration: 100ms, min_words: 2, ignore_backchannels: false, resume_false_interruption: false,
    discard_audio_if_uninterruptible: false}
  user_away_timeout: 20s
  idle_timeout: 2m
  reprompts: 3
  user_turn_limit: 20s
  max_duration: 1h
";
    let profile = Profile::parse(yaml.as_bytes()).unwrap();
    assert_eq!(profile.recording, RecordingPolicy::Off);
    assert_eq!(profile.fallback, "Повторите?");
    assert_eq!(profile.bridge, "Я снова тут.");
    assert_eq!(profile.providers.stt, [choice("openai", Some("whisper-1"), None)]);
    assert_eq!(
        profile.providers.tts,
        [
            choice("openai", None, Some("alloy")),
            choice("espeak-ng", None, None)
        ]
    );
    assert_eq!(
        (profile.max_retry, profile.retry_interval),
        (1, Duration::from_millis(300))
    );
    assert_eq!(profile.timeouts.llm, Duration::from_millis(800));
    assert_eq!(profile.turns.endpointing.max_delay, Duration::from_secs(2));
    assert_eq!(profile.turns.limits.idle, Duration::from_mins(2));
    assert_eq!(profile.turns.interruption.early_answer, Duration::ZERO);
    assert_eq!(profile.turns.mode, TurnMode::Stt);
    assert_eq!(profile.turns.endpointing.mode, EndpointingMode::Dynamic);
    assert!((profile.turns.endpointing.alpha - 0.5).abs() < 1e-6);
    assert!(!profile.turn_hint);
    assert_eq!(profile.turns.interruption.min_words, 2);
    assert!(!profile.turns.interruption.ignore_backchannels);
    assert!(!profile.turns.interruption.resume_false_interruption);
    assert!(!profile.turns.interruption.discard_audio_if_uninterruptible);
    assert_eq!(profile.turns.limits.reprompts, 3);
    assert_eq!(profile.turns.limits.user_turn, Duration::from_secs(20));
    assert_eq!(profile.turns.limits.duration, Duration::from_hours(1));
    assert_eq!(profile.reprompt.as_deref(), Some("Алло?"));
    assert_eq!(
        (profile.away_goodbye.as_str(), profile.time_up.as_str()),
        ("До связи.", "Пора.")
    );
    assert_eq!(profile.prefix_padding, Duration::from_millis(400));
    let audio_in = AudioIn {
        echo_cancellation: false,
        noise_suppression: Some(audio::NoiseSuppression::VeryHigh),
        gain_control: true,
    };
    assert_eq!(profile.audio_in, audio_in);
}

#[test]
fn a_reprompt_is_said_twice_unless_told_otherwise_and_nothing_is_without_one() {
    let asks = Profile::parse(b"prompt: x\nrecording: off\nreprompt: Hello?").unwrap();
    assert_eq!(asks.turns.limits.reprompts, 2);
    assert!(asks.away_goodbye.starts_with("I cannot hear you"));
    let silent = Profile::parse(b"prompt: x\nrecording: off").unwrap();
    assert_eq!((silent.turns.limits.reprompts, silent.reprompt), (0, None));
}

#[test]
fn russian_agents_apologise_in_russian() {
    let profile = Profile::parse("prompt: Привет\nrecording: off\nlanguage: ru".as_bytes()).unwrap();
    assert!(profile.fallback.starts_with("Извините"));
}

#[test]
fn all_faults_come_at_once_each_with_key_and_remedy() {
    let yaml = "
greting: Hi
language: English language
recording: sometimes
providers: {stt: whisper, ear: left}
timeouts: {llm: 10}
max_unrecoverable_errors: 0
turns: {mode: magic, endpointing: {min_delay: 4s, mode: fast, hint: onnx}, vad: {activation: 2}, interruption: {min_words: 11}, reprompts: 2}
";
    let mut keys = faults(yaml);
    keys.sort();
    let expected = [
        "greting",
        "language",
        "max_unrecoverable_errors",
        "prompt",
        "providers.ear",
        "providers.stt",
        "recording",
        "timeouts.llm",
        "turns",
        "turns.endpointing.hint",
        "turns.endpointing.mode",
        "turns.interruption.min_words",
        "turns.mode",
        "turns.reprompts",
        "turns.vad.activation",
    ];
    assert_eq!(keys, expected);
    let Err(ProfileError::Faults(faults)) = Profile::parse(yaml.as_bytes()) else {
        panic!("faults expected")
    };
    assert!(
        faults
            .iter()
            .all(|fault| !fault.problem.is_empty() && !fault.remedy.is_empty())
    );
}

#[test]
fn after_notice_without_a_greeting_is_a_fault() {
    assert_eq!(faults("prompt: x"), ["recording"]);
    assert_eq!(faults("prompt: x\nrecording: always"), [""; 0]);
}

#[test]
fn a_scripted_model_needs_its_dialogue() {
    assert_eq!(
        faults("prompt: x\nrecording: always\nproviders: {llm: dialogue}"),
        ["dialogue"]
    );
}

#[test]
fn auto_leaves_the_choice_of_a_provider_to_the_deployment() {
    let yaml = "prompt: x\nrecording: off\nproviders: {stt: auto, llm: {name: auto}, tts: auto}";
    let profile = Profile::parse(yaml.as_bytes()).unwrap();
    assert_eq!(profile.providers, ProviderChoices::default());
    assert_eq!(
        faults("prompt: x\nrecording: off\nproviders: {llm: {name: auto, model: gpt-4o}}"),
        ["providers.llm"]
    );
}

#[test]
fn a_list_of_providers_is_read_in_its_order_and_each_fault_names_its_place() {
    let of = |providers: &str| faults(&format!("prompt: x\nrecording: off\nproviders: {providers}"));
    for (providers, keys) in [
        ("{stt: [openai, pocketsphinx]}", vec![]),
        ("{stt: []}", vec!["providers.stt"]),
        (
            "{stt: [openai, openai, openai, openai, openai, openai]}",
            vec!["providers.stt"],
        ),
        ("{stt: [openai, whisper]}", vec!["providers.stt[1]"]),
        ("{stt: [auto, pocketsphinx]}", vec!["providers.stt[0]"]),
        ("{llm: [openai, {name: openai}]}", vec!["providers.llm[1]"]),
        ("{llm: [openai, {name: openai, model: gpt-4o}]}", vec![]),
        (
            "{llm: [{name: openai, voice: alloy}]}",
            vec!["providers.llm[0].voice"],
        ),
        (
            "{tts: [openai, {name: flite, voice: 7}, null]}",
            vec!["providers.tts[1].voice", "providers.tts[2]"],
        ),
        ("{llm: [openai, dialogue]}", vec!["dialogue"]),
    ] {
        assert_eq!(of(providers), keys, "{providers}");
    }
    for (more, key) in [
        ("max_retry: 11", "max_retry"),
        ("retry_interval: 11s", "retry_interval"),
    ] {
        assert_eq!(faults(&format!("prompt: x\nrecording: off\n{more}")), [key]);
    }
}

#[test]
fn what_is_done_when_providers_are_gone_has_its_faults() {
    let of = |more: &str| faults(&format!("prompt: x\nrecording: off\n{more}"));
    let transfers = "transfers: {destinations: {desk: '+15550100'}}\n";
    for (more, keys) in [
        ("on_failure: {transfer: desk}", vec!["on_failure.transfer"]),
        ("on_failure: {say: Sorry.}", vec!["on_failure.transfer"]),
        ("keypad: {say: Press one., keys: {'1': one, '#': two}}", vec![]),
        ("keypad: {keys: {'1': one}}", vec!["keypad.say"]),
        ("keypad: {say: Press one.}", vec!["keypad.keys"]),
        (
            "keypad: {say: Press one., keys: {'12': one}}",
            vec!["keypad.keys.12"],
        ),
    ] {
        assert_eq!(of(more), keys, "{more}");
    }
    assert_eq!(of(&format!("{transfers}on_failure: {{transfer: desk}}")), [""; 0]);
    assert_eq!(
        of(&format!("{transfers}on_failure: {{transfer: shop}}")),
        ["on_failure.transfer"]
    );
}

#[test]
fn what_is_not_a_mapping_is_one_fault() {
    for file in ["", "- a\n- b", "prompt: [", "\u{0}"] {
        assert_eq!(faults(file), ["(file)"], "{file:?}");
    }
    assert_eq!(
        Profile::parse(&[0xff, 0xfe, 0x00]).map_err(|error| error.to_string().is_empty()),
        Err(false)
    );
}

#[test]
fn the_hash_is_of_the_bytes() {
    let one = Profile::parse(b"prompt: x\nrecording: always").unwrap();
    let two = Profile::parse(b"prompt: x\nrecording:  always").unwrap();
    assert_ne!(one.hash, two.hash);
    assert_eq!(one.hash.len(), 64);
}

#[test]
fn debug_shows_no_prompt() {
    let profile = Profile::parse(b"prompt: canary-prompt\ngreeting: canary-greeting").unwrap();
    assert!(!format!("{profile:?}").contains("canary"));
}

#[test]
fn a_dialogue_is_found_beside_its_profile() {
    let folder = std::env::temp_dir().join(format!("trunkline-profile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("pizza.yaml");
    std::fs::write(
        &path,
        "prompt: x\nrecording: always\ndialogue: dialogues/pizza.yaml",
    )
    .unwrap();
    let profile = Profile::load(&path).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(profile.dialogue, Some(folder.join("dialogues/pizza.yaml")));
    assert!(matches!(Profile::load(&path), Err(ProfileError::Read { .. })));
}
