//! Who ends a turn, and when: the modes, hints, hesitations, requests, the long run.

use proptest::prelude::*;
use turns::{
    AgentState, Cause, End, Endpointing, EndpointingMode, Input, Limits, Options, Output, Playout, Prompt,
    TurnId, TurnMode, UserState, UtteranceId,
};

use crate::script::{Call, ms};

const TURN_1: TurnId = TurnId(1);
const FIRST: UtteranceId = UtteranceId(1);
const SECOND: UtteranceId = UtteranceId(2);

fn mode(mode: TurnMode) -> Options {
    Options {
        mode,
        has_interim: true,
        ..Options::default()
    }
}

fn end_of_turn(reply: UtteranceId, last_voice: u64) -> Output {
    Output::EndOfTurn {
        turn: TURN_1,
        reply,
        last_voice: ms(last_voice),
    }
}

fn transcribe(take: u32) -> Output {
    Output::Transcribe { turn: TURN_1, take }
}

fn hint(delay_ms: u64) -> Input {
    Input::Hint {
        turn: TURN_1,
        delay: ms(delay_ms),
    }
}

#[test]
fn stt_the_delay_runs_from_the_transcript() {
    let mut call = Call::listening_with(&mode(TurnMode::Stt));
    call.voice(300)
        .silence(900)
        .transcript(1, 1, "two please")
        .silence(600);
    assert_eq!(
        call.acts().split_off(1),
        [(560, transcribe(1)), (1700, end_of_turn(FIRST, 300))]
    );
}

#[test]
fn stt_the_recogniser_ends_a_turn_whose_voice_goes_on() {
    let mut call = Call::listening_with(&mode(TurnMode::Stt));
    call.voice(1000)
        .input(Input::EndOfUtterance { turn: TURN_1 })
        .voice(600);
    assert_eq!(
        call.acts().split_off(1),
        [(1000, transcribe(1)), (1500, end_of_turn(FIRST, 1000))]
    );
    // The radio goes on under the answer and is no reason to stop; words are.
    call.ready(1).voice(3000);
    assert_eq!(call.acts().len(), 5, "{:?}", call.acts());
    call.hears(2, "turn it off");
    let interrupt = Output::Interrupt {
        utterance: FIRST,
        cause: Cause::Voice,
    };
    assert_eq!(call.acts().last(), Some(&(4600, interrupt)));
}

#[test]
fn stt_words_after_the_end_of_the_utterance_are_the_same_turn() {
    let mut call = Call::listening_with(&mode(TurnMode::Stt));
    call.voice(1000)
        .input(Input::EndOfUtterance { turn: TURN_1 })
        .voice(300)
        .hears(1, "two pizzas and a salad")
        .voice(700)
        .input(Input::EndOfUtterance { turn: TURN_1 })
        .voice(600);
    let ends: Vec<_> = call
        .acts()
        .into_iter()
        .filter(|(_, act)| matches!(act, Output::EndOfTurn { .. }))
        .collect();
    assert_eq!(ends, [(2500, end_of_turn(FIRST, 2000))]);
}

#[test]
fn stt_a_recogniser_that_says_nothing_is_waited_for_35_s() {
    let mut call = Call::listening_with(&mode(TurnMode::Stt));
    call.voice(300).silence(300).wait(40_000);
    assert_eq!(call.acts().get(2), Some(&(35_300, end_of_turn(FIRST, 300))));
}

#[test]
fn manual_no_silence_ends_a_turn_and_a_commit_does() {
    let mut call = Call::listening_with(&mode(TurnMode::Manual));
    call.voice(300).silence(5000).voice(300).silence(700);
    call.input(Input::Commit);
    assert_eq!(
        call.acts().split_off(1),
        [(6300, transcribe(1)), (6300, end_of_turn(FIRST, 5600))]
    );
}

