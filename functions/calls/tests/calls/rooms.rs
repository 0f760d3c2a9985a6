//! Rooms and participants.

use serde_json::json;

use crate::host::{Host, KEY, OTHER};

#[tokio::test]
async fn a_room_is_made_read_changed_listed_and_deleted_by_its_owner_alone() {
    let host = Host::without_gateway().await;
    let (status, room) = host
        .ask(
            "POST",
            "/v1/rooms",
            KEY,
            Some(json!({"name": "crm-1", "max_participants": 4, "metadata": "a"})),
        )
        .await;
    assert_eq!(status, 201, "{room}");
    let told = [
        "name",
        "empty_timeout_s",
        "departure_timeout_s",
        "max_participants",
        "metadata",
    ];
    assert_eq!(
        told.map(|name| room[name].clone()),
        [json!("crm-1"), json!(300), json!(20), json!(4), json!("a")]
    );
    let (status, room) = host
        .ask("PATCH", "/v1/rooms/crm-1", KEY, Some(json!({"metadata": "b"})))
        .await;
    assert_eq!((status, &room["metadata"]), (200, &json!("b")));
    for (method, body) in [
        ("GET", None),
        ("PATCH", Some(json!({"metadata": "c"}))),
        ("DELETE", None),
    ] {
        assert_eq!(host.ask(method, "/v1/rooms/crm-1", OTHER, body).await.0, 404);
    }
    assert_eq!(
        host.ask("GET", "/v1/rooms/crm-1/participants", KEY, None).await,
        (200, json!([]))
    );
    assert_eq!(
        host.ask("GET", "/v1/rooms/crm-1/participants/ann", KEY, None)
            .await
            .0,
        404
    );
    assert_eq!(
        host.ask("DELETE", "/v1/rooms/crm-1/participants/ann", KEY, None)
            .await
            .0,
        204
    );
    let mute = Some(json!({"muted": true}));
    let track = "/v1/rooms/crm-1/participants/ann/tracks/TR_1/mute";
    assert_eq!(host.ask("POST", track, KEY, mute).await.0, 404);
    let reserved = Some(json!({"attributes": {"sip.phoneNumber": "+1"}}));
    assert_eq!(
        host.ask("PATCH", "/v1/rooms/crm-1/participants/ann", KEY, reserved)
            .await
            .0,
        403
    );

    assert_eq!(host.ask("DELETE", "/v1/rooms/crm-1", KEY, None).await.0, 204);
    assert_eq!(host.ask("GET", "/v1/rooms/crm-1", KEY, None).await.0, 404);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn the_list_has_the_callers_own_rooms_page_by_page() {
    let host = Host::without_gateway().await;
    assert_eq!(
        host.ask("POST", "/v1/rooms", KEY, Some(json!({"name": "crm-1"})))
            .await
            .0,
        201
    );
    let (status, drawn) = host.ask("POST", "/v1/rooms", KEY, Some(json!({}))).await;
    assert!(
        status == 201 && drawn["name"].as_str().unwrap().starts_with("crm-"),
        "{drawn}"
    );
    assert_eq!(
        host.ask("POST", "/v1/rooms", KEY, Some(json!({"name": "other-1"})))
            .await
            .0,
        404
    );
    assert_eq!(
        host.ask("POST", "/v1/rooms", OTHER, Some(json!({"name": "other-1"})))
            .await
            .0,
        201
    );

    let (_, page) = host.ask("GET", "/v1/rooms?limit=1", KEY, None).await;
    let next = page["next"].as_str().unwrap();
    let (_, rest) = host
        .ask("GET", &format!("/v1/rooms?cursor={next}"), KEY, None)
        .await;
    let names = |page: &serde_json::Value| {
        let rooms = page["rooms"].as_array().unwrap();
        rooms
            .iter()
            .map(|room| room["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut all = [names(&page), names(&rest)].concat();
    all.sort();
    let mut expected = vec!["crm-1".to_owned(), drawn["name"].as_str().unwrap().to_owned()];
    expected.sort();
    assert_eq!(all, expected);
    assert!(rest["next"].is_null());
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn bounds_of_rooms_are_kept() {
    let host = Host::without_gateway().await;
    for (body, field) in [
        (
            json!({"name": "crm-1", "empty_timeout_s": 86_401}),
            "empty_timeout_s",
        ),
        (
            json!({"name": "crm-1", "departure_timeout_s": 3_601}),
            "departure_timeout_s",
        ),
        (
            json!({"name": "crm-1", "max_participants": 1_001}),
            "max_participants",
        ),
        (
            json!({"name": "crm-1", "metadata": "x".repeat(20_000)}),
            "metadata",
        ),
        (json!({"name": "crm-\n"}), "name"),
        (json!({"name": format!("crm-{}", "x".repeat(300))}), "name"),
        (json!({"egress": {}}), "egress"),
    ] {
        let (status, problem) = host.ask("POST", "/v1/rooms", KEY, Some(body)).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)));
    }
    assert_eq!(host.rooms().await.len(), 0);
    host.stack.stop().await.unwrap();
}
