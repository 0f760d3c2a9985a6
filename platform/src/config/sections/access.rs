use std::collections::BTreeSet;

use events::{ProfileName, agents::Pattern};

use super::not_empty;
use crate::{
    Secret,
    config::{
        access::{
            AccessConfig, AccessKey, CallerLimits, Grant, IdentityProvider, KeyHash, NumberPrefix, Scope,
            TokenConfig, TokenGrant,
        },
        fault::Place,
        reader::{Context, Section, by, parsed, scalar},
        values::{Wrong, flag, origin, url, whole_number, wrong},
    },
};

/// What stands for a token's subject in the patterns of an identity provider.
const SUBJECT: &str = "{sub}";
const MIN_KEY_CHARS: usize = 32;

/// `None` when there is no such section.
pub(super) fn access(cx: &Context<'_>, there: bool, mut section: Section<'_>) -> Option<AccessConfig> {
    if !there {
        return None;
    }
    if !section.has("keys") && !section.has("jwt") && !section.is_faulty() {
        cx.fault(
            section.path("keys"),
            section.place(),
            "there are neither keys nor an identity provider, so that nobody may do anything",
            "set access.keys or access.jwt, or leave access out, and the API is not served",
        );
    }
    let requests_per_minute = section.or("requests_per_minute", 600, number(1..=100_000));
    let items = section.list("keys").unwrap_or_default();
    let keys: Vec<(Place, AccessKey)> = items
        .into_iter()
        .filter_map(|(path, item)| key(cx, Section::of(cx, path, item)))
        .collect();
    keys_differ(cx, &keys);
    let has_jwt = section.has("jwt");
    let jwt = section.section("jwt");
    let jwt = if has_jwt { provider(cx, jwt) } else { None };
    section.finish();
    Some(AccessConfig {
        keys: keys.into_iter().map(|(_, key)| key).collect(),
        jwt,
        requests_per_minute,
    })
}

fn key(cx: &Context<'_>, mut section: Section<'_>) -> Option<(Place, AccessKey)> {
    let place = section.place();
    let remedy = "give the key a name for the logs, of letters, digits, _ and -";
    let name = section.required(
        "name",
        &[],
        remedy,
        by(
            |text: &str| ProfileName::new(text).map(String::from),
            "1 to 64 letters, digits, _ and -",
        ),
    );
    let (plain, hash) = if section.has("key") {
        let plain = section.required("key", &[], "", bearer_key);
        if section.has("key_sha256") {
            cx.fault(
                section.path("key_sha256"),
                section.place(),
                "key is set too",
                "leave one of them out",
            );
        }
        let _ = section.raw("key_sha256", &[]);
        let hash = plain.as_ref().map(|plain| KeyHash(sha256(plain.expose())));
        (plain, hash)
    } else {
        let remedy = "set it to the hash that `printf %s \"$KEY\" | sha256sum` prints, or set key";
        let hash = section.required("key_sha256", &[], remedy, key_hash);
        let _ = section.raw("key", &[]);
        (None, hash)
    };
    let grant = grant(cx, &mut section, rooms);
    section.finish();
    let key = AccessKey {
        name: name?,
        hash: hash?,
        key: plain,
        grant: grant?,
    };
    Some((place, key))
}

fn keys_differ(cx: &Context<'_>, keys: &[(Place, AccessKey)]) {
    let mut seen = BTreeSet::new();
    for (at, (place, key)) in keys.iter().enumerate() {
        let path = |name: &str| format!("access.keys[{at}].{name}");
        if !seen.insert(key.name.as_bytes().to_vec()) {
            cx.fault(
                path("name"),
                place.clone(),
                "another key has this name",
                "give each key a name of its own",
            );
        }
        if !seen.insert(key.hash.0.to_vec()) {
            cx.fault(
                path("key"),
                place.clone(),
                "another entry has this key",
                "make one by `openssl rand -hex 32` for each caller",
            );
        }
    }
}

fn provider(cx: &Context<'_>, mut section: Section<'_>) -> Option<IdentityProvider> {
    let issuer = section.required(
        "issuer",
        &[],
        "set it to the `iss` of the provider's tokens",
        not_empty,
    );
    let audience = section.required("audience", &[], "set it to the `aud` of the tokens", not_empty);
    let remedy = "set it to the provider's `jwks_uri`";
    let jwks_url = section.required("jwks_url", &[], remedy, url("https", "http"));
    let grant = grant(cx, &mut section, subjects_rooms);
    section.finish();
    Some(IdentityProvider {
        issuer: issuer?,
        audience: audience?,
        jwks_url: jwks_url?,
        grant: grant?,
    })
}

fn grant(
    cx: &Context<'_>,
    section: &mut Section<'_>,
    rooms: fn(&str) -> Result<String, Wrong>,
) -> Option<Grant> {
    let place = section.place();
    let scope = |text: &str| match text.parse::<Scope>() {
        Ok(scope) => Ok(scope),
        Err(_) => wrong(
            format!("\"{text}\" is no scope"),
            format!("use some of {}", Scope::ALL.map(Scope::as_str).join(", ")),
        ),
    };
    let scopes = items(cx, section, "scopes", scope);
    let rooms = items(cx, section, "rooms", rooms);
    let remedy = "write the beginning of numbers like \"+4930\"";
    let numbers = items(cx, section, "numbers", |text| {
        by(str::parse::<NumberPrefix>, remedy)(text)
    });
    let limits = limits(section.section("limits"));
    let token = token_grant(cx, section.section("token"));
    let (scopes, rooms, numbers) = (scopes?, rooms?, numbers?);
    if scopes.is_empty() && !section.is_faulty() {
        cx.fault(
            section.path("scopes"),
            place.clone(),
            "there is none, so that nothing is allowed",
            format!("use some of {}", Scope::ALL.map(Scope::as_str).join(", ")),
        );
    }
    if rooms.is_empty() && scopes.iter().any(|scope| *scope != Scope::HealthRead) {
        cx.fault(
            section.path("rooms"),
            place,
            "there is none, and all scopes but health:read are about rooms",
            "name the rooms that are the caller's own, such as [\"web-*\"]; [\"*\"] are all",
        );
    }
    Some(Grant {
        scopes,
        rooms,
        numbers,
        limits,
        token: token?,
    })
}

