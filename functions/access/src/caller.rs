//! Somebody who was let in.

use axum::extract::FromRequestParts;
use events::agents::Pattern;
use http::request::Parts;
use platform::config::{CallerLimits, Grant, NumberPrefix, Scope, TokenGrant};

use crate::{Fail, Refusal};

/// A caller with what it may do. Handlers take it as an argument; it is there only behind [`crate::guard`].
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key's name, or `jwt:` and the token's subject. Fit for logs.
    pub name: String,
    scopes: Vec<Scope>,
    /// The rooms that are its own.
    pub rooms: Rooms,
    /// What it may dial within the allow list; empty: all of that.
    pub numbers: Vec<NumberPrefix>,
    /// How many calls it may start.
    pub limits: CallerLimits,
    /// What it may set of a participant.
    pub token: TokenGrant,
}

/// The rooms of a caller, as patterns.
#[derive(Clone, Debug, Default)]
pub struct Rooms(Vec<Pattern>);

impl Rooms {
    /// Takes patterns; what is none is left out, so that it allows nothing.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        Self(
            patterns
                .into_iter()
                .filter_map(|text| Pattern::new(text).ok())
                .collect(),
        )
    }

    /// Whether the room is one of them.
    pub fn own(&self, room: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(room))
    }

    /// A name for a new room that is one of them: the first pattern that only ends in `*`, with `random` in its place.
    pub fn name(&self, random: &str) -> Option<String> {
        self.0.iter().find_map(|pattern| {
            let text = pattern.text();
            let stem = text.strip_suffix('*')?;
            (!stem.contains(['*', '?'])).then(|| {
                let stem = if stem.is_empty() { "room-" } else { stem };
                format!("{stem}{random}")
            })
        })
    }
}

impl Caller {
    pub(crate) fn new(name: String, grant: &Grant, rooms: Rooms, scopes: Vec<Scope>) -> Self {
        Self {
            name,
            scopes,
            rooms,
            numbers: grant.numbers.clone(),
            limits: grant.limits,
            token: grant.token.clone(),
        }
    }

    /// Whether it has the scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Lets it go on with a room of its own.
    ///
    /// # Errors
    /// For any other room: it does not exist for this caller.
    pub fn owns_room(&self, room: &str) -> Result<(), Fail> {
        if self.rooms.own(room) {
            Ok(())
        } else {
            Err(Fail::not_found("another_callers_room"))
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Fail;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fail> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Fail::from(Refusal::NoToken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_rooms_name_is_always_one_of_the_callers_own() {
        for (patterns, name) in [
            (vec!["crm-*"], Some("crm-x1")),
            (vec!["a?*", "*b*", "web-*"], Some("web-x1")),
            (vec!["*"], Some("room-x1")),
            (vec!["lobby"], None),
            (vec![], None),
        ] {
            let rooms = Rooms::new(patterns);
            let made = rooms.name("x1");
            assert_eq!(made.as_deref(), name);
            assert!(made.is_none_or(|made| rooms.own(&made)));
        }
    }
}
