//! Which agent takes a call: the entries of `agents:` in the configuration.
//!
//! An entry names a profile and up to three criteria. All criteria that it has must hold; within `numbers` and within `rooms` one
//! pattern is enough. An entry without any criterion takes what no other entry takes, and only when a caller has joined.
//!
//! At most one entry may fit any call. Entries that could both fit one are a fault of the configuration ([`overlaps`]), never a matter
//! of their order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::pattern::{NumberPattern, Pattern, PatternError};
use crate::{
    Party, ProfileHash, ProfileName, ProfileRef, RoomName, livekit::Attributes, open_enum::open_enum,
};

/// One entry of `agents:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRule {
    /// The profile that takes the call.
    pub profile: ProfileName,
    /// Called numbers, in E.164 or as patterns. A rule with numbers waits for a participant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<NumberPattern>,
    /// Patterns of room names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<Pattern>,
    /// Attributes that have to be there with these values: the participant's, or text members of the room's metadata where
    /// that is a JSON object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl AgentRule {
    fn is_fallback(&self) -> bool {
        self.numbers.is_empty() && self.rooms.is_empty() && self.attributes.is_empty()
    }

    fn fits_room(&self, room: &RoomName) -> bool {
        self.rooms.is_empty() || self.rooms.iter().any(|pattern| pattern.matches(room.as_str()))
    }

    fn fits_number(&self, called: Option<&Party>) -> bool {
        self.numbers.is_empty() || called.is_some_and(|called| self.numbers.iter().any(|n| n.matches(called)))
    }

    fn fits_attributes<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.attributes
            .iter()
            .all(|(key, value)| value_of(key) == Some(value.as_str()))
    }

    /// Whether some call could fit both.
    fn overlaps(&self, other: &Self) -> bool {
        if self.is_fallback() || other.is_fallback() {
            return self.is_fallback() && other.is_fallback();
        }
        let numbers_exclude = excludes(&self.numbers, &other.numbers, NumberPattern::intersects);
        let rooms_exclude = excludes(&self.rooms, &other.rooms, Pattern::intersects);
        let attributes_exclude = self
            .attributes
            .iter()
            .any(|(key, value)| other.attributes.get(key).is_some_and(|theirs| theirs != value));
        !(numbers_exclude || rooms_exclude || attributes_exclude)
    }
}

/// Two lists of alternatives exclude each other when both say something and no pair has anything in common.
fn excludes<P>(ours: &[P], theirs: &[P], intersect: impl Fn(&P, &P) -> bool) -> bool {
    !ours.is_empty() && !theirs.is_empty() && !ours.iter().any(|a| theirs.iter().any(|b| intersect(a, b)))
}

/// Two entries that could both fit one call. The remedy: give them `numbers`, `rooms` or an attribute that exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "agents[{first}] and agents[{second}] could both take one call: give them numbers, rooms or an attribute that exclude each other"
)]
pub struct Overlap {
    /// The index of the one entry.
    pub first: usize,
    /// The index of the other, greater than `first`.
    pub second: usize,
}

/// All pairs of entries that could both fit one call.
pub fn overlaps(rules: &[AgentRule]) -> Vec<Overlap> {
    let mut found = Vec::new();
    for (first, one) in rules.iter().enumerate() {
        for (second, other) in rules.iter().enumerate().skip(first + 1) {
            if one.overlaps(other) {
                found.push(Overlap { first, second });
            }
        }
    }
    found
}

/// The entries of `agents:` with their profiles' hashes. No two of them overlap.
#[derive(Debug, Clone, Default)]
pub struct Agents(Vec<(AgentRule, ProfileRef)>);

impl Agents {
    /// Takes the entries, each with the hash of its profile.
    ///
    /// # Errors
    /// All overlaps.
    pub fn new(entries: Vec<(AgentRule, ProfileHash)>) -> Result<Self, Vec<Overlap>> {
        let with_profile = |(rule, hash): (AgentRule, ProfileHash)| {
            let profile = ProfileRef {
                name: rule.profile.clone(),
                hash,
            };
            (rule, profile)
        };
        let (rules, hashes): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        match overlaps(&rules) {
            found if found.is_empty() => Ok(Self(rules.into_iter().zip(hashes).map(with_profile).collect())),
            found => Err(found),
        }
    }

