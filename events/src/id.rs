//! Ids and names, each bounded and made once at the edge. Holding one is the proof that it was checked.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not the id or name that it was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing, or nothing behind the prefix.
    #[error("is empty")]
    Empty,
    /// Longer than the bound of its type.
    #[error("is longer than {max} bytes")]
    TooLong {
        /// The bound, in bytes.
        max: usize,
    },
    /// The fixed prefix is missing.
    #[error("does not begin with {prefix}")]
    Prefix {
        /// What it has to begin with.
        prefix: &'static str,
    },
    /// A character that this kind of id never has (and that might not be safe in a storage key).
    #[error("has a character outside of A-Z a-z 0-9 _ -")]
    Character,
}

fn check_id(text: &str, prefix: &'static str) -> Result<(), IdError> {
    const MAX: usize = 64;
    let rest = text.strip_prefix(prefix).ok_or(IdError::Prefix { prefix })?;
    match () {
        () if rest.is_empty() => Err(IdError::Empty),
        () if text.len() > MAX => Err(IdError::TooLong { max: MAX }),
        () if !rest
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') =>
        {
            Err(IdError::Character)
        }
        () => Ok(()),
    }
}

/// LiveKit's own default limit for room names and identities is 256 bytes, but it is configurable.
fn check_name(text: &str) -> Result<(), IdError> {
    const MAX: usize = 1024;
    match text.len() {
        0 => Err(IdError::Empty),
        n if n > MAX => Err(IdError::TooLong { max: MAX }),
        _ => Ok(()),
    }
}

macro_rules! text_type {
    ($(#[$meta:meta])* $name:ident, $check:expr, $debug:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks `text` and keeps it.
            ///
            /// # Errors
            /// When it is empty, too long, or has a prefix or character that this kind does not have.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(&text)?;
                Ok(Self(text.into_boxed_str()))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.into_string()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let debug: fn(&str, &mut fmt::Formatter<'_>) -> fmt::Result = $debug;
                debug(&self.0, f)
            }
        }
    };
}

macro_rules! id_type {
    ($(#[$meta:meta])* $name:ident, $prefix:literal) => {
        text_type!($(#[$meta])* $name, |text| check_id(text, $prefix), |text, f| f.write_str(text));

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id_type!(
    /// A call: the sid of its room session (`RM_…`), at most 64 bytes.
    CallId,
    "RM_"
);
id_type!(
    /// The id of one webhook (`EV_…`), the same in every retry of its delivery. At most 64 bytes.
    EventId,
    ""
);
id_type!(
    /// The sid of a participant's session (`PA_…`), at most 64 bytes.
    ParticipantSid,
    ""
);
id_type!(
    /// The sid of a track (`TR_…`), at most 64 bytes.
    TrackSid,
    ""
);
id_type!(
    /// The id of an egress (`EG_…`), at most 64 bytes.
    EgressId,
    ""
);
id_type!(
    /// The id of an ingress (`IN_…`), at most 64 bytes.
    IngressId,
    ""
);
id_type!(
    /// The name of an agent's profile: the file `<name>.yaml` in the folder of profiles. 1–64 bytes of A-Z a-z 0-9 _ -.
    ProfileName,
    ""
);

text_type!(
    /// A room's name, 1–1024 bytes. A dispatch rule may put the caller's number or name in it, so that `Debug` shows the length only.
    RoomName,
    check_name,
    |text, f| write!(f, "RoomName({} bytes)", text.len())
);
text_type!(
    /// A participant's identity, 1–1024 bytes. That of a SIP participant holds its number or name, so that `Debug` shows the length only.
    ParticipantIdentity,
    check_name,
    |text, f| write!(f, "ParticipantIdentity({} bytes)", text.len())
);

/// Replaces each run of four or more digits (with its `+`) by `…`, so that what may hold a phone number can be logged.
pub fn mask_digits(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut run = String::new();
    let flush = |run: &mut String, masked: &mut String| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        masked.push_str(if digits >= 4 { "…" } else { run.as_str() });
        run.clear();
    };
    for c in text.chars() {
        if c == '+' {
            flush(&mut run, &mut masked);
        }
        if c == '+' || c.is_ascii_digit() {
            run.push(c);
        } else {
            flush(&mut run, &mut masked);
            masked.push(c);
        }
    }
    flush(&mut run, &mut masked);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_safe_in_a_storage_key() {
        assert!(CallId::new("RM_5dNYzUpD9LnC").is_ok());
        assert_eq!(CallId::new("RM_"), Err(IdError::Empty));
        assert_eq!(EventId::new("EV_1/x"), Err(IdError::Character));
        assert_eq!(CallId::new("PA_1"), Err(IdError::Prefix { prefix: "RM_" }));
        assert_eq!(CallId::new("RM_../../x"), Err(IdError::Character));
        assert_eq!(
            CallId::new(format!("RM_{}", "a".repeat(62))),
            Err(IdError::TooLong { max: 64 })
        );
    }

    #[test]
    fn names_are_bounded_and_ids_are_checked_when_they_are_decoded() {
        assert!(RoomName::new("").is_err());
        assert!(RoomName::new("ф".repeat(512)).is_ok());
        assert!(RoomName::new("ф".repeat(513)).is_err());
        assert!(serde_json::from_str::<CallId>("\"x\"").is_err());
    }

    #[test]
    fn debug_of_names_shows_their_length_only() {
        let room = RoomName::new("call_+15551234_VCN7qcKzqRDJ").unwrap();
        assert_eq!(format!("{room:?}"), "RoomName(27 bytes)");
        let identity = ParticipantIdentity::new("agent-1").unwrap();
        assert_eq!(format!("{identity:?}"), "ParticipantIdentity(7 bytes)");
    }
}
