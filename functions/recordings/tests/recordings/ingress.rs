//! Entrances for media, at a real livekit-server.

use serde_json::{Value, json};

use crate::{
    host::{Host, KEY, OTHER},
    log, samples,
};

fn wanted(input: &str, change: &Value) -> Value {
    let mut body = json!({"input": input, "room": "crm-1", "participant_identity": "enc-1"});
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn an_ingress_is_made_listed_changed_and_removed_and_shows_its_key_once() {
    let host = Host::start().await;
    let mut keys = Vec::new();
    let mut made = Vec::new();
    for (input, change, transcoding) in [
        ("rtmp", json!({"name": "studio"}), true),
        ("whip", json!({}), false),
        ("whip", json!({"transcoding": true}), true),
    ] {
        let (status, _, body) = host
            .send("POST", "/v1/ingress", KEY, Some(wanted(input, &change)), &[])
            .await;
        let ingress: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 201, "{ingress}");
        assert_eq!(
            (&ingress["input"], &ingress["transcoding"]),
            (&json!(input), &json!(transcoding))
        );
        assert_eq!(ingress["status"], "inactive");
        keys.push(ingress["stream_key"].as_str().unwrap().to_owned());
        made.push(ingress["ingress"].as_str().unwrap().to_owned());
    }
    let (_, list) = host.ask("GET", "/v1/ingress?room=crm-1", KEY, None).await;
    assert_eq!(list["ingresses"].as_array().unwrap().len(), 3, "{list}");
    let (_, page) = host.ask("GET", "/v1/ingress?limit=2", KEY, None).await;
    assert_eq!(
        (
            page["ingresses"].as_array().unwrap().len(),
            page["next"].is_string()
        ),
        (2, true),
        "{page}"
    );
    let path = format!("/v1/ingress/{}", made[0]);
    let (_, shown) = host.ask("GET", &path, KEY, None).await;
    assert_eq!(
        (&shown["name"], shown.get("stream_key")),
        (&json!("studio"), None),
        "{shown}"
    );
    let change = json!({"name": "stage", "room": "crm-2", "enabled": false});
    let (status, changed) = host.ask("PATCH", &path, KEY, Some(change)).await;
    assert_eq!(
        (status, &changed["room"], &changed["enabled"]),
        (200, &json!("crm-2"), &json!(false)),
        "{changed}"
    );
    assert_eq!(host.ask("PATCH", &path, KEY, Some(json!({}))).await.0, 400);
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("PATCH", path.clone(), Some(json!({"name": "x"}))),
        ("DELETE", path.clone(), None),
        ("GET", "/v1/ingress/IN_none".to_owned(), None),
        ("GET", "/v1/ingress/..".to_owned(), None),
    ] {
        assert_eq!(
            host.ask(method, &path, OTHER, body).await.0,
            404,
            "{method} {path}"
        );
    }
    let (_, list) = host.ask("GET", "/v1/ingress", OTHER, None).await;
    assert_eq!(list["ingresses"], json!([]));
    for ingress in &made {
        assert_eq!(
            host.ask("DELETE", &format!("/v1/ingress/{ingress}"), KEY, None)
                .await
                .0,
            204
        );
    }
    assert_eq!(host.ask("GET", &path, KEY, None).await.0, 404);
    // The one answer that shows it is that to whoever makes it.
    let text = log::text();
    assert!(keys.iter().all(|key| key.len() > 8 && !text.contains(key)));
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let host = Host::start().await;
    for (input, change, status) in [
        ("rtmp", json!({"room": "other-1"}), 404),
        ("rtmp", json!({"url": "https://93.184.216.34/a"}), 400),
        ("rtmp", json!({"transcoding": true}), 400),
        ("rtmp", json!({"participant_identity": "sip_x"}), 400),
        ("rtmp", json!({"participant_identity": ""}), 400),
        ("rtmp", json!({"name": "a".repeat(300)}), 400),
        ("rtmp", json!({"stream_key": "mine"}), 400),
        ("url", json!({}), 400),
        ("url", json!({"url": "file:///etc/passwd"}), 400),
        ("url", json!({"url": "http://127.0.0.1/a.mp3"}), 403),
        ("url", json!({"url": "http://169.254.169.254/a.mp3"}), 403),
        ("srt", json!({}), 400),
    ] {
        let (found, problem) = host
            .ask("POST", "/v1/ingress", KEY, Some(wanted(input, &change)))
            .await;
        assert_eq!(found, status, "{input} {change}: {problem}");
    }
    // A URL is fetched by a process of its own, and none runs.
    let fetched = wanted("url", &json!({"url": "https://93.184.216.34/a.mp3"}));
    let (status, problem) = host.ask("POST", "/v1/ingress", KEY, Some(fetched)).await;
    assert_eq!(status, 503, "{problem}");
    assert!(
        problem["remedy"]
            .as_str()
            .unwrap()
            .contains("start livekit-ingress"),
        "{problem}"
    );
    let (_, list) = host.ask("GET", "/v1/ingress", KEY, None).await;
    assert_eq!(list["ingresses"], json!([]), "nothing is left of it");
}

#[tokio::test]
async fn what_becomes_of_an_ingress_reaches_its_call_and_the_log() {
    let host = Host::start().await;
    let peer = host.peer().await;
    let call = host.room("crm-1").await;
    let (_, _, body) = host
        .send("POST", "/v1/ingress", KEY, Some(wanted("rtmp", &json!({}))), &[])
        .await;
    let made: Value = serde_json::from_slice(&body).unwrap();
    let ingress = made["ingress"].as_str().unwrap();
    // Recorded with its room deleted while it published.
    for state in samples::states("ingressInfo", "IN_uLn2uFdiG2VD") {
        peer.ingress(ingress, &state, call.as_str()).await;
    }
    host.webhook("ingress_ended", ingress).await;
    let (_, shown) = host
        .ask("GET", &format!("/v1/ingress/{ingress}"), KEY, None)
        .await;
    assert_eq!(shown["status"], "error", "{shown}");
    let told = log::lines("an ingress has failed", ingress);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["call_id"], call.as_str());
}
