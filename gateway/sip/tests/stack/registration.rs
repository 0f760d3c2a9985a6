//! Accounts at a registrar that is nothing but text.

use std::net::SocketAddr;
use std::time::Duration;

use sip::admission::Limits;
use sip::digest::client::Login;
use sip::{Account, RegistrationFault, RegistrationStatus, RsipStack, SipConfig, SipStack, Transport};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::peer::{Peer, header};
use crate::stream_peer::StreamPeer;
use crate::{SHORT_T1, SOON, config, incoming};

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n";

fn account(there: SocketAddr, transport: Transport) -> Account {
    Account {
        name: "provider".into(),
        host: there.ip().to_string(),
        port: Some(there.port()),
        transport,
        user: "100".into(),
        domain: "sip.example.com".into(),
        login: Login {
            username: "login".into(),
            password: "canary-password".into(),
        },
        expires: Duration::from_mins(5),
    }
}

async fn start(account: Account) -> (RsipStack, watch::Receiver<RegistrationStatus>) {
    let stack = RsipStack::start(SipConfig {
        registrations: vec![account],
        t1: SHORT_T1,
        ..config(Limits::default())
    })
    .await
    .expect("stack");
    let (name, status) = stack.registrations().remove(0);
    assert_eq!(name, "provider");
    (stack, status)
}

async fn until(
    status: &mut watch::Receiver<RegistrationStatus>,
    wanted: impl Fn(&RegistrationStatus) -> bool,
) {
    timeout(SOON, status.wait_for(wanted))
        .await
        .expect("in time")
        .expect("the stack is there");
}

fn contact(register: &str) -> &str {
    header(register, "Contact")
}

async fn grant(peer: &Peer, register: &str, expires: &str) {
    let contact = format!(
        "Contact: <sip:other@192.0.2.1>;expires=7,{};expires={expires}\r\n",
        contact(register)
    );
    answer(peer, register, "200 OK", &contact).await;
}

/// An answer without a Contact of the peer's own.
async fn answer(peer: &Peer, register: &str, status: &str, more: &str) {
    let copied: String = ["Via", "From", "Call-ID", "CSeq"]
        .map(|name| format!("{name}: {}\r\n", header(register, name)))
        .concat();
    let to = header(register, "To");
    let text = format!("SIP/2.0 {status}\r\n{copied}To: {to};tag=r\r\n{more}Content-Length: 0\r\n\r\n");
    peer.send_bytes(text.as_bytes(), via(register)).await;
}

fn via(request: &str) -> SocketAddr {
    let sent_by = header(request, "Via")
        .split([' ', ';'])
        .nth(1)
        .expect("an address");
    sent_by.parse().expect("an address")
}

#[tokio::test]
async fn an_account_is_registered_with_its_password_renewed_and_taken_back() {
    let mut peer = Peer::bind(SocketAddr::from(([127, 0, 0, 1], 9))).await;
    let account = account(peer.local_addr(), Transport::Udp);
    let user = account.contact_user();
    let (mut stack, mut status) = start(account).await;
    let first = peer.expect("REGISTER ").await;
    assert!(
        first.starts_with("REGISTER sip:sip.example.com SIP/2.0\r\n"),
        "{first}"
    );
    assert_eq!(header(&first, "To"), "<sip:100@sip.example.com>");
    assert!(
        header(&first, "From").starts_with("<sip:100@sip.example.com>;tag="),
        "{first}"
    );
    assert_eq!(contact(&first), format!("<sip:{user}@{}>", stack.local_addr()));
    assert_eq!(
        (header(&first, "CSeq"), header(&first, "Expires")),
        ("1 REGISTER", "300")
    );
    answer(&peer, &first, "401 Unauthorized", CHALLENGE).await;
    let second = peer.expect("REGISTER ").await;
    assert_eq!(header(&second, "CSeq"), "2 REGISTER");
    assert_eq!(header(&second, "Call-ID"), header(&first, "Call-ID"));
    let given = header(&second, "Authorization");
    assert!(
        given.contains("username=\"login\"") && given.contains("uri=\"sip:sip.example.com\""),
        "{given}"
    );
    assert!(!second.contains("canary"));
    // A second is granted: it is renewed within.
    grant(&peer, &second, "1").await;
    until(&mut status, |status| {
        status.granted == Some(Duration::from_secs(1))
    })
    .await;
    let renewal = peer.expect("REGISTER ").await;
    grant(&peer, &renewal, "600").await;
    until(&mut status, |status| {
        status.granted == Some(Duration::from_mins(10))
    })
    .await;

    // What calls for the account look like.
    let invite = peer.text("INVITE", "a", "v=0\r\n").replacen(
        &format!("INVITE sip:+15550100@{}", SocketAddr::from(([127, 0, 0, 1], 9))),
        &format!("INVITE sip:{user}@{}", stack.local_addr()),
        1,
    );
    peer.send_bytes(invite.as_bytes(), stack.local_addr()).await;
    assert_eq!(incoming(&mut stack).await.invite.request_uri.user, user);

    let farewell = async {
        let farewell = loop {
            let register = peer.expect("REGISTER ").await;
            if header(&register, "Expires") == "0" {
                break register;
            }
        };
        answer(&peer, &farewell, "200 OK", "").await;
    };
    tokio::join!(stack.shutdown(), farewell);
    assert_eq!(status.borrow().granted, None);
}

