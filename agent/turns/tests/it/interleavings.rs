//! Whatever happens in whatever order, these hold.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use turns::{
    Cause, Endpointing, EndpointingMode, FRAME, Input, Interruption, Limits, Options, Output, Playout,
    TurnId, TurnMachine, TurnMode, UtteranceId, Voice, VoiceGate, Words,
};

/// One thing that the world does.
#[derive(Debug, Clone)]
enum Step {
    Voice(u8),
    Silence(u8),
    Wait(u16),
    Say,
    Transcript(Words),
    Interim(Words),
    EndOfUtterance,
    Commit,
    Clear,
    Interrupt,
    Hint(u16),
    Ready {
        interruptible: bool,
    },
    Failed,
    Closing,
    /// Within the utterance or beside the conversation; 0: they are back.
    Tools {
        within: bool,
        ms: u16,
    },
    Playout(Playout),
    Stale(u32),
    HangUp,
}

fn step() -> impl Strategy<Value = Step> {
    let playout = prop_oneof![
        Just(Playout::Started),
        Just(Playout::Mark),
        Just(Playout::Finished),
        Just(Playout::Stopped)
    ];
    prop_oneof![
        6 => (1u8..60).prop_map(Step::Voice),
        6 => (1u8..60).prop_map(Step::Silence),
        2 => (0u16..3000).prop_map(Step::Wait),
        1 => Just(Step::Say),
        3 => words().prop_map(Step::Transcript),
        3 => words().prop_map(Step::Interim),
        1 => prop_oneof![Just(Step::EndOfUtterance), Just(Step::Commit), Just(Step::Clear), Just(Step::Interrupt)],
        1 => (0u16..5000).prop_map(Step::Hint),
        6 => prop::bool::weighted(0.8).prop_map(|interruptible| Step::Ready { interruptible }),
        1 => Just(Step::Failed),
        1 => prop::bool::weighted(0.2).prop_map(|closing| if closing { Step::Closing } else { Step::Silence(5) }),
        1 => (any::<bool>(), prop_oneof![Just(0u16), 1u16..20_000]).prop_map(|(within, ms)| Step::Tools { within, ms }),
        6 => playout.prop_map(Step::Playout),
        1 => (0u32..8).prop_map(Step::Stale),
        1 => prop::bool::weighted(0.1).prop_map(|hang_up| if hang_up { Step::HangUp } else { Step::Voice(30) }),
    ]
}

fn words() -> impl Strategy<Value = Words> {
    let said = |count, backchannel| Words { count, backchannel };
    prop_oneof![
        Just(Words::NONE),
        Just(said(1, true)),
        Just(said(1, false)),
        Just(said(4, false))
    ]
}

fn options() -> impl Strategy<Value = Options> {
    let mode = prop_oneof![Just(TurnMode::Vad), Just(TurnMode::Stt), Just(TurnMode::Manual)];
    let flags = prop::array::uniform5(any::<bool>());
    (mode, flags, 0u32..3, 0u32..3, any::<bool>()).prop_map(
        |(mode, flags, min_words, reprompts, is_short)| {
            let [dynamic, ignore_backchannels, resume, discard, has_interim] = flags;
            let defaults = Options::default();
            Options {
                mode,
                has_interim,
                endpointing: Endpointing {
                    mode: if dynamic {
                        EndpointingMode::Dynamic
                    } else {
                        EndpointingMode::Fixed
                    },
                    ..defaults.endpointing
                },
                interruption: Interruption {
                    min_words,
                    ignore_backchannels,
                    resume_false_interruption: resume,
                    discard_audio_if_uninterruptible: discard,
                    ..defaults.interruption
                },
                limits: Limits {
                    reprompts,
                    duration: if is_short {
                        Duration::from_secs(20)
                    } else {
                        defaults.limits.duration
                    },
                    ..defaults.limits
                },
                ..defaults
            }
        },
    )
}

