//! What is kept of egresses, as they were recorded.

use events::{CallRecord, EgressEnd, EgressRecord, Outcome, Recording, RecordingPolicy, Timestamp, keys};
use serde_json::{Value, json};

use crate::{
    fakes::Fuse,
    logs::logged,
    sender::{Function, Webhook, recording},
};

const COMPLETE: &str = "EG_s4uE8DXpQk6U";
const NO_BUCKET: &str = "EG_gMKzjWtuu7hV";
const ROOM_DELETED: &str = "EG_SBCDD443eu7C";
const KILLED: &str = "EG_AgvJpr6DaCWU";
const RTMP_REFUSED: &str = "EG_VpHkZJZuLxHu";
const INGRESS_FAILED: &str = "IN_uLn2uFdiG2VD";
const INGRESS_ENDED: &str = "IN_xzfGfs6TzrEs";
const INGRESS_COMPLETE: &str = "IN_Sgw6pgjBsJZZ";

fn json_of(webhook: &Webhook) -> Value {
    serde_json::from_slice(&webhook.body).unwrap()
}

/// The webhooks of the room that this egress recorded, or that this ingress published into.
fn scenario(id: &str) -> Vec<Webhook> {
    let all = recording("egress-ingress.jsonl", true);
    let room_of = |webhook: &Webhook| {
        let json = json_of(webhook);
        let (egress, ingress) = (&json["egressInfo"], &json["ingressInfo"]);
        let is_of = egress["egressId"] == id || ingress["ingressId"] == id;
        let room = egress["roomId"].as_str().or(ingress["state"]["roomId"].as_str());
        room.filter(|_| is_of).map(str::to_owned)
    };
    let room = all.iter().find_map(room_of).unwrap();
    let of_room = |webhook: &Webhook| String::from_utf8_lossy(&webhook.body).contains(&room);
    all.into_iter().filter(of_room).collect()
}

fn function() -> Function {
    Function::new(&[json!({"profile": "any"})])
}

fn record(function: &Function, egress: &str) -> Option<EgressRecord> {
    let object = function.world.object(&format!("/egress/{egress}.json"))?;
    Some(EgressRecord::decode(object).unwrap())
}

fn is_marked(function: &Function, egress: &str) -> bool {
    function.world.object(&format!("open/egress/{egress}")).is_some()
}

async fn played(egress: &str) -> Function {
    let function = function();
    function.accept_all(scenario(egress)).await;
    function
}

/// The agent has recorded the call of these webhooks, and closed it.
fn close_call(function: &Function, webhooks: &[Webhook]) -> String {
    let json = json_of(&webhooks[0]);
    let call: events::CallId = json["room"]["sid"].as_str().unwrap().parse().unwrap();
    let ms: i64 = json["room"]["creationTimeMs"].as_str().unwrap().parse().unwrap();
    let at = Timestamp::from_unix_ms(ms).unwrap();
    let room = json["room"]["name"].as_str().unwrap().parse().unwrap();
    let key = keys::recording(at, &call);
    let mut record = CallRecord::new(call.clone(), room, Outcome::Completed, at, at);
    record.recording = Some(Recording {
        key: key.clone(),
        duration_ms: 5_000,
        policy: RecordingPolicy::Always,
        gate_opened_at: at,
    });
    let mut objects = function.world.objects.lock();
    objects.insert(keys::claim(at, &call), "{}".into());
    objects.insert(keys::record(at, &call), record.encode().into());
    key
}

#[tokio::test]
async fn each_recorded_egress_leaves_its_record_with_the_names_of_its_end() {
    use EgressEnd::{Aborted, Complete, Failed, LimitReached};
    for (egress, end, error_code, files) in [
        (
            COMPLETE,
            Complete,
            0,
            &[(
                "calls/eg-rooms3/RM_adf6xBe7qdJK/2026-11-20T190832-20261120190832016.ogg",
                86_522,
            )][..],
        ),
        (ROOM_DELETED, Complete, 0, &[("/out/del/x.ogg", 70_346)]),
        ("EG_zeg2RAY5KCyG", Failed, 403, &[("/out/sigint/x.ogg", 53_647)]),
        ("EG_NaFKtprjRA32", Failed, 500, &[("/out/hkill/x.ogg", 0)]),
        (
            "EG_t5PM7yqn9vaU",
            LimitReached,
            413,
            &[("/out/limit/2026-11-20T192022.ogg", 98_619)],
        ),
        ("EG_uGykuV4HbsWA", Aborted, 412, &[("/out/abort/x.ogg", 0)]),
        (NO_BUCKET, Failed, 400, &[("bb/x.ogg", 0)]),
        (RTMP_REFUSED, Failed, 503, &[]),
        (
            "EG_ZkKyarSY9CcH",
            Complete,
            0,
            &[("hls/eg-hls/all.m3u8", 200_784)],
        ),
        ("EG_nCQMgfHbkuo3", Failed, 404, &[("", 0)]),
        (
            "EG_TZUerQCBsVKT",
            Complete,
            0,
            &[("v2/eg-v2-2026-11-20T191348.ogg", 84_640)],
        ),
    ] {
        let function = played(egress).await;
        let kept = record(&function, egress).unwrap();
        assert_eq!((kept.end.clone(), kept.error_code), (end, error_code), "{egress}");
        let kept_files: Vec<_> = kept
            .files
            .iter()
            .map(|f| (f.filename.as_str(), f.size_bytes))
            .collect();
        assert_eq!(kept_files, files, "{egress}");
        assert_eq!(is_marked(&function, egress), kept.wants_stand_in(), "{egress}");
        let key = function
            .world
            .keys()
            .into_iter()
            .find(|key| key.contains("/egress/"));
        assert!(key.unwrap().starts_with("calls/2026-11-20/RM_"), "{egress}");
    }
    let first = scenario(COMPLETE)
        .into_iter()
        .find(|webhook| json_of(webhook)["event"] == "egress_started");
    let named_first = &json_of(&first.unwrap())["egressInfo"]["fileResults"][0]["filename"];
    assert_ne!(
        named_first, "calls/eg-rooms3/RM_adf6xBe7qdJK/2026-11-20T190832-20261120190832016.ogg",
        "the first name is another one"
    );
}

