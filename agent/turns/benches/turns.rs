//! What the turn machine costs: a frame on each of the paths that every frame takes, and a whole barge-in.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use turns::{FRAME, Input, Options, Playout, TurnMachine, UtteranceId, VoiceGate};

/// One frame through gate and machine, as the pipeline does it.
fn frame(machine: &mut TurnMachine, gate: &mut VoiceGate, probability: f32, now: Duration) {
    if let Some(voice) = gate.push(black_box(probability), now) {
        machine.handle(Input::Voice(voice), now);
    }
    machine.handle_timeout(now);
    while let Some(output) = machine.poll_output() {
        black_box(output);
    }
    black_box(machine.poll_timeout());
}

fn call() -> (TurnMachine, VoiceGate) {
    let options = Options::default();
    let mut machine = TurnMachine::new(options).expect("the defaults agree");
    machine.handle(Input::Say, Duration::ZERO);
    let utterance = UtteranceId(1);
    machine.handle(
        Input::ReplyReady {
            utterance,
            interruptible: true,
        },
        Duration::ZERO,
    );
    machine.handle(
        Input::Playout {
            utterance,
            event: Playout::Started,
        },
        Duration::ZERO,
    );
    while machine.poll_output().is_some() {}
    (machine, VoiceGate::new(options.vad))
}

fn turns(c: &mut Criterion) {
    for (name, probability) in [("turns/frame_of_silence", 0.0), ("turns/frame_of_voice", 0.9)] {
        let (mut machine, mut gate) = call();
        machine.handle(
            Input::Playout {
                utterance: UtteranceId(1),
                event: Playout::Finished,
            },
            Duration::ZERO,
        );
        let mut now = Duration::ZERO;
        c.bench_function(name, |b| {
            b.iter(|| {
                now += FRAME;
                frame(&mut machine, &mut gate, probability, now);
            });
        });
    }
    c.bench_function("turns/barge_in_of_50_frames", |b| {
        b.iter_batched_ref(
            call,
            |(machine, gate)| {
                for index in 1..=50 {
                    frame(machine, gate, if index <= 30 { 0.9 } else { 0.0 }, FRAME * index);
                }
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, turns);
criterion_main!(benches);