    /// The profile for a room that has just been created and in which nobody is known yet.
    ///
    /// Entries with `numbers` and entries without any criterion wait for [`Agents::for_participant`].
    pub fn for_room(&self, room: &RoomName, metadata: &str) -> Option<&ProfileRef> {
        let metadata = text_members(metadata);
        let fits = |rule: &AgentRule| {
            !rule.is_fallback()
                && rule.numbers.is_empty()
                && rule.fits_room(room)
                && rule.fits_attributes(|key| metadata.get(key).map(String::as_str))
        };
        self.0
            .iter()
            .find(|(rule, _)| fits(rule))
            .map(|(_, profile)| profile)
    }

    /// The profile for a participant of kind SIP or STANDARD.
    ///
    /// # Errors
    /// The reason when no entry fits.
    pub fn for_participant(&self, candidate: &Candidate<'_>) -> Result<&ProfileRef, NoMatch> {
        let metadata = text_members(candidate.metadata);
        let value_of = |key: &str| {
            candidate
                .attributes
                .get(key)
                .or_else(|| metadata.get(key).map(String::as_str))
        };
        let fits = |ignored: Option<NoMatch>, rule: &AgentRule| {
            (ignored == Some(NoMatch::NumberNotListed) || rule.fits_number(candidate.called))
                && (ignored == Some(NoMatch::RoomNotListed) || rule.fits_room(candidate.room))
                && (ignored == Some(NoMatch::AttributesNotListed) || rule.fits_attributes(value_of))
        };
        let criteria = self.0.iter().filter(|(rule, _)| !rule.is_fallback());
        let fallback = || self.0.iter().find(|(rule, _)| rule.is_fallback());
        if let Some((_, profile)) = criteria
            .clone()
            .find(|(rule, _)| fits(None, rule))
            .or_else(fallback)
        {
            return Ok(profile);
        }
        if self.0.is_empty() {
            return Err(NoMatch::NoAgents);
        }
        let near = [
            NoMatch::NumberNotListed,
            NoMatch::RoomNotListed,
            NoMatch::AttributesNotListed,
        ]
        .into_iter()
        .find(|reason| criteria.clone().any(|(rule, _)| fits(Some(reason.clone()), rule)));
        Err(near.unwrap_or(NoMatch::NotListed))
    }
}

/// What is known of a participant that may need an agent.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its room.
    pub room: &'a RoomName,
    /// The room's metadata, empty when it has none.
    pub metadata: &'a str,
    /// The number or name that was called; `None` for a participant that did not come by phone.
    pub called: Option<&'a Party>,
    /// Its attributes.
    pub attributes: &'a Attributes,
}

open_enum! {
    /// Why no entry of `agents:` took a call.
    pub enum NoMatch {
        /// `agents:` is empty.
        NoAgents = "no_agents",
        /// An entry would fit but for its `numbers`.
        NumberNotListed = "number_not_listed",
        /// An entry would fit but for its `rooms`.
        RoomNotListed = "room_not_listed",
        /// An entry would fit but for its `attributes`.
        AttributesNotListed = "attributes_not_listed",
        /// No entry comes close.
        NotListed = "not_listed",
        /// Nobody of kind SIP or STANDARD joined the room.
        NoCaller = "no_caller",
    }
}

