//! A real livekit-server takes the tokens, for joining and for nothing else.

use dev::{LocalStack, LocalStackConfig};
use serde_json::json;

use crate::endpoint::{FREE, app, ask, livekit};

#[tokio::test]
async fn the_server_lets_its_bearer_join_and_administer_nothing() {
    let stack = LocalStack::start(LocalStackConfig::default()).await.unwrap();
    let (key, secret) = (
        stack.keys().api_key().to_owned(),
        stack.keys().api_secret().to_owned(),
    );
    let app = app(livekit(&stack.ws_url(), &key, &secret));
    let (status, answer) = ask(
        app,
        FREE,
        &json!({"room_name": "web-1", "participant_identity": "ann"}),
    )
    .await;
    assert_eq!(status, 201);
    let token = answer["participant_token"].as_str().unwrap();
    let http = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let validate = format!("{}/rtc/validate?access_token={token}", stack.http_url());
    let validated = http.get(validate).send().await.unwrap();
    assert_eq!(validated.status(), 200, "{}", validated.text().await.unwrap());
    for (method, body) in [
        ("RoomService/ListRooms", json!({})),
        ("RoomService/CreateRoom", json!({"name": "web-1"})),
        ("RoomService/ListParticipants", json!({"room": "web-1"})),
        (
            "RoomService/UpdateRoomMetadata",
            json!({"room": "web-1", "metadata": "x"}),
        ),
        ("RoomService/DeleteRoom", json!({"room": "web-1"})),
        ("SIP/ListSIPInboundTrunk", json!({})),
        ("Egress/ListEgress", json!({})),
        ("Ingress/ListIngress", json!({})),
    ] {
        let url = format!("{}/twirp/livekit.{method}", stack.http_url());
        let answer = http
            .post(url)
            .bearer_auth(token)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 401, "{method}");
    }
    stack.stop().await.unwrap();
}
