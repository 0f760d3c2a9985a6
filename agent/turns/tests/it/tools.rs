//! Tools take time: within an utterance and beside the conversation.

use turns::{Cause, End, Input, Limits, Options, Output, Playout, Prompt, UtteranceId};

use crate::script::{Call, ms};

const FIRST: UtteranceId = UtteranceId(1);

fn options(limits: Limits) -> Options {
    Options {
        limits,
        ..Options::default()
    }
}

fn tools(utterance: Option<u32>, seconds: u64) -> Input {
    Input::Tools {
        utterance: utterance.map(UtteranceId),
        limit: ms(seconds * 1000),
    }
}

fn prompt(utterance: u32, prompt: Prompt) -> Output {
    Output::Prompt {
        utterance: UtteranceId(utterance),
        prompt,
    }
}

fn stalled() -> Output {
    Output::Interrupt {
        utterance: FIRST,
        cause: Cause::Stalled,
    }
}

fn asking() -> Call {
    Call::listening_with(&options(Limits {
        reprompts: 1,
        ..Limits::default()
    }))
}

#[test]
fn whose_transfer_is_under_way_is_not_away_before_it_is_over() {
    let mut call = asking();
    call.wait(10_000).input(tools(None, 60)).wait(40_000);
    assert_eq!(call.acts(), []);
    call.input(tools(None, 0)).wait(20_000);
    assert_eq!(call.acts(), [(65_000, prompt(1, Prompt::Away))]);
}

#[test]
fn a_tool_that_never_comes_back_holds_the_silence_for_its_limit_only() {
    let mut call = asking();
    call.input(tools(None, 60)).input(tools(None, 20)).wait(80_000);
    assert_eq!(call.acts(), [(75_000, prompt(1, Prompt::Away))]);
}

#[test]
fn what_is_said_while_a_tool_runs_does_not_make_the_silence_count() {
    let mut call = asking();
    call.input(tools(None, 60)).voice(300).silence(500);
    call.ready(1).playout(1, Playout::Finished);
    let from = call.acts().len();
    call.wait(50_000);
    assert_eq!(call.acts().len(), from);
}

#[test]
fn a_transfer_that_is_under_way_when_the_time_is_up_is_not_cut_off_by_the_goodbye() {
    let limits = Limits {
        duration: ms(10_000),
        ..Limits::default()
    };
    let mut over = Call::listening_with(&options(limits));
    over.input(tools(None, 30)).wait(20_000);
    assert_eq!(over.acts(), []);
    over.input(tools(None, 0));
    assert_eq!(over.acts(), [(20_000, prompt(1, Prompt::TimeUp))]);
    let mut endless = Call::listening_with(&options(limits));
    endless.input(tools(None, 300)).wait(100_000);
    assert_eq!(endless.acts(), [(70_000, Output::End(End::TimeUp))]);
}

#[test]
fn an_utterance_that_waits_for_a_tool_is_not_stuck() {
    let mut call = Call::speaking();
    call.input(tools(Some(1), 20)).wait(15_000);
    assert_eq!(call.acts(), []);
    // It is when nothing follows the result.
    call.input(tools(Some(1), 0));
    let back = call.now_ms();
    call.wait(14_000);
    assert_eq!(call.acts(), [(back + 12_000, stalled())]);
}

#[test]
fn an_utterance_whose_tool_never_comes_back_is_freed_12_s_after_its_limit() {
    let mut call = Call::speaking();
    let called = call.now_ms();
    call.input(tools(Some(1), 20))
        .playout(1, Playout::Mark)
        .wait(33_000);
    assert_eq!(call.acts(), [(called + 32_000, stalled())]);
}

#[test]
fn tools_before_the_first_sound_move_the_limit_of_thinking() {
    let mut call = Call::listening();
    call.voice(300).silence(500).wait(30_000);
    let called = call.now_ms();
    call.input(tools(Some(1), 10)).wait(10_000);
    call.input(tools(Some(1), 0)).wait(36_000);
    assert_eq!(call.acts().last(), Some(&(called + 45_000, stalled())));
}
