//! Bearer keys.

use aws_lc_rs::{constant_time, digest};
use platform::config::{AccessKey, Grant};

use crate::{Caller, Rooms};

pub(crate) struct Keys(Vec<Key>);

struct Key {
    hash: [u8; 32],
    name: String,
    grant: Grant,
    rooms: Rooms,
}

impl Keys {
    pub(crate) fn new(keys: &[AccessKey]) -> Self {
        let key = |key: &AccessKey| Key {
            hash: key.hash.0,
            name: key.name.clone(),
            grant: key.grant.clone(),
            rooms: Rooms::new(key.grant.rooms.iter().map(String::as_str)),
        };
        Self(keys.iter().map(key).collect())
    }

    /// Compares with every key in constant time, so that the time tells neither how near it was nor which key it is.
    pub(crate) fn caller(&self, token: &str) -> Option<Caller> {
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        let mut found = None;
        for key in &self.0 {
            if constant_time::verify_slices_are_equal(hash.as_ref(), &key.hash).is_ok() {
                found = Some(key);
            }
        }
        found.map(|key| {
            Caller::new(
                key.name.clone(),
                &key.grant,
                key.rooms.clone(),
                key.grant.scopes.clone(),
            )
        })
    }
}
