//! Reads `samples/`.

use std::{fs, path::PathBuf};

use events::Timestamp;
use serde::Deserialize;

/// A webhook of `samples/recorded`.
#[derive(Deserialize)]
pub(crate) struct Recorded {
    t: f64,
    pub(crate) body: String,
}

impl Recorded {
    /// When it was received.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "times of the recording are far below 2^53 ms"
    )]
    pub(crate) fn received_at(&self) -> Timestamp {
        Timestamp::from_unix_ms((self.t * 1000.0) as i64).unwrap()
    }
}

pub(crate) fn recorded(name: &str) -> Vec<Recorded> {
    let text = fs::read_to_string(folder("recorded").join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The bodies of `samples/webhooks`, each with the name of its file.
pub(crate) fn webhooks() -> Vec<(String, String)> {
    let body = |(name, text): (String, String)| {
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        (name, event["body"].as_str().unwrap().to_owned())
    };
    files("webhooks").into_iter().map(body).collect()
}

pub(crate) fn webhook(name: &str) -> String {
    webhooks()
        .into_iter()
        .find(|(file, _)| file == name)
        .unwrap_or_else(|| panic!("no sample {name}"))
        .1
}

/// The files of a folder of `samples/`, name and text, in order.
pub(crate) fn files(name: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("samples")
        .join(name)
}
