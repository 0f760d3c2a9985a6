//! Where calls and registrations go: names asked of a real name server, hosts that fail, peers that are nothing but text.

use std::net::SocketAddr;
use std::time::Duration;

use dev::NameServer;
use sip::admission::Limits;
use sip::digest::client::Login;
use sip::{
    Account, CallEvent, Destination, HostFault, LocateError, Outgoing, RsipStack, SipConfig, SipStack,
    SipUri, Transport,
};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::{Instant, sleep, timeout};

use crate::dial::{any_event, dial, event, to};
use crate::peer::{Peer, header};
use crate::stream_peer::StreamPeer;
use crate::{SHORT_T1, SOON, config, drained};

/// Of the name server's answers, where nobody waits for their end.
const LASTING: Duration = Duration::from_mins(10);
/// Where nobody listens.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 77, 0, 1)), 9);

async fn names(records: &[String], ttl: Duration) -> NameServer {
    NameServer::start(records, ttl).await.expect("a name server")
}

async fn stack(dns: SocketAddr) -> RsipStack {
    RsipStack::start(SipConfig {
        dns: vec![dns],
        t1: SHORT_T1,
        ..config(Limits::default())
    })
    .await
    .expect("stack")
}

/// An SRV record of `pbx.test`, with a host of its own.
fn host(service: &str, name: &str, port: u16, priority: u16, weight: u16) -> [String; 2] {
    [
        format!("srv-host={service}.pbx.test,{name}.pbx.test,{port},{priority},{weight}"),
        format!("host-record={name}.pbx.test,127.0.0.1"),
    ]
}

/// First `a`, then `b`.
fn two_hosts(service: &str, a: SocketAddr, b: SocketAddr) -> Vec<String> {
    vec![
        format!("srv-host={service}.pbx.test,a.pbx.test,{},10,0", a.port()),
        format!("host-record=a.pbx.test,{}", a.ip()),
        format!("srv-host={service}.pbx.test,b.pbx.test,{},20,0", b.port()),
        format!("host-record=b.pbx.test,{}", b.ip()),
    ]
}

async fn locate(stack: &RsipStack, host: &str, transport: Transport) -> Result<Vec<String>, LocateError> {
    let found = stack.dialer().locate(host, None, transport).await?;
    Ok(found.iter().map(|host| host.address.to_string()).collect())
}

/// A call to `pbx.test`, to where it is found.
async fn outgoing(stack: &RsipStack, transport: Transport) -> Outgoing {
    let destinations = stack.dialer().locate("pbx.test", None, transport).await;
    Outgoing {
        destinations: destinations.expect("found"),
        to: SipUri {
            user: "+15557777".into(),
            host: "pbx.test".into(),
            port: None,
        },
        ..to(NOBODY)
    }
}

/// Until the last event: which hosts were tried, each with what came of it.
async fn tried(call: &mut sip::PlacedCall) -> (Vec<(u16, Option<HostFault>)>, CallEvent) {
    let mut hosts = Vec::new();
    loop {
        match any_event(call).await {
            CallEvent::Trying(Destination { address, .. }) => hosts.push((address.port(), None)),
            CallEvent::HostFailed(fault) => hosts.last_mut().expect("a host").1 = Some(fault),
            last => return (hosts, last),
        }
    }
}

