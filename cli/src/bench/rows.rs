//! Callers against an agent, row by row.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use platform::livekit::{LiveKit, ParticipantKind, TokenRequest, proto};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::caller::{self, Called, Failed, Plan};
use super::figures::{Measured, Row};
use super::process::Memory;
use super::stage::{DELAYS, Stage};
use super::stubs::Stubs;
use super::{process, share};

/// Between two calls of a row: phones do not ring at once.
const APART: Duration = Duration::from_millis(250);
/// How often the agent's memory is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What the callers say.
pub(super) struct Voice {
    pub(super) question: Arc<[i16]>,
    pub(super) interjection: Arc<[i16]>,
}

/// Everything that a row needs.
pub(super) struct Bench {
    pub(super) url: String,
    pub(super) livekit: LiveKit,
    /// Rooms are named after it and this run.
    pub(super) room_prefix: String,
    /// The agent to ask for; by default it comes by itself.
    pub(super) agent_name: Option<String>,
    pub(super) voice: Voice,
    pub(super) stubs: Stubs,
    /// The agent, where it is ours.
    pub(super) stage: Option<Stage>,
    /// How many calls there were.
    pub(super) calls: u32,
    /// Its memory after a first call.
    pub(super) warm: Option<Memory>,
}

impl Bench {
    /// One call that does not count: what is loaded by the first is loaded then.
    pub(super) async fn warm_up(&mut self) -> anyhow::Result<()> {
        let row = self.row(1, 0).await?;
        anyhow::ensure!(
            row.failed == 0,
            "the first call failed: {}",
            row.failures.join("; ")
        );
        self.warm = self.memory();
        Ok(())
    }

    /// So many callers at once.
    pub(super) async fn row(&mut self, callers: u16, turns: u16) -> anyhow::Result<Row> {
        let mut rooms = BTreeSet::new();
        let mut calls = JoinSet::new();
        let before = self.stage.as_ref().and_then(|stage| process::cpu(stage.pid()));
        for number in 0..callers {
            let plan = self.plan(APART * u32::from(number), turns, &mut rooms)?;
            calls.spawn(caller::call(plan));
        }
        let (stop, stopped) = watch::channel(false);
        let mut probe = JoinSet::new();
        probe.spawn(process::lateness(stopped));
        let (calls, peak) = self.watch(calls).await?;
        stop.send_replace(true);
        let late = probe.join_next().await.transpose()?.unwrap_or_default();
        let after = self.stage.as_ref().and_then(|stage| process::cpu(stage.pid()));
        let records = match &self.stage {
            Some(stage) => stage.records(&rooms).await?,
            None => Vec::new(),
        };
        let served = self.stubs.served();
        let shares = records.iter().flat_map(|record| {
            let mut called = calls.iter().flatten();
            let answers = called.find(|call| call.room == record.room.as_str());
            share::of(record, &served, answers.map_or(&[], |call| &call.answers), DELAYS)
        });
        let shares = shares.collect();
        let kb = |memory: Memory| i64::try_from(memory.anonymous).ok();
        let grown = peak.and_then(kb).zip(self.warm.and_then(kb));
        Ok(Row::of(Measured {
            calls,
            shares,
            cpu: before
                .zip(after)
                .map(|(before, after)| after.saturating_sub(before)),
            grown_kb: grown.map(|(peak, warm)| peak - warm),
            late,
        }))
    }

    /// The agent's memory now.
    pub(super) fn memory(&self) -> Option<Memory> {
        self.stage.as_ref().and_then(|stage| process::memory(stage.pid()))
    }

    fn plan(&mut self, delay: Duration, turns: u16, rooms: &mut BTreeSet<String>) -> anyhow::Result<Plan> {
        self.calls += 1;
        let room = format!("{}{:08x}-{}", self.room_prefix, std::process::id(), self.calls);
        let mut request = TokenRequest::new(&room, "caller")
            .kind(ParticipantKind::Sip)
            .attributes([("sip.callStatus", "active")]);
        if let Some(name) = &self.agent_name {
            let dispatch = proto::RoomAgentDispatch {
                agent_name: name.clone(),
                ..Default::default()
            };
            request = request.room_config(proto::RoomConfiguration {
                agents: vec![dispatch],
                ..Default::default()
            });
        }
        let token = self
            .livekit
            .participant_token(request)
            .context("making a caller's token")?;
        rooms.insert(room.clone());
        Ok(Plan {
            room,
            url: self.url.clone(),
            token,
            question: Arc::clone(&self.voice.question),
            interjection: Arc::clone(&self.voice.interjection),
            turns,
            delay,
        })
    }

    /// Waits for all calls; how they went, and the most memory that the agent had.
    async fn watch(
        &self,
        mut calls: JoinSet<Result<Called, Failed>>,
    ) -> anyhow::Result<(Vec<Result<Called, Failed>>, Option<Memory>)> {
        let (mut done, mut peak) = (Vec::new(), None::<Memory>);
        let mut looks = interval(LOOK);
        loop {
            tokio::select! {
                // Both are cancel-safe.
                _ = looks.tick() => {
                    peak = [peak, self.memory()].into_iter().flatten().max_by_key(|memory| memory.anonymous);
                }
                call = calls.join_next() => match call {
                    Some(call) => done.push(call.context("a caller has panicked")?),
                    None => return Ok((done, peak)),
                },
            }
        }
    }
}