/// The machine and a witness that knows only what was put in and what came out.
struct World {
    machine: TurnMachine,
    gate: VoiceGate,
    now: Duration,
    closed: bool,
    /// The utterance that was told to speak and has neither finished nor stopped.
    audible: Option<UtteranceId>,
    interruptible: bool,
    paused: Option<(UtteranceId, Duration)>,
    /// Told to stop, and when; silent once its stop is told or a second has passed.
    interrupted: BTreeMap<UtteranceId, Duration>,
    pending: Option<UtteranceId>,
    /// The turn that the pending utterance replies to.
    answered: Option<TurnId>,
    last_take: Option<(TurnId, u32)>,
    last_capture: Option<TurnId>,
    /// Somebody wants the caller's words to be forgotten.
    clears: bool,
    /// What is owed to each captured turn.
    open_turns: BTreeMap<TurnId, Owed>,
    segment: Option<Segment>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Owed {
    /// It holds a segment of so much voice, none of it over an utterance that hears nothing.
    voiced: Duration,
    wordless: bool,
    /// The last words that were told of it are a backchannel.
    only_listens: bool,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    turn: Option<TurnId>,
    voiced: Duration,
}

impl World {
    fn new(options: &Options) -> Self {
        let mut world = Self {
            machine: TurnMachine::new(*options).expect("options agree"),
            gate: VoiceGate::new(options.vad),
            now: Duration::ZERO,
            closed: false,
            audible: None,
            interruptible: true,
            paused: None,
            interrupted: BTreeMap::new(),
            pending: None,
            answered: None,
            last_take: None,
            last_capture: None,
            clears: false,
            open_turns: BTreeMap::new(),
            segment: None,
        };
        world.input(Input::Listen);
        world
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Voice(frames) => self.frames(frames, 0.9),
            Step::Silence(frames) => self.frames(frames, 0.0),
            Step::Wait(ms) => self.wait(Duration::from_millis(ms.into())),
            Step::Say => self.input(Input::Say),
            Step::Transcript(words) => {
                if let Some((turn, take)) = self.last_take {
                    if let Some(owed) = self.open_turns.get_mut(&turn) {
                        owed.wordless |= words.is_none();
                        owed.only_listens = words.backchannel;
                    }
                    self.input(Input::Transcript { turn, take, words });
                }
            }
            Step::Interim(words) => {
                if let Some(turn) = self.last_capture {
                    if let Some(owed) = self.open_turns.get_mut(&turn) {
                        owed.only_listens = words.backchannel || (words.is_none() && owed.only_listens);
                    }
                    self.input(Input::Interim { turn, words });
                }
            }
            Step::EndOfUtterance => {
                if let Some(turn) = self.last_capture {
                    self.input(Input::EndOfUtterance { turn });
                }
            }
            Step::Commit => self.input(Input::Commit),
            Step::Clear => {
                self.clears = true;
                self.input(Input::Clear);
                self.clears = false;
            }
            Step::Interrupt => self.input(Input::Interrupt),
            Step::Hint(ms) => {
                if let Some((turn, _)) = self.last_take {
                    self.input(Input::Hint {
                        turn,
                        delay: Duration::from_millis(ms.into()),
                    });
                }
            }
            Step::Ready { interruptible } => {
                if let Some(utterance) = self.pending {
                    self.interruptible = interruptible;
                    self.input(Input::ReplyReady {
                        utterance,
                        interruptible,
                    });
                }
            }
            Step::Failed => {
                if let Some(utterance) = self.pending {
                    self.input(Input::ReplyFailed { utterance });
                }
            }
            Step::Closing => {
                if let Some(utterance) = self.audible.or(self.pending) {
                    self.input(Input::Closing { utterance });
                }
            }
            Step::Tools { within, ms } => {
                let limit = Duration::from_millis(ms.into());
                let utterance = self.audible.or(self.pending).filter(|_| within);
                self.input(Input::Tools { utterance, limit });
            }
            Step::Playout(event) => self.playout(event),
            Step::Stale(id) => self.stale(UtteranceId(id)),
            Step::HangUp => {
                self.input(Input::HangUp);
                self.closed = true;
                assert!(self.audible.is_none(), "hanging up leaves an utterance audible");
            }
        }
    }

    fn frames(&mut self, frames: u8, probability: f32) {
        for _ in 0..frames {
            self.wait(FRAME);
            let Some(voice) = self.gate.push(probability, self.now) else {
                continue;
            };
            match voice {
                Voice::Started { voiced, .. } => self.segment = Some(Segment { turn: None, voiced }),
                Voice::Continues { voiced } => {
                    if let Some(segment) = &mut self.segment {
                        segment.voiced = voiced;
                    }
                }
                Voice::Ended { .. } => {
                    if let Some(Segment {
                        turn: Some(turn),
                        voiced,
                    }) = self.segment.take()
                        && let Some(owed) = self.open_turns.get_mut(&turn)
                    {
                        owed.voiced = owed.voiced.max(voiced);
                        owed.wordless = false;
                    }
                }
            }
            self.input(Input::Voice(voice));
        }
    }

    fn stale(&mut self, utterance: UtteranceId) {
        if self.audible != Some(utterance) && !self.interrupted.contains_key(&utterance) {
            self.input(Input::Playout {
                utterance,
                event: Playout::Finished,
            });
        }
    }

