//! What is done when providers have failed for good: `on_failure`, `keypad`.

use std::collections::BTreeMap;

use super::{ProfileFault, Transfers, fields::Fields};

/// Whom a caller gets instead of an agent that can no longer serve them. `Debug` shows no sentence.
#[derive(Clone, PartialEq, Eq)]
pub struct OnFailure {
    /// One of the destinations of [`Transfers`].
    pub transfer: String,
    /// Said before.
    pub say: String,
}

impl std::fmt::Debug for OnFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnFailure")
            .field("transfer", &self.transfer)
            .finish_non_exhaustive()
    }
}

/// What a caller may type whom nobody can hear. `Debug` shows no sentence.
#[derive(Clone, PartialEq, Eq)]
pub struct KeypadMenu {
    /// Said instead of [`Profile::fallback`](super::Profile::fallback) when the recognisers have failed.
    pub say: String,
    /// What a key stands for, as if the caller had said it.
    pub keys: BTreeMap<char, String>,
}

impl std::fmt::Debug for KeypadMenu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeypadMenu")
            .field("keys", &self.keys.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

pub(super) fn on_failure(
    fields: Option<Fields>,
    transfers: Option<&Transfers>,
    default_say: &str,
    faults: &mut Vec<ProfileFault>,
) -> Option<OnFailure> {
    let mut fields = fields?;
    let transfer = fields.needed("transfer", "name one of transfers.destinations", faults);
    let say = fields.text("say", faults);
    let is_known = |name: &String| transfers.is_some_and(|it| it.destinations.contains_key(name));
    if transfer.as_ref().is_some_and(|name| !is_known(name)) {
        let remedy = "name one of transfers.destinations, or add it there";
        fields.fault("transfer", "is no destination of transfers", remedy, faults);
    }
    fields.finish(faults);
    Some(OnFailure {
        transfer: transfer?,
        say: say.unwrap_or_else(|| default_say.to_owned()),
    })
}

pub(super) fn keypad(fields: Option<Fields>, faults: &mut Vec<ProfileFault>) -> Option<KeypadMenu> {
    let mut fields = fields?;
    let say = fields.needed("say", "say which key is for what", faults);
    let texts = fields.texts("keys", faults);
    if texts.is_empty() && !fields.was_faulty("keys", faults) {
        let remedy = "write what each key stands for: {\"1\": \"what time do you open\"}";
        fields.fault("keys", "is missing", remedy, faults);
    }
    let mut keys = BTreeMap::new();
    for (key, words) in texts {
        let mut chars = key.chars();
        if let (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) = (chars.next(), chars.next()) {
            keys.insert(digit, words);
        } else {
            let remedy = "use one of 0-9 * # A-D, in quotes";
            fields.fault(&format!("keys.{key}"), "is no key of a telephone", remedy, faults);
        }
    }
    fields.finish(faults);
    Some(KeypadMenu { say: say?, keys })
}
