//! The process's vital signs, logged at DEBUG every two seconds: what a leak or a stuck call shows in first.

use std::{sync::Arc, time::Duration};

use service::{Gateway, GatewayStats};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(2);

/// Logs until `stop`.
pub(crate) async fn log(stop: CancellationToken, gateway: Option<Arc<Gateway>>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Both are cancel-safe.
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let (calls, rtp_ports) = gateway.as_ref().map_or((0, 0), |gateway| {
            let GatewayStats { calls, rtp_ports, .. } = gateway.stats();
            (calls, rtp_ports)
        });
        tracing::debug!(
            tasks,
            handles = handles(),
            rss_kb = rss_kb(),
            calls,
            rtp_ports,
            "vitals"
        );
    }
}

/// Open file handles; 0 where /proc is not to be had.
fn handles() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Resident memory in kB; 0 where /proc is not to be had.
fn rss_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next())
        .and_then(|kb| kb.parse().ok())
        .unwrap_or(0)
}
