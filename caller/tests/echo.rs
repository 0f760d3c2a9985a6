//! Whole calls over loopback, against a callee that echoes what it hears.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;
use std::time::Duration;

use audio::Resampler;
use audio::correlate::best_lag;
use caller::{Caller, CallerConfig, Codec, EndedBy, RawSip, SipStep};
use media::sdp::{LocalMedia, answer};
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

const SOON: Duration = Duration::from_secs(5);

/// A callee that rings, answers, echoes every RTP packet and accepts BYE.
struct Callee {
    address: SocketAddr,
    _sip: AbortOnDropHandle<()>,
    _rtp: AbortOnDropHandle<()>,
}

impl Callee {
    async fn start() -> Self {
        let sip = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = sip.local_addr().unwrap();
        let rtp_port = rtp.local_addr().unwrap().port();
        Self {
            address,
            _sip: AbortOnDropHandle::new(tokio::task::spawn_local(serve_sip(sip, rtp_port))),
            _rtp: AbortOnDropHandle::new(tokio::task::spawn_local(echo(rtp))),
        }
    }
}

async fn serve_sip(socket: UdpSocket, rtp_port: u16) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let reply = |line: &str, sdp: &str| {
            let copied = text.lines().filter(|line| {
                ["Via:", "From:", "To:", "Call-ID:", "CSeq:"]
                    .iter()
                    .any(|name| line.starts_with(name))
            });
            let head = copied.collect::<Vec<_>>().join("\r\n");
            let length = sdp.len();
            format!("SIP/2.0 {line}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{sdp}")
        };
        let replies = match text.split(' ').next().unwrap() {
            "INVITE" => {
                let offer = text.split_once("\r\n\r\n").unwrap().1;
                let codecs = media::sdp::CODECS;
                let address = [127, 0, 0, 1].into();
                let local = LocalMedia {
                    address,
                    port: rtp_port,
                    codecs: &codecs,
                    session_id: 1,
                    version: 1,
                    srtp: None,
                };
                let (sdp, _) = answer(offer.as_bytes(), &local).unwrap();
                vec![
                    reply("100 Trying", ""),
                    reply("180 Ringing", ""),
                    reply("200 OK", &sdp),
                ]
            }
            "BYE" | "OPTIONS" => vec![reply("200 OK", "")],
            _ => vec![],
        };
        for reply in replies {
            socket.send_to(reply.as_bytes(), from).await.unwrap();
        }
    }
}

async fn echo(socket: UdpSocket) {
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let _ = socket.send_to(&buffer[..length], from).await;
    }
}

/// A rising tone at 16 kHz, unlike itself at any other time, so that a packet out of place shows.
fn chirp(ms: u32) -> Vec<i16> {
    let sample = |n: u32| {
        let t = f64::from(n) / 16_000.0;
        10_000.0 * (std::f64::consts::TAU * (300.0 + 2_000.0 * t) * t).sin()
    };
    #[allow(clippy::cast_possible_truncation, reason = "the amplitude fits")]
    let samples = (0..ms * 16).map(|n| sample(n) as i16);
    samples.collect()
}

#[tokio::test(flavor = "local")]
async fn what_is_spoken_comes_back_in_every_codec() {
    let callee = Callee::start().await;
    for codec in [Codec::G722, Codec::Pcmu, Codec::Pcma] {
        let mut config = CallerConfig::new("+15550100", "+15550199", callee.address);
        config.codecs = vec![codec];
        let call = Caller::new(config).place().await.unwrap();
        call.wait_ringing(SOON).await.unwrap();
        call.wait_answered(SOON).await.unwrap();
        let speech = chirp(400);
        let mut ear = call.ear();
        let turn = async { ear.wait_for_utterance(Duration::from_millis(200), SOON).await };
        let (spoken, heard) = tokio::join!(call.speak(&speech), turn);
        let (spoken, (start, end)) = (spoken.unwrap(), heard.unwrap());
        // The echo has the length of the speech, to a frame and the codec's own ringing.
        let length = end.at.saturating_sub(start.at).as_millis();
        assert!((380..=440).contains(&length), "{codec:?}: {length} ms");
        assert!(
            start.at >= spoken.started.saturating_sub(Duration::from_millis(1)),
            "{codec:?}"
        );
        let received = call.received();
        assert_eq!(received.sample_rate_hz, codec.sample_rate_hz());
        let mut reference = Vec::new();
        Resampler::new(16_000, codec.sample_rate_hz())
            .unwrap()
            .process(&speech, &mut reference);
        let likeness = best_lag(&reference, received.between(start.at, end.at), 1_000).coefficient;
        assert!(likeness > 0.95, "{codec:?}: {likeness}");
        call.hang_up().await;
        assert_eq!(call.wait_ended(SOON).await.unwrap(), EndedBy::Caller);
        let report = call.finish().await;
        assert_eq!(report.codec, Some(codec));
        assert_eq!(report.rtp.lost, 0);
        let steps: Vec<_> = report.steps.iter().map(|timed| timed.step.clone()).collect();
        let ringing = SipStep::Ringing { code: 180 };
        let ended = SipStep::Ended(EndedBy::Caller);
        assert_eq!(
            steps,
            [
                SipStep::Invite,
                SipStep::Trying,
                ringing,
                SipStep::Answered,
                SipStep::ByeSent,
                ended
            ]
        );
    }
}

#[tokio::test(flavor = "local")]
async fn options_and_raw_bytes_work_without_a_call() {
    let callee = Callee::start().await;
    let raw = RawSip::open(callee.address).await.unwrap();
    assert_eq!(raw.options("gateway", SOON).await.unwrap(), 200);
    raw.send(b"garbage\r\n\r\n").await.unwrap();
    assert_eq!(raw.receive(Duration::from_millis(50)).await, None);
}

#[tokio::test(start_paused = true)]
async fn nobody_there_ends_the_call_after_32_seconds() {
    // A bound socket that nobody reads: the datagrams vanish.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = CallerConfig::new("+15550100", "+15550199", silent.local_addr().unwrap());
    let call = Caller::new(config).place().await.unwrap();
    let error = call.wait_answered(Duration::from_mins(1)).await.unwrap_err();
    assert!(error.to_string().contains("no answer to INVITE"), "{error}");
    let (at, by) = call.report().ended().map(|(at, by)| (at, by.clone())).unwrap();
    assert_eq!((at.as_secs(), by), (32, EndedBy::NoAnswer { method: "INVITE" }));
}