#[tokio::test]
async fn a_silent_host_is_passed_over_and_tried_last_by_the_next_call() {
    let mut silent = Peer::bind(NOBODY).await;
    let mut there = Peer::bind(NOBODY).await;
    let second = there.local_addr();
    let names = names(&two_hosts("_sip._udp", silent.local_addr(), second), LASTING).await;
    // A silent host has 0.8 s; the transaction would have 6.4.
    let mut stack = RsipStack::start(SipConfig {
        dns: vec![names.address()],
        t1: Duration::from_millis(100),
        ..config(Limits::default())
    })
    .await
    .expect("stack");
    there.talk_to(stack.local_addr());
    let (a, b) = (silent.local_addr().port(), second.port());

    let begun = Instant::now();
    let mut call = dial(&stack, outgoing(&stack, Transport::Udp).await);
    let unheard = silent.expect("INVITE ").await;
    let invite = there.expect("INVITE ").await;
    let after = begun.elapsed();
    println!("the next host was asked after {after:?}");
    assert!(
        (Duration::from_millis(800)..Duration::from_secs(4)).contains(&after),
        "{after:?}"
    );
    assert!(
        invite.starts_with("INVITE sip:+15557777@pbx.test SIP/2.0\r\n"),
        "{invite}"
    );
    // RFC 3263 §4.3: the same but for the branch.
    for name in ["Call-ID", "From", "To", "CSeq", "Contact"] {
        assert_eq!(header(&unheard, name), header(&invite, name), "{name}");
    }
    assert_ne!(header(&unheard, "Via"), header(&invite, "Via"));
    there.respond(&invite, "200 OK", "uas", "", "v=0 answer").await;
    let (hosts, last) = tried(&mut call).await;
    assert_eq!(hosts, [(a, Some(HostFault::NoAnswer)), (b, None)]);
    assert!(matches!(last, CallEvent::Answered(_)), "{last:?}");
    call.control.bye(None).await.expect("open");
    let bye = there.expect("BYE ").await;
    there.answer(&bye, "200 OK").await;
    assert!(matches!(event(&mut call).await, CallEvent::Ended));

    let mut call = dial(&stack, outgoing(&stack, Transport::Udp).await);
    let invite = there.expect("INVITE ").await;
    there.respond(&invite, "486 Busy Here", "uas", "", "").await;
    let (hosts, last) = tried(&mut call).await;
    assert_eq!(hosts, [(b, None)]);
    assert!(matches!(last, CallEvent::Refused { code: 486, .. }), "{last:?}");
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_host_that_wakes_up_too_late_is_told_that_nobody_wants_it_any_more() {
    let mut late = Peer::bind(NOBODY).await;
    let mut there = Peer::bind(NOBODY).await;
    let second = there.local_addr();
    let names = names(&two_hosts("_sip._udp", late.local_addr(), second), LASTING).await;
    let mut stack = stack(names.address()).await;
    late.talk_to(stack.local_addr());
    there.talk_to(stack.local_addr());
    let mut call = dial(&stack, outgoing(&stack, Transport::Udp).await);
    let unheard = late.expect("INVITE ").await;
    let invite = there.expect("INVITE ").await;
    late.respond(&unheard, "180 Ringing", "late", "", "").await;
    let cancel = late.expect("CANCEL ").await;
    assert_eq!(header(&cancel, "Via"), header(&unheard, "Via"));
    there.respond(&invite, "200 OK", "uas", "", "v=0 answer").await;
    let (hosts, last) = tried(&mut call).await;
    assert_eq!(hosts.len(), 2, "{hosts:?}");
    assert!(matches!(last, CallEvent::Answered(_)), "{last:?}");
    // It was answered all the same.
    late.respond(&unheard, "200 OK", "late", "", "v=0").await;
    late.expect("BYE ").await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_503_goes_on_to_the_next_host_and_says_for_how_long() {
    let (mut full, mut there) = (Peer::bind(NOBODY).await, Peer::bind(NOBODY).await);
    let (first, second) = (full.local_addr(), there.local_addr());
    let names = names(&two_hosts("_sip._udp", first, second), LASTING).await;
    let mut stack = stack(names.address()).await;
    full.talk_to(stack.local_addr());
    there.talk_to(stack.local_addr());
    let (a, b) = (first.port(), second.port());
    // It wants to be asked again at once, and so it is; then it says nothing of that.
    for retry_after in ["Retry-After: 0\r\n", ""] {
        let mut call = dial(&stack, outgoing(&stack, Transport::Udp).await);
        let refused = full.expect("INVITE ").await;
        full.respond(&refused, "503 Service Unavailable", "full", retry_after, "")
            .await;
        full.expect("ACK ").await;
        let invite = there.expect("INVITE ").await;
        there.respond(&invite, "180 Ringing", "uas", "", "").await;
        let (hosts, progress) = tried(&mut call).await;
        assert_eq!(hosts, [(a, Some(HostFault::Unavailable)), (b, None)]);
        assert!(
            matches!(progress, CallEvent::Progress { code: 180, .. }),
            "{progress:?}"
        );
        there.respond(&invite, "486 Busy Here", "uas", "", "").await;
        let last = event(&mut call).await;
        assert!(matches!(last, CallEvent::Refused { code: 486, .. }), "{last:?}");
    }
    // What has rung is refused, and does not ring elsewhere.
    let mut call = dial(&stack, outgoing(&stack, Transport::Udp).await);
    let invite = there.expect("INVITE ").await;
    there.respond(&invite, "180 Ringing", "uas", "", "").await;
    there
        .respond(&invite, "503 Service Unavailable", "uas", "", "")
        .await;
    assert_eq!(tried(&mut call).await.0, [(b, None)]);
    let last = any_event(&mut call).await;
    assert!(matches!(last, CallEvent::Refused { code: 503, .. }), "{last:?}");
    // All of them: the last word is the call's.
    let mut call = dial(&stack, outgoing(&stack, Transport::Udp).await);
    for peer in [&mut there, &mut full] {
        let invite = peer.expect("INVITE ").await;
        peer.respond(&invite, "503 Service Unavailable", "full", "", "")
            .await;
    }
    let (hosts, last) = tried(&mut call).await;
    let unavailable = Some(HostFault::Unavailable);
    assert_eq!(hosts, [(b, unavailable), (a, unavailable)]);
    assert!(matches!(last, CallEvent::Refused { code: 503, .. }), "{last:?}");
    drained(&stack).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_host_that_takes_no_connection_is_passed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let there = listener.local_addr().expect("bound");
    let names = names(&two_hosts("_sip._tcp", NOBODY, there), LASTING).await;
    let mut stack = stack(names.address()).await;
    let mut call = dial(&stack, outgoing(&stack, Transport::Tcp).await);
    let (stream, server) = timeout(SOON, listener.accept())
        .await
        .expect("in time")
        .expect("accepted");
    let mut peer = StreamPeer::over(stream, Transport::Tcp, there, server);
    let invite = peer.expect("INVITE ").await;
    peer.respond(&invite, "486 Busy Here", ";tag=uas", "").await;
    let (hosts, last) = tried(&mut call).await;
    assert_eq!(
        hosts,
        [
            (NOBODY.port(), Some(HostFault::NotConnected)),
            (there.port(), None)
        ]
    );
    assert!(matches!(last, CallEvent::Refused { code: 486, .. }), "{last:?}");
    stack.shutdown().await;
}

#[tokio::test]
async fn a_host_where_nobody_listens_is_passed_over_at_once_and_the_socket_goes_on() {
    let mut peer = Peer::bind(NOBODY).await;
    let there = peer.local_addr();
    let names = names(&two_hosts("_sip._udp", NOBODY, there), LASTING).await;
    // With RFC 3261's T1 a silent host would be waited for four seconds.
    let mut stack = RsipStack::start(SipConfig {
        dns: vec![names.address()],
        max_calls: 50,
        ..config(Limits::default())
    })
    .await
    .expect("stack");
    peer.talk_to(stack.local_addr());
    let begun = Instant::now();
    let mut call = dial(&stack, outgoing(&stack, Transport::Udp).await);
    let invite = peer.expect("INVITE ").await;
    println!("the next host was asked after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    peer.respond(&invite, "200 OK", "uas", "", "v=0").await;
    let (hosts, last) = tried(&mut call).await;
    assert_eq!(
        hosts,
        [
            (NOBODY.port(), Some(HostFault::NotConnected)),
            (there.port(), None)
        ]
    );
    assert!(matches!(last, CallEvent::Answered(_)), "{last:?}");
    peer.expect("ACK ").await;
    // What comes of one datagram surfaces at the next, which is sent all the same.
    for number in 0..10 {
        let call = |there, name: &str| Outgoing {
            call_id: format!("{name}-{number}"),
            ..to(there)
        };
        let _dead = dial(&stack, call(NOBODY, "dead"));
        let mut live = dial(&stack, call(there, "live"));
        let call_id = format!("Call-ID: live-{number}\r\n");
        let invite = peer
            .find(|message| message.starts_with("INVITE ") && message.contains(&call_id))
            .await;
        peer.respond(&invite, "486 Busy Here", "uas", "", "").await;
        let last = event(&mut live).await;
        assert!(matches!(last, CallEvent::Refused { code: 486, .. }), "{last:?}");
    }
    stack.shutdown().await;
}

#[tokio::test]
async fn whoever_gives_up_while_hosts_are_silent_ends_the_call() {
    let (silent, other) = (Peer::bind(NOBODY).await, Peer::bind(NOBODY).await);
    let names = names(
        &two_hosts("_sip._udp", silent.local_addr(), other.local_addr()),
        LASTING,
    )
    .await;
    let mut stack = stack(names.address()).await;
    let mut call = dial(&stack, outgoing(&stack, Transport::Udp).await);
    assert!(matches!(any_event(&mut call).await, CallEvent::Trying(_)));
    call.control.bye(None).await.expect("open");
    assert!(matches!(event(&mut call).await, CallEvent::Ended));
    // And nobody answers at all.
    let mut call = dial(&stack, outgoing(&stack, Transport::Udp).await);
    let (hosts, last) = tried(&mut call).await;
    let no_answer = Some(HostFault::NoAnswer);
    assert_eq!(
        hosts.iter().map(|(_, fault)| *fault).collect::<Vec<_>>(),
        [no_answer; 2]
    );
    assert!(matches!(last, CallEvent::Unreachable), "{last:?}");
    stack.shutdown().await;
}

#[tokio::test]
async fn priorities_come_first_and_equals_share_by_their_weights() {
    let records = [
        host("_sip._udp", "few", 5071, 10, 10),
        host("_sip._udp", "many", 5072, 10, 30),
        host("_sip._udp", "last", 5073, 20, 100),
    ];
    let names = names(&records.concat(), LASTING).await;
    let mut stack = stack(names.address()).await;
    let (draws, mut many) = (400, 0);
    for _ in 0..draws {
        let hosts = locate(&stack, "pbx.test", Transport::Udp).await.expect("found");
        assert_eq!(hosts.len(), 3, "{hosts:?}");
        assert_eq!(hosts[2], "127.0.0.1:5073");
        many += usize::from(hosts[0] == "127.0.0.1:5072");
    }
    println!("{many} of {draws} go to the one of three quarters");
    // Seven standard deviations (8.7 each) on both sides.
    assert!((240..=360).contains(&many), "{many} of {draws}");
    assert_eq!(names.asked("SRV", "_sip._udp.pbx.test"), 1, "the answer is kept");
    stack.shutdown().await;
}

#[tokio::test]
async fn answers_are_kept_as_long_as_they_hold() {
    let names = names(&host("_sip._udp", "a", 5071, 10, 0), Duration::from_secs(1)).await;
    let mut stack = stack(names.address()).await;
    let asked = || {
        (
            names.asked("SRV", "_sip._udp.pbx.test"),
            names.asked("A", "a.pbx.test"),
        )
    };
    let begun = Instant::now();
    locate(&stack, "pbx.test", Transport::Udp).await.expect("found");
    assert_eq!(asked(), (1, 1));
    let deadline = begun + SOON;
    while asked() != (2, 2) {
        assert!(Instant::now() < deadline, "never asked again: {:?}", asked());
        locate(&stack, "pbx.test", Transport::Udp).await.expect("found");
        sleep(Duration::from_millis(20)).await;
    }
    let after = begun.elapsed();
    assert!(after >= Duration::from_millis(900), "asked again after {after:?}");
    stack.shutdown().await;
}

#[tokio::test]
async fn what_has_no_srv_records_has_addresses_and_what_names_its_port_is_not_looked_for() {
    let records = [
        "host-record=plain.test,127.0.0.7",
        "host-record=twice.test,127.0.0.8",
        "cname=alias.test,plain.test",
        "srv-host=_sip._udp.none.test",
        "host-record=none.test,127.0.0.9",
        "srv-host=_sip._tcp.lost.test,nobody.test,5060,1,1",
        "srv-host=_sips._tcp.plain.test,twice.test,5099,1,1",
    ];
    let names = names(&records.map(str::to_owned), LASTING).await;
    let mut stack = stack(names.address()).await;
    let dialer = stack.dialer();
    for (host, transport, expected) in [
        (
            "plain.test",
            Transport::Udp,
            Ok(vec!["127.0.0.7:5060".to_owned()]),
        ),
        (
            "alias.test",
            Transport::Tcp,
            Ok(vec!["127.0.0.7:5060".to_owned()]),
        ),
        (
            "plain.test",
            Transport::Tls,
            Ok(vec!["127.0.0.8:5099".to_owned()]),
        ),
        (
            "twice.test",
            Transport::Tls,
            Ok(vec!["127.0.0.8:5061".to_owned()]),
        ),
        ("192.0.2.1", Transport::Tls, Ok(vec!["192.0.2.1:5061".to_owned()])),
        ("localhost", Transport::Udp, Ok(vec!["127.0.0.1:5060".to_owned()])),
        ("none.test", Transport::Udp, Err(LocateError::NotOffered)),
        ("lost.test", Transport::Tcp, Err(LocateError::Unknown)),
        ("nobody.test", Transport::Udp, Err(LocateError::Unknown)),
        ("[2001:db8::1]", Transport::Udp, Err(LocateError::Unknown)),
        ("under_score..test", Transport::Udp, Err(LocateError::Unknown)),
    ] {
        assert_eq!(
            locate(&stack, host, transport).await,
            expected,
            "{host} over {transport}"
        );
    }
    let by_port = dialer
        .locate("none.test", Some(5070), Transport::Tls)
        .await
        .expect("found");
    assert_eq!(by_port[0].address.to_string(), "127.0.0.9:5070");
    assert_eq!(names.asked("SRV", "_sips._tcp.none.test"), 0);
    // Whose certificate it must be is not for DNS to say.
    assert_eq!(by_port[0].name, "none.test");
    stack.shutdown().await;
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_is_fetched_over_a_connection() {
    let records: Vec<String> = (0..12)
        .flat_map(|at| {
            host(
                "_sip._udp",
                &format!("a-host-with-a-long-name-{at}"),
                6_000 + at,
                at,
                0,
            )
        })
        .collect();
    let names = names(&records, LASTING).await;
    let mut stack = stack(names.address()).await;
    let hosts = locate(&stack, "pbx.test", Transport::Udp).await.expect("found");
    // As many as are tried for one call.
    let best: Vec<String> = (0..8).map(|at| format!("127.0.0.1:{}", 6_000 + at)).collect();
    assert_eq!(hosts, best);
    assert_eq!(
        names.asked("SRV", "_sip._udp.pbx.test"),
        2,
        "by datagram, and by connection"
    );
    stack.shutdown().await;
}

#[tokio::test]
async fn name_servers_that_say_nothing_are_told_from_names_that_are_none() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let there = silent.local_addr().expect("bound");
    let mut quiet = stack(there).await;
    let begun = Instant::now();
    let found = locate(&quiet, "pbx.test", Transport::Udp).await;
    assert_eq!(found, Err(LocateError::Unanswered));
    println!("given up after {:?}", begun.elapsed());
    // Each question twice for two seconds, both at the same time.
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    quiet.shutdown().await;
    drop(silent);
    let mut refused = stack(there).await;
    let found = locate(&refused, "pbx.test", Transport::Udp).await;
    assert_eq!(found, Err(LocateError::Unanswered));
    refused.shutdown().await;
}

#[tokio::test]
async fn an_account_is_registered_where_a_host_answers_and_its_nat_is_kept_awake() {
    let mut full = Peer::bind(NOBODY).await;
    let mut there = Peer::bind(NOBODY).await;
    let names = names(
        &two_hosts("_sip._udp", full.local_addr(), there.local_addr()),
        LASTING,
    )
    .await;
    let account = Account {
        name: "provider".into(),
        host: "pbx.test".into(),
        port: None,
        transport: Transport::Udp,
        user: "100".into(),
        domain: "pbx.test".into(),
        login: Login {
            username: "login".into(),
            password: "canary-password".into(),
        },
        expires: Duration::from_mins(5),
    };
    let mut stack = RsipStack::start(SipConfig {
        registrations: vec![account],
        dns: vec![names.address()],
        keep_alive: Some(Duration::from_millis(100)),
        t1: SHORT_T1,
        ..config(Limits::default())
    })
    .await
    .expect("stack");
    full.talk_to(stack.local_addr());
    there.talk_to(stack.local_addr());
    let (_, mut status) = stack.registrations().remove(0);
    let refused = full.expect("REGISTER ").await;
    full.respond(&refused, "503 Service Unavailable", "full", "", "")
        .await;
    // Two seconds: the next one is due within.
    for _ in 0..2 {
        let register = there.expect("REGISTER ").await;
        let contact = header(&register, "Contact");
        there
            .respond(
                &register,
                "200 OK",
                "r",
                &format!("Contact: {contact};expires=2\r\n"),
                "",
            )
            .await;
        timeout(SOON, status.wait_for(|status| status.granted.is_some()))
            .await
            .expect("in time")
            .expect("the stack is there");
        for _ in 0..3 {
            there.find(|datagram| datagram == "\r\n\r\n").await;
        }
    }
    assert_eq!(names.asked("SRV", "_sip._udp.pbx.test"), 1);
    tokio::join!(stack.shutdown(), async {
        let farewell = there
            .find(|message| message.starts_with("REGISTER ") && header(message, "Expires") == "0")
            .await;
        there.answer(&farewell, "200 OK").await;
    });
}
