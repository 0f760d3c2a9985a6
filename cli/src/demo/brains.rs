//! What the agent of the demo hears, thinks and speaks with, and what `serve` complains of, which is mostly that.

use std::path::Path;

use platform::config::{Environment, ProcessEnvironment};
use serde_json::Value;

use crate::paint::{Line, Tone};

/// Complaints that are shown: the newest.
const SHOWN: usize = 5;
/// Of a complaint, in characters.
const LENGTH: usize = 300;

/// The profile's key that takes an OpenAI-compatible service out of the call.
pub(super) const OFFLINE: &str = "providers: {stt: pocketsphinx, llm: dialogue, tts: flite}\n";

/// Says which brains the call will have.
pub(super) fn told(offline: bool) -> Line {
    let is_set = |name: &str| ProcessEnvironment.var(name).filter(|value| !value.is_empty());
    let openai = is_set("OPENAI_API_KEY").or_else(|| is_set("TRUNKLINE__PROVIDERS__OPENAI__API_KEY"));
    if offline || openai.is_none() {
        return Line::step("the agent works offline: pocketsphinx, a scripted dialogue, flite");
    }
    Line::step("the agent uses the OpenAI-compatible service of your environment")
        .and("   (--offline does without)", Tone::Dim)
}

/// The newest warnings and errors in the log of `serve`, each once, in its order.
pub(super) fn complaints(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut found: Vec<String> = Vec::new();
    for complaint in text.lines().filter_map(complaint) {
        found.retain(|known| *known != complaint);
        found.push(complaint);
    }
    found.split_off(found.len().saturating_sub(SHOWN))
}

/// Where it has panicked, also at its very end: a fault of the program's own.
pub(super) fn panics(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let panics = text.lines().filter(|line| line.contains("panicked at"));
    panics
        .map(|line| line.chars().take(LENGTH).collect())
        .take(SHOWN)
        .collect()
}

fn complaint(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| line.get(key).and_then(Value::as_str);
    let level = text("level").filter(|level| matches!(*level, "WARN" | "ERROR"))?;
    let why = text("error").or_else(|| text("reason"));
    let told = match why {
        Some(why) => format!("{level} {}: {why}", text("message")?),
        None => format!("{level} {}", text("message")?),
    };
    Some(told.chars().take(LENGTH).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_complaint_is_shown_once_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("serve.log");
        let refused = r#"{"level":"WARN","message":"a provider failed","reason":"openai: cannot connect"}"#;
        let slow = r#"{"level":"ERROR","message":"the store is slow"}"#;
        let fine = r#"{"level":"INFO","message":"ready"}"#;
        std::fs::write(&log, [refused, fine, slow, refused, "no JSON"].join("\n")).unwrap();
        let expected = [
            "ERROR the store is slow",
            "WARN a provider failed: openai: cannot connect",
        ];
        assert_eq!(complaints(&log), expected);
        assert_eq!(complaints(&folder.path().join("gone")), Vec::<String>::new());
        assert_eq!(panics(&log), Vec::<String>::new());
        let panicked = "thread 'tokio-rt-worker' (7) panicked at agent/worker/src/x.rs:1:2:";
        std::fs::write(&log, [fine, panicked, "a reason"].join("\n")).unwrap();
        assert_eq!(panics(&log), [panicked]);
    }
}
