//! The call as a story: what the phone saw and what the system wrote, on one time line. Pure.

use std::time::Duration;

use audio::level::rms_dbfs;
use caller::{EndedBy, Received, SipStep, Spoken, TimedStep};
use events::{CallRecord, Speaker, Step, Timestamp, TurnRecord};

use super::conversation::Note;
use crate::paint::{Line, Tone};

/// A turn that the phone heard and one that the agent recorded are the same when they begin this close to each other.
const SAME_TURN: i64 = 2_000;
/// The time that the lanes show at least.
const LANES: Duration = Duration::from_secs(20);
/// Quieter than this is drawn as silence.
const QUIET_DBFS: f32 = -50.0;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Names the row for good, whatever is learnt of it later.
    pub(super) key: String,
    /// Since the INVITE.
    pub(super) at_ms: i64,
    /// Whether nothing more will be learnt of it.
    pub(super) complete: bool,
    who: (&'static str, Tone),
    what: String,
    detail: String,
}

const PHONE: (&str, Tone) = ("phone", Tone::Phone);
const GATEWAY: (&str, Tone) = ("gateway", Tone::Gateway);
const LIVEKIT: (&str, Tone) = ("livekit", Tone::LiveKit);
const FUNCTION: (&str, Tone) = ("function", Tone::Function);
const AGENT: (&str, Tone) = ("agent", Tone::Agent);

impl Row {
    fn new(key: &str, at_ms: i64, who: (&'static str, Tone), what: &str, detail: impl Into<String>) -> Self {
        let (what, detail) = (what.to_owned(), detail.into());
        Self {
            key: key.to_owned(),
            at_ms,
            complete: true,
            who,
            what,
            detail,
        }
    }

    pub(super) fn line(&self) -> Line {
        let (who, tone) = self.who;
        Line::of(format!("{:>8} ms ", self.at_ms), Tone::Dim)
            .and(" ● ", tone)
            .and(format!("{who:<9}"), tone)
            .and(format!("{:<17}", self.what), Tone::Strong)
            .and(self.detail.clone(), Tone::Plain)
    }
}

/// All that is known so far.
pub(super) struct Story {
    called: String,
    invited_at_ms: i64,
    steps: Vec<TimedStep>,
    record: Option<CallRecord>,
    agent_heard: Vec<Duration>,
    caller_spoke: Vec<(Duration, String, Option<Spoken>)>,
}

impl Story {
    pub(super) fn new(called: &str, invited_at_ms: i64) -> Self {
        Self {
            called: called.to_owned(),
            invited_at_ms,
            steps: Vec::new(),
            record: None,
            agent_heard: Vec::new(),
            caller_spoke: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        match note {
            Note::AgentHeard(at) => self.agent_heard.push(at),
            Note::CallerSpeaks(at, text) => self.caller_spoke.push((at, text, None)),
            Note::CallerSpoke(spoken) => {
                if let Some(last) = self.caller_spoke.last_mut() {
                    (last.0, last.2) = (spoken.started, Some(spoken));
                }
            }
        }
    }

    pub(super) fn update(&mut self, steps: &[TimedStep], record: Option<&CallRecord>) {
        self.steps = steps.to_vec();
        if let Some(record) = record {
            self.record = Some(record.clone());
        }
    }

    /// Everything, in the order of time.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .steps
            .iter()
            .filter_map(|timed| self.sip_row(timed))
            .collect();
        if let Some(record) = &self.record {
            rows.extend(
                record
                    .timeline
                    .iter()
                    .filter_map(|entry| step_row(&entry.step, self.since_invite(entry.at), record)),
            );
        }
        rows.extend(
            self.caller_spoke
                .iter()
                .enumerate()
                .flat_map(|(index, _)| self.caller_rows(index)),
        );
        rows.extend((0..self.agent_heard.len()).filter_map(|index| self.agent_row(index)));
        rows.sort_by_key(|row| row.at_ms);
        rows
    }

    /// The time line as lines of at most `width` columns.
    pub(super) fn timeline(&self, width: usize) -> Vec<Line> {
        let head = Line::of("  since INVITE", Tone::Dim);
        let rows = self.rows();
        [Line::empty(), head]
            .into_iter()
            .chain(rows.iter().map(Row::line))
            .map(|line| line.cut(width))
            .collect()
    }

