use std::time::Duration;

use reqwest::{Url, header::HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Fault, Faults,
    http::{self, Timeouts},
};

/// Where the service is and how it is asked. `Debug` shows no key.
#[derive(Debug, Clone)]
pub struct DeepgramConfig {
    /// Sent as `Authorization: Token …`.
    pub api_key: SecretString,
    /// `https://api.deepgram.com`, a region's, or that of a server of one's own; a trailing slash does not matter. `http` only on
    /// loopback.
    pub base_url: String,
    /// The recogniser where the profile names none. Default `nova-3`.
    pub stt_model: String,
    /// The voice where the profile names none; with Deepgram a voice is a model. Default `aura-2-thalia-en`.
    pub voice: String,
    /// How long a request may take.
    pub timeouts: Timeouts,
    /// How long a recogniser that listens may be silent.
    pub patience: Patience,
}

impl DeepgramConfig {
    /// The defaults for a service.
    pub fn new(api_key: impl Into<SecretString>, base_url: impl Into<String>) -> Self {
        Self {
            api_key: api_key.into(),
            base_url: base_url.into(),
            stt_model: "nova-3".to_owned(),
            voice: "aura-2-thalia-en".to_owned(),
            timeouts: Timeouts::default(),
            patience: Patience::default(),
        }
    }

    /// The base and the key as they are sent, or all that is wrong with them.
    pub(super) fn parse(&self) -> Result<(Url, HeaderValue), Faults> {
        let mut faults = Vec::new();
        let base = http::base(&self.base_url).map_err(|problem| {
            let remedy = "write a base such as https://api.deepgram.com";
            faults.push(Fault::new("providers.deepgram.base_url", problem, remedy));
        });
        let key = HeaderValue::from_str(&format!("Token {}", self.api_key.expose_secret())).map_err(|_| {
            let problem = "has characters that no key has";
            let remedy = "copy the key again, without line ends";
            faults.push(Fault::new("providers.deepgram.api_key", problem, remedy));
        });
        match (base, key) {
            (Ok(base), Ok(mut key)) => {
                key.set_sensitive(true);
                Ok((base, key))
            }
            _ => Err(Faults(faults)),
        }
    }
}

/// How long a recogniser that listens may be silent before its connection counts as dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// While it is spoken to; it tells something about every second of sound, even of silence. Default 4 s.
    pub speaking: Duration,
    /// After the last sample. Default 2 s.
    pub ending: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            speaking: Duration::from_secs(4),
            ending: Duration::from_secs(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_told_at_once_and_the_key_is_never_shown() {
        let config = DeepgramConfig::new("canary\nkey".to_owned(), "http://10.0.0.7");
        assert!(!format!("{config:?}").contains("canary"));
        let faults = config.parse().unwrap_err();
        let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            ["providers.deepgram.base_url", "providers.deepgram.api_key"]
        );
        assert!(!faults.to_string().contains("canary"));
        let (base, key) = DeepgramConfig::new("canary".to_owned(), "https://api.deepgram.com/")
            .parse()
            .unwrap();
        assert_eq!(base.as_str(), "https://api.deepgram.com/");
        assert!(!format!("{key:?}").contains("canary"));
    }
}
