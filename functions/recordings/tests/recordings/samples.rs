//! What was recorded of the real services.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// The states of an egress (`egressInfo`) or ingress (`ingressInfo`), in their order, as the webhooks told them.
pub(crate) fn states(kind: &str, id: &str) -> Vec<Value> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../events/samples/recorded/egress-ingress.jsonl");
    let mut seen = Vec::new();
    let mut states = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let body: Value = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
        let info = &body[kind];
        let is_of = info["egressId"] == id || info["ingressId"] == id;
        // Some came twice, to two URLs.
        if is_of && !seen.contains(&body["id"]) {
            seen.push(body["id"].clone());
            states.push(info.clone());
        }
    }
    assert!(states.len() >= 2, "{id} was recorded");
    states
}
