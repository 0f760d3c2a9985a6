//! `trunks` and `dispatch_rules`.

use super::*;

fn telephony(text: &str) -> Telephony {
    let folder = tempfile::tempdir().unwrap();
    parse_in(folder.path(), text, &least()).unwrap().telephony
}

#[test]
fn what_no_key_sets_is_livekits_default() {
    let telephony = telephony(
        "trunks:\n  inbound:\n  - {name: a, numbers: ['+15550100'], allowed_addresses: [198.51.100.7]}\n  \
         outbound:\n  - {name: b, address: 'sip.example.com:5061', transport: tls, numbers: ['*']}\n\
         dispatch_rules:\n- {name: c, trunks: [a], room: call}\n",
    );
    let inbound = telephony.inbound[0].object();
    assert_eq!(
        (
            inbound.ringing_timeout,
            inbound.media.is_some(),
            inbound.auth_password.as_str()
        ),
        (None, false, "")
    );
    let outbound = telephony.outbound[0].object();
    assert_eq!(
        (outbound.address.as_str(), outbound.transport),
        ("sip.example.com:5061", 3)
    );
    let rule = telephony.rules[0].object(vec!["ST_1".to_owned()]);
    assert_eq!(
        (rule.trunk_ids, rule.room_config),
        (vec!["ST_1".to_owned()], None)
    );
    assert_eq!(telephony.rules[0].trunks, ["a"]);
}

#[test]
fn a_provider_brings_its_networks_and_its_server_unless_the_file_says_others() {
    let telephony = telephony(
        "trunks:\n  inbound:\n  - {name: a, provider: telnyx, numbers: ['+15550100']}\n  \
         - {name: b, provider: telnyx, numbers: ['+15550101'], allowed_addresses: [192.0.2.1]}\n  \
         outbound:\n  - {name: a, provider: novofon, numbers: ['*']}\n  - {name: b, provider: telnyx, address: sip.telnyx.eu, numbers: ['*']}\n",
    );
    let networks = telephony.inbound[0].object().allowed_addresses;
    assert!(networks.contains(&"192.76.120.10".to_owned()), "{networks:?}");
    assert_eq!(telephony.inbound[1].object().allowed_addresses, ["192.0.2.1"]);
    let hosts = telephony.outbound.iter().map(|trunk| trunk.object().address);
    assert_eq!(hosts.collect::<Vec<_>>(), ["sip.novofon.ru", "sip.telnyx.eu"]);
    let (key, _, text) = fault_of("trunks:\n  outbound:\n  - {name: a, provider: twilio, numbers: ['*']}\n");
    assert_eq!(key, "trunks.outbound[0].address");
    assert!(text.contains("pstn.twilio.com"), "{text}");
}

#[test]
fn what_lets_anybody_in_must_be_said() {
    for (text, key) in [
        (
            "trunks:\n  inbound:\n  - {name: a, numbers: ['+15550100']}\n",
            "trunks.inbound[0].allowed_addresses",
        ),
        (
            "trunks:\n  inbound:\n  - {name: a, numbers: ['+15550100'], allowed_addresses: ['::/0']}\n",
            "trunks.inbound[0].allowed_addresses",
        ),
        (
            "trunks:\n  inbound:\n  - {name: a, numbers: ['+15550100'], allowed_addresses: [0.0.0.0/1, 128.0.0.0/1]}\n",
            "trunks.inbound[0].allowed_addresses",
        ),
        (
            "trunks:\n  inbound:\n  - {name: a, numbers: ['+15550100'], allowed_addresses: ['::ffff:0.0.0.0/96']}\n",
            "trunks.inbound[0].allowed_addresses",
        ),
        (
            "trunks:\n  inbound:\n  - {name: a, provider: novofon, numbers: ['+15550100']}\n",
            "trunks.inbound[0].allowed_addresses",
        ),
        (
            "dispatch_rules:\n- {name: a, room: call}\n",
            "dispatch_rules[0].trunks",
        ),
    ] {
        let (found, _, text) = fault_of(text);
        assert_eq!(found, key, "{text}");
    }
    for text in [
        "trunks:\n  inbound:\n  - {name: a, numbers: ['+15550100'], open: true}\n",
        "trunks:\n  inbound:\n  - {name: a, numbers: ['+15550100'], allowed_addresses: [10.0.0.0/8, '2001:db8::/32']}\n",
        "trunks:\n  inbound:\n  - {name: a, auth: {username: u, password: p}}\n",
        "dispatch_rules:\n- {name: a, room: call, any_trunk: true}\n",
    ] {
        assert_eq!(faults_of(text, &least()), [], "{text}");
    }
}

#[test]
fn what_livekit_would_refuse_or_never_match_is_a_fault_with_its_line() {
    const TRUNK: &str =
        "trunks:\n  inbound:\n  - {name: a, numbers: ['+15550100'], allowed_addresses: [192.0.2.1]}\n";
    for (text, key, line, says) in [
        (
            "trunks:\n  inbound:\n  - name: a\n    numbers: ['+15550100']\n    allowed_addresses: [sip.example.com]\n",
            "trunks.inbound[0].allowed_addresses[0]",
            5,
            "LiveKit takes no names",
        ),
        (
            "trunks:\n  outbound:\n  - name: a\n    address: sip:sip.example.com\n    numbers: ['*']\n",
            "trunks.outbound[0].address",
            4,
            "leave sip: out",
        ),
        (
            "trunks:\n  outbound:\n  - {name: a, address: a, numbers: ['*']}\n  - {name: a, address: b, numbers: ['*']}\n",
            "trunks.outbound[1].name",
            4,
            "a name of its own",
        ),
        (
            &format!("{TRUNK}dispatch_rules:\n- name: r\n  trunks: [b]\n  room: call\n"),
            "dispatch_rules[0].trunks[0]",
            6,
            "there is no inbound trunk",
        ),
        (
            &format!("{TRUNK}dispatch_rules:\n- name: r\n  trunks: [a]\n  room: 'call-{{call_id}}'\n"),
            "dispatch_rules[0].room",
            7,
            "between braces",
        ),
        (
            &format!(
                "{TRUNK}dispatch_rules:\n- {{name: r, trunks: [a], room: call, inbound_numbers: ['15550100']}}\n"
            ),
            "dispatch_rules[0].inbound_numbers",
            5,
            "who calls",
        ),
        (
            "trunks:\n  inbound:\n  - {name: a, auth: {username: u}}\n",
            "trunks.inbound[0].auth.password",
            0,
            "it is missing",
        ),
    ] {
        let (found, place, told) = fault_of(text);
        assert_eq!(found, key, "{told}");
        let expected = if line == 0 {
            Place::Nowhere
        } else {
            Place::File(Some(line))
        };
        assert_eq!(place, expected, "{key}");
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn passwords_of_trunks_are_masked_in_logs_and_in_debug() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "trunks:\n  outbound:\n  - {{name: a, address: b, numbers: ['*'], auth: {{username: u, password: {SECRET}}}}}\n"
    );
    let config = parse_in(folder.path(), &text, &least()).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
    let masked = config
        .log
        .secrets
        .iter()
        .filter(|secret| secret.expose() == SECRET);
    // Beside LiveKit's secret, which is the same one here, and its webhook key's.
    assert_eq!(masked.count(), 3);
}