    fn playout(&mut self, event: Playout) {
        let over = matches!(event, Playout::Finished | Playout::Stopped);
        if let Some((utterance, since)) = self.interrupted.pop_first() {
            if !over {
                self.interrupted.insert(utterance, since);
            }
            self.input(Input::Playout { utterance, event });
        } else if let Some(utterance) = self.audible {
            if over {
                self.audible = None;
                self.input(Input::Playout { utterance, event });
                assert!(self.paused.is_none(), "a pause outlives its utterance");
            } else {
                self.input(Input::Playout { utterance, event });
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.machine.handle(input, self.now);
        self.observe(self.now);
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            self.observe(at);
        }
        self.now = until;
    }

    fn observe(&mut self, at: Duration) {
        let mut outputs = 0;
        while let Some(output) = self.machine.poll_output() {
            outputs += 1;
            assert!(
                outputs <= 16,
                "one input makes more outputs than the queue was made for"
            );
            assert!(!self.closed, "{output:?} after the end");
            self.witness(output, at);
        }
        let has_timer = self.machine.poll_timeout().is_some_and(|next| next > self.now);
        assert!(
            has_timer || self.closed || self.machine.poll_timeout().is_none(),
            "a timer in the past"
        );
        if self.machine.poll_timeout().is_none() {
            self.closed = true;
        }
        if let Some((_, since)) = self.paused {
            assert!(
                self.now.saturating_sub(since) <= Duration::from_secs(2),
                "a pause without an end"
            );
        }
    }

    fn witness(&mut self, output: Output, at: Duration) {
        match output {
            Output::Capture { turn, .. } => {
                // Voice before the reply: the turn that is answered opens again only if the reply is interrupted.
                if self.pending.is_none() || self.answered != Some(turn) {
                    self.open_turns.entry(turn).or_default();
                }
                if let Some(segment) = &mut self.segment {
                    segment.turn = Some(turn);
                }
                self.last_capture = Some(turn);
            }
            Output::Transcribe { turn, take } => self.last_take = Some((turn, take)),
            Output::EndOfTurn { turn, reply, .. } => {
                assert!(
                    self.open_turns.remove(&turn).is_some(),
                    "{turn:?} ends but was never captured"
                );
                self.pending = Some(reply);
                self.answered = Some(turn);
            }
            Output::Discard { turn } => {
                let owed = self.open_turns.remove(&turn).unwrap_or_default();
                let excused = owed.wordless
                    || owed.only_listens
                    || self.clears
                    || self.machine.poll_timeout().is_none();
                let min_duration = Duration::from_millis(500);
                assert!(
                    excused || owed.voiced < min_duration,
                    "{turn:?} lost with {:?} of voice",
                    owed.voiced
                );
            }
            Output::Prepare { utterance } | Output::Prompt { utterance, .. } => {
                (self.pending, self.answered) = (Some(utterance), None);
            }
            Output::Speak { utterance } => {
                assert_eq!(self.audible, None, "{utterance:?} starts over another");
                assert_eq!(self.pending.take(), Some(utterance));
                let silent = |since: &Duration| at.saturating_sub(*since) >= Duration::from_secs(1);
                assert!(
                    self.interrupted.values().all(silent),
                    "{utterance:?} starts before the last is silent"
                );
                self.interrupted.clear();
                self.audible = Some(utterance);
            }
            Output::Pause { utterance } => {
                assert_eq!((self.audible, self.paused), (Some(utterance), None));
                self.paused = Some((utterance, at));
            }
            Output::Resume { utterance } => {
                assert_eq!(self.paused.take().map(|(paused, _)| paused), Some(utterance));
            }
            Output::Interrupt { utterance, cause } => {
                self.paused = None;
                if self.audible == Some(utterance) {
                    self.audible = None;
                    self.interrupted.insert(utterance, at);
                } else {
                    assert_eq!(
                        self.pending.take(),
                        Some(utterance),
                        "an unknown utterance is interrupted"
                    );
                    if let (Cause::Voice | Cause::Hint, Some(turn)) = (cause, self.answered) {
                        self.open_turns.insert(turn, Owed::default());
                    }
                }
            }
            Output::End(_) => assert_eq!(self.audible, None, "the end comes over an utterance"),
            Output::SayRefused | Output::Agent(_) | Output::User(_) => {}
        }
    }

    /// Nothing more happens, not even answers: timers alone bring the conversation to its end.
    fn settle(&mut self) {
        self.frames(20, 0.0);
        self.wait(Duration::from_hours(1));
        assert!(self.closed, "a state without an exit: {:?}", self.machine);
        assert!(self.open_turns.is_empty(), "turns left: {:?}", self.open_turns);
        assert_eq!((self.audible, self.paused), (None, None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_keeps_the_floor_with_one_speaker_and_loses_no_turn(
        options in options(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(&options);
        for step in &steps {
            world.run(step);
        }
        world.settle();
    }
}