#[test]
fn manual_a_turn_that_nobody_commits_ends_at_its_limit() {
    let mut call = Call::listening_with(&mode(TurnMode::Manual));
    call.voice(300).silence(300).wait(40_000);
    assert_eq!(call.acts().get(2), Some(&(30_060, end_of_turn(FIRST, 30_060))));
}

#[test]
fn a_turn_that_is_cleared_is_forgotten_with_the_rest_of_its_voice() {
    let mut call = Call::listening();
    call.voice(300).input(Input::Clear).voice(300).silence(1000);
    assert_eq!(
        call.acts().split_off(1),
        [(300, Output::Discard { turn: TURN_1 })]
    );
}

#[test]
fn a_request_stops_the_agent_but_not_its_last_words() {
    let mut call = Call::speaking();
    let now = call.now_ms();
    call.input(Input::Interrupt);
    let interrupt = Output::Interrupt {
        utterance: FIRST,
        cause: Cause::Request,
    };
    assert_eq!(call.acts(), [(now, interrupt)]);
    assert_eq!(call.machine().agent_state(), AgentState::Listening);
    let mut closing = Call::speaking();
    closing
        .input(Input::Closing { utterance: FIRST })
        .input(Input::Interrupt);
    assert_eq!(closing.acts(), []);
}

#[test]
fn a_hint_that_comes_after_the_end_of_the_turn_opens_it_again_for_the_rest_of_its_delay() {
    let mut call = Call::listening();
    call.voice(300).silence(700).input(hint(2000)).silence(1500);
    let interrupt = Output::Interrupt {
        utterance: FIRST,
        cause: Cause::Hint,
    };
    assert_eq!(
        call.acts().split_off(2),
        [
            (800, end_of_turn(FIRST, 300)),
            (1000, interrupt),
            (2300, end_of_turn(SECOND, 300)),
        ]
    );
}

#[test]
fn a_hint_opens_no_turn_whose_reply_is_ready_or_that_was_committed() {
    let mut ready = Call::listening();
    ready
        .voice(300)
        .silence(600)
        .ready(1)
        .input(hint(3000))
        .silence(100);
    assert_eq!(
        ready.acts().last(),
        Some(&(900, Output::Speak { utterance: FIRST }))
    );
    let mut committed = Call::listening();
    committed.voice(300).input(Input::Commit).input(hint(3000));
    assert_eq!(committed.acts().last(), Some(&(300, end_of_turn(FIRST, 300))));
}

#[test]
fn a_dynamic_delay_grows_with_the_callers_hesitations() {
    let endpointing = Endpointing {
        mode: EndpointingMode::Dynamic,
        alpha: 0.5,
        ..Endpointing::default()
    };
    let mut call = Call::listening_with(&Options {
        endpointing,
        ..Options::default()
    });
    // The turn is taken back 1.5 s after its last voice: the next silence is waited for (0.5 + 1.5) / 2 s.
    call.voice(300).silence(1500).voice(300).silence(2000);
    assert_eq!(call.acts().last(), Some(&(3100, end_of_turn(SECOND, 2100))));
}

fn asking(reprompts: u32) -> Options {
    let limits = Limits {
        reprompts,
        ..Limits::default()
    };
    Options {
        limits,
        ..Options::default()
    }
}

fn prompt(utterance: u32, prompt: Prompt) -> Output {
    Output::Prompt {
        utterance: UtteranceId(utterance),
        prompt,
    }
}

#[test]
fn a_caller_who_is_away_is_asked_and_then_bidden_goodbye() {
    let mut call = Call::listening_with(&asking(1));
    call.wait(15_000).ready(1).wait(2000);
    call.playout(1, Playout::Finished).wait(15_000);
    call.ready(2).wait(1000).playout(2, Playout::Finished);
    assert_eq!(
        call.acts(),
        [
            (15_000, prompt(1, Prompt::Away)),
            (15_000, Output::Speak { utterance: FIRST }),
            (32_000, prompt(2, Prompt::AwayGoodbye)),
            (32_000, Output::Speak { utterance: SECOND }),
            (33_000, Output::End(End::Away)),
        ]
    );
    assert_eq!(call.machine().user_state(), UserState::Away);
}