#[tokio::test]
async fn an_egress_that_is_killed_with_its_service_stays_marked() {
    let function = played(KILLED).await;
    assert!(record(&function, KILLED).is_none() && is_marked(&function, KILLED));
    assert!(
        function.world.object("/record.json").is_some(),
        "its call is closed all the same"
    );
}

#[tokio::test]
async fn the_room_may_be_finished_before_its_egress_has_ended() {
    let webhooks = scenario(ROOM_DELETED);
    let at = |event: &str| {
        webhooks
            .iter()
            .position(|webhook| json_of(webhook)["event"] == event)
    };
    assert!(
        at("room_finished") < at("egress_ended"),
        "the recording has this order"
    );
    let function = played(ROOM_DELETED).await;
    let open: Vec<_> = function
        .world
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("open"))
        .collect();
    assert!(open.is_empty(), "{open:?}");
    assert!(record(&function, ROOM_DELETED).is_some() && function.world.object("/record.json").is_some());
}

#[tokio::test]
async fn in_whatever_order_its_events_come_the_end_is_the_same() {
    let (of_egress, others): (Vec<_>, Vec<_>) = scenario(COMPLETE)
        .into_iter()
        .partition(|webhook| json_of(webhook)["egressInfo"].is_object());
    assert_eq!(of_egress.len(), 4);
    let expected = record(&played(COMPLETE).await, COMPLETE).unwrap();
    for order in permutations(4) {
        let function = function();
        function.accept_all(others.clone()).await;
        for place in &order {
            function.accept(of_egress[*place].clone()).await;
        }
        assert_eq!(record(&function, COMPLETE).unwrap(), expected, "{order:?}");
        // A start that comes later than the end does not open it again.
        assert!(!is_marked(&function, COMPLETE), "{order:?}");
    }
}

fn permutations(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let inserted = |order: Vec<usize>| {
        (0..of).map(move |at| {
            let mut longer = order.clone();
            longer.insert(at, of - 1);
            longer
        })
    };
    permutations(of - 1).into_iter().flat_map(inserted).collect()
}

#[tokio::test]
async fn the_agents_own_recording_stands_in_for_what_is_missing_once_the_call_is_closed() {
    let webhooks = scenario(NO_BUCKET);
    let function = function();
    let key = close_call(&function, &webhooks);
    function.accept_all(webhooks).await;
    let kept = record(&function, NO_BUCKET).unwrap();
    assert_eq!(kept.stand_in, Some(key));
    assert!(!is_marked(&function, NO_BUCKET));

    // What is there needs no stand-in.
    let webhooks = scenario(COMPLETE);
    let function = self::function();
    close_call(&function, &webhooks);
    function.accept_all(webhooks).await;
    assert_eq!(record(&function, COMPLETE).unwrap().stand_in, None);
}

#[tokio::test]
async fn one_that_was_held_for_lost_may_still_come_to_its_end() {
    let (ended, others): (Vec<_>, Vec<_>) = scenario(COMPLETE)
        .into_iter()
        .partition(|webhook| json_of(webhook)["event"] == "egress_ended");
    let function = function();
    function.accept_all(others).await;
    let marker = function.world.object(&format!("open/egress/{COMPLETE}")).unwrap();
    let open = events::OpenEgress::decode(&marker).unwrap();
    let lost = EgressRecord::lost(COMPLETE.parse().unwrap(), &open, open.since);
    let key = keys::egress(open.created_at, &open.call, &lost.egress);
    function.world.objects.lock().insert(key, lost.encode().into());
    function.accept_all(ended).await;
    let kept = record(&function, COMPLETE).unwrap();
    assert_eq!(
        (kept.end, kept.files[0].size_bytes),
        (EgressEnd::Complete, 86_522)
    );
    assert!(!is_marked(&function, COMPLETE));
}

