//! `sip`: TLS, accounts, how much may ring.

use super::*;

#[test]
fn tls_has_its_files_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let text = "sip: {tcp: '0.0.0.0:5060', tls: {listen: '0.0.0.0:5061', certificate: tls/cert.pem, key: /etc/key.pem, \
        authorities: ca.pem}, max_connections: 40}";
    let sip = parse_in(folder.path(), text, &least()).unwrap().sip;
    assert_eq!(sip.tcp.unwrap().to_string(), "0.0.0.0:5060");
    let server = sip.tls.server.unwrap();
    assert_eq!(server.listen.to_string(), "0.0.0.0:5061");
    assert_eq!(server.certificate, folder.path().join("tls/cert.pem"));
    assert_eq!(server.key, std::path::Path::new("/etc/key.pem"));
    assert_eq!(sip.tls.authorities.unwrap(), folder.path().join("ca.pem"));
    assert_eq!(sip.max_connections_per_source, 10);
}

#[test]
fn name_servers_are_addresses_and_keep_alives_may_be_off() {
    let folder = tempfile::tempdir().unwrap();
    let sip = |text: &str| parse_in(folder.path(), text, &least()).unwrap().sip;
    let default = sip("");
    assert_eq!(
        (default.dns, default.keep_alive),
        (Vec::new(), Some(Duration::from_secs(25)))
    );
    let set = sip("sip: {dns: ['2001:db8::53', '192.0.2.54:5353', '[2001:db8::53]:5353'], keep_alive: off}");
    let dns: Vec<String> = set.dns.iter().map(ToString::to_string).collect();
    assert_eq!(
        dns,
        ["[2001:db8::53]:53", "192.0.2.54:5353", "[2001:db8::53]:5353"]
    );
    assert_eq!(set.keep_alive, None);
    let minute = sip("sip: {keep_alive: 1m}");
    assert_eq!(minute.keep_alive, Some(Duration::from_mins(1)));
}

#[test]
fn sounds_lie_beside_the_configuration_and_callers_without_an_agent_go_where_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let sip = |text: &str| parse_in(folder.path(), text, &least()).unwrap().sip;
    let prompt = sip("sip: {no_agent: prompt, sounds: {no_agent: sounds/away.wav, hold: /music.wav}}");
    assert_eq!(prompt.no_agent, SipNoAgent::Prompt);
    assert_eq!(
        prompt.sounds.no_agent.unwrap(),
        folder.path().join("sounds/away.wav")
    );
    assert_eq!(prompt.sounds.hold.unwrap(), std::path::Path::new("/music.wav"));
    assert_eq!(prompt.sounds.pin, None);
    let transfer = sip("sip: {no_agent: transfer, no_agent_target: '+4930123456'}").no_agent;
    assert_eq!(transfer, SipNoAgent::Transfer("+4930123456".to_owned()));
    assert!(!format!("{transfer:?}").contains("4930"), "{transfer:?}");
}

#[test]
fn an_account_is_read_with_what_is_known_of_its_provider() {
    let folder = tempfile::tempdir().unwrap();
    let text = "sip:\n  registrations:\n  - {name: main, provider: novofon, user: '12345', password: 's3cret pass', number: '+74950000000'}\n  \
        - {name: other, server: 'pbx.example.com:5070', transport: tls, user: u, auth_user: a, password: p, domain: example.com, expires: 10m}\n";
    let config = parse_in(folder.path(), text, &least()).unwrap();
    let [main, other] = config.sip.registrations.as_slice() else {
        panic!("{:?}", config.sip.registrations);
    };
    assert_eq!(
        (main.host.as_str(), main.port, main.domain.as_str()),
        ("sip.novofon.ru", None, "sip.novofon.ru")
    );
    assert_eq!(
        (main.transport, main.expires),
        (SipTransport::Udp, Duration::from_mins(2))
    );
    assert_eq!((main.user.as_str(), main.auth_user.as_str()), ("12345", "12345"));
    assert_eq!(main.number.as_deref(), Some("+74950000000"));
    assert_eq!(
        (other.host.as_str(), other.port, other.domain.as_str()),
        ("pbx.example.com", Some(5070), "example.com")
    );
    assert_eq!(
        (other.transport, other.expires),
        (SipTransport::Tls, Duration::from_mins(10))
    );
    assert_eq!((other.auth_user.as_str(), other.password.expose()), ("a", "p"));
    assert!(
        config
            .log
            .secrets
            .iter()
            .any(|secret| secret.expose() == "s3cret pass")
    );
    assert!(!format!("{config:?}").contains("s3cret pass"));
}

#[test]
fn what_no_account_can_be_is_refused_with_its_key() {
    let good = "name: a, server: h, user: u, password: p";
    for (entry, key) in [
        ("server: h, user: u, password: p".to_owned(), "name"),
        ("name: a, user: u, password: p".to_owned(), "server"),
        ("name: a, server: h, password: p".to_owned(), "user"),
        ("name: a, server: h, user: u".to_owned(), "password"),
        (good.replace("server: h", "server: 'h:x'"), "server"),
        (good.replace("server: h", "server: 'a@h'"), "server"),
        (good.replace("user: u", "user: 'a b'"), "user"),
        (good.replace("user: u", "user: 'a@h'"), "user"),
        (format!("{good}, provider: nobody"), "provider"),
        (format!("{good}, transport: sctp"), "transport"),
        (format!("{good}, expires: 5s"), "expires"),
        (format!("{good}, number: 'a b'"), "number"),
        (format!("{good}, passwd: p"), "passwd"),
    ] {
        let text = format!("sip: {{registrations: [{{{entry}}}]}}");
        let folder = tempfile::tempdir().unwrap();
        let faults = parse_in(folder.path(), &text, &least()).unwrap_err();
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, [format!("sip.registrations[0].{key}")], "{entry}");
    }
    let text = format!("sip: {{registrations: [{{{good}}}, {{{good}}}]}}");
    let folder = tempfile::tempdir().unwrap();
    let faults = parse_in(folder.path(), &text, &least()).unwrap_err();
    assert_eq!(faults.iter().next().unwrap().key, "sip.registrations[1].name");
}

#[test]
fn more_slots_let_more_calls_ring_and_one_source_never_takes_all() {
    for (text, expected) in [
        ("worker: {slots: 1}", (8, 6)),
        ("worker: {slots: 50}", (100, 75)),
        ("sip: {max_ringing: 1}", (1, 1)),
        ("sip: {max_ringing: 2}", (2, 1)),
        ("sip: {max_ringing: 20}", (20, 15)),
        ("sip: {max_ringing_per_source: 16}", (16, 16)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sip = parse_in(folder.path(), text, &least()).unwrap().sip;
        assert_eq!((sip.max_ringing, sip.max_ringing_per_source), expected, "{text}");
    }
}

#[test]
fn without_a_gateway_no_address_is_asked_for() {
    let text = format!(
        "livekit: {{api_key: key, api_secret: {}}}\nsip: {{listen: \"0.0.0.0:5060\"}}\n",
        "s".repeat(40)
    );
    let env = BTreeMap::new();
    let faults = parse(&text, None, Path::new("."), &env).unwrap_err();
    assert_eq!(faults.iter().next().unwrap().key, "sip.advertised_address");
    let config = parse(&text, None, Path::new("."), &WithoutGateway(env)).unwrap();
    assert_eq!(config.sip.listen.port(), 0);
}