    /// Who could be heard when: one lane each, over the whole call.
    pub(super) fn lanes(&self, received: &Received, elapsed: Duration, width: usize) -> Vec<Line> {
        let columns = width.saturating_sub(14).clamp(10, 100);
        let span = elapsed.max(LANES);
        let cell = span / u32::try_from(columns).unwrap_or(u32::MAX);
        let times = (0..columns).map(|index| cell * u32::try_from(index).unwrap_or(0));
        let speaks = |at| at <= elapsed && self.caller_speaks(at);
        let caller: String = times
            .clone()
            .map(|at| if speaks(at) { '▅' } else { '·' })
            .collect();
        let agent: String = times
            .map(|at| {
                if at > elapsed {
                    '·'
                } else {
                    bar(rms_dbfs(received.between(at, at + cell)))
                }
            })
            .collect();
        let axis = format!(
            "            0 s{:>1$}",
            format!("{:.1} s", span.as_secs_f32()),
            columns - 3
        );
        vec![
            Line::empty(),
            Line::of("    caller  ", Tone::Phone).and(caller, Tone::Phone),
            Line::of("    agent   ", Tone::Agent).and(agent, Tone::Agent),
            Line::of(axis, Tone::Dim),
        ]
    }

    /// Speech under way has no end yet.
    fn caller_speaks(&self, at: Duration) -> bool {
        let mut spoken = self.caller_spoke.iter();
        spoken.any(|(started, _, spoken)| *started <= at && spoken.is_none_or(|spoken| at <= spoken.ended))
    }

    fn sip_row(&self, timed: &TimedStep) -> Option<Row> {
        let at = millis(timed.at);
        Some(match &timed.step {
            SipStep::Invite => Row::new("invite", at, PHONE, "INVITE", format!("to {}", self.called)),
            SipStep::Ringing { code } => Row::new("ringing", at, GATEWAY, "ringing", code.to_string()),
            SipStep::Answered => Row::new("answered", at, GATEWAY, "answered", "200 OK, sound both ways"),
            SipStep::CancelSent => Row::new("cancel", at, PHONE, "hang-up", "CANCEL"),
            SipStep::ByeSent => Row::new("bye", at, PHONE, "hang-up", "BYE by the caller"),
            SipStep::Ended(EndedBy::Callee { .. }) => {
                Row::new("bye", at, AGENT, "hang-up", "BYE by the agent's side")
            }
            SipStep::Ended(
                by @ (EndedBy::Refused { .. } | EndedBy::NoAnswer { .. } | EndedBy::BadAnswer),
            ) => Row::new("ended", at, GATEWAY, "ended", by.to_string()),
            _ => return None,
        })
    }

    fn caller_rows(&self, index: usize) -> Vec<Row> {
        let Some((at, text, spoken)) = self.caller_spoke.get(index) else {
            return Vec::new();
        };
        let mut says = Row::new(
            &format!("caller-{index}"),
            millis(*at),
            PHONE,
            "caller says",
            quoted(text),
        );
        // Its time is exact once the speech is over.
        says.complete = spoken.is_some();
        let turn = self.turns(Speaker::Caller).nth(index);
        let understood = turn.map(|turn| {
            let key = format!("understood-{index}");
            Row::new(
                &key,
                self.since_invite(turn.ended_at),
                AGENT,
                "understands",
                quoted(turn.text.as_str()),
            )
        });
        [Some(says), understood].into_iter().flatten().collect()
    }

    fn agent_row(&self, index: usize) -> Option<Row> {
        let at = *self.agent_heard.get(index)?;
        let turn = self
            .turns(Speaker::Agent)
            .find(|turn| (self.since_invite(turn.started_at) - millis(at)).abs() <= SAME_TURN);
        let what = if index == 0 { "greets" } else { "answers" };
        let words = turn.map_or_else(|| "…".to_owned(), |turn| quoted(turn.text.as_str()));
        let mut row = Row::new(&format!("agent-{index}"), millis(at), AGENT, what, words);
        row.complete = turn.is_some();
        Some(row)
    }

    fn turns(&self, speaker: Speaker) -> impl Iterator<Item = &TurnRecord> {
        let turns = self.record.iter().flat_map(|record| &record.turns);
        turns.filter(move |turn| turn.speaker == speaker)
    }

