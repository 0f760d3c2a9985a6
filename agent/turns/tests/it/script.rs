//! A call in virtual time: voice by the frame, everything else at its millisecond.

use std::time::Duration;

use turns::{FRAME, Input, Options, Output, Playout, TurnId, TurnMachine, UtteranceId, VoiceGate, Words};

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine, its gate, its clock, and all that came out, with the time at which it did.
pub(crate) struct Call {
    machine: TurnMachine,
    gate: VoiceGate,
    now: Duration,
    pub(crate) log: Vec<(u64, Output)>,
}

impl Call {
    pub(crate) fn new(options: &Options) -> Self {
        let machine = TurnMachine::new(*options).expect("options agree");
        Self {
            machine,
            gate: VoiceGate::new(options.vad),
            now: Duration::ZERO,
            log: Vec::new(),
        }
    }

    /// A call whose agent is ready and silent.
    pub(crate) fn listening() -> Self {
        Self::listening_with(&Options::default())
    }

    pub(crate) fn listening_with(options: &Options) -> Self {
        let mut call = Self::new(options);
        call.input(Input::Listen);
        call.log.clear();
        call
    }

    /// A call whose agent has been speaking its utterance 1, an interruptible reply to turn 1, for 200 ms.
    pub(crate) fn speaking() -> Self {
        Self::speaking_with(&Options::default())
    }

    pub(crate) fn speaking_with(options: &Options) -> Self {
        let mut call = Self::listening_with(options);
        call.voice(300).silence(500).input(Input::Commit);
        call.ready(1).silence(200);
        call.log.clear();
        call
    }

    pub(crate) fn input(&mut self, input: Input) -> &mut Self {
        self.machine.handle(input, self.now);
        self.drain();
        self
    }

    /// The utterance's audio is ready, and its playout begins.
    pub(crate) fn ready(&mut self, utterance: u32) -> &mut Self {
        let utterance = UtteranceId(utterance);
        self.input(Input::ReplyReady {
            utterance,
            interruptible: true,
        });
        self.playout(utterance.0, Playout::Started)
    }

    pub(crate) fn playout(&mut self, utterance: u32, event: Playout) -> &mut Self {
        self.input(Input::Playout {
            utterance: UtteranceId(utterance),
            event,
        })
    }

    /// The recogniser makes `text` out of the turn while it is spoken.
    pub(crate) fn hears(&mut self, turn: u32, text: &str) -> &mut Self {
        self.input(Input::Interim {
            turn: TurnId(turn),
            words: Words::of(text),
        })
    }

    /// The recogniser's answer.
    pub(crate) fn transcript(&mut self, turn: u32, take: u32, text: &str) -> &mut Self {
        self.input(Input::Transcript {
            turn: TurnId(turn),
            take,
            words: Words::of(text),
        })
    }

    pub(crate) fn voice(&mut self, duration_ms: u64) -> &mut Self {
        self.frames(duration_ms, 0.9)
    }

    pub(crate) fn silence(&mut self, duration_ms: u64) -> &mut Self {
        self.frames(duration_ms, 0.0)
    }

    fn frames(&mut self, duration_ms: u64, probability: f32) -> &mut Self {
        for _ in 0..duration_ms / 20 {
            self.wait_until(self.now + FRAME);
            if let Some(voice) = self.gate.push(probability, self.now) {
                self.input(Input::Voice(voice));
            }
        }
        self
    }

    /// Lets timers run, without audio.
    pub(crate) fn wait(&mut self, duration_ms: u64) -> &mut Self {
        self.wait_until(self.now + ms(duration_ms));
        self
    }

    fn wait_until(&mut self, until: Duration) {
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// What came out except state changes, with its millisecond.
    pub(crate) fn acts(&self) -> Vec<(u64, Output)> {
        let is_act = |output: &Output| !matches!(output, Output::Agent(_) | Output::User(_));
        self.log
            .iter()
            .copied()
            .filter(|(_, output)| is_act(output))
            .collect()
    }

    pub(crate) fn machine(&self) -> &TurnMachine {
        &self.machine
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.now.as_millis()).expect("a short call")
    }

    fn drain(&mut self) {
        let at = self.now_ms();
        while let Some(output) = self.machine.poll_output() {
            self.log.push((at, output));
        }
    }
}
