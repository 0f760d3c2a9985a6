//! A hostile network.

use std::{net::IpAddr, time::Duration};

use audio::Codec;
use caller::{Caller, CallerConfig, RawSip};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;
use tokio::time::interval;

use crate::{
    harness::{CALLER, DIALLED, Options, System, shared_turn, turn},
    phone::{SOON, config},
};

/// Valid messages to start from; `{n}` makes each one another transaction.
const VALID: [&str; 5] = [
    "OPTIONS sip:{to}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
     From: <sip:{from}@{me}>;tag=t{n}\r\nTo: <sip:{to}@127.0.0.1>\r\nCall-ID: c{n}@{me}\r\nCSeq: 1 OPTIONS\r\n\
     Content-Length: 0\r\n\r\n",
    "INVITE sip:{to}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
     From: <sip:{from}@{me}>;tag=t{n}\r\nTo: <sip:{to}@127.0.0.1>\r\nCall-ID: c{n}@{me}\r\nCSeq: 1 INVITE\r\n\
     Contact: <sip:{from}@{me}>\r\nContent-Type: application/sdp\r\nContent-Length: 139\r\n\r\n\
     v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 101\r\n\
     a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n",
    "BYE sip:{to}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
     From: <sip:{from}@{me}>;tag=t{n}\r\nTo: <sip:{to}@127.0.0.1>;tag=x{n}\r\nCall-ID: c{n}@{me}\r\nCSeq: 2 BYE\r\n\
     Content-Length: 0\r\n\r\n",
    "CANCEL sip:{to}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
     From: <sip:{from}@{me}>;tag=t{n}\r\nTo: <sip:{to}@127.0.0.1>\r\nCall-ID: c{n}@{me}\r\nCSeq: 1 CANCEL\r\n\
     Content-Length: 0\r\n\r\n",
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{n}\r\nFrom: <sip:{from}@{me}>;tag=t{n}\r\n\
     To: <sip:{to}@127.0.0.1>;tag=x{n}\r\nCall-ID: c{n}@{me}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
];

/// Datagrams sent at once.
const BATCH: u32 = 50;

/// One to eight mutations: a byte changed, a stretch removed, doubled or replaced, the end cut off.
fn mutate(message: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..=8) {
        if message.is_empty() {
            return;
        }
        let at = random.random_range(0..message.len());
        let end = (at + random.random_range(1..40)).min(message.len());
        match random.random_range(0..6) {
            0 => message[at] = random.random(),
            1 => drop(message.drain(at..end)),
            2 => {
                let stretch = message[at..end].to_vec();
                message.splice(at..at, stretch);
            }
            3 => message[at..end].fill(b'9'),
            4 => drop(message.splice(at..at, *b"\r\n")),
            _ => message.truncate(at),
        }
    }
}

fn written(message: &str, n: u32, me: &str) -> String {
    message
        .replace("{n}", &n.to_string())
        .replace("{me}", me)
        .replace("{from}", CALLER)
        .replace("{to}", DIALLED)
}

/// RFC 3261 section 13.3.1.4: the answer is repeated for 64·T1, which is 32 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_answer_nobody_acknowledges_is_given_up_and_its_record_says_so() {
    let _turn = shared_turn().await;
    let system = System::start(Options::default()).await;
    let before = system.calls();
    let raw = RawSip::open(system.sip).await.unwrap();
    let me = raw.local_addr().unwrap().to_string();
    raw.send(written(VALID[1], 1, &me).as_bytes()).await.unwrap();
    let (_, record) = system
        .new_record(&before, Duration::from_secs(32) + SOON * 2)
        .await;
    assert_eq!(record["outcome"]["kind"], "failed", "{record}");
    assert_eq!(record["outcome"]["reason"], "not_acknowledged", "{record}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_mutated_datagrams_do_no_harm() {
    let _turn = turn().await;
    // Calls of a phone that says neither ACK nor BYE: their share is no larger than this.
    let system = System::start(Options {
        slots: 24,
        ..Options::default()
    })
    .await;
    let raw = RawSip::open(system.sip).await.unwrap();
    let me = raw.local_addr().unwrap().to_string();
    let mut random = StdRng::seed_from_u64(20_261_121);
    // Below the rate at which datagrams of one source are dropped unread.
    let mut batches = interval(Duration::from_millis(300));
    for n in 0..1_000 {
        if n % BATCH == 0 {
            batches.tick().await;
        }
        let valid = VALID.choose(&mut random).unwrap();
        let text = written(valid, n, &me);
        let mut message = text.into_bytes();
        mutate(&mut message, &mut random);
        raw.send(&message).await.unwrap();
        if n % BATCH == BATCH - 1 {
            // The socket is read in order: an answer says that the whole batch has been dealt with.
            assert_eq!(raw.options(DIALLED, SOON).await.unwrap(), 200);
        }
    }
    let too_fast = |line: &Value| line["reason"] == "too_fast";
    assert!(
        !system.log_lines().iter().any(too_fast),
        "datagrams were dropped unread; log: {}",
        system.log.display()
    );
    // From another address: some of the INVITEs were good, and ring with the share that one address may take.
    let caller = Caller::new(CallerConfig {
        local: IpAddr::from([127, 0, 0, 2]),
        ..config(&system, Codec::G722)
    });
    let call = caller.place().await.unwrap();
    call.wait_answered(SOON).await.unwrap();
    call.ear_from_start().wait_for_speech(SOON).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    // Some of the mutated INVITEs were good calls of a phone that never says ACK: they are dropped.
    system.stop_now().await;
}
