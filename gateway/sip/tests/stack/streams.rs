//! SIP over TCP and TLS, in and out, and what connections may not do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sip::admission::{Limits, Rate};
use sip::{
    Authorities, CallEvent, Certificates, Destination, Outgoing, Refusal, RsipStack, SipConfig, SipStack,
    StreamTimes, TlsListen, Transport,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificate::Authority;
use crate::peer::{Peer, header};
use crate::stream_peer::StreamPeer;
use crate::{SOON, config, dial, drained, event, incoming};

const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn tcp(limits: Limits) -> SipConfig {
    SipConfig {
        tcp: Some(FREE),
        ..config(limits)
    }
}

async fn start(config: SipConfig) -> (RsipStack, SocketAddr) {
    let stack = RsipStack::start(config).await.expect("stack");
    let (tcp, tls) = stack.stream_addrs();
    let address = tls.or(tcp).unwrap_or(stack.local_addr());
    (stack, address)
}

async fn until(stack: &RsipStack, what: &str, wanted: impl Fn(&sip::StackStats) -> bool) {
    let deadline = Instant::now() + SOON;
    while !wanted(&stack.stats()) {
        assert!(Instant::now() < deadline, "not {what}: {:?}", stack.stats());
        sleep(Duration::from_millis(10)).await;
    }
}

/// A call in over this connection, which we hang up.
async fn a_call_goes_both_ways<S>(
    mut stack: RsipStack,
    mut peer: StreamPeer<S>,
    there: SocketAddr,
    transport: &str,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    peer.request("INVITE", "a").await;
    let mut call = incoming(&mut stack).await;
    peer.expect("SIP/2.0 100").await;
    call.control.ringing().await.expect("open");
    call.control
        .accept(b"v=0 answer".to_vec(), Vec::new())
        .await
        .expect("open");
    let ok = peer.expect("SIP/2.0 200").await;
    assert_eq!(
        header(&ok, "Contact"),
        format!("<sip:{there};transport={transport}>"),
        "{ok}"
    );
    peer.in_dialog(&ok, "ACK", 1).await;
    // The INVITE had no SDP: the 200 made the offer.
    assert!(matches!(event(&mut call).await, CallEvent::OfferAnswered(answer) if answer.is_empty()));
    assert!(matches!(event(&mut call).await, CallEvent::Acknowledged));
    peer.in_dialog(&ok, "OPTIONS", 2).await;
    peer.expect("SIP/2.0 200").await;
    call.control.bye(None).await.expect("open");
    let bye = peer.expect("BYE ").await;
    let via = format!("SIP/2.0/{} {there};", transport.to_uppercase());
    assert!(header(&bye, "Via").starts_with(&via), "{bye}");
    peer.respond(&bye, "200 OK", "", "").await;
    assert!(matches!(event(&mut call).await, CallEvent::Ended));
    drained(&stack).await;
    drop(peer);
    until(&stack, "closed", |stats| stats.connections == 0).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_call_comes_in_over_tcp_and_is_hung_up_on_its_connection() {
    let (stack, there) = start(tcp(Limits::default())).await;
    let peer = StreamPeer::connect(there).await;
    a_call_goes_both_ways(stack, peer, there, "tcp").await;
}

fn tls(authority: &Authority, limits: Limits) -> (SipConfig, Arc<Certificates>, Vec<u8>) {
    let (certificate, key, on_the_wire) = authority.issue("localhost");
    let certificates = Arc::new(Certificates::load(&certificate, &key).expect("a certificate"));
    let listen = TlsListen {
        listen: FREE,
        certificates: Arc::clone(&certificates),
    };
    let config = SipConfig {
        tls: Some(listen),
        ..config(limits)
    };
    (config, certificates, on_the_wire)
}

/// A client that trusts this authority, and the certificate that it was shown.
async fn tls_peer(authority: &Authority, there: SocketAddr) -> (StreamPeer<TlsStream<TcpStream>>, Vec<u8>) {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.file()).expect("a certificate"))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(there).await.expect("connected");
    let me = stream.local_addr().expect("bound");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await;
    let stream = stream.expect("a handshake");
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let shown = shown.expect("shown").to_vec();
    (StreamPeer::over(stream, Transport::Tls, me, there), shown)
}

