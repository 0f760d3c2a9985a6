//! Links to what agents have recorded.

use serde_json::Value;

use crate::{
    host::{Host, KEY, OTHER},
    log,
};

const SOUND: &[u8] =
    b"OggS and a hundred bytes more of what stands for sound in this test, and a few to come to it, exactly";

async fn link(host: &Host, call: &str) -> String {
    let (status, link) = host
        .ask("GET", &format!("/v1/calls/{call}/recording"), KEY, None)
        .await;
    assert_eq!(status, 200, "{link}");
    link["url"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_link_opens_its_recording_without_a_key_and_no_other() {
    let host = Host::start().await;
    let call = host.room("crm-1").await;
    let other = host.room("crm-2").await;
    let path = format!("/v1/calls/{call}/recording");
    assert_eq!(
        host.ask("GET", &path, KEY, None).await.0,
        404,
        "nothing is recorded yet"
    );
    host.agent_recorded(&call, "crm-1", SOUND).await;
    host.agent_recorded(&other, "crm-2", b"OggS").await;
    assert_eq!(host.ask("GET", &path, OTHER, None).await.0, 404);
    assert_eq!(host.ask("GET", &path, "", None).await.0, 401);

    let url = link(&host, call.as_str()).await;
    let (status, headers, body) = host.send("GET", &url, "", None, &[]).await;
    assert_eq!((status, body.as_slice()), (200, SOUND));
    assert_eq!(
        (
            headers["content-type"].to_str().unwrap(),
            headers["cache-control"].to_str().unwrap()
        ),
        ("audio/ogg", "private, no-store")
    );
    let (status, _, body) = host.send("HEAD", &url, "", None, &[]).await;
    assert_eq!((status, body.len()), (200, 0));
    let (status, headers, body) = host.send("GET", &url, "", None, &[("range", "bytes=5-7")]).await;
    assert_eq!((status, body.as_slice()), (206, &SOUND[5..8]));
    assert_eq!(headers["content-range"], format!("bytes 5-7/{}", SOUND.len()));
    let (status, headers, _) = host
        .send("GET", &url, "", None, &[("range", "bytes=9999-")])
        .await;
    assert_eq!(status, 416);
    assert_eq!(headers["content-range"], format!("bytes */{}", SOUND.len()));

    let (begin, signature) = url.rsplit_once('=').unwrap();
    let expires = begin.split_once("expires=").unwrap().1.split_once('&').unwrap().0;
    for (forged, status) in [
        (url.replace(call.as_str(), other.as_str()), 403),
        (url.replace(expires, "99999999999"), 403),
        (format!("{begin}={}", &signature[1..]), 403),
        (format!("{begin}="), 403),
        (format!("/v1/recordings/{call}?expires={expires}"), 400),
        (format!("/v1/recordings/{call}"), 400),
        (
            format!("/v1/recordings/..%2f..%2fetc?expires={expires}&signature={signature}"),
            403,
        ),
    ] {
        let (found, _, body) = host.send("GET", &forged, "", None, &[]).await;
        assert_eq!(found, status, "{forged}: {}", String::from_utf8_lossy(&body));
    }
    assert!(!log::lines("a recording was opened by its link", call.as_str()).is_empty());
    assert!(
        !log::text().contains(signature),
        "a link is a secret as long as it is good"
    );
}

#[tokio::test]
async fn a_link_to_a_recording_that_was_removed_says_so() {
    use platform::store::Store;
    let host = Host::start().await;
    let call = host.room("crm-1").await;
    let key = host.agent_recorded(&call, "crm-1", SOUND).await;
    let url = link(&host, call.as_str()).await;
    host.store.delete(&key).await.unwrap();
    let (status, _, body) = host.send("GET", &url, "", None, &[]).await;
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 404, "{problem}");
}
