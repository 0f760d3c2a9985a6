//! `a=crypto` (RFC 4568).

use crate::srtp::{MasterKey, Suite};

/// A peer's offer of a key that can be used as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crypto {
    pub(super) tag: u32,
    pub(super) suite: Suite,
    pub(super) key: MasterKey,
}

impl Crypto {
    /// `None` for suites that we do not have, and for what would change a suite: key identifiers, several keys, parameters that ask for
    /// less protection or for new keys on the way (RFC 4568 §6.1, §6.3).
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (tag, suite, key) = (words.next()?, words.next()?, words.next()?);
        // A hint on how late packets may come, and what its writer says may be ignored (§6.3.7).
        let can_be_ignored = |parameter: &str| parameter.starts_with("WSH=") || parameter.starts_with('-');
        if !words.all(can_be_ignored) {
            return None;
        }
        // How long the key is good for is between its owner and its packets: it is the one that has to end them.
        let (key, lifetime) = match key.strip_prefix("inline:")?.split_once('|') {
            Some((key, lifetime)) => (key, lifetime),
            None => (key.strip_prefix("inline:")?, ""),
        };
        if lifetime.contains([':', '|', ';']) {
            return None;
        }
        Some(Self {
            tag: tag.parse().ok()?,
            suite: Suite::from_name(suite)?,
            key: MasterKey::parse(key)?,
        })
    }
}

/// Our side of it.
pub(super) fn line(tag: u32, suite: Suite, key: MasterKey) -> String {
    format!("{tag} {} inline:{}", suite.name(), key.to_base64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn usual_lines_are_read() {
        let suite = "AES_CM_128_HMAC_SHA1_80";
        for (line, tag) in [
            (format!("1 {suite} {KEY}"), 1),
            (format!("2 {suite} {KEY}|2^31"), 2),
            (format!("3 {suite} {KEY}|1048576 WSH=128 -x=1"), 3),
            (format!("999999999 aes_cm_128_hmac_sha1_80  {KEY}"), 999_999_999),
        ] {
            let crypto = Crypto::parse(&line).expect(&line);
            assert_eq!(
                (crypto.tag, crypto.suite),
                (tag, Suite::Aes128CmSha1_80),
                "{line}"
            );
            assert!(!format!("{crypto:?}").contains("WVNf"));
        }
        let crypto = Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_32 {KEY}")).unwrap();
        assert_eq!(
            line(7, crypto.suite, crypto.key),
            format!("7 AES_CM_128_HMAC_SHA1_32 {KEY}")
        );
    }

    #[test]
    fn what_would_change_the_suite_is_left_alone() {
        let suite = "AES_CM_128_HMAC_SHA1_80";
        for line in [
            String::new(),
            format!("x {suite} {KEY}"),
            format!("1 AEAD_AES_256_GCM {KEY}"),
            format!("1 {suite} inline:AAAA"),
            format!("1 {suite} {}", KEY.trim_start_matches("inline:")),
            format!("1 {suite} {KEY}|2^20|1:4"),
            format!("1 {suite} {KEY}|1:4"),
            format!("1 {suite} {KEY}|2^20;{KEY}"),
            format!("1 {suite} {KEY};{KEY}"),
            format!("1 {suite} {KEY} UNENCRYPTED_SRTP"),
            format!("1 {suite} {KEY} UNAUTHENTICATED_SRTP"),
            format!("1 {suite} {KEY} KDR=1"),
        ] {
            assert_eq!(Crypto::parse(&line), None, "{line}");
        }
    }
}
