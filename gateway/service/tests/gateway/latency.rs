//! How long a caller waits for the gateway itself: measured, not asserted. `make gateway-latency`.

use std::time::Duration;

use livekit::prelude::*;
use service::Timeouts;
use sip::admission::Limits;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::agent::Agent;
use crate::fixture::{Fixture, ROOM, SOON};

const CALLS: usize = 30;

/// The median and the longest.
fn spread(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    let (p50, most) = (all[all.len() / 2], all[all.len() - 1]);
    format!(
        "p50 {:.1} ms, most {:.1} ms",
        p50.as_secs_f64() * 1e3,
        most.as_secs_f64() * 1e3
    )
}

/// Somebody in the room who notes when LiveKit tells of the agent's track: then the gateway learns of it, too. Before, the agent's SDK waits
/// up to 150 ms with its offer, whoever listens.
struct Onlooker {
    room: Room,
    told: oneshot::Receiver<Instant>,
    _task: JoinSet<()>,
}

impl Onlooker {
    async fn join(fixture: &Fixture) -> Self {
        let token = fixture.api.agent_token(ROOM, "onlooker").expect("token");
        let mut options = RoomOptions::default();
        options.auto_subscribe = false;
        let url = fixture.stack.ws_url();
        let connect = Room::connect(&url, token.expose(), options);
        let (room, mut events) = Box::pin(connect).await.expect("joined");
        let (tell, told) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Some(event) = events.recv().await {
                let RoomEvent::TrackPublished { participant, .. } = event else {
                    continue;
                };
                if participant.kind() != livekit::participant::ParticipantKind::Sip {
                    let _ = tell.send(Instant::now());
                    return;
                }
            }
        });
        Self {
            room,
            told,
            _task: task,
        }
    }

    /// When the track was told of.
    async fn leave(self) -> Instant {
        let told = timeout(SOON, self.told)
            .await
            .expect("told")
            .expect("in the room");
        self.room.close().await.expect("left");
        told
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a machine that does nothing else"]
async fn invite_to_180_and_the_agents_track_to_200() {
    let fixture = Fixture::alone(Timeouts::default(), Limits::default()).await;
    let (mut ringing, mut answered, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CALLS {
        let call = fixture.dial().await;
        call.wait_ringing(SOON).await.expect("ringing");
        fixture.participant().await;
        let agent = Agent::mute(&fixture).await;
        let onlooker = Onlooker::join(&fixture).await;
        let published = Instant::now();
        agent.publish().await;
        call.wait_answered(SOON).await.expect("answered");
        let report = call.report();
        ringing.extend(report.ringing());
        let at = call.invited_at() + report.answered().expect("answered");
        answered.push(at.saturating_duration_since(published));
        told.push(at.saturating_duration_since(onlooker.leave().await));
        call.hang_up().await;
        fixture.released().await;
        agent.leave().await;
    }
    println!("INVITE to 180: {}", spread(ringing));
    println!("LiveKit tells of the agent's track to 200: {}", spread(told));
    println!("the agent begins to publish to 200: {}", spread(answered));
    println!(
        "load of the machine: {}",
        std::fs::read_to_string("/proc/loadavg").expect("Linux").trim()
    );
    fixture.stop().await;
}
