//! Turns, states and endings as scripts and what comes out of them, to the frame.

use turns::{AgentState, Cause, End, Input, Options, Output, Playout, TurnId, UserState, UtteranceId, Words};

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
fn a_turn_ends_min_delay_after_its_last_voice() {
    let mut call = Call::listening();
    call.silence(100).voice(400).silence(600);
    assert_eq!(
        call.acts(),
        [
            (
                160,
                Output::Capture {
                    turn: TURN_1,
                    from: ms(100)
                }
            ),
            (
                760,
                Output::Transcribe {
                    turn: TURN_1,
                    take: 1
                }
            ),
            (
                1000,
                Output::EndOfTurn {
                    turn: TURN_1,
                    reply: FIRST,
                    last_voice: ms(500)
                }
            ),
        ]
    );
}

#[test]
fn a_hesitation_shorter_than_min_delay_continues_the_turn() {
    let mut call = Call::listening();
    call.voice(300).silence(400).voice(300).silence(600);
    assert_eq!(
        call.acts(),
        [
            (
                60,
                Output::Capture {
                    turn: TURN_1,
                    from: ms(0)
                }
            ),
            (
                560,
                Output::Transcribe {
                    turn: TURN_1,
                    take: 1
                }
            ),
            (
                760,
                Output::Capture {
                    turn: TURN_1,
                    from: ms(700)
                }
            ),
            (
                1260,
                Output::Transcribe {
                    turn: TURN_1,
                    take: 2
                }
            ),
            (
                1500,
                Output::EndOfTurn {
                    turn: TURN_1,
                    reply: FIRST,
                    last_voice: ms(1000)
                }
            ),
        ]
    );
}

#[test]
fn a_hint_moves_the_end_only_between_min_and_max_delay() {
    for (hint_ms, end_ms) in [(100, 800), (900, 1200), (60_000, 3300)] {
        let mut call = Call::listening();
        call.voice(300).silence(300);
        call.input(Input::Hint {
            turn: TURN_1,
            delay: ms(hint_ms),
        })
        .silence(4000);
        let expected = Output::EndOfTurn {
            turn: TURN_1,
            reply: FIRST,
            last_voice: ms(300),
        };
        assert_eq!(
            call.acts().last(),
            Some(&(end_ms, expected)),
            "hint of {hint_ms} ms"
        );
    }
}

#[test]
fn noise_without_words_is_no_turn() {
    let mut call = Call::listening();
    call.voice(100)
        .silence(300)
        .input(Input::Transcript {
            turn: TURN_1,
            take: 1,
            words: Words::NONE,
        })
        .silence(1000);
    assert_eq!(call.acts().last(), Some(&(400, Output::Discard { turn: TURN_1 })));
    assert_eq!(call.machine().agent_state(), AgentState::Listening);
}

#[test]
fn noise_whose_transcript_comes_late_is_not_answered() {
    let mut call = Call::listening();
    call.voice(100).silence(700).input(Input::Transcript {
        turn: TURN_1,
        take: 1,
        words: Words::NONE,
    });
    let tail = call.acts().split_off(3);
    let no_words = Output::Interrupt {
        utterance: FIRST,
        cause: Cause::NoWords,
    };
    assert_eq!(tail, [(800, no_words), (800, Output::Discard { turn: TURN_1 })]);
    assert_eq!(call.machine().agent_state(), AgentState::Listening);
}

#[test]
fn a_transcript_of_an_older_take_is_ignored() {
    let mut call = Call::listening();
    call.voice(100).silence(300).voice(300).silence(300);
    call.input(Input::Transcript {
        turn: TURN_1,
        take: 1,
        words: Words::NONE,
    })
    .silence(300);
    let end = Output::EndOfTurn {
        turn: TURN_1,
        reply: FIRST,
        last_voice: ms(700),
    };
    assert_eq!(call.acts().last(), Some(&(1200, end)));
}

#[test]
fn a_caller_who_speaks_on_before_the_reply_takes_the_turn_back() {
    let mut call = Call::listening();
    call.voice(300).silence(600).voice(300).silence(600);
    assert_eq!(
        call.acts().split_off(2),
        [
            (
                800,
                Output::EndOfTurn {
                    turn: TURN_1,
                    reply: FIRST,
                    last_voice: ms(300)
                }
            ),
            (
                960,
                Output::Capture {
                    turn: TURN_1,
                    from: ms(900)
                }
            ),
            (1020, interrupt(FIRST)),
            (
                1460,
                Output::Transcribe {
                    turn: TURN_1,
                    take: 2
                }
            ),
            (
                1700,
                Output::EndOfTurn {
                    turn: TURN_1,
                    reply: SECOND,
                    last_voice: ms(1200)
                }
            ),
        ]
    );
}

