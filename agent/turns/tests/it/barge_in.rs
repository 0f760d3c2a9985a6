//! The caller speaks over the agent: scripts and what comes out of them, to the frame.

use turns::{AgentState, Cause, Input, Interruption, Options, Output, Playout, TurnId, UtteranceId};

use crate::script::{Call, ms};

const TURN_1: TurnId = TurnId(1);
const TURN_2: TurnId = TurnId(2);
const FIRST: UtteranceId = UtteranceId(1);
const SECOND: UtteranceId = UtteranceId(2);

fn interrupt(utterance: UtteranceId) -> Output {
    Output::Interrupt {
        utterance,
        cause: Cause::Voice,
    }
}

#[test]
fn voice_over_the_agent_pauses_at_120_ms_and_interrupts_at_500_ms() {
    let mut call = Call::speaking();
    let onset = call.now_ms();
    call.voice(600).playout(1, Playout::Stopped).silence(600);
    assert_eq!(
        call.acts(),
        [
            (
                onset + 60,
                Output::Capture {
                    turn: TURN_2,
                    from: ms(onset)
                }
            ),
            (onset + 120, Output::Pause { utterance: FIRST }),
            (onset + 500, interrupt(FIRST)),
            (
                onset + 860,
                Output::Transcribe {
                    turn: TURN_2,
                    take: 1
                }
            ),
            (
                onset + 1100,
                Output::EndOfTurn {
                    turn: TURN_2,
                    reply: SECOND,
                    last_voice: ms(onset + 600)
                }
            ),
        ]
    );
}

#[test]
fn voice_shorter_than_min_duration_is_taken_back_when_it_ends() {
    let mut call = Call::speaking();
    let onset = call.now_ms();
    call.voice(400)
        .silence(2000)
        .playout(1, Playout::Finished)
        .silence(1000);
    assert_eq!(
        call.acts(),
        [
            (
                onset + 60,
                Output::Capture {
                    turn: TURN_2,
                    from: ms(onset)
                }
            ),
            (onset + 120, Output::Pause { utterance: FIRST }),
            (onset + 660, Output::Resume { utterance: FIRST }),
            (onset + 2400, Output::Discard { turn: TURN_2 }),
        ]
    );
}

#[test]
fn a_cough_of_100_ms_does_not_even_pause() {
    let mut call = Call::speaking();
    let onset = call.now_ms();
    call.voice(100).silence(1000);
    assert_eq!(
        call.acts(),
        [
            (
                onset + 60,
                Output::Capture {
                    turn: TURN_2,
                    from: ms(onset)
                }
            ),
            (onset + 360, Output::Discard { turn: TURN_2 }),
        ]
    );
    assert_eq!(call.machine().agent_state(), AgentState::Speaking);
}

#[test]
fn a_pause_without_a_decision_ends_by_its_timer_and_once_a_segment() {
    let mut call = Call::speaking();
    let onset = call.now_ms();
    call.voice(160);
    // Crackling: a frame of voice in every 240 ms never ends the segment and adds little to it.
    for _ in 0..10 {
        call.silence(220).voice(20);
    }
    let acts = call.acts();
    assert_eq!(
        acts.get(1),
        Some(&(onset + 120, Output::Pause { utterance: FIRST }))
    );
    assert_eq!(
        acts.get(2),
        Some(&(onset + 2120, Output::Resume { utterance: FIRST }))
    );
    assert_eq!(acts.len(), 3);
    call.voice(200);
    assert_eq!(
        call.acts().last().map(|(_, output)| *output),
        Some(interrupt(FIRST))
    );
}

#[test]
fn a_short_answer_over_the_last_words_is_a_turn() {
    let mut call = Call::speaking();
    let onset = call.now_ms();
    call.voice(300)
        .silence(500)
        .playout(1, Playout::Finished)
        .silence(40);
    let finished = onset + 800;
    assert_eq!(
        call.acts().split_off(3),
        [
            (
                finished,
                Output::Transcribe {
                    turn: TURN_2,
                    take: 1
                }
            ),
            (
                finished,
                Output::EndOfTurn {
                    turn: TURN_2,
                    reply: SECOND,
                    last_voice: ms(onset + 300)
                }
            ),
        ]
    );
}