#[tokio::test]
async fn a_call_comes_in_over_tls() {
    let authority = Authority::new();
    let (config, _, on_the_wire) = tls(&authority, Limits::default());
    let (stack, there) = start(config).await;
    let (peer, shown) = tls_peer(&authority, there).await;
    assert_eq!(shown, on_the_wire);
    a_call_goes_both_ways(stack, peer, there, "tls").await;
}

#[tokio::test]
async fn a_certificate_is_replaced_while_connections_stand() {
    let authority = Authority::new();
    let (config, certificates, first) = tls(&authority, Limits::default());
    let (mut stack, there) = start(config).await;
    let (mut old, shown) = tls_peer(&authority, there).await;
    assert_eq!(shown, first);
    assert!(!certificates.refresh().expect("readable"), "nothing has changed");
    let (file, key, second) = authority.issue("localhost");
    // Half of the two files is there: what was is kept.
    let good = std::fs::read(&key).expect("read");
    std::fs::write(&key, "no key").expect("written");
    assert!(certificates.refresh().is_err());
    assert_eq!(tls_peer(&authority, there).await.1, first);
    std::fs::write(&key, good).expect("written");
    assert!(certificates.refresh().expect("readable"));
    let (mut new, shown) = tls_peer(&authority, there).await;
    assert_eq!(shown, second);
    for peer in [&mut old, &mut new] {
        peer.request("OPTIONS", "o").await;
        peer.expect("SIP/2.0 200").await;
    }
    std::fs::remove_file(&file).expect("removed");
    assert!(certificates.refresh().is_err());
    stack.shutdown().await;
}

#[tokio::test]
async fn who_speaks_no_tls_at_its_port_is_closed_and_counted() {
    let authority = Authority::new();
    let (config, ..) = tls(&authority, Limits::default());
    let (mut stack, there) = start(config).await;
    let mut plain = StreamPeer::connect(there).await;
    plain.request("OPTIONS", "o").await;
    // The alert, and the end.
    while plain.bytes().await.is_some() {}
    until(&stack, "counted", |stats| {
        stats.refusals.of(Refusal::Handshake) == 1
    })
    .await;
    stack.shutdown().await;
}

#[tokio::test]
async fn an_endless_header_and_what_is_no_sip_end_their_connection() {
    let (mut stack, there) = start(tcp(Limits::default())).await;
    let mut endless = StreamPeer::connect(there).await;
    endless.send("INVITE sip:h SIP/2.0\r\n").await;
    let mut sent = 0;
    while endless.stream.write_all(&[b'a'; 1_000]).await.is_ok() && sent < 10_000_000 {
        sent += 1_000;
    }
    assert!(sent < 10_000_000, "it was read to its end");
    let mut nonsense = StreamPeer::connect(there).await;
    nonsense
        .send("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(nonsense.bytes().await, None);
    let mut unbounded = StreamPeer::connect(there).await;
    unbounded
        .send("OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n\r\n")
        .await;
    assert_eq!(unbounded.bytes().await, None);
    until(&stack, "counted", |stats| {
        let refusals = stats.refusals;
        (refusals.of(Refusal::TooLarge), refusals.of(Refusal::Malformed)) == (2, 1)
    })
    .await;
    let mut good = StreamPeer::connect(there).await;
    good.request("OPTIONS", "o").await;
    good.expect("SIP/2.0 200").await;
    stack.shutdown().await;
}

/// From one of two addresses.
async fn idle(there: SocketAddr, last: u8) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
    socket.connect(there).await
}

