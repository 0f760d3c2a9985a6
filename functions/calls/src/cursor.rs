//! Cursors of lists in which there are other callers' calls as well: sealed, so that nobody learns of those from a cursor, or by making
//! one up.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use platform::Secret;

/// A nonce, a tag, and an id, in base64.
const MAX_BYTES: usize = 256;

/// Seals the places of lists and opens them. Every process with the same secret takes the cursors of all.
#[derive(Clone)]
pub struct Cursors(Arc<RandomizedNonceKey>);

/// What a cursor holds for: its caller, and the list.
pub(crate) type For<'a> = (&'a str, &'a str);

impl Cursors {
    /// Derives its key from `secret`, so that what is made here serves for nothing else.
    ///
    /// # Panics
    /// Never: the key has the length that the cipher takes.
    pub fn new(secret: &Secret) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let derived = hmac::sign(&secret, b"trunkline cursors of lists, 1");
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, derived.as_ref());
        Self(Arc::new(key.expect("32 bytes")))
    }

    /// The cursor behind `id`; `None` when the machine has no randomness.
    pub(crate) fn seal(&self, id: &str, of: For<'_>) -> Option<String> {
        let mut sealed = id.as_bytes().to_vec();
        let nonce = self.0.seal_in_place_append_tag(aad(of), &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &sealed].concat()))
    }

    /// The id behind which `cursor` stands; `None` when it was not made here, or not for this.
    pub(crate) fn open(&self, cursor: &str, of: For<'_>) -> Option<String> {
        if cursor.len() > MAX_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk()?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let id = self.0.open_in_place(nonce, aad(of), &mut sealed).ok()?;
        String::from_utf8(id.to_vec()).ok()
    }
}

impl fmt::Debug for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursors")
    }
}

/// A list's name has no line break.
fn aad((caller, list): For<'_>) -> Aad<Vec<u8>> {
    Aad::from(format!("{list}\n{caller}").into_bytes())
}
