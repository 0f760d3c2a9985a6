//! Links of our own: a path with an end and a signature.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use events::CallId;
use platform::Secret;

/// Signs links to recordings and checks them. Every process with the same secret takes the links of all.
#[derive(Clone)]
pub struct Signer(hmac::Key);

/// Why a link does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLink {
    /// Its time is over.
    #[error("the link is no longer good")]
    Expired,
    /// It was not made here, or not like this.
    #[error("the link is not one of ours")]
    Forged,
}

impl Signer {
    /// Derives its key from `secret`, so that nothing that is signed with the secret itself, as LiveKit's tokens are, can be taken for a link.
    pub fn new(secret: &Secret) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let derived = hmac::sign(&secret, b"trunkline links to recordings, 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The signature of a link to the recording of `call` that is good until `expires` (seconds since 1970).
    pub(crate) fn sign(&self, call: &CallId, expires: i64) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, message(call, expires).as_bytes()))
    }

    /// Checks a link at the moment `now` (seconds since 1970), in a time that does not tell how much of the signature is right.
    pub(crate) fn check(
        &self,
        call: &CallId,
        expires: i64,
        signature: &str,
        now: i64,
    ) -> Result<(), BadLink> {
        let tag = URL_SAFE_NO_PAD.decode(signature).map_err(|_| BadLink::Forged)?;
        hmac::verify(&self.0, message(call, expires).as_bytes(), &tag).map_err(|_| BadLink::Forged)?;
        if now < expires {
            Ok(())
        } else {
            Err(BadLink::Expired)
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// An id has no line break.
fn message(call: &CallId, expires: i64) -> String {
    format!("{call}\n{expires}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_for_its_call_until_its_end_and_for_nothing_else() {
        let signer = Signer::new(&Secret::new("s3cret"));
        let (call, other) = (CallId::new("RM_a").unwrap(), CallId::new("RM_b").unwrap());
        let signature = signer.sign(&call, 1_000);
        assert_eq!(signer.check(&call, 1_000, &signature, 999), Ok(()));
        assert_eq!(
            signer.check(&call, 1_000, &signature, 1_000),
            Err(BadLink::Expired)
        );
        for (call, expires, signature) in [
            (&other, 1_000, signature.as_str()),
            (&call, 1_001, &signature),
            (&call, i64::MAX, &signature),
            (&call, 1_000, ""),
            (&call, 1_000, &signature[..20]),
            (&call, 1_000, &signer.sign(&other, 1_000)),
            (
                &call,
                1_000,
                &Signer::new(&Secret::new("other")).sign(&call, 1_000),
            ),
        ] {
            assert_eq!(signer.check(call, expires, signature, 999), Err(BadLink::Forged));
        }
        let tampered = signature.replace(
            &signature[..1],
            if signature.starts_with('A') { "B" } else { "A" },
        );
        assert_eq!(signer.check(&call, 1_000, &tampered, 999), Err(BadLink::Forged));
        assert_eq!(format!("{signer:?}"), "Signer");
    }
}
