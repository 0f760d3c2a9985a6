//! A YAML mapping that is read key by key and remembers what was asked of it: what is left over is a fault.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_norway::{Mapping, Value};

use super::{ProfileFault, ProviderChoice};

/// Longer texts are a mistake, or would cost a fortune with each turn.
const MAX_TEXT_CHARS: usize = 100_000;
/// The provider's name that leaves the choice to the deployment.
const AUTO: &str = "auto";
/// More than anybody has for one stage.
const MAX_PROVIDERS: usize = 5;

pub(super) struct Fields {
    prefix: String,
    values: Mapping,
    known: Vec<String>,
}

impl Fields {
    /// The file's own mapping; none, with a fault, when it is not one.
    pub(super) fn root(bytes: &[u8], faults: &mut Vec<ProfileFault>) -> Option<Self> {
        let root = Self {
            prefix: String::new(),
            values: Mapping::new(),
            known: Vec::new(),
        };
        match serde_norway::from_slice(bytes) {
            Ok(Value::Mapping(values)) => Some(Self { values, ..root }),
            Ok(_) => {
                root.fault(
                    "(file)",
                    "is not a mapping",
                    "write `key: value` lines, such as `prompt: …`",
                    faults,
                );
                None
            }
            Err(error) => {
                root.fault(
                    "(file)",
                    &format!("is not YAML: {error}"),
                    "mend the line named",
                    faults,
                );
                None
            }
        }
    }

    /// Reports whatever was never asked for.
    pub(super) fn finish(self, faults: &mut Vec<ProfileFault>) {
        for key in self.values.keys() {
            let key = key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
            let remedy = format!("remove it, or use one of: {}", self.known.join(", "));
            self.fault(&key, "is not a known key", &remedy, faults);
        }
    }

    pub(super) fn fault(&self, key: &str, problem: &str, remedy: &str, faults: &mut Vec<ProfileFault>) {
        let key = format!("{}{key}", self.prefix);
        faults.push(ProfileFault {
            key,
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        });
    }

    pub(super) fn was_faulty(&self, key: &str, faults: &[ProfileFault]) -> bool {
        let key = format!("{}{key}", self.prefix);
        faults.iter().any(|fault| fault.key == key)
    }

    /// A section; an empty one counts as left out.
    pub(super) fn map(&mut self, key: &str, faults: &mut Vec<ProfileFault>) -> Option<Self> {
        let Value::Mapping(values) = self.take(key)? else {
            self.fault(key, "is not a section", "indent its keys under it", faults);
            return None;
        };
        Some(Self {
            prefix: format!("{}{key}.", self.prefix),
            values,
            known: Vec::new(),
        })
    }

