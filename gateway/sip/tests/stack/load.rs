//! Calls without sound, as fast as is promised, from sipp (Debian's `sip-tester`). `make gateway-load`.

use tokio::process::Command;

use super::*;

const PER_SECOND: usize = 50;
const CALLS: usize = 1_000;

/// Rings, answers, and waits for the end.
async fn serve(mut stack: RsipStack) -> (RsipStack, usize) {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let mut call = incoming(&mut stack).await;
        calls.spawn(async move {
            call.control.ringing().await.expect("open");
            call.control
                .accept(b"v=0\r\n".to_vec(), Vec::new())
                .await
                .expect("open");
            loop {
                match call.events.recv().await {
                    Some(CallEvent::HungUp) => return true,
                    Some(CallEvent::Acknowledged) => {}
                    _ => return false,
                }
            }
        });
    }
    let mut good = 0;
    while let Some(ended) = calls.join_next().await {
        good += usize::from(ended.expect("no panic"));
    }
    (stack, good)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of twenty seconds"]
async fn fifty_calls_a_second_for_twenty_seconds_without_a_failure() {
    let stack = start_with(2_000, SipConfig::T1, 2_000).await;
    let there = stack.local_addr().to_string();
    let begun = Instant::now();
    let (rate, calls) = (PER_SECOND.to_string(), CALLS.to_string());
    let sipp = Command::new("sipp")
        .args([
            &there,
            "-sn",
            "uac",
            "-i",
            "127.0.0.1",
            "-r",
            &rate,
            "-m",
            &calls,
            "-d",
            "500",
            "-nostdin",
        ])
        .env("TERM", "dumb")
        .kill_on_drop(true)
        .output();
    let (sipp, (mut stack, good)) = tokio::join!(sipp, serve(stack));
    let sipp = sipp.expect("sipp is installed");
    let screen = String::from_utf8_lossy(&sipp.stdout).into_owned();
    let counts = |name: &str| {
        screen
            .lines()
            .rfind(|line| line.contains(name))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    println!("{good} of {CALLS} calls to their end in {:.1?}", begun.elapsed());
    for name in ["Successful call", "Failed call", "Retransmissions", "Call Rate"] {
        println!("{}", counts(name));
    }
    assert!(sipp.status.success(), "{screen}");
    assert_eq!(good, CALLS);
    drained(&stack).await;
    stack.shutdown().await;
}
