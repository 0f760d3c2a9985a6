//! `access`.

use super::*;

const ACCESS: &str = "\
access:
  requests_per_minute: 60
  keys:
    - name: crm
      key: canary-0123456789-0123456789-0123456789
      scopes: [calls:read, calls:write]
      rooms: ['crm-*']
      numbers: ['+1415']
      limits: {concurrent: 2}
      token: {identities: ['web-*'], attributes: [tier], name: true}
  jwt:
    issuer: https://id.example.com
    audience: trunkline
    jwks_url: https://id.example.com/jwks
    scopes: [token:create]
    rooms: ['{sub}~*']
token: {origins: ['https://app.example.com']}
calls:
  targets: {numbers: ['+1'], sip_hosts: [PBX.example.com], special: ['112']}
  trunks: [ST_1]
recordings: {s3: {bucket: b, access_key: a, secret: s3-canary}}
";

#[test]
fn access_is_read_whole_and_its_secrets_are_masked() {
    let folder = tempfile::tempdir().unwrap();
    let config = parse_in(folder.path(), ACCESS, &least()).unwrap();
    let access = config.access.as_ref().unwrap();
    let key = &access.keys[0];
    assert_eq!((key.name.as_str(), access.requests_per_minute), ("crm", 60));
    assert_eq!(key.grant.scopes, [Scope::CallsRead, Scope::CallsWrite]);
    assert_eq!(
        (key.grant.limits.concurrent, key.grant.limits.calls_per_day),
        (2, 200)
    );
    assert!(key.grant.token.name && !key.grant.token.metadata);
    assert_eq!(access.jwt.as_ref().unwrap().grant.rooms, ["{sub}~*"]);
    assert_eq!(config.calls.targets.sip_hosts, ["pbx.example.com"]);
    assert!(!format!("{config:?}").contains("canary"));
    let masked: Vec<&str> = config.log.secrets.iter().map(crate::Secret::expose).collect();
    assert!(masked.contains(&"canary-0123456789-0123456789-0123456789") && masked.contains(&"s3-canary"));
    assert!(parse_in(folder.path(), "", &least()).unwrap().access.is_none());
}

#[test]
fn a_hash_stands_for_its_key() {
    let folder = tempfile::tempdir().unwrap();
    // printf %s canary-0123456789-0123456789-0123456789 | sha256sum
    let hash = crate::config::KeyHash(
        sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            "canary-0123456789-0123456789-0123456789",
        ))
        .into(),
    );
    let hex = hash
        .0
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let text = ACCESS.replace(
        "key: canary-0123456789-0123456789-0123456789",
        &format!("key_sha256: '{hex}'"),
    );
    let config = parse_in(folder.path(), &text, &least()).unwrap();
    assert!(config.access.unwrap().keys[0].hash == hash);
}

#[test]
fn faults_of_access_name_their_keys() {
    let with = |from: &str, to: &str| ACCESS.replace(from, to);
    for (text, key) in [
        ("access: {}".to_owned(), "access.keys"),
        (
            with("key: canary-0123456789-0123456789-0123456789", "key: short"),
            "access.keys[0].key",
        ),
        (
            with("key: canary-0123456789-0123456789-0123456789", "key_sha256: abc"),
            "access.keys[0].key_sha256",
        ),
        (
            with("      key: canary-0123456789-0123456789-0123456789\n", ""),
            "access.keys[0].key_sha256",
        ),
        (
            with("calls:read, calls:write", "calls:all"),
            "access.keys[0].scopes[0]",
        ),
        (with("[calls:read, calls:write]", "[]"), "access.keys[0].scopes"),
        (with("      rooms: ['crm-*']\n", ""), "access.keys[0].rooms"),
        (with("'+1415'", "'1415'"), "access.keys[0].numbers[0]"),
        (
            with("[tier]", "[sip.phoneNumber]"),
            "access.keys[0].token.attributes[0]",
        ),
        (with("name: true", "name: perhaps"), "access.keys[0].token.name"),
        (with("    audience: trunkline\n", ""), "access.jwt.audience"),
        (
            with("https://id.example.com/jwks", "http://id.example.com/jwks"),
            "access.jwt.jwks_url",
        ),
        (
            with("https://app.example.com", "https://app.example.com/"),
            "token.origins[0]",
        ),
        (with("https://app.example.com", "*"), "token.origins[0]"),
        (
            with("special: ['112']", "special: [x]"),
            "calls.targets.special[0]",
        ),
        (
            with("numbers: ['+1']", "numbers: ['0049']"),
            "calls.targets.numbers[0]",
        ),
        (with("bucket: b, ", ""), "recordings.s3.bucket"),
        (with("trunks: [ST_1]", "from: ['+1\t2']"), "calls.from[0]"),
    ] {
        let (fault, _, said) = fault_of(&text);
        assert_eq!(fault, key, "{said}");
        assert!(!said.contains("canary"));
    }
    let twice = ACCESS.replace("  jwt:", "    - name: crm\n      key: other-canary-0123456789-0123456789-0123\n      scopes: [health:read]\n  jwt:");
    assert_eq!(fault_of(&twice).0, "access.keys[1].name");
}

#[test]
fn patterns_of_rooms_by_which_one_subject_has_anothers_are_faults() {
    for (pattern, is_taken) in [
        ("{sub}~*", true),
        ("web-{sub}~*", true),
        ("web-{sub}", true),
        ("*~{sub}~*", true),
        ("lobby-*", true),
        ("{sub}-*", false),
        ("web-{sub}-*", false),
        ("web-{sub}.*", false),
        ("{sub}*", false),
        ("web-{sub}?", false),
        ("*-{sub}~*", false),
        ("?{sub}", false),
        ("{sub}~{sub}", false),
    ] {
        let text = ACCESS.replace("'{sub}~*'", &format!("'{pattern}'"));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            parse_in(folder.path(), &text, &least()).is_ok(),
            is_taken,
            "{pattern}"
        );
        if !is_taken {
            let (key, _, said) = fault_of(&text);
            assert_eq!(key, "access.jwt.rooms[0]");
            assert!(said.contains("{sub}~*"), "{said}");
        }
    }
}