#[tokio::test]
async fn idle_connections_are_refused_beyond_their_bounds() {
    let limits = Limits {
        connections: 100,
        connections_per_source: 60,
        ..Limits::default()
    };
    // None of these is given up for its silence before the last has come.
    let times = StreamTimes {
        message: Duration::from_mins(10),
        ..StreamTimes::default()
    };
    let (mut stack, there) = start(SipConfig { times, ..tcp(limits) }).await;
    let mut held = Vec::new();
    for n in 0..600 {
        held.push(idle(there, 1 + u8::from(n % 2 == 1)).await.expect("connected"));
    }
    until(&stack, "refused", |stats| {
        let refusals = stats.refusals;
        let refused = refusals.of(Refusal::Connections) + refusals.of(Refusal::SourceConnections);
        (refused, stats.connections) == (500, 100)
    })
    .await;
    // UDP does not care.
    let mut phone = Peer::bind(stack.local_addr()).await;
    phone.request("OPTIONS", "o", "").await;
    phone.expect("SIP/2.0 200").await;
    drop(held);
    until(&stack, "closed", |stats| stats.connections == 0).await;
    let mut good = StreamPeer::connect(there).await;
    good.request("OPTIONS", "o").await;
    good.expect("SIP/2.0 200").await;
    stack.shutdown().await;
}

