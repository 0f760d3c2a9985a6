//! What the caller's voice over the agent's can come to, in each mode, to the frame: it takes the floor, it only shows that
//! they listen, it was nothing.

use turns::{
    AgentState, Cause, Input, Interruption, Options, Output, Playout, TurnId, TurnMode, UtteranceId,
};

use crate::script::{Call, ms};

const TURN_2: TurnId = TurnId(2);
const FIRST: UtteranceId = UtteranceId(1);
const SECOND: UtteranceId = UtteranceId(2);
const PAUSE: Output = Output::Pause { utterance: FIRST };
const RESUME: Output = Output::Resume { utterance: FIRST };
const DISCARD: Output = Output::Discard { turn: TURN_2 };
/// From the last voice to the certainty that it was the last.
const SILENCE: u64 = 260;

fn options(mode: TurnMode) -> Options {
    Options {
        mode,
        has_interim: true,
        ..Options::default()
    }
}

/// The recogniser tells words only when it is asked.
fn asked_for_words(min_words: u32) -> Options {
    Options {
        interruption: Interruption {
            min_words,
            ..Interruption::default()
        },
        ..Options::default()
    }
}

fn interrupt(cause: Cause) -> Output {
    Output::Interrupt {
        utterance: FIRST,
        cause,
    }
}

fn capture(onset: u64) -> (u64, Output) {
    let from = ms(onset);
    (onset + 60, Output::Capture { turn: TURN_2, from })
}

fn transcribe(take: u32) -> Output {
    Output::Transcribe { turn: TURN_2, take }
}

fn end_of_turn(last_voice: u64) -> Output {
    Output::EndOfTurn {
        turn: TURN_2,
        reply: SECOND,
        last_voice: ms(last_voice),
    }
}

#[test]
fn vad_words_take_the_floor_before_the_voice_is_long_enough() {
    let mut call = Call::speaking_with(&options(TurnMode::Vad));
    let onset = call.now_ms();
    call.voice(200).hears(2, "stop please").voice(60).silence(600);
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (onset + 120, PAUSE),
            (onset + 200, interrupt(Cause::Voice)),
            (onset + 260 + SILENCE, transcribe(1)),
            (onset + 760, end_of_turn(onset + 260)),
        ]
    );
}

#[test]
fn vad_a_backchannel_leaves_the_agent_its_turn_however_long_it_is() {
    let mut call = Call::speaking_with(&options(TurnMode::Vad));
    let onset = call.now_ms();
    call.voice(300).hears(2, "uh-huh").voice(500).silence(2000);
    call.playout(1, Playout::Finished);
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (onset + 120, PAUSE),
            (onset + 800 + SILENCE, RESUME),
            (onset + 2800, DISCARD),
        ]
    );
    assert_eq!(call.machine().agent_state(), AgentState::Listening);
}

#[test]
fn vad_a_backchannel_that_becomes_a_sentence_takes_the_floor_with_its_words() {
    let mut call = Call::speaking_with(&options(TurnMode::Vad));
    let onset = call.now_ms();
    call.voice(300).hears(2, "yeah").voice(700);
    call.hears(2, "yeah but on another day");
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (onset + 120, PAUSE),
            (onset + 1000, interrupt(Cause::Voice)),
        ]
    );
}

#[test]
fn vad_silence_is_taken_back_when_the_voice_ends() {
    let mut call = Call::speaking_with(&options(TurnMode::Vad));
    let onset = call.now_ms();
    call.voice(480).silence(400);
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (onset + 120, PAUSE),
            (onset + 480 + SILENCE, RESUME)
        ]
    );
}

#[test]
fn a_yes_over_the_last_words_is_an_answer_and_no_backchannel() {
    let mut call = Call::speaking_with(&options(TurnMode::Vad));
    let onset = call.now_ms();
    call.voice(300).hears(2, "yes").silence(500);
    call.playout(1, Playout::Finished);
    assert_eq!(
        call.acts().split_off(3),
        [
            (onset + 800, transcribe(1)),
            (onset + 800, end_of_turn(onset + 300))
        ]
    );
}

#[test]
fn stt_voice_alone_pauses_and_words_take_the_floor() {
    let mut call = Call::speaking_with(&options(TurnMode::Stt));
    let onset = call.now_ms();
    call.voice(700).hears(2, "another day please").voice(300);
    call.silence(400);
    call.input(Input::EndOfUtterance { turn: TURN_2 }).silence(600);
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (onset + 120, PAUSE),
            (onset + 700, interrupt(Cause::Voice)),
            (onset + 1000 + SILENCE, transcribe(1)),
            (onset + 1900, end_of_turn(onset + 1000)),
        ]
    );
}

