//! All that this process logs, at TRACE, written as the product writes it, and searched for what must not be there.

use std::io;
use std::sync::{Mutex, Once};

use platform::config::LogConfig;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Starts collecting; once per process.
pub(crate) fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let config = LogConfig {
            level: "trace".into(),
            ..LogConfig::default()
        };
        let subscriber = platform::telemetry::subscriber(&config, || Lines).expect("a level");
        tracing::subscriber::set_global_default(subscriber).expect("the only one");
        // The SDK logs by the `log` crate.
        tracing_log::LogTracer::init().expect("the only one");
    });
}

/// Panics when a canary stands in any line so far.
pub(crate) fn assert_free_of(canaries: &[&str]) {
    let lines = String::from_utf8_lossy(&LINES.lock().expect("lock")).into_owned();
    assert!(lines.contains("\"step\":\"ended\""), "nothing was collected");
    for canary in canaries {
        let canary = canary.trim_start_matches('+');
        let leak = lines.lines().find(|line| line.contains(canary));
        assert!(leak.is_none(), "{canary} is in the log: {leak:?}");
    }
}

/// The number behind `name` in the last line that says `message`.
pub(crate) fn last_number(message: &str, name: &str) -> u64 {
    let lines = String::from_utf8_lossy(&LINES.lock().expect("lock")).into_owned();
    let mut found = lines.lines().rev().filter(|line| line.contains(message));
    let line = found.next().unwrap_or_else(|| panic!("no line says {message}"));
    let after = line
        .split_once(name)
        .unwrap_or_else(|| panic!("no {name} in {line}"))
        .1;
    let digits = after.trim_start_matches([':', ' ']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().expect("a number")
}

/// The last lines, for the message of a test that fails.
pub(crate) fn last(count: usize) -> String {
    let lines = String::from_utf8_lossy(&LINES.lock().expect("lock")).into_owned();
    let lines: Vec<&str> = lines.lines().filter(|line| !line.contains("\"TRACE\"")).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