#[tokio::test]
async fn who_says_nothing_or_never_ends_is_given_up() {
    let times = StreamTimes {
        message: Duration::from_millis(100),
        ..StreamTimes::default()
    };
    let (mut stack, there) = start(SipConfig {
        times,
        ..tcp(Limits::default())
    })
    .await;
    let mut silent = StreamPeer::connect(there).await;
    let mut halting = StreamPeer::connect(there).await;
    halting.request("OPTIONS", "o").await;
    halting.expect("SIP/2.0 200").await;
    halting.send("OPTIONS ").await;
    assert_eq!((silent.bytes().await, halting.bytes().await), (None, None));
    until(&stack, "counted", |stats| stats.refusals.of(Refusal::Slow) == 2).await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_source_that_is_too_fast_waits_and_loses_nothing() {
    let limits = Limits {
        per_source: Rate {
            per_second: 50.0,
            burst: 5.0,
        },
        ..Limits::default()
    };
    let (mut stack, there) = start(tcp(limits)).await;
    let mut peer = StreamPeer::connect(there).await;
    let all: String = (0..20)
        .map(|n| peer.text("OPTIONS", &format!("o{n}"), ""))
        .collect();
    let begun = Instant::now();
    peer.send(&all).await;
    for n in 0..20 {
        let answer = peer.expect("SIP/2.0 200").await;
        assert_eq!(header(&answer, "Call-ID"), format!("o{n}@test"));
    }
    // 15 beyond the burst, at 50 a second.
    assert!(
        begun.elapsed() >= Duration::from_millis(280),
        "{:?}",
        begun.elapsed()
    );
    stack.shutdown().await;
}

#[tokio::test]
async fn keep_alives_are_answered_and_sent() {
    let times = StreamTimes {
        keep_alive: Duration::from_millis(50),
        ..StreamTimes::default()
    };
    let (mut stack, there) = start(SipConfig {
        times,
        ..tcp(Limits::default())
    })
    .await;
    let mut peer = StreamPeer::connect(there).await;
    peer.send("\r\n\r\n").await;
    assert_eq!(peer.bytes().await.as_deref(), Some("\r\n"));
    // Of a connection that we open, they are ours.
    let listener = TcpListener::bind(FREE).await.expect("bound");
    let call = dial::dial(
        &stack,
        over(Transport::Tcp, listener.local_addr().expect("bound")),
    );
    let mut callee = accept(&listener).await;
    callee.expect("INVITE ").await;
    assert_eq!(callee.bytes().await.as_deref(), Some("\r\n\r\n"));
    drop(call);
    stack.shutdown().await;
}

fn over(transport: Transport, there: SocketAddr) -> Outgoing {
    Outgoing {
        destinations: vec![Destination {
            address: there,
            transport,
            name: match transport {
                Transport::Tls => "localhost".into(),
                _ => String::new(),
            },
        }],
        ..dial::to(there)
    }
}

async fn accept(listener: &TcpListener) -> StreamPeer<TcpStream> {
    let (stream, server) = timeout(SOON, listener.accept())
        .await
        .expect("in time")
        .expect("accepted");
    let me = listener.local_addr().expect("bound");
    StreamPeer::over(stream, Transport::Tcp, me, server)
}

#[tokio::test]
async fn a_call_goes_out_over_tcp_and_all_of_it_on_one_connection() {
    let (mut stack, here) = start(tcp(Limits::default())).await;
    let listener = TcpListener::bind(FREE).await.expect("bound");
    let there = listener.local_addr().expect("bound");
    let mut call = dial::dial(&stack, over(Transport::Tcp, there));
    let mut peer = accept(&listener).await;
    let invite = peer.expect("INVITE ").await;
    assert!(
        invite.starts_with(&format!("INVITE sip:+15557777@{there};transport=tcp SIP/2.0\r\n")),
        "{invite}"
    );
    assert!(
        header(&invite, "Via").starts_with(&format!("SIP/2.0/TCP {here};")),
        "{invite}"
    );
    assert_eq!(
        header(&invite, "Contact"),
        format!("<sip:+15550200@{here};transport=tcp>")
    );
    peer.respond(&invite, "180 Ringing", ";tag=uas", "").await;
    assert!(matches!(
        dial::event(&mut call).await,
        CallEvent::Progress { code: 180, .. }
    ));
    peer.respond(&invite, "200 OK", ";tag=uas", "v=0 answer").await;
    peer.expect("ACK ").await;
    assert!(matches!(dial::event(&mut call).await, CallEvent::Answered(_)));
    call.control.bye(None).await.expect("open");
    let bye = peer.expect("BYE ").await;
    peer.respond(&bye, "200 OK", "", "").await;
    assert!(matches!(dial::event(&mut call).await, CallEvent::Ended));
    // The next call takes the same connection, and is taken back on it.
    let mut next = over(Transport::Tcp, there);
    next.call_id = "another".into();
    let next = dial::dial(&stack, next);
    let invite = peer.expect("INVITE ").await;
    peer.respond(&invite, "180 Ringing", ";tag=uas", "").await;
    drop(next);
    peer.expect("CANCEL ").await;
    stack.shutdown().await;
}

#[tokio::test]
async fn a_lost_connection_ends_a_call_that_rings_at_once_and_not_one_that_was_answered() {
    let (mut stack, _) = start(config(Limits::default())).await;
    let listener = TcpListener::bind(FREE).await.expect("bound");
    let there = listener.local_addr().expect("bound");
    let mut ringing = dial::dial(&stack, over(Transport::Tcp, there));
    let mut peer = accept(&listener).await;
    let invite = peer.expect("INVITE ").await;
    peer.respond(&invite, "180 Ringing", ";tag=uas", "").await;
    assert!(matches!(
        dial::event(&mut ringing).await,
        CallEvent::Progress { .. }
    ));
    drop(peer);
    assert!(matches!(dial::event(&mut ringing).await, CallEvent::Unreachable));

    let mut answered = dial::dial(&stack, over(Transport::Tcp, there));
    let mut peer = accept(&listener).await;
    let invite = peer.expect("INVITE ").await;
    peer.respond(&invite, "200 OK", ";tag=uas", "v=0 answer").await;
    peer.expect("ACK ").await;
    assert!(matches!(dial::event(&mut answered).await, CallEvent::Answered(_)));
    drop(peer);
    until(&stack, "noticed", |stats| stats.connections == 0).await;
    answered.control.bye(None).await.expect("open");
    // To where its Contact says, on a new one.
    let mut peer = accept(&listener).await;
    let bye = peer.expect("BYE ").await;
    peer.respond(&bye, "200 OK", "", "").await;
    assert!(matches!(dial::event(&mut answered).await, CallEvent::Ended));

    drop(listener);
    drop(peer);
    until(&stack, "closed", |stats| stats.connections == 0).await;
    let mut nobody = dial::dial(&stack, over(Transport::Tcp, there));
    assert!(matches!(dial::event(&mut nobody).await, CallEvent::Unreachable));
    drained(&stack).await;
    stack.shutdown().await;
}

/// A server that shows a certificate for `localhost`.
fn tls_server(authority: &Authority) -> TlsAcceptor {
    let (certificate, key, _) = authority.issue("localhost");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).expect("a certificate")],
            PrivateKeyDer::from_pem_file(key).expect("a key"),
        )
        .expect("they fit");
    TlsAcceptor::from(Arc::new(server))
}