#[test]
fn a_closing_utterance_goes_on_to_its_end_and_ends_the_conversation() {
    let mut call = Call::speaking();
    let onset = call.now_ms();
    call.voice(200)
        .input(Input::Closing { utterance: FIRST })
        .voice(800)
        .playout(1, Playout::Finished);
    assert_eq!(
        call.acts().split_off(1),
        [
            (onset + 120, Output::Pause { utterance: FIRST }),
            (onset + 200, Output::Resume { utterance: FIRST }),
            (onset + 1000, Output::Discard { turn: TURN_2 }),
            (onset + 1000, Output::End(End::Closing)),
        ]
    );
    assert_eq!(call.machine().poll_timeout(), None);
}

#[test]
fn a_closing_reply_without_words_ends_the_conversation_at_once() {
    let mut call = Call::listening();
    call.voice(300).silence(500);
    call.input(Input::Closing { utterance: FIRST })
        .input(Input::ReplyFailed { utterance: FIRST });
    assert_eq!(call.acts().last(), Some(&(800, Output::End(End::Closing))));
}

#[test]
fn voice_without_an_end_is_cut_and_answered() {
    let mut call = Call::listening();
    call.voice(30_100);
    let end = Output::EndOfTurn {
        turn: TURN_1,
        reply: FIRST,
        last_voice: ms(30_060),
    };
    assert_eq!(
        call.acts().split_off(1),
        [
            (
                30_060,
                Output::Transcribe {
                    turn: TURN_1,
                    take: 1
                }
            ),
            (30_060, end)
        ]
    );
    call.ready(1).voice(2000);
    assert_eq!(
        call.acts().len(),
        4,
        "the rest of it does not interrupt the answer"
    );
    call.playout(1, Playout::Finished);
    let from = ms(call.now_ms());
    assert_eq!(
        call.acts().last(),
        Some(&(call.now_ms(), Output::Capture { turn: TURN_2, from }))
    );
}

#[test]
fn an_agent_stuck_thinking_or_speaking_is_freed() {
    let stalled = Output::Interrupt {
        utterance: FIRST,
        cause: Cause::Stalled,
    };
    let mut thinking = Call::listening();
    thinking.voice(300).silence(500).wait(36_000);
    assert_eq!(thinking.acts().last(), Some(&(35_800, stalled)));
    let mut speaking = Call::speaking();
    let last_news = speaking.now_ms() - 200;
    speaking.wait(13_000);
    assert_eq!(speaking.acts().last(), Some(&(last_news + 12_000, stalled)));
    assert_eq!(speaking.machine().agent_state(), AgentState::Listening);
}

#[test]
fn a_silent_caller_is_away_after_15_s_and_the_conversation_ends_after_5_minutes() {
    let mut call = Call::listening();
    call.wait(301_000);
    assert_eq!(
        call.log,
        [
            (15_000, Output::User(UserState::Away)),
            (300_000, Output::Agent(AgentState::Idle)),
            (300_000, Output::End(End::Idle)),
        ]
    );
}

#[test]
fn hanging_up_stops_everything_in_every_state() {
    let mut listening = Call::listening();
    listening.input(Input::HangUp);
    assert_eq!(listening.acts(), []);
    let mut heard = Call::listening();
    heard.voice(200).input(Input::HangUp);
    assert_eq!(
        heard.acts().last(),
        Some(&(200, Output::Discard { turn: TURN_1 }))
    );
    let mut speaking = Call::speaking();
    let now = speaking.now_ms();
    speaking
        .input(Input::HangUp)
        .voice(1000)
        .playout(1, Playout::Finished)
        .ready(1);
    let hang_up = Output::Interrupt {
        utterance: FIRST,
        cause: Cause::HangUp,
    };
    assert_eq!(speaking.acts(), [(now, hang_up)]);
    assert_eq!(speaking.machine().poll_timeout(), None);
}

#[test]
fn a_second_wish_to_speak_is_refused() {
    let mut call = Call::new(&Options::default());
    call.input(Input::Say).input(Input::Say);
    assert_eq!(call.acts().last(), Some(&(0, Output::SayRefused)));
}

#[test]
fn states_follow_the_conversation() {
    let mut call = Call::new(&Options::default());
    call.input(Input::Listen)
        .voice(300)
        .silence(500)
        .ready(1)
        .playout(1, Playout::Finished);
    let states: Vec<_> = call
        .log
        .iter()
        .filter(|(_, o)| matches!(o, Output::Agent(_) | Output::User(_)))
        .collect();
    assert_eq!(
        states,
        [
            &(0, Output::Agent(AgentState::Listening)),
            &(60, Output::User(UserState::Speaking)),
            &(560, Output::User(UserState::Listening)),
            &(800, Output::Agent(AgentState::Thinking)),
            &(800, Output::Agent(AgentState::Speaking)),
            &(800, Output::Agent(AgentState::Listening)),
        ]
    );
}
