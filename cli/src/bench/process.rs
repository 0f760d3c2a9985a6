//! What a process takes, read from `/proc`: on Linux only. And whether the machine had time for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What Linux counts processor time in, for programs: 100 a second on every machine.
const TICK: Duration = Duration::from_millis(10);
/// How often the machine is asked for a moment.
const PROBE: Duration = Duration::from_millis(20);

/// The processor time that the process has used; `None` where it cannot be read.
pub(super) fn cpu(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    cpu_in(&stat)
}

/// What a process has of the memory, in kB. What several share counts in parts (PSS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) pss: u64,
    /// Without the pages of files, such as the program's own, of which it has less as soon as others run the same.
    pub(super) anonymous: u64,
}

/// The memory of the process; `None` where it cannot be read.
pub(super) fn memory(pid: u32) -> Option<Memory> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    memory_in(&rollup)
}

/// The first number of `/proc/loadavg`.
pub(super) fn load() -> Option<f64> {
    let loads = std::fs::read_to_string("/proc/loadavg").ok()?;
    loads.split(' ').next()?.parse().ok()
}

/// proc(5): the name in parentheses may hold anything; user and system time are the 12th and 13th field behind it.
fn cpu_in(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * ticks()?.checked_add(ticks()?)?)
}

fn memory_in(rollup: &str) -> Option<Memory> {
    let kb = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    Some(Memory {
        pss: kb("Pss:")?,
        anonymous: kb("Pss_Anon:")?,
    })
}

/// How late the machine was with what was to be done every 20 ms, in milliseconds, until `stop` changes: every figure is at least as
/// much too large as that.
pub(super) async fn lateness(mut stop: watch::Receiver<bool>) -> Vec<f64> {
    let mut late = Vec::new();
    let mut due = Instant::now();
    loop {
        due += PROBE;
        tokio::select! {
            // Both are cancel-safe: they only wait.
            _ = stop.changed() => return late,
            () = sleep_until(due) => {}
        }
        let behind = due.elapsed();
        late.push(behind.as_secs_f64() * 1_000.0);
        // What was missed altogether was late once.
        due += behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_and_memory_are_read_as_the_kernel_writes_them() {
        let stat = "77 (a (b) 1 2) S 1 77 77 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 9 0 1 2 3";
        assert_eq!(cpu_in(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_in("77 (a"), None);
        let rollup = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nPss:    4321 kB\nPss_Anon: 1234 kB\n";
        let memory = Memory {
            pss: 4_321,
            anonymous: 1_234,
        };
        assert_eq!(memory_in(rollup), Some(memory));
    }

    #[test]
    fn this_process_has_both() {
        let pid = std::process::id();
        assert!(cpu(pid).is_some());
        assert!(memory(pid).is_some_and(|memory| memory.pss > memory.anonymous && memory.anonymous > 100));
    }
}
