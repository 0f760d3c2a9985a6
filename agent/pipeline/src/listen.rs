//! One attempt at a transcript.

use std::sync::Arc;
use std::time::Duration;

use audio::Resampler;
use providers::{ProviderError, Stt, Transcript};
use tokio::time::timeout;

use crate::SAMPLE_RATE_HZ;

/// Recognises `speech`, which is at 16 kHz, within `limit`.
pub(crate) async fn transcribe(
    stt: Arc<dyn Stt>,
    speech: Vec<i16>,
    language: String,
    limit: Duration,
) -> Result<Transcript, ProviderError> {
    let speech = at_rate(speech, stt.sample_rate_hz(), stt.name())?;
    timeout(limit, stt.transcribe(&speech, &language))
        .await
        .unwrap_or(Err(ProviderError::Timeout {
            provider: stt.name(),
            after: limit,
        }))
}

fn at_rate(speech: Vec<i16>, rate: u32, provider: &'static str) -> Result<Vec<i16>, ProviderError> {
    if rate == SAMPLE_RATE_HZ {
        return Ok(speech);
    }
    let mut resampler = Resampler::new(SAMPLE_RATE_HZ, rate).map_err(|error| ProviderError::Refused {
        provider,
        reason: error.to_string(),
    })?;
    let mut converted = Vec::new();
    resampler.process(&speech, &mut converted);
    Ok(converted)
}
