//! How long a caller waits for the gateway itself: measured, not asserted. `make gateway-latency`.

use std::time::Duration;

use service::Timeouts;
use sip::admission::Limits;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::fixture::{Fixture, SOON};

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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a machine that does nothing else"]
async fn invite_to_180_and_the_agents_track_to_200() {
    let fixture = Fixture::alone(Timeouts::default(), Limits::default()).await;
    let (mut ringing, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        let call = fixture.dial().await;
        call.wait_ringing(SOON).await.expect("ringing");
        fixture.participant().await;
        let agent = Agent::mute(&fixture).await;
        let published = Instant::now();
        agent.publish().await;
        call.wait_answered(SOON).await.expect("answered");
        let report = call.report();
        ringing.extend(report.ringing());
        let at = call.invited_at() + report.answered().expect("answered");
        answered.push(at.saturating_duration_since(published));
        call.hang_up().await;
        fixture.released().await;
        agent.leave().await;
    }
    println!("INVITE to 180: {}", spread(ringing));
    println!("the agent publishes to 200: {}", spread(answered));
    println!(
        "load of the machine: {}",
        std::fs::read_to_string("/proc/loadavg").expect("Linux").trim()
    );
    fixture.stop().await;
}
