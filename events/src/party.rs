//! Who calls and who is called.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::IdError;

/// One end of a call, as the SIP side names it.
///
/// `Debug` shows the kind only. The number or name itself is had by [`PhoneNumber::as_str`] and [`SipUser::as_str`].
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// A telephone number.
    Phone(PhoneNumber),
    /// The user part of a SIP URI that is no telephone number: an extension, a name.
    SipUser(SipUser),
    /// The number is withheld or was not told.
    Anonymous,
}

impl Party {
    /// Reads what a trunk or an attribute such as `sip.phoneNumber` tells of a party.
    ///
    /// With a leading `+` (or when `region` makes it a valid number of that region's plan) it is a phone number, kept in
    /// E.164; otherwise a SIP user, cut to 256 bytes. Nothing, or one of the names that stand for a withheld number
    /// (RFC 3323 §4.1.1.3 `anonymous`, and the usual `unavailable`, `restricted`, `unknown`), is anonymous. A `sip:`,
    /// `sips:` or `tel:` scheme and a host are ignored.
    pub fn parse(text: &str, region: Option<Region>) -> Self {
        let user = user_part(text);
        if user.is_empty() || WITHHELD.iter().any(|name| user.eq_ignore_ascii_case(name)) {
            return Self::Anonymous;
        }
        if let Ok(number) = PhoneNumber::parse(user, region) {
            return Self::Phone(number);
        }
        let cut = user
            .char_indices()
            .map(|(at, c)| at + c.len_utf8())
            .take_while(|end| *end <= SipUser::MAX)
            .last();
        let bounded = cut.and_then(|end| user.get(..end)).unwrap_or_default();
        SipUser::new(bounded).map_or(Self::Anonymous, Self::SipUser)
    }

    /// The number in E.164 or the SIP user; `None` for an anonymous party. Never for logs.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Phone(number) => Some(number.as_str()),
            Self::SipUser(user) => Some(user.as_str()),
            Self::Anonymous => None,
        }
    }
}

const WITHHELD: [&str; 4] = ["anonymous", "unavailable", "restricted", "unknown"];

fn user_part(text: &str) -> &str {
    let text = text.trim();
    let rest = ["sips:", "sip:", "tel:"]
        .iter()
        .find_map(|scheme| {
            text.get(..scheme.len())
                .filter(|s| s.eq_ignore_ascii_case(scheme))
                .map(|s| &text[s.len()..])
        })
        .unwrap_or(text);
    rest.split(['@', ';']).next().unwrap_or_default().trim()
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phone(_) => "Phone(redacted)",
            Self::SipUser(_) => "SipUser(redacted)",
            Self::Anonymous => "Anonymous",
        })
    }
}

/// The region whose numbering plan reads numbers without a country code: two letters of ISO 3166-1, such as `US`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region(phonenumber::country::Id);

/// The text is no region of a numbering plan that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no two-letter region of ISO 3166-1 such as US or DE")]
pub struct RegionError;

impl std::str::FromStr for Region {
    type Err = RegionError;
    fn from_str(text: &str) -> Result<Self, RegionError> {
        text.to_ascii_uppercase()
            .parse()
            .map(Self)
            .map_err(|_| RegionError)
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;
    fn try_from(text: String) -> Result<Self, RegionError> {
        text.parse()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Region {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .try_into()
            .map_err(serde::de::Error::custom)
    }
}

/// A telephone number in E.164: `+` and 2–15 digits (ITU-T E.164 §6.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(Box<str>);

/// The text is no telephone number, or needs a default region to become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no telephone number: write it as + and the country code, or give the trunk a default region")]
pub struct PhoneNumberError;

impl PhoneNumber {
    /// Reads a number as people and trunks write it.
    ///
    /// With `+` the country code decides, and whether the number is allotted does not matter. Without it the number has to
    /// be valid in `region`'s plan, so that extensions such as `1000` do not become numbers.
    ///
    /// # Errors
    /// When neither holds.
    pub fn parse(text: &str, region: Option<Region>) -> Result<Self, PhoneNumberError> {
        let text = text.trim();
        if let Some(number) = Self::from_e164(text) {
            return Ok(number);
        }
        let international = text.starts_with('+');
        let dialled = text.chars().all(|c| c.is_ascii_digit() || "+-.() /".contains(c));
        if !dialled || text.len() > 40 || (!international && region.is_none()) {
            return Err(PhoneNumberError);
        }
        let number = phonenumber::parse(region.map(|r| r.0), text).map_err(|_| PhoneNumberError)?;
        if !international && !phonenumber::is_valid(&number) {
            return Err(PhoneNumberError);
        }
        Self::from_e164(&number.format().mode(phonenumber::Mode::E164).to_string()).ok_or(PhoneNumberError)
    }

    /// The number, beginning with `+`. Never for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_e164(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let fits = (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| Self(text.into()))
    }
}

impl TryFrom<String> for PhoneNumber {
    type Error = PhoneNumberError;
    fn try_from(text: String) -> Result<Self, PhoneNumberError> {
        Self::from_e164(&text).ok_or(PhoneNumberError)
    }
}

impl From<PhoneNumber> for String {
    fn from(number: PhoneNumber) -> Self {
        number.0.into_string()
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(redacted)")
    }
}

/// The user part of a SIP URI, 1–256 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SipUser(Box<str>);

impl SipUser {
    const MAX: usize = 256;

