//! Each recorded scenario leaves the right record and the right alert.

use events::{CallId, EgressEnd};
use serde_json::{Value, json};

use crate::{
    host::{Host, KEY, OTHER, STREAM, file},
    log,
};

/// How a recorded scenario goes on here.
struct Scenario {
    recorded: &'static str,
    wanted: fn(&str) -> Value,
    end: EgressEnd,
    files: &'static [(&'static str, u64)],
    alerts: usize,
}

fn hls(room: &str) -> Value {
    json!({"room": room, "outputs": {"hls": {"path": "calls/{room_name}", "segment_s": 2}}})
}

fn track(room: &str) -> Value {
    json!({"room": room, "track": "TR_AMXBDY9SaAfKuE", "outputs": {"file": {"kind": "ogg", "path": "track/x"}}})
}

fn participant(room: &str) -> Value {
    let file = json!({"kind": "mp4", "path": "part/{publisher_identity}"});
    json!({"room": room, "participant_identity": "caller-1", "outputs": {"file": file}})
}

fn stream(room: &str) -> Value {
    json!({"room": room, "outputs": {"streams": [STREAM]}})
}

fn ogg(room: &str) -> Value {
    file(room, "ogg")
}

fn mp4(room: &str) -> Value {
    file(room, "mp4")
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        recorded: "EG_s4uE8DXpQk6U",
        wanted: ogg,
        end: EgressEnd::Complete,
        files: &[(
            "calls/eg-rooms3/RM_adf6xBe7qdJK/2026-11-20T190832-20261120190832016.ogg",
            86_522,
        )],
        alerts: 0,
    },
    Scenario {
        recorded: "EG_FDbnPCKLFCLW",
        wanted: mp4,
        end: EgressEnd::Complete,
        files: &[("mp4/eg-mp4aac.mp4", 50_326)],
        alerts: 0,
    },
    Scenario {
        recorded: "EG_ZkKyarSY9CcH",
        wanted: hls,
        end: EgressEnd::Complete,
        files: &[("hls/eg-hls/all.m3u8", 200_784)],
        alerts: 0,
    },
    Scenario {
        recorded: "EG_HG5SBpBQWL64",
        wanted: track,
        end: EgressEnd::Complete,
        files: &[(
            "track/eg-track-TR_AMXBDY9SaAfKuE-audio-microphone-caller-1-2026-11-20T191319.ogg",
            84_305,
        )],
        alerts: 0,
    },
    Scenario {
        recorded: "EG_i7s4BCc59vY3",
        wanted: participant,
        end: EgressEnd::Complete,
        files: &[("part/eg-part/caller-1-2026-11-20T191640.mp4", 123_685)],
        alerts: 0,
    },
    Scenario {
        recorded: "EG_sq8z4ssRmabk",
        wanted: stream,
        end: EgressEnd::Complete,
        files: &[],
        alerts: 0,
    },
    Scenario {
        recorded: "EG_VpHkZJZuLxHu",
        wanted: stream,
        end: EgressEnd::Failed,
        files: &[],
        alerts: 1,
    },
    Scenario {
        recorded: "EG_gMKzjWtuu7hV",
        wanted: ogg,
        end: EgressEnd::Failed,
        files: &[("bb/x.ogg", 0)],
        alerts: 1,
    },
    Scenario {
        recorded: "EG_D5Lw8iWCZKhP",
        wanted: ogg,
        end: EgressEnd::Failed,
        files: &[("down/x.ogg", 0)],
        alerts: 1,
    },
    Scenario {
        recorded: "EG_NaFKtprjRA32",
        wanted: ogg,
        end: EgressEnd::Failed,
        files: &[("/out/hkill/x.ogg", 0)],
        alerts: 1,
    },
    Scenario {
        recorded: "EG_zeg2RAY5KCyG",
        wanted: ogg,
        end: EgressEnd::Failed,
        files: &[("/out/sigint/x.ogg", 53_647)],
        alerts: 1,
    },
    Scenario {
        recorded: "EG_t5PM7yqn9vaU",
        wanted: ogg,
        end: EgressEnd::LimitReached,
        files: &[("/out/limit/2026-11-20T192022.ogg", 98_619)],
        alerts: 0,
    },
    Scenario {
        recorded: "EG_uGykuV4HbsWA",
        wanted: ogg,
        end: EgressEnd::Aborted,
        files: &[("/out/abort/x.ogg", 0)],
        alerts: 0,
    },
];

