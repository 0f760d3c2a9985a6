//! Links to recordings of the running program.

use audio::Codec;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    canaries,
    harness::{Options, System, shared_turn},
    phone::{PAUSE, SOON, answered},
};

/// Its SHA-256 is in [`ACCESS`].
const KEY: &str = "ops-0123456789-0123456789-0123456789-01";
const ACCESS: &str = "access:\n  keys:\n  - name: ops\n    scopes: [recordings:read]\n    rooms: [\"*\"]\n    \
                      key_sha256: 9b336d34c030d56095b124ad34742bbaee76b050366ba6486be0f995e34a32f6\n";

/// The status and the body.
async fn fetch(system: &System, path: &str, headers: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(system.http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    assert!(!head.contains("transfer-encoding"), "{head}");
    (head[9..12].parse().unwrap(), answer[end..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_what_the_agent_recorded_opens_without_a_key() {
    let _turn = shared_turn().await;
    let system = System::start(Options {
        sections: ACCESS.to_owned(),
        ..Options::default()
    })
    .await;
    let before = system.calls();
    let call = answered(&system, Codec::G722).await;
    let mut ear = call.ear_from_start();
    ear.wait_for_utterance(PAUSE, SOON * 2).await.unwrap();
    call.hang_up().await;
    call.wait_ended(SOON).await.unwrap();
    let (folder, record) = system.new_record(&before, SOON).await;
    let kept = std::fs::read(folder.join("recording.ogg")).unwrap();
    assert!(kept.len() > 1_000, "{} bytes", kept.len());

    let path = format!("/v1/calls/{}/recording", record["call"].as_str().unwrap());
    assert_eq!(fetch(&system, &path, "").await.0, 401);
    let (status, body) = fetch(&system, &path, &format!("authorization: Bearer {KEY}\r\n")).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let link: Value = serde_json::from_slice(&body).unwrap();
    let url = link["url"].as_str().unwrap();
    let (status, body) = fetch(&system, url, "").await;
    assert_eq!((status, body.len()), (200, kept.len()));
    assert!(body == kept, "another recording came");
    let (status, body) = fetch(&system, url, "range: bytes=100-199\r\n").await;
    assert_eq!((status, body.as_slice()), (206, &kept[100..200]));
    // One character of the signature is another.
    let forged = format!(
        "{}{}",
        &url[..url.len() - 2],
        if url.ends_with("AA") { "BB" } else { "AA" }
    );
    assert_eq!(fetch(&system, &forged, "").await.0, 403);

    let log = std::fs::read_to_string(&system.log).unwrap();
    let signature = url.rsplit_once('=').unwrap().1;
    assert_eq!(
        canaries::find(&log, &[signature, KEY]),
        None,
        "a link is a secret as long as it is good"
    );
    system.stop().await;
}