fn text_members(metadata: &str) -> BTreeMap<String, String> {
    match serde_json::from_str(metadata) {
        Ok(serde_json::Value::Object(members)) => members
            .into_iter()
            .filter_map(|(key, value)| match value {
                serde_json::Value::String(text) => Some((key, text)),
                _ => None,
            })
            .collect(),
        _ => BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: serde_json::Value) -> AgentRule {
        serde_json::from_value(json).unwrap()
    }

    fn agents(rules: Vec<serde_json::Value>) -> Agents {
        let hash = ProfileHash::of(b"profile");
        Agents::new(rules.into_iter().map(|json| (rule(json), hash.clone())).collect()).unwrap()
    }

    fn name(found: Result<&ProfileRef, NoMatch>) -> Result<&str, NoMatch> {
        found.map(|profile| profile.name.as_str())
    }

    struct Call {
        room: RoomName,
        metadata: &'static str,
        called: Option<Party>,
        attributes: Attributes,
    }

    impl Call {
        fn to(number: &str) -> Self {
            let room = RoomName::new("voice-ai-call-1").unwrap();
            Self {
                room,
                metadata: "",
                called: Some(Party::parse(number, None)),
                attributes: Attributes::default(),
            }
        }

        fn of<'a>(&'a self, agents: &'a Agents) -> Result<&'a str, NoMatch> {
            let Self {
                room,
                metadata,
                called,
                attributes,
            } = self;
            name(agents.for_participant(&Candidate {
                room,
                metadata,
                called: called.as_ref(),
                attributes,
            }))
        }
    }

    #[test]
    fn the_called_number_chooses_the_profile_and_the_reason_is_named_otherwise() {
        let agents = agents(vec![
            serde_json::json!({"profile": "sales", "numbers": ["+15550100"]}),
            serde_json::json!({"profile": "support", "numbers": ["+1555020*", "1000"]}),
        ]);
        assert_eq!(Call::to("+15550100").of(&agents), Ok("sales"));
        assert_eq!(Call::to("+15550207").of(&agents), Ok("support"));
        assert_eq!(Call::to("1000").of(&agents), Ok("support"));
        assert_eq!(Call::to("+15559999").of(&agents), Err(NoMatch::NumberNotListed));
        assert_eq!(
            Call::to("+15559999").of(&Agents::default()),
            Err(NoMatch::NoAgents)
        );
    }

    #[test]
    fn an_entry_without_criteria_takes_what_no_other_takes() {
        let agents = agents(vec![
            serde_json::json!({"profile": "rest"}),
            serde_json::json!({"profile": "sales", "numbers": ["+15550100"]}),
        ]);
        assert_eq!(Call::to("+15550100").of(&agents), Ok("sales"));
        assert_eq!(Call::to("+15559999").of(&agents), Ok("rest"));
        assert!(
            agents.for_room(&RoomName::new("any").unwrap(), "").is_none(),
            "it waits for a caller"
        );
    }

    #[test]
    fn a_room_is_matched_by_name_and_metadata_before_anybody_joins() {
        let agents = agents(vec![
            serde_json::json!({"profile": "web", "rooms": ["web-*"], "attributes": {"lang": "en"}}),
            serde_json::json!({"profile": "phone", "rooms": ["call-*"], "numbers": ["+15550100"]}),
        ]);
        let room = |name: &str, metadata| {
            agents
                .for_room(&RoomName::new(name).unwrap(), metadata)
                .map(|p| p.name.as_str())
        };
        assert_eq!(room("web-7", r#"{"lang": "en", "n": 1}"#), Some("web"));
        assert_eq!(room("web-7", r#"{"lang": "de"}"#), None);
        assert_eq!(room("web-7", "no json"), None);
        assert_eq!(room("call-7", ""), None, "numbers wait for the participant");
    }

    #[test]
    fn the_nearest_criterion_gives_the_reason() {
        let only = |json| agents(vec![json]);
        let by_room = only(serde_json::json!({"profile": "a", "numbers": ["*"], "rooms": ["other-*"]}));
        assert_eq!(Call::to("+15550100").of(&by_room), Err(NoMatch::RoomNotListed));
        let by_attribute = only(serde_json::json!({"profile": "a", "attributes": {"tier": "gold"}}));
        assert_eq!(
            Call::to("+15550100").of(&by_attribute),
            Err(NoMatch::AttributesNotListed)
        );
        let far = only(serde_json::json!({"profile": "a", "numbers": ["+1"], "rooms": ["other-*"]}));
        assert_eq!(Call::to("+15550100").of(&far), Err(NoMatch::NotListed));
    }

    #[test]
    fn entries_that_could_both_fit_overlap_and_those_that_exclude_each_other_do_not() {
        let pair = |a, b| overlaps(&[rule(a), rule(b)]).len();
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let cases = [
            (
                r#"{"profile":"a","numbers":["+1555*"]}"#,
                r#"{"profile":"b","numbers":["+15550100"]}"#,
                1,
            ),
            (
                r#"{"profile":"a","numbers":["+1555*"]}"#,
                r#"{"profile":"b","numbers":["+1556*"]}"#,
                0,
            ),
            (
                r#"{"profile":"a","numbers":["+1*"]}"#,
                r#"{"profile":"b","rooms":["web-*"]}"#,
                1,
            ),
            (
                r#"{"profile":"a","numbers":["+1*"],"rooms":["call-*"]}"#,
                r#"{"profile":"b","rooms":["web-*"]}"#,
                0,
            ),
            (
                r#"{"profile":"a","attributes":{"x":"1"}}"#,
                r#"{"profile":"b","attributes":{"x":"2"}}"#,
                0,
            ),
            (
                r#"{"profile":"a","attributes":{"x":"1"}}"#,
                r#"{"profile":"b","attributes":{"y":"2"}}"#,
                1,
            ),
            (r#"{"profile":"a"}"#, r#"{"profile":"b","numbers":["*"]}"#, 0),
            (r#"{"profile":"a"}"#, r#"{"profile":"b"}"#, 1),
        ];
        for (a, b, expected) in cases {
            assert_eq!(pair(json(a), json(b)), expected, "{a} {b}");
            assert_eq!(pair(json(b), json(a)), expected, "{b} {a}");
        }
    }
}