    fn since_invite(&self, at: Timestamp) -> i64 {
        at.unix_ms() - self.invited_at_ms
    }
}

/// The steps that the phone does not see itself.
fn step_row(step: &Step, at: i64, record: &CallRecord) -> Option<Row> {
    let profile = || {
        record
            .profile
            .as_ref()
            .map_or("?", |profile| profile.name.as_str())
            .to_owned()
    };
    Some(match step {
        Step::RoomStarted => Row::new("room", at, LIVEKIT, "room", format!("call {}", record.call)),
        Step::Webhook => Row::new("webhook", at, FUNCTION, "webhook", "verified, planned"),
        Step::JobEnqueued => Row::new("job", at, FUNCTION, "job", format!("queued for {}", profile())),
        Step::Claimed => Row::new(
            "claimed",
            at,
            AGENT,
            "claims the call",
            "first by a conditional write",
        ),
        Step::AgentJoined => Row::new("joined", at, AGENT, "joins the room", ""),
        Step::RecordingStarted => Row::new(
            "recording",
            at,
            AGENT,
            "records",
            "from here on: the notice was heard",
        ),
        Step::Interruption => Row::new(&format!("interruption-{at}"), at, PHONE, "interrupts", ""),
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    format!("“{text}”")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A level as the height of a block.
fn bar(dbfs: f32) -> char {
    const BARS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
    if dbfs < QUIET_DBFS {
        return '·';
    }
    // A step per 6 dB from the threshold up.
    let step = ((dbfs - QUIET_DBFS) / 6.0).min(6.0);
    let bars = BARS.iter().zip([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    bars.rev()
        .find(|(_, least)| step >= *least)
        .map_or('▁', |(bar, _)| *bar)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn told() -> Story {
        let mut story = Story::new("+15550100", 1_795_196_400_000);
        let steps = [
            (SipStep::Invite, 0),
            (SipStep::Answered, 400),
            (SipStep::ByeSent, 9_000),
        ];
        let steps = steps.map(|(step, at)| TimedStep { step, at: MS(at) });
        let record = br#"{"version":1,"call":"RM_5dNYzUpD9LnC","room":"voice-ai-call_x","outcome":{"kind":"interrupted"},
            "started_at":"2026-11-20T17:40:00.020Z","ended_at":"2026-11-20T17:40:09.000Z",
            "timeline":[{"step":"room_started","at":"2026-11-20T17:40:00.020Z"},{"step":"webhook","at":"2026-11-20T17:40:00.030Z"}],
            "turns":[{"speaker":"agent","text":"Hello","started_at":"2026-11-20T17:40:00.700Z","ended_at":"2026-11-20T17:40:01.700Z"}]}"#;
        story.note(Note::AgentHeard(MS(800)));
        story.note(Note::CallerSpeaks(MS(2_990), "A question".to_owned()));
        story.note(Note::CallerSpoke(Spoken {
            started: MS(3_000),
            ended: MS(4_000),
        }));
        story.update(&steps, CallRecord::decode(record).ok().as_ref());
        story
    }

    #[test]
    fn what_the_phone_saw_and_what_the_system_wrote_are_one_time_line() {
        let rows = told().rows();
        let keys: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.at_ms)).collect();
        let expected = [
            ("invite", 0),
            ("room", 20),
            ("webhook", 30),
            ("answered", 400),
            ("agent-0", 800),
        ];
        assert_eq!(keys[..5], expected);
        assert_eq!(keys[5..], [("caller-0", 3_000), ("bye", 9_000)]);
        assert_eq!(rows[4].detail, "“Hello”");
        assert!(rows.iter().all(|row| row.complete));
    }

    #[test]
    fn lanes_show_who_could_be_heard() {
        let lanes = told().lanes(&Received::default(), MS(9_000), 54);
        // 40 columns over 20 s: the caller's second lies in columns 6 to 8.
        let caller = crate::paint::plain(&lanes[1]);
        assert_eq!(
            caller
                .trim_start()
                .trim_start_matches("caller  ")
                .find('▅')
                .map(|at| at / '·'.len_utf8()),
            Some(6)
        );
    }

    #[test]
    fn a_louder_sound_is_a_higher_block() {
        assert_eq!(
            (bar(-60.0), bar(-49.0), bar(-30.0), bar(-3.0)),
            ('·', '▁', '▄', '▇')
        );
    }
}
