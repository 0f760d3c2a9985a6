use super::*;

const GONE: Duration = Duration::from_secs(15);

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn machine(now: Instant) -> Machine {
    Machine::incoming(Options {
        ringing_until: now + seconds(10),
        agent_gone: GONE,
        max_call: seconds(3600),
        no_agent: NoAgent::default(),
        holds: false,
    })
}

fn heard(identity: &str) -> Input {
    Input::Heard {
        identity: identity.into(),
        is_phone: false,
    }
}

fn left(identity: &str, deliberate: bool) -> Input {
    Input::Left {
        identity: identity.into(),
        deliberate,
    }
}

fn outputs(machine: &mut Machine) -> Vec<Output> {
    std::iter::from_fn(|| machine.poll_output()).collect()
}

/// A machine whose call is answered by `agent` at `now`.
fn answered(now: Instant) -> Machine {
    let mut machine = machine(now);
    machine.handle(heard("agent"), now);
    machine.handle(Input::Acknowledged, now);
    assert_eq!(outputs(&mut machine), [Output::Answer, Output::Active]);
    machine
}

#[test]
fn an_agent_that_is_heard_answers_the_call_once() {
    let now = start();
    let mut machine = answered(now);
    machine.handle(heard("second agent"), now);
    assert_eq!(outputs(&mut machine), []);
}

fn published(identity: &str) -> Input {
    Input::Published {
        identity: identity.into(),
    }
}

#[test]
fn a_track_answers_the_call_and_its_sound_makes_it_active() {
    let now = start();
    for sound_first in [true, false] {
        let mut machine = machine(now);
        machine.handle(published("agent"), now);
        assert_eq!(outputs(&mut machine), [Output::Answer]);
        let (first, second) = if sound_first {
            (heard("agent"), Input::Acknowledged)
        } else {
            (Input::Acknowledged, heard("agent"))
        };
        machine.handle(first, now);
        assert_eq!(outputs(&mut machine), []);
        machine.handle(second, now);
        assert_eq!(outputs(&mut machine), [Output::Active]);
        machine.handle(published("second agent"), now);
        machine.handle(heard("second agent"), now);
        assert_eq!(outputs(&mut machine), []);
    }
}

#[test]
fn a_track_of_which_nothing_comes_is_waited_for_a_second() {
    let now = start();
    let mut machine = machine(now);
    machine.handle(published("agent"), now);
    machine.handle(Input::Acknowledged, now);
    assert_eq!(machine.poll_timeout(), Some(now + seconds(1)));
    machine.handle_timeout(now + seconds(1));
    assert_eq!(outputs(&mut machine), [Output::Answer, Output::Active]);
    assert_eq!(machine.poll_timeout(), Some(now + seconds(3600)));
    // And whose agent leaves before it was heard, ends as with any other.
    machine.handle(left("agent", true), now + seconds(2));
    assert!(outputs(&mut machine).contains(&Output::End(EndReason::AgentLeft)));
}

#[test]
fn a_call_that_was_answered_before_its_room_waits_for_an_agent_as_long_as_one_that_rings() {
    let now = start();
    let options = Options {
        ringing_until: now + seconds(10),
        agent_gone: GONE,
        max_call: seconds(3600),
        no_agent: NoAgent::default(),
        holds: false,
    };
    let mut machine = Machine::answered(options, true, now);
    assert_eq!(machine.poll_timeout(), Some(now + seconds(10)));
    machine.handle_timeout(now + seconds(10));
    assert_eq!(
        outputs(&mut machine),
        [
            Output::HangUp { text: "no_agent" },
            Output::End(EndReason::NoAgent)
        ]
    );

    let mut machine = Machine::answered(options, true, now);
    machine.handle(heard("agent"), now + seconds(9));
    assert_eq!(outputs(&mut machine), []);
    assert_eq!(machine.poll_timeout(), Some(now + seconds(3600)));
    machine.handle(left("agent", false), now + seconds(20));
    machine.handle_timeout(now + seconds(20) + GONE);
    let lost = outputs(&mut machine);
    assert_eq!(lost.last(), Some(&Output::End(EndReason::AgentLost)));
}

#[test]
fn another_phone_is_no_agent() {
    let now = start();
    let mut machine = machine(now);
    machine.handle(
        Input::Heard {
            identity: "sip_2".into(),
            is_phone: true,
        },
        now,
    );
    assert_eq!(outputs(&mut machine), []);
    assert_eq!(machine.poll_timeout(), Some(now + seconds(10)));
}

