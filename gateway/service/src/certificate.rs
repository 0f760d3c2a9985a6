//! Our certificate, looked at again and again: whoever renews it need not restart the gateway.

use std::sync::Arc;
use std::time::Duration;

use sip::{Certificates, TlsError};
use tokio::task::spawn_blocking;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

/// Takes a certificate into use soon after its files have changed. Ends with `stop`.
pub(crate) async fn watch(certificates: Arc<Certificates>, every: Duration, stop: CancellationToken) {
    let mut ticks = interval(every);
    // Told once for each fault, not every few seconds.
    let mut told: Option<String> = None;
    loop {
        // Both arms are cancel-safe.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let looked = Arc::clone(&certificates);
        let Ok(looked) = spawn_blocking(move || looked.refresh()).await else {
            return;
        };
        match looked {
            Ok(is_new) => {
                told = None;
                if is_new {
                    tracing::info!("the certificate for SIP over TLS was replaced");
                }
            }
            Err(error) => {
                let text = chain(&error);
                if told.as_ref() != Some(&text) {
                    tracing::error!(error = text, "the certificate for SIP over TLS stays the old one");
                    told = Some(text);
                }
            }
        }
    }
}

fn chain(error: &TlsError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}