#[tokio::test]
async fn killed_at_any_operation_and_repeated_an_egress_or_ingress_ends_as_if_nothing_had_happened() {
    let mut kinds = std::collections::BTreeSet::new();
    for (egress, is_closed) in [
        (COMPLETE, false),
        (NO_BUCKET, false),
        (NO_BUCKET, true),
        (ROOM_DELETED, false),
        (RTMP_REFUSED, false),
        (INGRESS_FAILED, false),
        (INGRESS_ENDED, false),
        (INGRESS_COMPLETE, false),
    ] {
        let webhooks = scenario(egress);
        kinds.extend(
            webhooks
                .iter()
                .map(|webhook| json_of(webhook)["event"].to_string()),
        );
        let fresh = || {
            let function = function();
            if is_closed {
                close_call(&function, &webhooks);
            }
            function
        };
        let expected = fresh();
        expected.accept_all(webhooks.clone()).await;
        let operations = expected.fuse.operations();
        assert!(operations >= 30, "{operations}");
        for (operation, after) in (0..operations).flat_map(|n| [(n, false), (n, true)]) {
            let survivor = fresh();
            let victim = survivor.process(Fuse::at(operation, after));
            let mut died = false;
            for webhook in &webhooks {
                if !died {
                    died = victim.send(webhook.clone()).await.0 != 200;
                }
                if died {
                    survivor.accept(webhook.clone()).await;
                }
            }
            assert_eq!(
                *survivor.world.objects.lock(),
                *expected.world.objects.lock(),
                "{egress} at {operation}, after: {after}"
            );
        }
    }
    for kind in [
        "egress_started",
        "egress_updated",
        "egress_ended",
        "ingress_started",
        "ingress_ended",
    ] {
        assert!(
            kinds.contains(&format!("\"{kind}\"")),
            "{kind} is in none of them: {kinds:?}"
        );
    }
}

#[tokio::test]
async fn each_failure_is_one_alert_with_what_to_do_and_the_others_are_none() {
    for (egress, alerts, remedy) in [
        (COMPLETE, 0, ""),
        ("EG_uGykuV4HbsWA", 0, ""),
        ("EG_t5PM7yqn9vaU", 0, ""),
        (NO_BUCKET, 1, "recordings.s3"),
        ("EG_zeg2RAY5KCyG", 1, "SIGTERM"),
        ("EG_NaFKtprjRA32", 1, "livekit-egress"),
        (RTMP_REFUSED, 1, "streams to"),
    ] {
        let lines = logged(&function(), scenario(egress)).await;
        let told: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
        assert_eq!(told.len(), alerts, "{egress}: {told:?}");
        for line in told {
            let fields = &line["fields"];
            assert_eq!(fields["message"], "an egress has failed");
            assert_eq!(fields["egress_id"], egress);
            assert!(fields["remedy"].as_str().unwrap().contains(remedy), "{fields}");
        }
    }
}

#[tokio::test]
async fn no_stream_key_or_secret_is_kept_or_logged() {
    let mut webhooks = recording("egress-ingress.jsonl", false);
    let mut canaries: Vec<String> = webhooks
        .iter()
        .filter_map(|webhook| Some(json_of(webhook)["ingressInfo"]["streamKey"].as_str()?.to_owned()))
        .filter(|key| !key.is_empty())
        .collect();
    canaries.sort();
    canaries.dedup();
    assert!(canaries.len() > 3, "the recording has keys: {canaries:?}");
    // An egress of another version might not mask them itself.
    for webhook in &mut webhooks {
        let text = String::from_utf8(webhook.body.clone()).unwrap();
        let text = text
            .replace("{secret}", "canary-secret")
            .replace("{str...123}", "canary-key");
        *webhook = Webhook::signed(text, webhook.at_ms);
    }
    canaries.extend(["canary-secret".to_owned(), "canary-key".to_owned()]);
    let inputs: String = webhooks
        .iter()
        .map(|webhook| String::from_utf8_lossy(&webhook.body).into_owned())
        .collect();
    assert!(canaries.iter().all(|canary| inputs.contains(canary)));
    let function = function();
    let lines = logged(&function, webhooks).await;
    let failed = lines
        .iter()
        .filter(|line| line["fields"]["message"] == "an ingress has failed");
    assert!(failed.count() > 3);
    let mut all: String = lines.iter().map(Value::to_string).collect();
    for (key, bytes) in function.world.objects.lock().iter() {
        all = all + key + &String::from_utf8_lossy(bytes);
    }
    for canary in canaries {
        assert!(!all.contains(&canary), "{canary}");
    }
}
