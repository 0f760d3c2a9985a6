//! All that is logged by all tests of this binary.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use platform::telemetry::CAPS;
use serde_json::Value;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

static LINES: OnceLock<Lines> = OnceLock::new();

/// Begins to keep what is logged, if nobody has yet.
pub(crate) fn keep() {
    LINES.get_or_init(|| {
        let lines = Lines::default();
        // As every process of Trunkline caps them.
        let capped = Targets::new()
            .with_default(tracing::Level::DEBUG)
            .with_targets(CAPS.iter().copied());
        let layer = tracing_subscriber::fmt::layer().json().with_writer(lines.clone());
        tracing_subscriber::registry()
            .with(layer.with_filter(capped))
            .init();
        lines
    });
}

/// Everything so far.
pub(crate) fn text() -> String {
    String::from_utf8_lossy(&LINES.get().unwrap().0.lock()).into_owned()
}

/// The fields of the lines with this message that are about `id`.
pub(crate) fn lines(message: &str, id: &str) -> Vec<Value> {
    let lines = text();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let fields = lines.map(|line| line["fields"].clone());
    fields
        .filter(|fields| fields["message"] == message && fields.to_string().contains(id))
        .collect()
}