/// What was stored has a link at the bucket, signed and without the secret; what was not has none.
async fn assert_files_are_linked(host: &Host, call: &CallId, egress: &str, files: &[(&str, u64)]) {
    for (at, (name, size)) in files.iter().enumerate() {
        let path = format!("/v1/calls/{call}/egress/{egress}/files/{at}");
        assert_eq!(host.ask("GET", &path, OTHER, None).await.0, 404);
        assert_eq!(host.ask("GET", &path, "", None).await.0, 401);
        let (status, link) = host.ask("GET", &path, KEY, None).await;
        if *size == 0 {
            assert_eq!(status, 404, "{name}: {link}");
            continue;
        }
        assert_eq!(status, 200, "{name}: {link}");
        let url = link["url"].as_str().unwrap();
        assert!(
            url.starts_with("https://recordings.s3.us-east-1.amazonaws.com/"),
            "{url}"
        );
        assert!(
            url.contains(&format!("{name}?")) && url.contains("X-Amz-Expires=600"),
            "{url}"
        );
        assert!(!url.contains("canary-s3-secret"), "{url}");
    }
    for path in [
        format!("/v1/calls/{call}/egress/{egress}/files/9"),
        format!("/v1/calls/{call}/egress/{egress}/files/x"),
        format!("/v1/calls/{call}/egress/EG_other/files/0"),
    ] {
        assert_eq!(host.ask("GET", &path, KEY, None).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn each_recorded_scenario_leaves_its_record_and_its_alert_and_no_secret() {
    let host = Host::start().await;
    let peer = host.peer().await;
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        let (room, case) = (format!("crm-{number}"), scenario.recorded);
        let call = host.room(&room).await;
        let egress = host
            .record(&peer, scenario.recorded, &(scenario.wanted)(&room))
            .await;
        assert!(host.is_marked(&egress).await, "{case}");
        while peer.advance(&egress).await {}
        host.webhook("egress_ended", &egress).await;

        let record = host.egress_record(&call, &egress).await.unwrap();
        assert_eq!(record.end, scenario.end, "{case}");
        let files = record
            .files
            .iter()
            .map(|file| (file.filename.as_str(), file.size_bytes));
        assert_eq!(files.collect::<Vec<_>>(), scenario.files, "{case}");
        assert_eq!(host.is_marked(&egress).await, record.wants_stand_in(), "{case}");
        assert_eq!(
            log::lines("an egress has failed", &egress).len(),
            scenario.alerts,
            "{case}"
        );

        let path = format!("/v1/calls/{call}/recordings");
        let (status, shown) = host.ask("GET", &path, KEY, None).await;
        assert_eq!(
            (status, &shown["egresses"][0]["end"]),
            (200, &json!(scenario.end.as_str())),
            "{shown}"
        );
        assert_eq!(host.ask("GET", &path, OTHER, None).await.0, 404);
        assert_files_are_linked(&host, &call, &egress, scenario.files).await;
        let (status, listed) = host.ask("GET", &format!("/v1/egress/{egress}"), KEY, None).await;
        assert_eq!(
            (status, &listed["status"]),
            (200, &json!(scenario.end.as_str())),
            "{listed}"
        );
        assert_eq!(
            host.ask("DELETE", &format!("/v1/egress/{egress}"), KEY, None)
                .await
                .0,
            409
        );
    }
    let asked = peer.asked();
    assert_eq!(asked.len(), SCENARIOS.len());
    let s3 = asked[0].room.as_ref().unwrap().file_outputs[0].output.clone();
    assert!(
        format!("{s3:?}").contains("canary-s3-secret"),
        "the service itself gets it"
    );
    assert_eq!(asked[5].room.as_ref().unwrap().stream_outputs[0].urls, [STREAM]);
    let (_, list) = host.ask("GET", "/v1/egress", KEY, None).await;
    assert_eq!(list["egresses"].as_array().unwrap().len(), SCENARIOS.len());
    let (_, page) = host.ask("GET", "/v1/egress?limit=10", KEY, None).await;
    let rest = format!("/v1/egress?cursor={}", page["next"].as_str().unwrap());
    let (_, rest) = host.ask("GET", &rest, KEY, None).await;
    let number = |page: &Value| page["egresses"].as_array().unwrap().len();
    assert_eq!(
        (number(&page), number(&rest), rest.get("next")),
        (10, SCENARIOS.len() - 10, None)
    );
    assert_eq!(host.ask("GET", "/v1/egress?limit=0", KEY, None).await.0, 400);
    let (_, list) = host.ask("GET", "/v1/egress?active=true", KEY, None).await;
    assert_eq!(list["egresses"], json!([]));
    let (_, list) = host.ask("GET", "/v1/egress", OTHER, None).await;
    assert_eq!(list["egresses"], json!([]));
    host.assert_no_secrets(&[]).await;
}

#[tokio::test]
async fn an_egress_is_stopped_and_streams_elsewhere_by_the_api() {
    let host = Host::start().await;
    let peer = host.peer().await;
    host.room("crm-1").await;
    let egress = host.record(&peer, "EG_sq8z4ssRmabk", &stream("crm-1")).await;
    let path = format!("/v1/egress/{egress}");
    for key in [OTHER, ""] {
        let expected = if key.is_empty() { 401 } else { 404 };
        assert_eq!(host.ask("DELETE", &path, key, None).await.0, expected);
        let body = json!({"add": [STREAM]});
        assert_eq!(
            host.ask("POST", &format!("{path}/streams"), key, Some(body))
                .await
                .0,
            expected
        );
    }
    assert!(peer.advance(&egress).await);
    let streams = format!("{path}/streams");
    let (status, changed) = host
        .ask("POST", &streams, KEY, Some(json!({"remove": [STREAM]})))
        .await;
    assert_eq!(
        (status, &changed["streams"][0]["host"]),
        (200, &json!("rtmp://93.184.216.34")),
        "{changed}"
    );
    for (body, expected) in [
        (json!({}), 400),
        (json!({"add": ["rtmp://127.0.0.1/x/canary-stream-key"]}), 403),
        (json!({"add": ["http://93.184.216.34/x"]}), 400),
        (json!({"add": [STREAM, STREAM, STREAM, STREAM, STREAM]}), 400),
    ] {
        assert_eq!(
            host.ask("POST", &streams, KEY, Some(body.clone())).await.0,
            expected,
            "{body}"
        );
    }
    let layout = json!({"layout": "grid"});
    assert_eq!(
        host.ask("PATCH", &path, KEY, Some(layout)).await.0,
        409,
        "it is sound only"
    );
    let (status, stopped) = host.ask("DELETE", &path, KEY, None).await;
    assert_eq!(status, 200, "{stopped}");
    while peer.advance(&egress).await {}
    host.webhook("egress_ended", &egress).await;
    host.assert_no_secrets(&[]).await;
}

#[tokio::test]
async fn the_room_may_be_finished_before_its_egress_has_ended() {
    let host = Host::start().await;
    let peer = host.peer().await;
    let call = host.room("crm-1").await;
    let egress = host.record(&peer, "EG_SBCDD443eu7C", &ogg("crm-1")).await;
    assert!(peer.advance(&egress).await);
    host.livekit.delete_room("crm-1").await.unwrap();
    host.webhook("room_finished", call.as_str()).await;
    assert!(host.egress_record(&call, &egress).await.is_none() && host.is_marked(&egress).await);
    while peer.advance(&egress).await {}
    host.webhook("egress_ended", &egress).await;
    let record = host.egress_record(&call, &egress).await.unwrap();
    assert_eq!(
        (record.end, record.files[0].size_bytes),
        (EgressEnd::Complete, 70_346)
    );
    assert!(!host.is_marked(&egress).await);
}

#[tokio::test]
async fn the_agents_own_recording_stands_in_for_an_upload_that_failed() {
    let host = Host::start().await;
    let peer = host.peer().await;
    for (number, is_closed_first) in [(1, true), (2, false)] {
        let room = format!("crm-{number}");
        let call = host.room(&room).await;
        let egress = host.record(&peer, "EG_gMKzjWtuu7hV", &ogg(&room)).await;
        if is_closed_first {
            host.agent_recorded(&call, &room, b"OggS").await;
        }
        while peer.advance(&egress).await {}
        host.webhook("egress_ended", &egress).await;
        if !is_closed_first {
            let record = host.egress_record(&call, &egress).await.unwrap();
            assert!(record.stand_in.is_none() && host.is_marked(&egress).await);
            host.agent_recorded(&call, &room, b"OggS").await;
            host.sweep().await;
        }
        let record = host.egress_record(&call, &egress).await.unwrap();
        let key = record.stand_in.unwrap();
        assert!(
            key.contains(call.as_str()) && key.ends_with("/recording.ogg"),
            "{key}"
        );
        assert!(!host.is_marked(&egress).await);
        let (_, shown) = host
            .ask("GET", &format!("/v1/calls/{call}/recordings"), KEY, None)
            .await;
        let egress = &shown["egresses"][0];
        assert_eq!(egress["agent_stands_in"], true, "{shown}");
        assert_eq!(shown["agent"]["duration_ms"], 5_000, "{shown}");
    }
}