fn rooms(text: &str) -> Result<String, Wrong> {
    by(Pattern::new, "write names like \"web-*\"")(text).map(|_| text.to_owned())
}

/// Subjects are of any length and may begin with one another: only what none can hold ends one, so that no subject's rooms are another's.
fn subjects_rooms(text: &str) -> Result<String, Wrong> {
    let text = rooms(text)?;
    let Some((before, after)) = text.split_once(SUBJECT) else {
        return Ok(text);
    };
    let begins = !before.contains(['*', '?']) || before.ends_with('~');
    let ends = after.is_empty() || after.starts_with('~');
    if begins && ends && !after.contains(SUBJECT) {
        return Ok(text);
    }
    wrong(
        format!("\"{text}\" gives a subject the rooms of others whose subjects begin or end alike"),
        "write ~ behind {sub}, like \"web-{sub}~*\": no subject has one; also before it where * or ? stands there; and {sub} once",
    )
}

fn limits(mut section: Section<'_>) -> CallerLimits {
    let default = CallerLimits::default();
    let limits = CallerLimits {
        concurrent: section.or("concurrent", default.concurrent, number(1..=1_000)),
        calls_per_day: section.or("calls_per_day", default.calls_per_day, number(1..=1_000_000)),
        minutes_per_day: section.or("minutes_per_day", default.minutes_per_day, number(1..=1_000_000)),
    };
    section.finish();
    limits
}

fn token_grant(cx: &Context<'_>, mut section: Section<'_>) -> Option<TokenGrant> {
    let remedy = "write identities like \"web-*\"";
    let identities = items(cx, &mut section, "identities", |text| {
        by(Pattern::new, remedy)(text)
    });
    let attributes = items(cx, &mut section, "attributes", attribute);
    let agents = items(cx, &mut section, "agents", not_empty);
    let grant = TokenGrant {
        name: section.or("name", false, flag),
        metadata: section.or("metadata", false, flag),
        room_config: section.or("room_config", false, flag),
        ..TokenGrant::default()
    };
    section.finish();
    Some(TokenGrant {
        identities: identities?,
        attributes: attributes?,
        agents: agents?,
        ..grant
    })
}

pub(super) fn token(cx: &Context<'_>, mut section: Section<'_>) -> TokenConfig {
    let server_url = section
        .raw("server_url", &[])
        .and_then(|found| parsed(cx, &found, url("wss", "ws")));
    let origins = items(cx, &mut section, "origins", origin).unwrap_or_default();
    section.finish();
    TokenConfig { server_url, origins }
}

/// `None` when one of them is wrong. All of them are reported.
pub(super) fn items<T>(
    cx: &Context<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    parse: impl Fn(&str) -> Result<T, Wrong>,
) -> Option<Vec<T>> {
    let found: Vec<Option<T>> = section
        .list(key)
        .unwrap_or_default()
        .into_iter()
        .map(|(path, item)| parsed(cx, &scalar(cx, path, item)?, &parse))
        .collect();
    found.into_iter().collect()
}

pub(super) fn number(bounds: std::ops::RangeInclusive<usize>) -> impl FnOnce(&str) -> Result<u32, Wrong> {
    move |text| whole_number(bounds)(text).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// Attributes that LiveKit or this program reads are not for clients.
fn attribute(text: &str) -> Result<String, Wrong> {
    let name = not_empty(text)?;
    match ["sip.", "lk.", "trunkline."]
        .iter()
        .find(|reserved| name.to_ascii_lowercase().starts_with(**reserved))
    {
        Some(reserved) => wrong(
            format!("names that begin with {reserved} are reserved"),
            "choose another name",
        ),
        None => Ok(name),
    }
}

/// Nothing of the key goes into a fault but its length.
fn bearer_key(text: &str) -> Result<Secret, Wrong> {
    let fits = text.len() >= MIN_KEY_CHARS && text.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        return Ok(Secret::new(text));
    }
    wrong(
        format!(
            "a key has at least {MIN_KEY_CHARS} visible ASCII characters, and this one has {} characters",
            text.chars().count()
        ),
        "make one by `openssl rand -hex 32`",
    )
}

fn key_hash(text: &str) -> Result<KeyHash, Wrong> {
    let remedy = "set it to the 64 digits that `printf %s \"$KEY\" | sha256sum` prints";
    let digit = |at: usize| text.get(at * 2..at * 2 + 2).filter(|pair| pair.is_ascii());
    let mut hash = [0; 32];
    let all = text.len() == 64
        && hash.iter_mut().enumerate().all(|(at, byte)| {
            let parsed = digit(at).and_then(|pair| u8::from_str_radix(pair, 16).ok());
            parsed.is_some_and(|value| {
                *byte = value;
                true
            })
        });
    if all && !text.contains('+') {
        Ok(KeyHash(hash))
    } else {
        wrong("it is no SHA-256 of 64 hexadecimal digits", remedy)
    }
}

fn sha256(text: &str) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).into()
}
