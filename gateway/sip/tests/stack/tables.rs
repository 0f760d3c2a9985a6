//! Many transactions that are no calls: what is left of them. `make hostile` has the long form, ten thousand of each.

use std::net::SocketAddr;

use sip::digest::client::Login;
use sip::{Account, Transport};
use tokio::net::UdpSocket;

use super::*;
use crate::mutated::{number, resident_kb};
use crate::peer::header;

/// How many of each, unless `TRUNKLINE_TRANSACTIONS` says otherwise.
const TRANSACTIONS: usize = 1_000;
/// What they may leave, in kB: tables keep the room that they once had.
const GROWTH_KB: u64 = 8 * 1_024;
/// Sent before their answers are waited for.
const BATCH: usize = 50;

fn count() -> usize {
    number("TRUNKLINE_TRANSACTIONS").unwrap_or(TRANSACTIONS)
}

async fn empty(stack: &RsipStack) {
    let deadline = Instant::now() + SOON * 2;
    while stack.stats().transactions > 0 {
        assert!(Instant::now() < deadline, "{:?}", stack.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends `count` requests of its own transaction each, and waits for the answer to each.
async fn ask(
    stack: &RsipStack,
    peer: &mut Peer,
    method: &str,
    from: usize,
    count: usize,
    answer: &str,
) -> usize {
    let mut most = 0;
    for first in (from..from + count).step_by(BATCH) {
        let last = (first + BATCH).min(from + count);
        for n in first..last {
            peer.request(method, &format!("n{n}"), "").await;
        }
        for _ in first..last {
            peer.expect(answer).await;
        }
        most = most.max(stack.stats().transactions);
    }
    most
}

#[tokio::test]
async fn of_requests_that_came_in_nothing_is_left() {
    let count = count();
    let mut stack = start_with(10, SHORT_T1, 10).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    // Once for the room that the tables and the allocator keep.
    both(&stack, &mut peer, 0, count).await;
    empty(&stack).await;
    let before = resident_kb();
    let (options, registers) = both(&stack, &mut peer, 2 * count, count).await;
    empty(&stack).await;
    let after = resident_kb();
    println!(
        "{count} OPTIONS and {count} REGISTER in: at most {options} and {registers} transactions, 0 left; {before} kB, then {after} kB"
    );
    assert!(options >= BATCH, "{options}: the count counts nothing");
    assert!(after < before + GROWTH_KB, "{before} kB, then {after} kB");
    stack.shutdown().await;
}

async fn both(stack: &RsipStack, peer: &mut Peer, from: usize, count: usize) -> (usize, usize) {
    let options = ask(stack, peer, "OPTIONS", from, count, "SIP/2.0 200").await;
    let registers = ask(stack, peer, "REGISTER", from + count, count, "SIP/2.0 405").await;
    (options, registers)
}

/// A registrar that grants a second, so that each account comes again in half of it.
struct Registrar {
    socket: UdpSocket,
    seconds: u32,
    granted: usize,
}

impl Registrar {
    async fn grant(&mut self) {
        let mut buffer = vec![0; 9_000];
        let received = timeout(SOON, self.socket.recv_from(&mut buffer)).await;
        let (length, source) = received.expect("the accounts are renewed").expect("received");
        let register = String::from_utf8_lossy(buffer.get(..length).expect("read")).into_owned();
        assert!(register.starts_with("REGISTER "), "{register}");
        let copied: String = ["Via", "From", "Call-ID", "CSeq"]
            .map(|name| format!("{name}: {}\r\n", header(&register, name)))
            .concat();
        let (to, contact) = (header(&register, "To"), header(&register, "Contact"));
        let answer = format!(
            "SIP/2.0 200 OK\r\n{copied}To: {to};tag=r\r\nContact: {contact};expires={}\r\nContent-Length: 0\r\n\r\n",
            self.seconds
        );
        self.socket
            .send_to(answer.as_bytes(), source)
            .await
            .expect("sent");
        self.granted += 1;
    }

    async fn grant_until(&mut self, stack: &RsipStack, granted: usize) -> usize {
        let mut most = 0;
        while self.granted < granted {
            self.grant().await;
            most = most.max(stack.stats().transactions);
        }
        most
    }
}

#[tokio::test]
async fn of_registers_that_went_out_nothing_is_left() {
    let count = count();
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let there = socket.local_addr().expect("bound");
    let accounts = (count / 50).clamp(100, 200);
    let mut stack = RsipStack::start(SipConfig {
        registrations: (0..accounts).map(|n| account(n, there)).collect(),
        t1: SHORT_T1,
        ..config(Limits::default())
    })
    .await
    .expect("stack");
    let mut registrar = Registrar {
        socket,
        seconds: 1,
        granted: 0,
    };
    registrar.grant_until(&stack, accounts * 2).await;
    let before = resident_kb();
    let most = registrar.grant_until(&stack, accounts * 2 + count).await;
    let after = resident_kb();
    // What is under way, and what is kept of each for T4; never one for each REGISTER that there was.
    assert!(
        most > 0 && most < 6 * accounts,
        "{most} transactions of {accounts} accounts"
    );
    assert!(after < before + GROWTH_KB, "{before} kB, then {after} kB");

    // From now on nothing is due for minutes.
    registrar.seconds = 3_600;
    let granted = Some(Duration::from_secs(registrar.seconds.into()));
    let is_quiet = || {
        let accounts = stack.registrations();
        accounts
            .iter()
            .all(|(_, status)| status.borrow().granted == granted)
    };
    let deadline = Instant::now() + SOON * 2;
    while !is_quiet() {
        assert!(Instant::now() < deadline, "accounts are still renewed");
        let _ = timeout(Duration::from_millis(50), registrar.grant()).await;
    }
    empty(&stack).await;
    println!(
        "{count} REGISTER out of {accounts} accounts: at most {most} transactions, 0 left; {before} kB, then {after} kB"
    );
    stack.shutdown().await;
}

fn account(n: usize, there: SocketAddr) -> Account {
    Account {
        name: format!("provider{n}"),
        host: there.ip().to_string(),
        port: Some(there.port()),
        transport: Transport::Udp,
        user: format!("{n}"),
        domain: "sip.example.com".into(),
        login: Login {
            username: "login".into(),
            password: "canary-password".into(),
        },
        expires: Duration::from_mins(5),
    }
}