#[tokio::test]
async fn a_refused_password_is_told_and_not_tried_again_and_again() {
    let mut peer = Peer::bind(SocketAddr::from(([127, 0, 0, 1], 9))).await;
    let (mut stack, mut status) = start(account(peer.local_addr(), Transport::Udp)).await;
    for _ in 0..2 {
        let register = peer.expect("REGISTER ").await;
        answer(&peer, &register, "401 Unauthorized", CHALLENGE).await;
    }
    until(&mut status, |status| {
        status.granted.is_none()
            && status.fault.is_some_and(|(fault, pause)| {
                fault == RegistrationFault::Credentials && pause >= Duration::from_secs(30)
            })
    })
    .await;
    stack.shutdown().await;
}

#[tokio::test]
async fn too_brief_a_time_is_made_longer_and_an_answer_without_us_is_no_registration() {
    let mut peer = Peer::bind(SocketAddr::from(([127, 0, 0, 1], 9))).await;
    let (mut stack, mut status) = start(account(peer.local_addr(), Transport::Udp)).await;
    let register = peer.expect("REGISTER ").await;
    answer(&peer, &register, "423 Interval Too Brief", "Min-Expires: 900\r\n").await;
    let register = peer.expect("REGISTER ").await;
    assert_eq!(header(&register, "Expires"), "900");
    answer(
        &peer,
        &register,
        "200 OK",
        "Contact: <sip:other@192.0.2.1>;expires=900\r\n",
    )
    .await;
    until(&mut status, |status| {
        status
            .fault
            .is_some_and(|(fault, _)| fault == RegistrationFault::NotBound)
    })
    .await;
    stack.shutdown().await;
}

#[tokio::test]
async fn nobody_there_is_told() {
    let gone = Peer::bind(SocketAddr::from(([127, 0, 0, 1], 9)))
        .await
        .local_addr();
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut stack, mut status) = start(account(gone, transport)).await;
        until(&mut status, |status| {
            status
                .fault
                .is_some_and(|(fault, _)| fault == RegistrationFault::Unreachable)
        })
        .await;
        stack.shutdown().await;
    }
}

#[tokio::test]
async fn over_tcp_a_lost_connection_is_registered_anew_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let there = listener.local_addr().expect("bound");
    let (mut stack, mut status) = start(account(there, Transport::Tcp)).await;
    for granted in [1_000, 2_000] {
        let (stream, server) = timeout(SOON, listener.accept())
            .await
            .expect("in time")
            .expect("accepted");
        let mut peer = StreamPeer::over(stream, Transport::Tcp, there, server);
        let register = peer.expect("REGISTER ").await;
        let ours = contact(&register).to_owned();
        assert!(ours.ends_with(&format!("@{server};transport=tcp>")), "{register}");
        let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"]
            .map(|name| format!("{name}: {}\r\n", header(&register, name)))
            .concat();
        peer.send(&format!(
            "SIP/2.0 200 OK\r\n{copied}Contact: {ours}\r\nExpires: {granted}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
        until(&mut status, |status| {
            status.granted == Some(Duration::from_secs(granted))
        })
        .await;
    }
    drop(listener);
    stack.shutdown().await;
}