    /// A list of sections.
    pub(super) fn sections(&mut self, key: &str, most: usize, faults: &mut Vec<ProfileFault>) -> Vec<Self> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Sequence(items)) if items.len() <= most => items,
            Some(_) => {
                let remedy = format!("write `- ` before each, at most {most} times");
                self.fault(key, "is not a list, or too long", &remedy, faults);
                return Vec::new();
            }
        };
        let mut sections = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            let key = format!("{key}[{at}]");
            let Value::Mapping(values) = item else {
                self.fault(&key, "is not a section", "indent its keys under it", faults);
                continue;
            };
            sections.push(Self {
                prefix: format!("{}{key}.", self.prefix),
                values,
                known: Vec::new(),
            });
        }
        sections
    }

    /// A section of any depth.
    pub(super) fn json(&mut self, key: &str, faults: &mut Vec<ProfileFault>) -> Option<serde_json::Value> {
        let value = self.take(key)?;
        let json = serde_json::to_value(&value)
            .ok()
            .filter(serde_json::Value::is_object);
        if json.is_none() {
            self.fault(
                key,
                "is not a section of texts",
                "write `key: value` under it",
                faults,
            );
        }
        json
    }

    /// Texts by their names.
    pub(super) fn texts(&mut self, key: &str, faults: &mut Vec<ProfileFault>) -> BTreeMap<String, String> {
        let Some(mut section) = self.map(key, faults) else {
            return BTreeMap::new();
        };
        let names: Vec<_> = section
            .values
            .keys()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let read = names.into_iter().filter_map(|name| {
            let text = section.text(&name, faults)?;
            Some((name, text))
        });
        let read = read.collect();
        section.finish(faults);
        read
    }

    pub(super) fn text(&mut self, key: &str, faults: &mut Vec<ProfileFault>) -> Option<String> {
        let Value::String(text) = self.take(key)? else {
            self.fault(key, "is not a text", "put it in quotes", faults);
            return None;
        };
        let text = text.trim();
        if text.is_empty() {
            self.fault(key, "is empty", "write something, or remove it", faults);
            return None;
        }
        if text.chars().count() > MAX_TEXT_CHARS {
            self.fault(key, "is longer than 100,000 characters", "shorten it", faults);
            return None;
        }
        Some(text.to_owned())
    }

    /// A text that must be there.
    pub(super) fn needed(
        &mut self,
        key: &str,
        remedy: &str,
        faults: &mut Vec<ProfileFault>,
    ) -> Option<String> {
        let text = self.text(key, faults);
        if text.is_none() && !self.was_faulty(key, faults) {
            self.fault(key, "is missing", remedy, faults);
        }
        text
    }

    pub(super) fn flag(&mut self, key: &str, faults: &mut Vec<ProfileFault>) -> Option<bool> {
        let value = self.take(key)?;
        if value.as_bool().is_none() {
            self.fault(key, "is neither true nor false", "write true or false", faults);
        }
        value.as_bool()
    }

    pub(super) fn whole(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        faults: &mut Vec<ProfileFault>,
    ) -> Option<u64> {
        let value = self.take(key)?.as_u64().filter(|value| range.contains(value));
        if value.is_none() {
            let remedy = format!("write a whole number from {} to {}", range.start(), range.end());
            self.fault(key, "is out of range", &remedy, faults);
        }
        value
    }

    /// A number from 0 to 1, into `target`.
    pub(super) fn share(&mut self, key: &str, target: &mut f32, faults: &mut Vec<ProfileFault>) {
        let Some(value) = self.take(key) else { return };
        match value.as_f64().filter(|value| (0.0..=1.0).contains(value)) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a number from 0 to 1 loses digits at most"
            )]
            Some(value) => *target = value as f32,
            None => self.fault(key, "is out of range", "write a number from 0 to 1", faults),
        }
    }

    /// A duration such as `500ms`, `0.5s`, `2m` or `4h`, into `target`.
    pub(super) fn duration(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
        target: &mut Duration,
        faults: &mut Vec<ProfileFault>,
    ) {
        let Some(value) = self.take(key) else { return };
        let duration = value.as_str().and_then(parse_duration);
        if let Some(duration) = duration.filter(|duration| range.contains(duration)) {
            *target = duration;
        } else {
            let (least, most) = (range.start(), range.end());
            let remedy = format!("write a duration from {least:?} to {most:?}, such as 500ms or 2s");
            self.fault(key, "is not a duration in range", &remedy, faults);
        }
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        key: &str,
        choices: &[(&str, T)],
        faults: &mut Vec<ProfileFault>,
    ) -> Option<T> {
        let mut value = self.take(key)?;
        if value == Value::Bool(false) {
            // `off` without quotes is false to parsers of YAML 1.1.
            value = Value::String("off".into());
        }
        let choice = value
            .as_str()
            .and_then(|text| choices.iter().find(|(name, _)| *name == text));
        if choice.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.fault(
                key,
                "is not one of its choices",
                &format!("write one of: {}", names.join(", ")),
                faults,
            );
        }
        choice.map(|(_, choice)| *choice)
    }

    /// A provider, or a list of them, the best first. None: whatever the deployment's default is.
    pub(super) fn providers(
        &mut self,
        key: &str,
        names: &[&str],
        faults: &mut Vec<ProfileFault>,
    ) -> Vec<ProviderChoice> {
        let has_voice = key == "tts";
        if !matches!(self.values.get(key), Some(Value::Sequence(_))) {
            return self.provider(key, names, has_voice, faults).into_iter().collect();
        }
        let Some(Value::Sequence(items)) = self.take(key) else {
            return Vec::new();
        };
        if items.is_empty() || items.len() > MAX_PROVIDERS {
            let remedy = format!("list 1 to {MAX_PROVIDERS} providers, the best first");
            self.fault(key, "is an empty list, or too long a one", &remedy, faults);
            return Vec::new();
        }
        let mut choices = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let place = format!("{key}[{at}]");
            // Read as the value of a key of its own.
            let mut entry = Self {
                prefix: self.prefix.clone(),
                values: [(Value::String(place.clone()), item)].into_iter().collect(),
                known: Vec::new(),
            };
            let known = faults.len();
            match entry.provider(&place, names, has_voice, faults) {
                Some(choice) if choices.contains(&choice) => {
                    self.fault(
                        &place,
                        "stands in the list twice",
                        "remove one of the two",
                        faults,
                    );
                }
                Some(choice) => choices.push(choice),
                None if faults.len() == known => {
                    let remedy = format!("name one of: {}", names.join(", "));
                    self.fault(&place, "names nobody", &remedy, faults);
                }
                None => {}
            }
        }
        choices
    }

    /// A provider: its name, or `{name, model}`, of a synthesiser with `voice`. `auto` is no choice.
    fn provider(
        &mut self,
        key: &str,
        names: &[&str],
        has_voice: bool,
        faults: &mut Vec<ProfileFault>,
    ) -> Option<ProviderChoice> {
        let choice = if matches!(self.values.get(key), Some(Value::Mapping(_))) {
            let mut section = self.map(key, faults)?;
            let name = section.needed("name", "name the provider", faults);
            let model = section.text("model", faults);
            let voice = has_voice.then(|| section.text("voice", faults)).flatten();
            section.finish(faults);
            ProviderChoice {
                name: name?,
                model,
                voice,
            }
        } else {
            ProviderChoice {
                name: self.text(key, faults)?,
                model: None,
                voice: None,
            }
        };
        if choice.name == AUTO {
            if choice.model.is_some() || choice.voice.is_some() {
                self.fault(
                    key,
                    "names a model or a voice without its provider",
                    &format!("leave it out, or use one of: {}", names.join(", ")),
                    faults,
                );
            }
            return None;
        }
        if !names.contains(&choice.name.as_str()) {
            self.fault(
                key,
                "is not a known provider",
                &format!("use one of: {AUTO}, {}", names.join(", ")),
                faults,
            );
            return None;
        }
        Some(choice)
    }

    /// A language tag: letters and digits in groups of 1 to 8, joined by hyphens (BCP 47).
    pub(super) fn language(&mut self, key: &str, faults: &mut Vec<ProfileFault>) -> Option<String> {
        let tag = self.text(key, faults)?;
        let is_group = |group: &str| {
            (1..=8).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let primary = tag.split('-').next().unwrap_or_default();
        let is_tag = tag.split('-').all(is_group)
            && (2..=3).contains(&primary.len())
            && primary.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !is_tag {
            self.fault(
                key,
                "is not a language tag",
                "write a BCP 47 tag such as en, en-US or ru",
                faults,
            );
            return None;
        }
        Some(tag)
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.known.push(key.to_owned());
        self.values.remove(key).filter(|value| !value.is_null())
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let number: f64 = number.trim().parse().ok()?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}