#[test]
fn without_an_agent_the_call_is_refused_with_480() {
    let now = start();
    let mut machine = machine(now);
    machine.handle_timeout(now + Duration::from_millis(9_999));
    assert_eq!(outputs(&mut machine), []);
    machine.handle_timeout(machine.poll_timeout().expect("a deadline"));
    assert_eq!(
        outputs(&mut machine),
        [
            Output::Reject {
                code: 480,
                text: "no agent"
            },
            Output::End(EndReason::NoAgent)
        ]
    );
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn an_agent_that_leaves_ends_the_call_at_once() {
    let now = start();
    let mut machine = answered(now);
    machine.handle(left("agent", true), now);
    assert_eq!(
        outputs(&mut machine),
        [
            Output::HangUp { text: "agent_left" },
            Output::End(EndReason::AgentLeft)
        ]
    );
}

#[test]
fn a_vanished_agent_is_waited_for() {
    let now = start();
    let mut machine = answered(now);
    machine.handle(left("agent", false), now);
    assert_eq!(outputs(&mut machine), []);
    assert_eq!(machine.poll_timeout(), Some(now + GONE));
    machine.handle_timeout(now + GONE);
    assert_eq!(
        outputs(&mut machine),
        [
            Output::HangUp { text: "agent_lost" },
            Output::End(EndReason::AgentLost)
        ]
    );
}

#[test]
fn another_agent_takes_the_call_over_within_the_grace() {
    let now = start();
    let mut machine = answered(now);
    machine.handle(left("agent", false), now);
    machine.handle(heard("successor"), now + seconds(14));
    assert_eq!(outputs(&mut machine), []);
    assert_eq!(machine.poll_timeout(), Some(now + seconds(3600)));
}

#[test]
fn the_call_goes_on_while_one_of_two_agents_is_there() {
    let now = start();
    let mut machine = answered(now);
    machine.handle(heard("second"), now);
    machine.handle(left("agent", true), now);
    assert_eq!(outputs(&mut machine), []);
    machine.handle(left("second", true), now);
    assert_eq!(
        outputs(&mut machine).last(),
        Some(&Output::End(EndReason::AgentLeft))
    );
}

#[test]
fn phones_that_an_agent_brought_together_go_on_without_it() {
    let now = start();
    let mut machine = answered(now);
    machine.handle(
        Input::Heard {
            identity: "sip_2".into(),
            is_phone: true,
        },
        now,
    );
    machine.handle(left("agent", true), now);
    assert_eq!(outputs(&mut machine), []);
    machine.handle(left("sip_2", true), now);
    assert_eq!(
        outputs(&mut machine).last(),
        Some(&Output::End(EndReason::AgentLeft))
    );
}

#[test]
fn a_stranger_who_was_never_heard_may_come_and_go() {
    let now = start();
    let mut machine = answered(now);
    machine.handle(left("monitor", true), now);
    assert_eq!(outputs(&mut machine), []);
}

#[test]
fn the_callers_end_needs_no_bye_of_ours() {
    let now = start();
    let mut ringing = machine(now);
    ringing.handle(Input::CallerLeft, now);
    assert_eq!(outputs(&mut ringing), [Output::End(EndReason::Cancelled)]);
    let mut active = answered(now);
    active.handle(Input::CallerLeft, now);
    assert_eq!(outputs(&mut active), [Output::End(EndReason::CallerHungUp)]);
}

#[test]
fn what_ends_a_call_from_our_side_hangs_up() {
    let cases = [
        (Input::MediaTimeout, EndReason::MediaTimeout),
        (Input::RoomLost(RoomLoss::Closed), EndReason::RoomClosed),
        (Input::RoomLost(RoomLoss::Removed), EndReason::Removed),
        (Input::RoomLost(RoomLoss::Disconnected), EndReason::Disconnected),
        (Input::ShutDown, EndReason::ShutDown),
    ];
    for (input, reason) in cases {
        let now = start();
        let mut machine = answered(now);
        machine.handle(input, now);
        assert_eq!(
            outputs(&mut machine),
            [
                Output::HangUp {
                    text: reason.as_str()
                },
                Output::End(reason)
            ]
        );
    }
}

#[test]
fn a_phone_that_has_not_acknowledged_the_answer_and_sends_no_sound_is_told_so() {
    let now = start();
    let mut machine = machine(now);
    machine.handle(heard("agent"), now);
    machine.handle(Input::MediaTimeout, now);
    assert_eq!(
        outputs(&mut machine).last(),
        Some(&Output::End(EndReason::NotAcknowledged))
    );
}

#[test]
fn a_room_that_goes_while_ringing_refuses_the_call() {
    let now = start();
    let mut machine = machine(now);
    machine.handle(Input::RoomLost(RoomLoss::Closed), now);
    assert!(matches!(
        outputs(&mut machine).as_slice(),
        [Output::Reject { code: 480, .. }, Output::End(_)]
    ));
}

#[test]
fn a_call_has_a_longest_duration() {
    let now = start();
    let mut machine = answered(now);
    machine.handle_timeout(now + seconds(3600));
    assert_eq!(
        outputs(&mut machine).last(),
        Some(&Output::End(EndReason::MaxDuration))
    );
}

#[test]
fn after_the_end_nothing_happens() {
    let now = start();
    let mut machine = answered(now);
    machine.handle(Input::CallerLeft, now);
    outputs(&mut machine);
    for input in [
        heard("agent"),
        left("agent", true),
        Input::ShutDown,
        Input::MediaTimeout,
    ] {
        machine.handle(input, now);
    }
    machine.handle_timeout(now + seconds(10_000));
    assert_eq!(outputs(&mut machine), []);
}

fn outgoing(now: Instant) -> Machine {
    Machine::outgoing(Options {
        ringing_until: now + seconds(10),
        agent_gone: GONE,
        max_call: seconds(3600),
        no_agent: NoAgent::default(),
        holds: false,
    })
}

#[test]
fn a_phone_that_we_dial_rings_once_and_is_connected_when_it_is_picked_up() {
    let now = start();
    let mut machine = outgoing(now);
    machine.handle(Input::Rings, now);
    machine.handle(Input::Rings, now);
    assert_eq!(outputs(&mut machine), [Output::Ringing]);
    assert_eq!(machine.poll_timeout(), Some(now + seconds(10)));
    let later = now + seconds(5);
    machine.handle(Input::PickedUp, later);
    machine.handle(Input::Acknowledged, later);
    assert_eq!(outputs(&mut machine), [Output::Connect, Output::Active]);
    assert_eq!(machine.poll_timeout(), Some(later + seconds(3600)));
    machine.handle(heard("agent"), later);
    machine.handle(left("agent", true), later);
    let hang_up = Output::HangUp { text: "agent_left" };
    assert_eq!(
        outputs(&mut machine),
        [hang_up, Output::End(EndReason::AgentLeft)]
    );
}

#[test]
fn a_phone_that_nobody_picks_up_is_given_up() {
    let now = start();
    let mut machine = outgoing(now);
    machine.handle_timeout(now + seconds(9));
    assert_eq!(outputs(&mut machine), []);
    machine.handle_timeout(now + seconds(10));
    let hang_up = Output::HangUp { text: "not_answered" };
    assert_eq!(
        outputs(&mut machine),
        [hang_up, Output::End(EndReason::NotAnswered)]
    );
    machine.handle(Input::PickedUp, now + seconds(10));
    assert_eq!(outputs(&mut machine), [], "it is over");
}

#[test]
fn what_ends_a_phone_that_we_dial_before_its_answer_takes_the_call_back_or_finds_it_gone() {
    let now = start();
    for (input, reason, dialog_stands) in [
        (Input::RoomLost(RoomLoss::Closed), EndReason::RoomClosed, true),
        (Input::RoomLost(RoomLoss::Removed), EndReason::Removed, true),
        (Input::ShutDown, EndReason::ShutDown, true),
        (Input::NotPutThrough, EndReason::NotPutThrough, false),
        (Input::Unreachable, EndReason::Unreachable, false),
        (Input::DialogEnded, EndReason::DialogEnded, false),
    ] {
        let mut machine = outgoing(now);
        machine.handle(input, now);
        let hang_up = dialog_stands.then_some(Output::HangUp {
            text: reason.as_str(),
        });
        let expected: Vec<_> = hang_up.into_iter().chain([Output::End(reason)]).collect();
        assert_eq!(outputs(&mut machine), expected, "{reason:?}");
    }
}

#[test]
fn a_phone_that_was_sent_elsewhere_is_hung_up_on() {
    let now = start();
    let mut machine = answered(now);
    machine.handle(Input::Transferred, now);
    let hang_up = Output::HangUp { text: "transferred" };
    assert_eq!(
        outputs(&mut machine),
        [hang_up, Output::End(EndReason::Transferred)]
    );
}

/// A ringing call whose caller is turned away like this when no agent comes.
fn turning_away(now: Instant, no_agent: NoAgent) -> Machine {
    Machine::incoming(Options {
        ringing_until: now + seconds(10),
        agent_gone: GONE,
        max_call: seconds(3600),
        no_agent,
        holds: false,
    })
}

fn prompting() -> NoAgent {
    NoAgent {
        transfers: false,
        prompt: Some(seconds(4)),
    }
}

fn transferring() -> NoAgent {
    NoAgent {
        transfers: true,
        prompt: None,
    }
}

#[test]
fn a_caller_is_told_that_nobody_is_there_once_the_answer_is_acknowledged() {
    let now = start();
    let mut machine = turning_away(now, prompting());
    machine.handle_timeout(now + seconds(10));
    assert_eq!(outputs(&mut machine), [Output::AnswerAlone]);
    assert_eq!(machine.poll_timeout(), None);
    machine.handle(Input::Acknowledged, now + seconds(11));
    assert_eq!(outputs(&mut machine), [Output::Active, Output::Prompt]);
    // Too late: the call ends all the same.
    machine.handle(heard("agent"), now + seconds(12));
    machine.handle_timeout(now + seconds(15));
    assert_eq!(
        outputs(&mut machine),
        [
            Output::HangUp {
                text: "no_agent_prompt"
            },
            Output::End(EndReason::NoAgentPrompt)
        ]
    );
}

#[test]
fn a_phone_that_is_sent_elsewhere_ends_its_call_there() {
    let now = start();
    let elsewhere = |came: Input| {
        let mut machine = turning_away(now, transferring());
        machine.handle_timeout(now + seconds(10));
        machine.handle(Input::Acknowledged, now + seconds(10));
        let asked = [Output::AnswerAlone, Output::Active, Output::Transfer];
        assert_eq!(outputs(&mut machine), asked);
        machine.handle(came, now + seconds(12));
        outputs(&mut machine)
    };
    let there = Output::End(EndReason::NoAgentTransfer);
    assert_eq!(
        elsewhere(Input::WentElsewhere).as_slice(),
        std::slice::from_ref(&there)
    );
    assert_eq!(elsewhere(Input::Transferred).last(), Some(&there));
    let not = elsewhere(Input::NotTransferred);
    assert_eq!(not.last(), Some(&Output::End(EndReason::NoAgent)));
    let gone = elsewhere(Input::CallerLeft);
    assert_eq!(gone, [Output::End(EndReason::CallerHungUp)]);
}

#[test]
fn a_phone_that_does_not_go_hears_that_nobody_is_there() {
    let now = start();
    let both = NoAgent {
        transfers: true,
        ..prompting()
    };
    // Answered before it had a room.
    let options = Options {
        ringing_until: now + seconds(10),
        agent_gone: GONE,
        max_call: seconds(3600),
        no_agent: both,
        holds: true,
    };
    let mut machine = Machine::answered(options, true, now);
    machine.handle_timeout(now + seconds(10));
    assert_eq!(outputs(&mut machine), [Output::Hold(true), Output::Transfer]);
    machine.handle(Input::NotTransferred, now + seconds(20));
    assert_eq!(outputs(&mut machine), [Output::Prompt]);
    assert_eq!(machine.poll_timeout(), Some(now + seconds(24)));
}

#[test]
fn music_plays_while_the_agent_is_away() {
    let now = start();
    let mut machine = Machine::incoming(Options {
        ringing_until: now + seconds(10),
        agent_gone: GONE,
        max_call: seconds(3600),
        no_agent: NoAgent::default(),
        holds: true,
    });
    machine.handle(heard("agent"), now);
    machine.handle(Input::Acknowledged, now);
    assert_eq!(outputs(&mut machine), [Output::Answer, Output::Active]);
    machine.handle(left("agent", false), now);
    assert_eq!(outputs(&mut machine), [Output::Hold(true)]);
    machine.handle(heard("another"), now);
    assert_eq!(outputs(&mut machine), [Output::Hold(false)]);
}

#[test]
fn whoever_is_in_the_room_ends_the_call_also_before_its_answer() {
    let now = start();
    let mut machine = machine(now);
    machine.handle(Input::EndCall, now);
    let refused = Output::Reject {
        code: 480,
        text: "call ended by the room",
    };
    assert_eq!(outputs(&mut machine), [refused, Output::End(EndReason::EndCall)]);
    let mut machine = answered(now);
    machine.handle(Input::EndCall, now);
    let end = Output::HangUp { text: "end_call" };
    assert_eq!(outputs(&mut machine), [end, Output::End(EndReason::EndCall)]);
}
