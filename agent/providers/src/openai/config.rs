use reqwest::{Url, header::HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::{Fault, Faults, http};

pub use crate::http::Timeouts;

/// Where the service is and how it is asked. `Debug` shows no key.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// Sent as a bearer token. Servers of one's own usually take any.
    pub api_key: SecretString,
    /// Such as `https://api.openai.com/v1`; a trailing slash does not matter. `http` only on loopback.
    pub base_url: String,
    /// The language model where the profile names none. Default `gpt-4o-mini`.
    pub llm_model: String,
    /// The recogniser where the profile names none. Default `gpt-4o-mini-transcribe`.
    pub stt_model: String,
    /// The synthesiser where the profile names none. Default `gpt-4o-mini-tts`.
    pub tts_model: String,
    /// The voice where the profile names none. Default `alloy`.
    pub voice: String,
    /// How long it may take.
    pub timeouts: Timeouts,
}

impl OpenAiConfig {
    /// The defaults for a service.
    pub fn new(api_key: impl Into<SecretString>, base_url: impl Into<String>) -> Self {
        Self {
            api_key: api_key.into(),
            base_url: base_url.into(),
            llm_model: "gpt-4o-mini".to_owned(),
            stt_model: "gpt-4o-mini-transcribe".to_owned(),
            tts_model: "gpt-4o-mini-tts".to_owned(),
            voice: "alloy".to_owned(),
            timeouts: Timeouts::default(),
        }
    }

    /// The base and the key as they are sent, or all that is wrong with them.
    pub(super) fn parse(&self) -> Result<(Url, HeaderValue), Faults> {
        let mut faults = Vec::new();
        let base = http::base(&self.base_url).map_err(|problem| {
            let remedy = "write a base such as https://api.openai.com/v1";
            faults.push(Fault::new("providers.openai.base_url", problem, remedy));
        });
        let key = HeaderValue::from_str(&format!("Bearer {}", self.api_key.expose_secret())).map_err(|_| {
            let problem = "has characters that no key has";
            faults.push(Fault::new(
                "providers.openai.api_key",
                problem,
                "copy the key again, without line ends",
            ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_loopback_only() {
        let base = |url: &str| {
            OpenAiConfig::new("k".to_owned(), url)
                .parse()
                .map(|(url, _)| url.to_string())
        };
        assert_eq!(
            base("https://api.openai.com/v1/").unwrap(),
            "https://api.openai.com/v1"
        );
        for good in [
            "http://127.0.0.1:8000/v1",
            "http://localhost:11434/v1",
            "http://[::1]:8000/v1",
        ] {
            assert!(base(good).is_ok(), "{good}");
        }
        for bad in [
            "http://10.0.0.7/v1",
            "http://localhost.example.com",
            "ftp://a",
            "a",
            "https://u:p@a/",
            "https://a?k=1",
        ] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_key_is_never_shown() {
        let config = OpenAiConfig::new("canary\nkey".to_owned(), "nowhere");
        assert!(!format!("{config:?}").contains("canary"));
        let faults = config.parse().unwrap_err();
        let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["providers.openai.base_url", "providers.openai.api_key"]);
        assert!(!faults.to_string().contains("canary"));
        let (_, header) = OpenAiConfig::new("canary".to_owned(), "https://a")
            .parse()
            .unwrap();
        assert!(!format!("{header:?}").contains("canary"));
    }
}