#[test]
fn stt_a_backchannel_leaves_the_agent_its_turn() {
    let mut call = Call::speaking_with(&options(TurnMode::Stt));
    let onset = call.now_ms();
    call.voice(300).hears(2, "угу, понятно").voice(500).silence(400);
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (onset + 120, PAUSE),
            (onset + 800 + SILENCE, RESUME)
        ]
    );
}

#[test]
fn stt_silence_is_taken_back_when_the_recogniser_says_so_or_says_nothing_for_two_seconds() {
    let mut told = Call::speaking_with(&options(TurnMode::Stt));
    let onset = told.now_ms();
    told.voice(800).silence(300).transcript(2, 1, "").silence(2000);
    let asked = (onset + 800 + SILENCE, transcribe(1));
    let taken_back = |at| [capture(onset), (onset + 120, PAUSE), asked, (onset + at, RESUME)];
    assert_eq!(told.acts(), taken_back(1100));
    let mut untold = Call::speaking_with(&options(TurnMode::Stt));
    untold.voice(800).silence(2000);
    assert_eq!(untold.acts(), taken_back(2120));
}

#[test]
fn manual_only_a_commit_takes_the_floor() {
    let mut call = Call::speaking_with(&options(TurnMode::Manual));
    let onset = call.now_ms();
    call.voice(700).hears(2, "another day please");
    call.input(Input::Commit).voice(300).silence(600);
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (onset + 700, interrupt(Cause::Request)),
            (onset + 700, transcribe(1)),
            (onset + 700, end_of_turn(onset + 700)),
        ]
    );
}

#[test]
fn manual_neither_backchannel_nor_noise_is_even_a_pause() {
    for heard in ["okay", ""] {
        let mut call = Call::speaking_with(&options(TurnMode::Manual));
        let onset = call.now_ms();
        call.voice(400).hears(2, heard).silence(2000);
        call.playout(1, Playout::Finished);
        assert_eq!(call.acts(), [capture(onset), (onset + 2400, DISCARD)]);
    }
}

#[test]
fn words_that_are_needed_are_asked_for_while_the_voice_runs() {
    let mut call = Call::speaking_with(&asked_for_words(2));
    let onset = call.now_ms();
    call.voice(600).transcript(2, 1, "wait").voice(400);
    call.voice(100).transcript(2, 2, "wait a moment").voice(100);
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (onset + 120, PAUSE),
            (onset + 500, transcribe(1)),
            (onset + 1000, transcribe(2)),
            (onset + 1100, interrupt(Cause::Voice)),
        ]
    );
}

#[test]
fn words_that_are_needed_and_come_after_the_voice_take_the_floor_all_the_same() {
    let mut call = Call::speaking_with(&asked_for_words(1));
    let onset = call.now_ms();
    call.voice(300).silence(360);
    call.transcript(2, 1, "stop").silence(600);
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (onset + 120, PAUSE),
            (onset + 300 + SILENCE, transcribe(1)),
            (onset + 660, interrupt(Cause::Voice)),
            (onset + 800, end_of_turn(onset + 300)),
        ]
    );
}

#[test]
fn without_resuming_the_agent_speaks_on_until_it_is_interrupted() {
    let interruption = Interruption {
        resume_false_interruption: false,
        ..Interruption::default()
    };
    let mut call = Call::speaking_with(&Options {
        interruption,
        ..Options::default()
    });
    let onset = call.now_ms();
    call.voice(400).silence(300).voice(600);
    assert_eq!(
        call.acts(),
        [
            capture(onset),
            (
                onset + 760,
                Output::Capture {
                    turn: TURN_2,
                    from: ms(onset + 700)
                }
            ),
            (onset + 1200, interrupt(Cause::Voice)),
        ]
    );
}

#[test]
fn what_is_said_over_an_uninterruptible_utterance_can_be_kept_and_answered_after_it() {
    let interruption = Interruption {
        discard_audio_if_uninterruptible: false,
        ..Interruption::default()
    };
    let mut call = Call::new(&Options {
        interruption,
        ..Options::default()
    });
    call.input(Input::Say).input(Input::ReplyReady {
        utterance: FIRST,
        interruptible: false,
    });
    call.voice(800).silence(2000).playout(1, Playout::Finished);
    let turn = TurnId(1);
    assert_eq!(
        call.acts().split_off(2),
        [
            (60, Output::Capture { turn, from: ms(0) }),
            (2800, Output::Transcribe { turn, take: 1 }),
            (
                2800,
                Output::EndOfTurn {
                    turn,
                    reply: SECOND,
                    last_voice: ms(800)
                }
            ),
        ]
    );
}
