//! The safety net under the logs: masks what looks like a token or a phone number, whoever wrote it.
//!
//! Types that hold such things redact themselves; this catches what arrives as text from elsewhere (a URL in a
//! dependency's error, a server's answer). It over-masks rather than under-masks, and keeps the rest readable.

use std::borrow::Cow;

/// Nothing with fewer digits is worth calling a phone number. There is no upper bound: a number may run into the next one.
const MIN_PHONE_DIGITS: usize = 7;

const TOKEN_MASK: &str = "[token]";
const PHONE_MASK: &str = "[phone]";

/// Masks in `text`:
///
/// - JSON web tokens (`eyJ….….…`) and whatever follows `Bearer `, `Basic ` or `Digest response="`-like credentials,
/// - API keys that begin with `sk-`,
/// - what makes a signed link of S3 work: the values of `X-Amz-Signature`, `X-Amz-Credential` and `X-Amz-Security-Token`,
/// - the password of a URL (`scheme://user:password@host`),
/// - `+` (or `%2B`) with 7 digits or more, which may be grouped by spaces, dots, hyphens and brackets,
/// - the digits behind LiveKit's attributes `sip.phoneNumber` and `sip.trunkPhoneNumber`,
/// - the user part of `sip:`, `sips:` and `tel:` URIs, and the digits of `sip_<digits>` identities and
///   `Phone <digits>` names.
///
/// Borrows when there is nothing to mask, which is the usual case and allocates nothing.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut masked: Option<String> = None;
    let mut kept_from = 0;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        match find(text, at, rest) {
            Some(found) => {
                let out = masked.get_or_insert_with(|| String::with_capacity(text.len()));
                out.push_str(text.get(kept_from..at + found.keep).unwrap_or_default());
                out.push_str(found.mask);
                at += found.keep + found.hide;
                kept_from = at;
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    match masked {
        Some(mut out) => {
            out.push_str(text.get(kept_from..).unwrap_or_default());
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

/// A thing to mask: from here, keep so many bytes, then hide so many.
struct Found {
    keep: usize,
    hide: usize,
    mask: &'static str,
}

fn found_if(sure: bool, keep: usize, hide: usize, mask: &'static str) -> Option<Found> {
    (sure && hide > 0).then_some(Found { keep, hide, mask })
}

fn find(text: &str, at: usize, rest: &str) -> Option<Found> {
    match rest.as_bytes().first()? {
        b'e' => jwt(rest),
        b's' | b'S' => after_word(text, at)
            .then(|| {
                api_key(rest)
                    .or_else(|| sip_user(rest))
                    .or_else(|| digits_after(rest, "sip_"))
            })
            .flatten(),
        b't' | b'T' => after_word(text, at).then(|| uri_user(rest, "tel:")).flatten(),
        b'X' | b'x' => after_word(text, at).then(|| signature(rest)).flatten(),
        b'P' => digits_after(rest, "Phone ").or_else(|| phone_attribute(rest)),
        b'p' => phone_attribute(rest),
        b'B' | b'b' => credential(rest, "bearer ").or_else(|| credential(rest, "basic ")),
        b'+' => phone(rest, 1),
        b'%' => rest
            .get(..3)
            .filter(|code| code.eq_ignore_ascii_case("%2b"))
            .and_then(|_| phone(rest, 3)),
        b':' => url_password(rest),
        _ => None,
    }
}

/// Whether a word begins at `at`, so that `gossip:` is not taken for `sip:`.
fn after_word(text: &str, at: usize) -> bool {
    !text
        .as_bytes()
        .get(..at)
        .and_then(<[u8]>::last)
        .is_some_and(u8::is_ascii_alphanumeric)
}

fn jwt(rest: &str) -> Option<Found> {
    let token = rest.strip_prefix("eyJ")?;
    let length = 3 + run(token, |b| b.is_ascii_alphanumeric() || b"-_.=".contains(&b));
    // `{"` in base64 begins with eyJ; words do not, but be sure that it is long enough to be a header.
    found_if(length >= 12, 0, length, TOKEN_MASK)
}

fn api_key(rest: &str) -> Option<Found> {
    let length = run(rest.strip_prefix("sk-")?, |b| {
        b.is_ascii_alphanumeric() || b"-_".contains(&b)
    });
    found_if(length >= 8, 0, length + 3, TOKEN_MASK)
}

fn credential(rest: &str, scheme: &str) -> Option<Found> {
    let said = rest
        .get(..scheme.len())
        .filter(|said| said.eq_ignore_ascii_case(scheme))?;
    let length = run(rest.get(said.len()..)?, |b| {
        b.is_ascii_alphanumeric() || b"-_.=+/~".contains(&b)
    });
    found_if(length >= 8, said.len(), length, TOKEN_MASK)
}

/// The value of a parameter of a signed URL, `=` and all up to the next one.
fn signature(rest: &str) -> Option<Found> {
    const NAMES: [&str; 3] = ["X-Amz-Signature=", "X-Amz-Credential=", "X-Amz-Security-Token="];
    let said = NAMES.iter().find_map(|name| {
        rest.get(..name.len())
            .filter(|said| said.eq_ignore_ascii_case(name))
    })?;
    let value = rest.get(said.len()..)?;
    let length = run(value, |b| !b.is_ascii_whitespace() && !b"&\"'<>".contains(&b));
    found_if(true, said.len(), length, TOKEN_MASK)
}

fn sip_user(rest: &str) -> Option<Found> {
    uri_user(rest, "sip:").or_else(|| uri_user(rest, "sips:"))
}

/// The user part of a URI when it is a number; other users (`sip:alice@…`) are kept, they may be extensions' names.
fn uri_user(rest: &str, scheme: &str) -> Option<Found> {
    let said = rest
        .get(..scheme.len())
        .filter(|said| said.eq_ignore_ascii_case(scheme))?;
    let user = rest.get(said.len()..)?;
    let length = run(user, |b| {
        b.is_ascii_digit() || b"+%-.()".contains(&b) || b == b'B' || b == b'b'
    });
    let digits = user.get(..length)?.bytes().filter(u8::is_ascii_digit).count();
    found_if(digits >= 3, said.len(), length, PHONE_MASK)
}

fn digits_after(rest: &str, word: &str) -> Option<Found> {
    let number = rest.strip_prefix(word)?;
    let length = usize::from(number.starts_with('+'));
    let digits = run(number.get(length..)?, |b| b.is_ascii_digit());
    found_if(
        digits >= MIN_PHONE_DIGITS,
        word.len(),
        length + digits,
        PHONE_MASK,
    )
}

/// `phoneNumber": "15550100"`, as JSON and `Debug` write it.
fn phone_attribute(rest: &str) -> Option<Found> {
    let (name, value) = rest.split_at_checked("phoneNumber".len())?;
    if !name.eq_ignore_ascii_case("phoneNumber") {
        return None;
    }
    let between = run(value, |b| b"\": =\\(".contains(&b));
    let number = value.get(between..)?;
    let length = run(number, |b| b.is_ascii_digit() || b == b'+');
    found_if(between > 0, name.len() + between, length, PHONE_MASK)
}

/// A number behind a plus sign of `sign` bytes, grouped or not.
fn phone(rest: &str, sign: usize) -> Option<Found> {
    let number = rest.get(sign..)?.as_bytes();
    let (mut digits, mut end) = (0, 0);
    for (at, &byte) in number.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                end = at + 1;
            }
            // One separator between groups, or a bracket beside one.
            b' ' | b'-' | b'.' | b'(' | b')' if digits > 0 && at < end + 2 => {}
            _ => break,
        }
    }
    found_if(digits >= MIN_PHONE_DIGITS, 0, sign + end, PHONE_MASK)
}

/// `://user:password@`, from the first colon on.
fn url_password(rest: &str) -> Option<Found> {
    let authority = rest.strip_prefix("://")?;
    let authority = authority.get(
        ..run(authority, |b| {
            !b.is_ascii_whitespace() && !b"/?#\"'<>".contains(&b)
        }),
    )?;
    let (userinfo, _) = authority.rsplit_once('@')?;
    let (user, password) = userinfo.split_once(':')?;
    found_if(true, "://".len() + user.len() + 1, password.len(), "[secret]")
}

/// How many bytes at the beginning fulfil `allowed`, which must refuse all that is not ASCII.
fn run(text: &str, allowed: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|&b| b.is_ascii() && allowed(b)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_masked_wherever_they_stand() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkifQ.c2lnbmF0dXJl-_";
        for (text, masked) in [
            (
                format!("invalid token: {jwt}, error: x"),
                "invalid token: [token], error: x",
            ),
            (
                format!("ws://h/rtc?access_token={jwt}&v=1"),
                "ws://h/rtc?access_token=[token]&v=1",
            ),
            (
                "Authorization: Bearer abcdefgh12345".into(),
                "Authorization: Bearer [token]",
            ),
            ("key sk-proj-abcDEF123456 refused".into(), "key [token] refused"),
            (
                "https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA%2F20261120&X-Amz-Expires=60&x-amz-signature=0a1b \
                 failed"
                    .into(),
                "https://b.s3.amazonaws.com/k?X-Amz-Credential=[token]&X-Amz-Expires=60&x-amz-signature=[token] failed",
            ),
            (
                "redis://:hunter2@host:6379/0".into(),
                "redis://:[secret]@host:6379/0",
            ),
            ("redis://u:p@ss@host".into(), "redis://u:[secret]@host"),
        ] {
            assert_eq!(mask(&text), masked);
        }
    }

    #[test]
    fn phone_numbers_are_masked_wherever_they_stand() {
        for (text, masked) in [
            ("from +15105550100 to +49 30 1234567.", "from [phone] to [phone]."),
            ("<sip:+15105550100@10.0.0.1:5060>", "<sip:[phone]@10.0.0.1:5060>"),
            ("INVITE sip:15105550100@h SIP/2.0", "INVITE sip:[phone]@h SIP/2.0"),
            ("sips:100200@h tel:5550100", "sips:[phone]@h tel:[phone]"),
            ("identity=sip_+15105550100", "identity=sip_[phone]"),
            ("identity=sip_15105550100", "identity=sip_[phone]"),
            ("name Phone 15105550100", "name Phone [phone]"),
            ("room call-_+15105550100_x8Yz", "room call-_[phone]_x8Yz"),
            ("?to=%2B15105550100", "?to=[phone]"),
            ("+1 (510) 555-0100", "[phone]"),
            (
                r#"{"sip.phoneNumber": "15550100", "sip.trunkPhoneNumber":"100"}"#,
                r#"{"sip.phoneNumber": "[phone]", "sip.trunkPhoneNumber":"[phone]"}"#,
            ),
        ] {
            assert_eq!(mask(text), masked);
        }
    }

    #[test]
    fn harmless_text_is_left_alone_and_not_copied() {
        for text in [
            "",
            "took +12 ms, 1732147200000, 192.168.100.200:50000",
            "2026-11-20T22:15:00+01:00",
            "http://127.0.0.1:7880/twirp ws://[::1]:9",
            "sip:alice@example.org, gossip:1234567, skip-list",
            "RM_4fG7hJ2kL9 EV_abcdef",
            "größe 日本語 eyJ phoneNumber",
        ] {
            assert!(matches!(mask(text), Cow::Borrowed(_)), "{text} -> {}", mask(text));
        }
    }

    proptest! {
        #[test]
        fn no_number_behind_a_plus_survives(before in "\\PC{0,20}", digits in "[1-9][0-9]{9,14}", after in "[^0-9]?\\PC{0,20}") {
            let masked = mask(&format!("{before}+{digits}{after}")).into_owned();
            prop_assert!(!masked.contains(&digits), "{}", masked);
        }

        #[test]
        fn any_text_is_taken(text in "\\PC*") {
            mask(&text);
        }
    }
}