#[test]
fn a_cough_over_the_last_words_is_not_an_answer() {
    let mut call = Call::speaking();
    call.voice(160)
        .silence(300)
        .playout(1, Playout::Finished)
        .silence(1000);
    assert_eq!(
        call.acts().last(),
        Some(&(call.now_ms() - 1000, Output::Discard { turn: TURN_2 }))
    );
}

#[test]
fn voice_that_runs_when_the_agent_finishes_is_a_turn_from_its_onset() {
    let mut call = Call::speaking();
    let onset = call.now_ms();
    call.voice(100)
        .playout(1, Playout::Finished)
        .voice(100)
        .silence(600);
    assert_eq!(
        call.acts(),
        [
            (
                onset + 60,
                Output::Capture {
                    turn: TURN_2,
                    from: ms(onset)
                }
            ),
            (
                onset + 460,
                Output::Transcribe {
                    turn: TURN_2,
                    take: 1
                }
            ),
            (
                onset + 700,
                Output::EndOfTurn {
                    turn: TURN_2,
                    reply: SECOND,
                    last_voice: ms(onset + 200)
                }
            ),
        ]
    );
}

#[test]
fn the_next_utterance_waits_until_the_interrupted_one_is_silent() {
    let mut call = Call::speaking();
    call.voice(520).silence(500);
    call.input(Input::ReplyReady {
        utterance: SECOND,
        interruptible: true,
    });
    let speak = Output::Speak { utterance: SECOND };
    assert!(
        !call.acts().iter().any(|(_, output)| *output == speak),
        "the first is not yet silent"
    );
    call.playout(1, Playout::Stopped);
    assert_eq!(call.acts().last(), Some(&(call.now_ms(), speak)));
}

#[test]
fn a_playout_that_never_says_it_is_silent_is_waited_for_one_second() {
    let mut call = Call::speaking();
    let interrupted = call.now_ms() + 500;
    call.voice(520).silence(500);
    call.input(Input::ReplyReady {
        utterance: SECOND,
        interruptible: true,
    })
    .silence(1000);
    assert_eq!(
        call.acts().last(),
        Some(&(interrupted + 1000, Output::Speak { utterance: SECOND }))
    );
}

#[test]
fn a_greeting_can_be_interrupted_like_any_utterance() {
    let mut call = Call::new(&Options::default());
    call.input(Input::Say).ready(1).silence(200);
    call.voice(600);
    assert_eq!(
        call.acts(),
        [
            (0, Output::Prepare { utterance: FIRST }),
            (0, Output::Speak { utterance: FIRST }),
            (
                260,
                Output::Capture {
                    turn: TURN_1,
                    from: ms(200)
                }
            ),
            (320, Output::Pause { utterance: FIRST }),
            (700, interrupt(FIRST)),
        ]
    );
}

#[test]
fn words_said_in_full_before_the_greeting_are_answered_after_it() {
    let mut call = Call::new(&Options::default());
    call.input(Input::Say)
        .voice(600)
        .silence(400)
        .ready(1)
        .silence(3000)
        .playout(1, Playout::Finished)
        .silence(20);
    assert_eq!(
        call.acts().split_off(2),
        [
            (1000, Output::Speak { utterance: FIRST }),
            (
                4000,
                Output::Transcribe {
                    turn: TURN_1,
                    take: 1
                }
            ),
            (
                4000,
                Output::EndOfTurn {
                    turn: TURN_1,
                    reply: SECOND,
                    last_voice: ms(600)
                }
            ),
        ]
    );
}

#[test]
fn an_uninterruptible_utterance_hears_nothing() {
    let mut call = Call::new(&Options::default());
    call.input(Input::Say).input(Input::ReplyReady {
        utterance: FIRST,
        interruptible: false,
    });
    call.voice(1000).silence(400).playout(1, Playout::Finished);
    let speak = (0, Output::Speak { utterance: FIRST });
    assert_eq!(call.acts(), [(0, Output::Prepare { utterance: FIRST }), speak]);
}

#[test]
fn interruption_disabled_lets_every_utterance_finish() {
    let interruption = Interruption {
        enabled: false,
        ..Interruption::default()
    };
    let mut call = Call::new(&Options {
        interruption,
        ..Options::default()
    });
    call.input(Input::Say).ready(1).voice(2000).silence(400);
    assert_eq!(call.acts().len(), 2);
}
