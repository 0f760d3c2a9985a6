//! The pure plan, as tables.

use std::time::Duration;

use events::{
    Claim, IndexEntry, Timestamp,
    livekit::{Event, Participant, ParticipantKind},
};
use platform::store::Age;
use sweep::{Act, Look, Repair, Stored, Wrong, confirm, plan};

use crate::world::{at, call, claim, phone, policy, room};

fn look(living: bool) -> Look {
    Look {
        call: call(),
        entry: IndexEntry {
            created_at: at(0),
            room: room().name,
        },
        marked: true,
        room: living.then(room),
        participants: Vec::new(),
        stored: Stored::default(),
    }
}

/// Twenty seconds after the room's creation.
fn claimed(living: bool, claim: Claim) -> Look {
    let mut look = look(living);
    let written = claim.expires_at.ms_since(at(0)) - 9_000;
    let age = Duration::from_millis(u64::try_from(20_000 - written).unwrap());
    look.stored.claim_age = Age {
        at_least: age,
        at_most: age,
    };
    look.stored.claim = Some(claim);
    look
}

fn closed() -> Claim {
    Claim {
        closed: true,
        ..claim(0, false)
    }
}

fn with(look: Look, change: impl FnOnce(&mut Look)) -> Look {
    let mut look = look;
    change(&mut look);
    look
}

/// What is planned twenty seconds after the room's creation.
fn planned(look: &Look) -> Option<Repair> {
    plan(look, &policy(), at(20_000))
}

/// The events of a repair by webhooks.
fn told(repair: &Repair) -> Vec<&str> {
    let Act::Tell(webhooks) = &repair.act else {
        return vec!["no webhooks"];
    };
    webhooks.iter().map(|webhook| webhook.event.name()).collect()
}