    /// Checks the length and keeps the text.
    ///
    /// # Errors
    /// When it is empty or longer than 256 bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        match text.len() {
            0 => Err(IdError::Empty),
            n if n > Self::MAX => Err(IdError::TooLong { max: Self::MAX }),
            _ => Ok(Self(text.into_boxed_str())),
        }
    }

    /// The user part itself. Never for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SipUser {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<SipUser> for String {
    fn from(user: SipUser) -> Self {
        user.0.into_string()
    }
}

impl fmt::Debug for SipUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SipUser(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(text: &str) -> Region {
        text.parse().unwrap()
    }

    #[test]
    fn the_default_region_turns_national_numbers_into_e164() {
        let number = |text, region| PhoneNumber::parse(text, region).map(String::from);
        assert_eq!(number("+1 (415) 555-2671", None).unwrap(), "+14155552671");
        assert_eq!(
            number("(415) 555-2671", Some(region("us"))).unwrap(),
            "+14155552671"
        );
        assert_eq!(
            number("030 12345678", Some(region("DE"))).unwrap(),
            "+493012345678"
        );
        assert!(number("030 12345678", None).is_err());
    }

    #[test]
    fn a_plus_is_enough_even_for_numbers_that_no_plan_allots() {
        assert_eq!(Party::parse("+15551234", None).as_str(), Some("+15551234"));
        assert_eq!(Party::parse("+99900", None).as_str(), Some("+99900"));
        assert!(matches!(
            Party::parse("sip:+15551234@10.0.0.1;user=phone", None),
            Party::Phone(_)
        ));
    }

    #[test]
    fn extensions_and_names_are_sip_users() {
        assert!(matches!(
            Party::parse("1000", Some(region("US"))),
            Party::SipUser(_)
        ));
        assert!(matches!(
            Party::parse("alice", Some(region("US"))),
            Party::SipUser(_)
        ));
        assert!(
            matches!(Party::parse("SIP:alice@example.org", None), Party::SipUser(user) if user.as_str() == "alice")
        );
    }

    #[test]
    fn withheld_numbers_are_anonymous() {
        for text in [
            "",
            " ",
            "anonymous",
            "Anonymous",
            "sip:anonymous@anonymous.invalid",
            "unavailable",
        ] {
            assert_eq!(Party::parse(text, None), Party::Anonymous, "{text:?}");
        }
    }

    #[test]
    fn debug_shows_no_number_and_no_name() {
        for text in ["+14155552671", "alice"] {
            let party = Party::parse(text, None);
            assert!(!format!("{party:?}").contains(text));
        }
    }

    #[test]
    fn a_party_goes_through_json() {
        for text in ["+14155552671", "alice", ""] {
            let party = Party::parse(text, None);
            let json = serde_json::to_string(&party).unwrap();
            assert_eq!(serde_json::from_str::<Party>(&json).unwrap(), party);
        }
        assert!(serde_json::from_str::<Party>("{\"phone\":\"12\"}").is_err());
    }

    #[test]
    fn overlong_users_are_cut_on_a_character_boundary() {
        let Party::SipUser(user) = Party::parse(&"ф".repeat(300), None) else {
            panic!("a SIP user")
        };
        assert_eq!(user.as_str().len(), 256);
    }
}
