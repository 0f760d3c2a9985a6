//! Datagrams that were messages once. `make hostile` has the long form.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// How many, unless `TRUNKLINE_DATAGRAMS` says otherwise.
const DATAGRAMS: usize = 10_000;
/// Between two questions whether the stack still answers, which also keep it from drowning.
const BATCH: usize = 50;
/// What they may leave in memory, in kB: refusals and answers of the last 64·T1.
const GROWTH_KB: u64 = 48 * 1_024;

/// The same numbers on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % below
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own switch, no configuration")]
pub(crate) fn number(name: &str) -> Option<usize> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

pub(crate) fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.expect("a size").trim().trim_end_matches(" kB");
    resident.parse().expect("a number")
}

/// Counts panics within the stack, in whatever task: a task that panics ends alone, and nobody would hear of it.
fn count_panics() -> &'static AtomicUsize {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_ours = |file: &str| file.contains("rsipstack") || file.contains("sip/src/");
            if panic.location().is_some_and(|at| is_ours(at.file())) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            usual(panic);
        }));
    });
    &PANICS
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(30)).min(bytes.len());
        match random.below(12) {
            0 => bytes[at] = u8::try_from(random.below(256)).expect("a byte"),
            1 if end - at < bytes.len() => drop(bytes.drain(at..end)),
            2 => bytes.insert(at, b"\r\n:;<>@\"\0,"[random.below(10)]),
            3 => {
                let stretch = bytes[at..end].to_vec();
                bytes.splice(at..at, stretch);
            }
            4 => bytes[at..end].fill(b'9'),
            5 => drop(bytes.splice(at..at, *b"\r\n")),
            6 => bytes.truncate(at.max(1)),
            _ => bytes[at] = b'0' + u8::try_from(random.below(75)).expect("a byte"),
        }
    }
}

#[tokio::test]
async fn mutated_datagrams_leave_the_stack_serving() {
    let panics = count_panics();
    let count = number("TRUNKLINE_DATAGRAMS").unwrap_or(DATAGRAMS);
    // Short timers, so that what the messages leave behind has gone before the next thousands come.
    let mut stack = start_with(2_000, SHORT_T1, 2_000).await;
    let mut peer = Peer::bind(stack.local_addr()).await;
    let local = stack.local_addr();
    let good = peer.text("INVITE", "fuzz", "v=0\r\n");
    let methods = [
        "INVITE", "BYE", "CANCEL", "ACK", "OPTIONS", "INFO", "UPDATE", "PRACK", "NOTIFY", "REGISTER",
    ];
    let response = good.replacen("INVITE sip:+15550100@", "SIP/2.0 200 OK\r\nX: ", 1);
    let mut random = Random(0x5eed);
    let (mut before, mut most, mut calls) = (0, 0, 0);
    for round in 0..count {
        let mut text = match methods.get(round % (methods.len() + 1)) {
            Some(method) => good.replace("INVITE", method),
            None => response.clone(),
        };
        text = text.replace("fuzz", &format!("fuzz{round}"));
        let mut bytes = text.into_bytes();
        mutate(&mut random, &mut bytes);
        peer.send_bytes(&bytes, local).await;
        // Calls that some mutations still are: their owner drops them at once.
        while let Ok(Some(call)) = timeout(Duration::ZERO, stack.next_call()).await {
            calls += 1;
            drop(call);
        }
        if round % BATCH == BATCH - 1 {
            let marker = format!("alive{round}");
            peer.request("OPTIONS", &marker, "").await;
            peer.any_answer_to(&format!("{marker}-OPTIONS")).await;
            most = most.max(resident_kb());
        }
        if round == count / 10 {
            before = resident_kb();
        }
    }
    println!(
        "{count} datagrams, {calls} of them calls: {before} kB resident after a tenth of them, {most} kB at most"
    );
    println!("turned away: {:?}", stack.stats().refusals);
    assert_eq!(panics.load(Ordering::Relaxed), 0, "panics in the stack");
    assert!(
        calls > 0 && most < before + GROWTH_KB,
        "{calls} calls; {before} kB, then {most}"
    );
    let refused = stack.stats().refusals;
    assert!(
        refused.of(Refusal::Malformed) > 0 && refused.of(Refusal::BadRequest) > 0,
        "{refused:?}"
    );

    peer.invite("good", "v=0\r\n").await;
    let call = loop {
        let call = incoming(&mut stack).await;
        if call.invite.call_id.starts_with("good") {
            break call;
        }
    };
    call.control
        .accept(b"v=0".to_vec(), Vec::new())
        .await
        .expect("open");
    let ok = peer.expect("SIP/2.0 200 OK\r\nVia").await;
    peer.ack(&ok).await;
    drop(call);
    let deadline = Instant::now() + SOON * 2;
    while stack.stats().transactions > 0 {
        assert!(Instant::now() < deadline, "{:?}", stack.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // INVITEs that the stack could not read still count as ringing: they are forgotten when the next one comes.
    let left = stack.stats();
    assert_eq!((left.calls, left.dialogs), (0, 0), "{left:?}");
    stack.shutdown().await;
}