type Case = (&'static str, Look, Option<Wrong>);

fn recorded(look: Look) -> Look {
    with(look, |look| look.stored.record = true)
}

fn unmarked(look: Look) -> Look {
    with(look, |look| look.marked = false)
}

fn job(look: Look, at: Timestamp) -> Look {
    let age = u64::try_from(super::world::at(20_000).ms_since(at)).unwrap();
    with(look, |look| {
        look.stored.job_for = Some(Duration::from_millis(age));
    })
}

fn old(look: Look) -> Look {
    with(look, |look| {
        look.room.as_mut().unwrap().created_at = Some(at(-600_000));
    })
}

fn judge(cases: Vec<Case>) {
    for (case, look, wrong) in cases {
        let repair = planned(&look);
        assert_eq!(repair.as_ref().map(|repair| repair.wrong), wrong, "{case}");
        if let Some(Repair { wrong, act }) = repair {
            let fits = match wrong {
                Wrong::MarkerLeft => act == Act::Unmark,
                Wrong::Orphaned => act == Act::CloseAsHeir,
                Wrong::Stranded | Wrong::Waiting | Wrong::Old => act == Act::Revive,
                Wrong::MarkerMissing => act == Act::Tell(Vec::new()),
                Wrong::WebhookLost | Wrong::Unclosed => matches!(act, Act::Tell(_)),
                Wrong::EgressUnheard
                | Wrong::EgressMissing
                | Wrong::EgressMarkerLeft
                | Wrong::EgressWebhookLost
                | Wrong::EgressDead
                | Wrong::EgressUnfilled => false,
            };
            assert!(fits, "{case}: {act:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_call_whose_room_is_gone() {
    judge(vec![
        ("no room, no claim", look(false), Some(Wrong::Unclosed)),
        (
            "no room, a live claim",
            claimed(false, claim(20_001, false)),
            None,
        ),
        (
            "no room, an expired claim",
            claimed(false, claim(20_000, false)),
            Some(Wrong::Orphaned),
        ),
        (
            "no room, a closed claim",
            claimed(false, closed()),
            Some(Wrong::MarkerLeft),
        ),
        (
            "no room, a record",
            recorded(look(false)),
            Some(Wrong::MarkerLeft),
        ),
    ]);
}

#[test]
fn what_is_wrong_with_a_call_whose_room_is_there() {
    judge(vec![
        ("a room, a record", recorded(look(true)), Some(Wrong::MarkerLeft)),
        (
            "a room, a record, no marker",
            unmarked(recorded(look(true))),
            None,
        ),
        (
            "a room, a closed claim",
            claimed(true, closed()),
            Some(Wrong::MarkerLeft),
        ),
        ("a room, a live claim", claimed(true, claim(20_001, false)), None),
        (
            "a room, a claim just expired",
            claimed(true, claim(19_999, false)),
            None,
        ),
        (
            "a room, a claim long expired",
            claimed(true, claim(-10_000, false)),
            Some(Wrong::Stranded),
        ),
        (
            "a room, a claim, no marker",
            unmarked(claimed(true, claim(20_001, false))),
            Some(Wrong::MarkerMissing),
        ),
        ("a room, a fresh job", job(look(true), at(0)), None),
        (
            "a room, an old job",
            job(look(true), at(-10_000)),
            Some(Wrong::Waiting),
        ),
        (
            "a room, an unreadable job",
            job(look(true), Timestamp::EPOCH),
            Some(Wrong::Waiting),
        ),
        (
            "a room, a job, no marker",
            unmarked(job(look(true), at(0))),
            Some(Wrong::MarkerMissing),
        ),
        ("an empty room", look(true), None),
        (
            "an empty room that nobody has heard of",
            unmarked(look(true)),
            Some(Wrong::WebhookLost),
        ),
        ("an old room", old(look(true)), Some(Wrong::Old)),
    ]);
}

#[test]
fn which_webhooks_are_made_up_for() {
    let kind = |kind, sid: &str| Participant {
        kind,
        sid: sid.parse().unwrap(),
        ..phone()
    };
    let of = |participants: Vec<Participant>, marked, no_match| {
        let look = with(look(true), |look| {
            look.participants = participants;
            look.marked = marked;
            look.stored.no_match = no_match;
        });
        planned(&look)
            .map(|repair| told(&repair).join(" "))
            .unwrap_or_default()
    };
    let unlisted = Participant {
        attributes: events::livekit::Attributes::default(),
        ..phone()
    };
    let agent = kind(ParticipantKind::Agent, "PA_agent");
    let egress = kind(ParticipantKind::Egress, "PA_egress");
    assert_eq!(of(vec![phone()], true, false), "participant_joined");
    assert_eq!(of(vec![phone()], false, false), "participant_joined");
    assert_eq!(of(vec![agent, egress], true, false), "");
    assert_eq!(
        of(vec![unlisted.clone()], true, false),
        "participant_joined",
        "the reason is to be kept"
    );
    assert_eq!(of(vec![unlisted.clone()], true, true), "", "the reason is known");
    assert_eq!(
        of(vec![unlisted, phone()], true, true),
        "participant_joined",
        "another one matches"
    );
}

#[test]
fn a_phone_goes_before_a_browser_and_whoever_matches_before_both() {
    let browser = Participant {
        kind: ParticipantKind::Standard,
        sid: "PA_browser".parse().unwrap(),
        ..phone()
    };
    let unlisted = Participant {
        attributes: events::livekit::Attributes::default(),
        ..phone()
    };
    let who = |participants| {
        let look = with(look(true), |look| look.participants = participants);
        let Some(Repair {
            act: Act::Tell(webhooks),
            ..
        }) = planned(&look)
        else {
            panic!("nobody is told of");
        };
        match &webhooks[0].event {
            Event::ParticipantJoined { participant, .. } => participant.kind.clone(),
            other => panic!("{}", other.name()),
        }
    };
    assert_eq!(who(vec![browser.clone(), phone()]), ParticipantKind::Sip);
    // The rule goes by number, which a browser does not have.
    assert_eq!(who(vec![browser, unlisted]), ParticipantKind::Sip);
}

#[test]
fn a_room_that_an_entry_names_needs_nobody_in_it() {
    let rule = serde_json::from_str(r#"{"profile":"web","rooms":["call-*"]}"#).unwrap();
    let agents = events::agents::Agents::new(vec![(rule, events::ProfileHash::of(b"web"))]).unwrap();
    let policy = webhook::Policy {
        agents,
        ..webhook::Policy::default()
    };
    let repair = plan(&look(true), &policy, at(0)).unwrap();
    assert_eq!(
        (repair.wrong, told(&repair)),
        (Wrong::WebhookLost, vec!["room_started"])
    );
}

#[test]
fn made_up_webhooks_have_ids_that_do_not_depend_on_the_moment() {
    let gone = |now| match plan(&look(false), &policy(), now).unwrap().act {
        Act::Tell(webhooks) => webhooks[0].id.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(gone(at(0)), "EV_sweep_room_finished");
    assert_eq!(gone(at(0)), gone(at(60_000)));
}

#[test]
fn only_what_both_looks_show_is_repaired() {
    let confirmed =
        |before: &Look, after: &Look| confirm(before, after, &policy(), at(20_000)).map(|r| r.wrong);
    let waiting = with(look(true), |look| look.participants = vec![phone()]);
    let job_made = with(look(true), |look| {
        look.stored.job_for = Some(Duration::from_secs(1));
    });
    let reconnected = with(look(true), |look| {
        look.participants = vec![Participant {
            sid: "PA_y".parse().unwrap(),
            ..phone()
        }];
    });
    let renewed = |until| claimed(false, claim(until, false));
    let recorded = with(renewed(15_000), |look| {
        look.stored.record = true;
        look.stored.claim = Some(closed());
    });
    assert_eq!(confirmed(&waiting, &waiting), Some(Wrong::WebhookLost));
    assert_eq!(confirmed(&waiting, &job_made), None, "the webhook has arrived");
    assert_eq!(confirmed(&waiting, &reconnected), None, "that one has just come");
    assert_eq!(confirmed(&look(false), &look(false)), Some(Wrong::Unclosed));
    assert_eq!(
        confirmed(&look(false), &look(true)),
        None,
        "the first list was older than the room"
    );
    assert_eq!(
        confirmed(&look(true), &look(false)),
        None,
        "the room has just gone"
    );
    assert_eq!(
        confirmed(&look(false), &renewed(10_000)),
        None,
        "somebody has claimed it"
    );
    assert_eq!(
        confirmed(&renewed(15_000), &renewed(15_000)),
        Some(Wrong::Orphaned)
    );
    // By our clock both have expired. Somebody whose clock is behind renews it all the same.
    assert_eq!(confirmed(&renewed(12_000), &renewed(15_000)), None);
    assert_eq!(confirmed(&renewed(15_000), &recorded), Some(Wrong::MarkerLeft));
}

#[test]
fn livekits_clock_decides_nothing() {
    for skew in [-90_000_i64, 90_000] {
        let skewed = with(look(true), |look| {
            let joined = Participant {
                joined_at: Some(at(300 + skew)),
                ..phone()
            };
            look.participants = vec![joined];
            look.room.as_mut().unwrap().created_at = Some(at(skew));
        });
        let repair = confirm(&skewed, &skewed, &policy(), at(20_000)).unwrap();
        assert_eq!(repair.wrong, Wrong::WebhookLost, "{skew}");
        let live = claimed(true, claim(20_001, false));
        let live = with(live, |look| {
            look.room.as_mut().unwrap().created_at = Some(at(skew));
        });
        assert_eq!(confirm(&live, &live, &policy(), at(20_000)), None, "{skew}");
    }
}

#[test]
fn a_claim_that_will_have_expired_at_the_second_look_is_suspect_at_the_first() {
    let look = claimed(false, claim(22_000, false));
    assert_eq!(planned(&look), None);
    let soon = at(20_000).plus(Duration::from_secs(5));
    assert_eq!(
        plan(&look.later(Duration::from_secs(5)), &policy(), soon)
            .unwrap()
            .wrong,
        Wrong::Orphaned
    );
}
