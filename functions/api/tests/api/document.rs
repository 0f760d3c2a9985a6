//! The document that is checked in is the one that is served.

use std::{fs, path::Path};

use serde_json::Value;

use crate::host::{Host, OWNER};

/// `UPDATE_OPENAPI=1 cargo test -p api` writes it anew.
#[tokio::test]
async fn the_document_that_is_checked_in_is_that_of_the_code() {
    let host = Host::start().await;
    let made = api::pretty(&host.document);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/openapi.json is not that of the code: UPDATE_OPENAPI=1 cargo test -p api"
    );
    let (status, served) = host.ask("GET", api::DOCUMENT_PATH, Some(OWNER), None).await;
    assert_eq!(
        (status, served),
        (200, serde_json::from_str::<Value>(&made).unwrap())
    );
}