#[test]
fn a_caller_who_speaks_into_the_goodbye_keeps_the_conversation() {
    let mut call = Call::listening_with(&asking(1));
    call.wait(15_000).ready(1).wait(2000);
    call.playout(1, Playout::Finished).wait(15_000);
    call.ready(2).voice(600).playout(2, Playout::Stopped).silence(600);
    let last = call.acts().pop();
    assert!(matches!(last, Some((_, Output::EndOfTurn { .. }))), "{last:?}");
    // And is asked again before the next goodbye.
    call.ready(3).playout(3, Playout::Finished).wait(15_000);
    assert_eq!(
        call.acts().pop().map(|(_, act)| act),
        Some(prompt(4, Prompt::Away))
    );
}

#[test]
fn noise_does_not_keep_a_caller_from_being_away() {
    let mut call = Call::listening_with(&asking(1));
    for take in 0..4 {
        call.silence(3000).voice(200).silence(300);
        call.transcript(take + 1, 1, "");
    }
    call.silence(1000);
    assert_eq!(call.acts().last(), Some(&(15_000, prompt(1, Prompt::Away))));
}

fn at_most(seconds: u64) -> Options {
    let limits = Limits {
        duration: ms(seconds * 1000),
        ..Limits::default()
    };
    Options {
        limits,
        ..Options::default()
    }
}

#[test]
fn the_longest_conversation_ends_with_a_goodbye_that_nobody_interrupts() {
    let mut call = Call::listening_with(&at_most(10));
    call.wait(10_000).ready(1).voice(1000);
    call.playout(1, Playout::Finished);
    assert_eq!(
        call.acts(),
        [
            (10_000, prompt(1, Prompt::TimeUp)),
            (10_000, Output::Speak { utterance: FIRST }),
            (11_000, Output::End(End::TimeUp)),
        ]
    );
}

#[test]
fn who_speaks_when_the_time_is_up_may_finish_but_not_for_ever() {
    let mut polite = Call::speaking_with(&at_most(10));
    polite.wait(10_000).playout(1, Playout::Mark).wait(5000);
    let finished = polite.now_ms();
    polite.playout(1, Playout::Finished);
    assert_eq!(polite.acts(), [(finished, prompt(2, Prompt::TimeUp))]);
    let mut endless = Call::listening_with(&at_most(10));
    endless.silence(9000).voice(20_000);
    for _ in 0..20 {
        // Every answer is cut off by more of the same.
        endless.silence(600).voice(2000);
    }
    assert_eq!(endless.acts().last(), Some(&(70_000, Output::End(End::TimeUp))));
}

proptest! {
    #[test]
    fn a_wrong_hint_never_costs_more_than_max_minus_min(
        voice_ms in 5u64..100,
        hints in prop::collection::vec((0u64..4000, 0u64..100_000), 0..6),
        probability in prop::num::f32::ANY,
    ) {
        let mut call = Call::listening();
        call.voice(voice_ms * 20);
        let last_voice = call.now_ms();
        let mut hints = hints;
        hints.sort_unstable();
        for (at, delay) in hints {
            let wait = (last_voice + at).saturating_sub(call.now_ms());
            call.silence(wait).input(hint(delay));
        }
        call.silence(4000);
        let ends: Vec<_> = call.acts().into_iter().filter(|(_, act)| matches!(act, Output::EndOfTurn { .. })).collect();
        let (at, _) = ends.last().expect("the turn ends");
        prop_assert!((last_voice + 500..=last_voice + 3000).contains(at), "{at}");
        let delay = Endpointing::default().hinted(probability);
        prop_assert!((ms(500)..=ms(3000)).contains(&delay));
    }
}