#[tokio::test]
async fn a_call_goes_out_over_tls_to_whom_the_certificate_is_for_and_nobody_else() {
    let authority = Authority::new();
    let acceptor = tls_server(&authority);
    let listener = TcpListener::bind(FREE).await.expect("bound");
    let there = listener.local_addr().expect("bound");
    let (mut stack, _) = start(SipConfig {
        authorities: Authorities::load(Some(&authority.file())).expect("ours"),
        ..config(Limits::default())
    })
    .await;
    let mut call = dial::dial(&stack, over(Transport::Tls, there));
    let (stream, source) = listener.accept().await.expect("accepted");
    let stream = acceptor.accept(stream).await.expect("a handshake");
    let mut peer = StreamPeer::over(stream, Transport::Tls, there, source);
    let invite = peer.expect("INVITE ").await;
    assert!(
        invite.starts_with(&format!("INVITE sip:+15557777@{there};transport=tls SIP/2.0\r\n")),
        "{invite}"
    );
    peer.respond(&invite, "486 Busy Here", ";tag=uas", "").await;
    peer.expect("ACK ").await;
    assert!(matches!(
        dial::event(&mut call).await,
        CallEvent::Refused { code: 486, .. }
    ));

    let mut other = over(Transport::Tls, there);
    other.destinations[0].name = "elsewhere.example".into();
    let mut call = dial::dial(&stack, other);
    let (stream, _) = listener.accept().await.expect("accepted");
    assert!(acceptor.accept(stream).await.is_err(), "it took the wrong name");
    assert!(matches!(dial::event(&mut call).await, CallEvent::Unreachable));
    stack.shutdown().await;
}

#[tokio::test]
async fn after_a_lost_connection_the_bye_goes_to_whom_the_call_was_placed_to() {
    let authority = Authority::new();
    let acceptor = tls_server(&authority);
    let listener = TcpListener::bind(FREE).await.expect("bound");
    let there = listener.local_addr().expect("bound");
    let (mut stack, _) = start(SipConfig {
        authorities: Authorities::load(Some(&authority.file())).expect("ours"),
        ..config(Limits::default())
    })
    .await;
    let accept = async || {
        let (stream, source) = timeout(SOON, listener.accept())
            .await
            .expect("in time")
            .expect("accepted");
        let stream = acceptor.accept(stream).await.expect("a handshake");
        StreamPeer::over(stream, Transport::Tls, there, source)
    };
    let mut call = dial::dial(&stack, over(Transport::Tls, there));
    let mut peer = accept().await;
    let invite = peer.expect("INVITE ").await;
    peer.respond(&invite, "200 OK", ";tag=uas", "v=0 answer").await;
    peer.expect("ACK ").await;
    assert!(matches!(dial::event(&mut call).await, CallEvent::Answered(_)));
    drop(peer);
    until(&stack, "noticed", |stats| stats.connections == 0).await;
    // Its Contact has an address, and its certificate a name.
    call.control.bye(None).await.expect("open");
    let mut peer = accept().await;
    let bye = peer.expect("BYE ").await;
    peer.respond(&bye, "200 OK", "", "").await;
    assert!(matches!(dial::event(&mut call).await, CallEvent::Ended));
    stack.shutdown().await;
}
