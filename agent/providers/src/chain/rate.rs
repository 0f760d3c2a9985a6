//! From one member's sample rate to another's.

use std::borrow::Cow;

use audio::Resampler;

use crate::ProviderError;

/// Converts speech from one rate to another; leaves it alone where they are the same.
pub(super) struct Rate(Option<Resampler>);

impl Rate {
    /// # Errors
    /// [`ProviderError::Refused`] in the name of `provider`, whose rate cannot be converted.
    pub(super) fn new(provider: &'static str, from_hz: u32, to_hz: u32) -> Result<Self, ProviderError> {
        if from_hz == to_hz {
            return Ok(Self(None));
        }
        let made = Resampler::new(from_hz, to_hz).map_err(|error| ProviderError::Refused {
            provider,
            reason: error.to_string(),
        });
        made.map(|resampler| Self(Some(resampler)))
    }

    pub(super) fn convert<'a>(&mut self, samples: Cow<'a, [i16]>) -> Cow<'a, [i16]> {
        let Some(resampler) = &mut self.0 else {
            return samples;
        };
        let mut converted = Vec::new();
        resampler.process(&samples, &mut converted);
        converted.into()
    }
}
