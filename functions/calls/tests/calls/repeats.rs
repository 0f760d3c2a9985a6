//! Repeats of a request whose process died.

use events::Timestamp;
use futures_util::future::join;
use platform::{
    clock::{Clock as _, SystemClock},
    store::{Page, Store as _},
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    gateway::Answer,
    host::{Host, KEY, MANY, SOON, wanted},
};

async fn send(host: &Host, key: &str, number: &str, order: &str) -> (u16, bool, Value) {
    let body = wanted(&json!({"to": number}));
    let (status, headers, answer) = host.send("POST", "/v1/calls", key, Some(body), Some(order)).await;
    (status, headers.contains_key("idempotency-replayed"), answer)
}

fn dialled(host: &Host, number: &str) -> usize {
    let dialled = host.gateway().dialled();
    dialled.iter().filter(|phone| phone.call_to == number).count()
}

/// Some minutes pass, as far as the keys and the ledgers know.
async fn minutes_pass(host: &Host) {
    let before = Timestamp::from_unix_ms(SystemClock.now_ms() - 5 * 60_000).unwrap();
    for prefix in ["idempotency/", "caps/"] {
        for entry in host.store.list(prefix, Page::default()).await.unwrap().entries {
            let object = host.store.get(&entry.key).await.unwrap().unwrap();
            let mut kept: Value = serde_json::from_slice(&object.bytes).unwrap();
            if prefix == "idempotency/" {
                kept["at"] = json!(before.to_string());
            } else {
                for line in kept["active"].as_array_mut().unwrap() {
                    line["known_ms"] = json!(5 * 60_000);
                }
            }
            host.store.put(&entry.key, kept.to_string().into()).await.unwrap();
        }
    }
}

async fn delete(host: &Host, key: &str, answer: &Value) -> u16 {
    let path = format!("/v1/calls/{}", answer["call"].as_str().unwrap());
    let asked = Instant::now();
    let (status, _) = host.ask("DELETE", &path, key, None).await;
    assert!(asked.elapsed() < SOON / 2, "it waited for what never comes");
    status
}

#[tokio::test]
async fn wherever_the_process_died_a_repeat_is_answered_and_one_phone_is_dialled_at_most() {
    let host = Host::start().await;
    let (mut anew, mut not_at_all, mut steps) = (0, 0, 0);
    loop {
        let (number, order) = (format!("+1415555{steps:04}"), format!("order-{steps}"));
        let first = host
            .store
            .killed_after(steps, send(&host, MANY, &number, &order))
            .await;
        if first.is_some() {
            break;
        }
        let was_dialled = dialled(&host, &number);
        let (status, is_replayed, early) = send(&host, MANY, &number, &order).await;
        // Before the first step nothing is kept yet.
        assert!(
            status == 409 || is_replayed || steps == 0,
            "after {steps} steps, at once: {early}"
        );
        minutes_pass(&host).await;
        let (status, _, answer) = send(&host, MANY, &number, &order).await;
        assert_eq!(status, 201, "after {steps} steps: {answer}");
        let (outcome, in_all) = (answer["outcome"].as_str().unwrap(), dialled(&host, &number));
        assert!(in_all <= 1, "after {steps} steps: {in_all} phones");
        if in_all == 0 {
            assert_eq!(outcome, "cancelled", "after {steps} steps");
            not_at_all += 1;
        }
        anew += usize::from(was_dialled == 0 && in_all == 1);
        let again = send(&host, MANY, &number, &order).await;
        assert_eq!(again, (201, true, answer.clone()), "after {steps} steps");
        assert_eq!(dialled(&host, &number), in_all);
        assert_eq!(delete(&host, MANY, &answer).await, 204, "after {steps} steps");
        let (status, _, free) = send(&host, MANY, &number, &format!("{order}-next")).await;
        assert_eq!(status, 201, "after {steps} steps its place is taken: {free}");
        assert_eq!(delete(&host, MANY, &free).await, 204);
        steps += 1;
    }
    // Only who died between writing that it dials and dialling has dialled nothing.
    assert_eq!(not_at_all, 1);
    assert!(anew >= 10 && steps > anew + 3, "{anew} of {steps}");
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_repeat_tells_of_the_phone_that_a_dead_process_has_dialled() {
    for (status, outcome) in [("active", json!("answered")), ("ringing", Value::Null)] {
        let host = Host::start().await;
        let number = "+14155552671";
        let answer = host.gateway().will_answer_later();
        let ringing = async {
            loop {
                if let Some(phone) = host.gateway().dialled().pop() {
                    return phone;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let phone = tokio::select! {
            phone = timeout(SOON, ringing) => phone.unwrap(),
            _ = send(&host, KEY, number, "order-1") => panic!("nobody has answered"),
        };
        let mut attributes = vec![
            ("sip.callID", phone.sip_call_id.as_str()),
            ("sip.callStatus", status),
        ];
        attributes.extend(
            phone
                .attributes
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let in_room = host.join(&phone.room, &phone.identity, &attributes);
        let (_in_room, ()) = join(in_room, async { answer.send(Answer::Ok).ok().unwrap() }).await;
        assert_eq!(send(&host, KEY, number, "order-1").await.0, 409);
        minutes_pass(&host).await;
        let (code, is_replayed, told) = send(&host, KEY, number, "order-1").await;
        assert_eq!((code, is_replayed), (201, true), "{told}");
        assert_eq!(
            (&told["outcome"], &told["room"]),
            (&outcome, &json!(phone.room)),
            "{told}"
        );
        assert_eq!(told["sip_call_id"], phone.sip_call_id.as_str(), "{told}");
        assert_eq!(dialled(&host, number), 1);
        let path = format!("/v1/calls/{}", told["call"].as_str().unwrap());
        let (_, seen) = host.ask("GET", &path, KEY, None).await;
        assert_eq!(
            seen["outbound"][0]["sip_call_id"],
            phone.sip_call_id.as_str(),
            "{seen}"
        );
        let (code, _, problem) = send(&host, KEY, number, "order-2").await;
        assert_eq!(code, 403, "its place is taken as long as it is there: {problem}");
        assert_eq!(delete(&host, KEY, &told).await, 204);
        assert_eq!(
            send(&host, KEY, number, "order-3").await.0,
            201,
            "its place is free"
        );
        host.stack.stop().await.unwrap();
    }
}
