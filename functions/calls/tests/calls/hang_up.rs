//! Who hangs up while a phone is dialled, and when the phone's place in the caps is free.

use std::{future::Future, time::Duration};

use futures_util::future::{join, select};
use platform::store::{Page, Store as _};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    gateway::{Answer, Dialled, recorded},
    host::{Host, KEY, SOON},
};

const NUMBER: &str = "+14155552671";

/// Waits until `there` says so.
async fn until<T>(what: &str, mut there: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + SOON;
    loop {
        if let Some(found) = there().await {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The phone that is being dialled.
async fn dialled(host: &Host) -> Dialled {
    until("nothing is dialled", async || host.gateway().dialled().pop()).await
}

/// The call that is listed with its phone.
async fn listed(host: &Host) -> String {
    let look = async || {
        let (_, page) = host.ask("GET", "/v1/calls", KEY, None).await;
        let call = page["calls"].as_array()?.first()?.clone();
        let has_leg = call["outbound"][0].is_object();
        call["call"].as_str().filter(|_| has_leg).map(str::to_owned)
    };
    until("no call is listed", look).await
}

/// The call that is known, with a phone or without.
async fn known(host: &Host) -> String {
    let look = async || {
        let found = host.store.list("index/", Page::default()).await.unwrap();
        let key = found.entries.into_iter().next()?.key;
        key.strip_prefix("index/").map(str::to_owned)
    };
    until("no call is known", look).await
}

async fn delete(host: &Host, call: &str) -> u16 {
    let path = format!("/v1/calls/{call}");
    host.ask("DELETE", &path, KEY, None).await.0
}

/// The phone that is being dialled is marked as hung up.
async fn is_marked(host: &Host) {
    let look = async || {
        let found = host.store.list("calls/", Page::default()).await.unwrap();
        let keys = found.entries.into_iter().map(|entry| entry.key);
        let key = keys.into_iter().find(|key| key.contains("/outbound/"))?;
        let leg = host.store.get(&key).await.unwrap()?;
        let leg: Value = serde_json::from_slice(&leg.bytes).ok()?;
        leg["hung_up_at"].is_string().then_some(())
    };
    until("no phone is marked", look).await;
}

async fn room_goes(host: &Host) {
    let gone = async || host.rooms().await.is_empty().then_some(());
    until("the room is still there", gone).await;
}

/// The phone comes into its room, as the gateway lets it: the room is made anew where it is gone. It is seen there.
async fn comes(host: &Host, phone: &Dialled) -> TcpStream {
    let ours = phone.attributes.iter();
    let ours = ours.map(|(name, value)| (name.as_str(), value.as_str()));
    let attributes: Vec<_> = ours.chain([("sip.callID", phone.sip_call_id.as_str())]).collect();
    host.join(&phone.room, &phone.identity, &attributes).await
}

/// The phone comes into its room while somebody waits there to send it away.
async fn comes_late(host: &Host, phone: &Dialled) -> TcpStream {
    let attributes = [("sip.callID", phone.sip_call_id.as_str())];
    host.enter(&phone.room, &phone.identity, &attributes).await
}

async fn is_sent_away(mut phone: TcpStream) {
    let mut rest = Vec::new();
    let sent_away = timeout(SOON, phone.read_to_end(&mut rest)).await;
    assert!(sent_away.is_ok(), "the phone is still in the room");
}

/// One call to a number at a time: whether there is room for another one.
async fn place_is_free(host: &Host) -> bool {
    let (status, answer) = host.call(json!({})).await;
    assert!([201, 403].contains(&status), "{answer}");
    status == 201
}

/// Ends `task` where it stands, as when its process is killed, once `moment` has come.
async fn killed_after(task: impl Future, moment: impl Future<Output = ()>) {
    let (task, moment) = (std::pin::pin!(task), std::pin::pin!(moment));
    let ended = select(task, moment).await;
    assert!(
        matches!(ended, futures_util::future::Either::Right(_)),
        "it was over before"
    );
}

fn was_cancelled(answer: &(u16, Value)) {
    assert_eq!(
        (answer.0, &answer.1["outcome"]),
        (201, &json!("cancelled")),
        "{}",
        answer.1
    );
}

#[tokio::test]
async fn a_call_that_is_hung_up_before_its_phone_comes_puts_it_out_when_it_comes_and_keeps_its_place_until_then()
 {
    for change in [
        json!({}),
        json!({"wait_until_answered": false}),
        json!({"room": "crm-1", "participant_identity": "phone"}),
    ] {
        let host = Host::start().await;
        let answer = host.gateway().will_answer_later();
        let scenario = async {
            let phone = dialled(&host).await;
            let call = listed(&host).await;
            let hung_up = delete(&host, &call);
            let gateway = async {
                room_goes(&host).await;
                assert!(!place_is_free(&host).await, "{change}: it may still ring");
                let in_room = comes_late(&host, &phone).await;
                is_sent_away(in_room).await;
                assert!(!place_is_free(&host).await, "{change}: LiveKit has not answered");
                answer.send(Answer::Ok).ok().unwrap();
            };
            join(hung_up, gateway).await.0
        };
        let (started, hung_up) = join(host.call(change.clone()), scenario).await;
        was_cancelled(&started);
        assert_eq!(hung_up, 204, "{change}");
        assert_eq!(host.gateway().dialled().len(), 1, "{change}");
        assert!(place_is_free(&host).await, "{change}: the phone is out");
        host.stack.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_phone_that_rings_is_put_out_at_once_and_keeps_its_place_until_livekit_says_so() {
    let host = Host::start().await;
    let answer = host.gateway().will_answer_later();
    let scenario = async {
        let phone = dialled(&host).await;
        let in_room = comes(&host, &phone).await;
        let call = listed(&host).await;
        let hung_up = delete(&host, &call);
        let gateway = async {
            is_sent_away(in_room).await;
            assert!(!place_is_free(&host).await, "LiveKit has not answered");
            let stopped = Answer::Recorded(recorded("noanswer"));
            answer.send(stopped).ok().unwrap();
        };
        join(hung_up, gateway).await.0
    };
    let (started, hung_up) = join(host.call(json!({})), scenario).await;
    was_cancelled(&started);
    assert_eq!(hung_up, 204);
    let path = format!("/v1/calls/{}", started.1["call"].as_str().unwrap());
    let (_, seen) = host.ask("GET", &path, KEY, None).await;
    assert_eq!(seen["outbound"][0]["outcome"], "cancelled", "{seen}");
    assert!(place_is_free(&host).await);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_network_said_of_a_phone_that_was_hung_up_stays_true() {
    let host = Host::start().await;
    let answer = host.gateway().will_answer_later();
    let scenario = async {
        dialled(&host).await;
        let call = listed(&host).await;
        let gateway = async {
            room_goes(&host).await;
            answer.send(Answer::Recorded(recorded("busy"))).ok().unwrap();
        };
        join(delete(&host, &call), gateway).await.0
    };
    let ((status, started), hung_up) = join(host.call(json!({})), scenario).await;
    assert_eq!(
        (status, &started["outcome"], &started["sip_status"]),
        (201, &json!("busy"), &json!(486)),
        "{started}"
    );
    assert_eq!(hung_up, 204);
    assert!(place_is_free(&host).await);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_phone_that_was_answered_is_out_when_the_call_was_hung_up_also_one_that_came_into_another_room() {
    let host = Host::start().await;
    for is_anew in [false, true] {
        let answer = host.gateway().will_answer_later();
        let scenario = async {
            let phone = until("nothing is dialled", async || {
                host.gateway().dialled().into_iter().nth(usize::from(is_anew))
            })
            .await;
            if is_anew {
                // Not over this API, which would know.
                host.livekit.delete_room(&phone.room).await.unwrap();
            }
            let in_room = comes(&host, &phone).await;
            answer.send(Answer::Ok).ok().unwrap();
            in_room
        };
        let (started, in_room) = join(host.call(json!({})), scenario).await;
        assert_eq!(started.1["outcome"], "answered", "{}", started.1);
        let (status, _) = host.call(json!({})).await;
        assert_eq!(status, 403, "one call to a number at a time");
        assert_eq!(delete(&host, started.1["call"].as_str().unwrap()).await, 204);
        is_sent_away(in_room).await;
        room_goes(&host).await;
    }
    assert!(place_is_free(&host).await);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_hung_up_before_its_leg_is_kept_dials_nothing() {
    let host = Host::start().await;
    let closed = host.store.gate.write().await;
    let scenario = async {
        let call = known(&host).await;
        assert_eq!(delete(&host, &call).await, 204);
        drop(closed);
    };
    let (started, ()) = join(host.call(json!({})), scenario).await;
    was_cancelled(&started);
    assert_eq!(host.gateway().dialled().len(), 0);
    assert_eq!(host.rooms().await.len(), 0);
    assert!(place_is_free(&host).await);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn when_the_function_that_hangs_up_dies_the_one_that_dials_puts_the_phone_out() {
    let host = Host::start().await;
    let answer = host.gateway().will_answer_later();
    let scenario = async {
        let phone = dialled(&host).await;
        let call = listed(&host).await;
        killed_after(delete(&host, &call), room_goes(&host)).await;
        let in_room = comes(&host, &phone).await;
        assert!(!place_is_free(&host).await, "it rings");
        answer.send(Answer::Ok).ok().unwrap();
        is_sent_away(in_room).await;
    };
    let (started, ()) = join(host.call(json!({"wait_until_answered": false})), scenario).await;
    was_cancelled(&started);
    room_goes(&host).await;
    assert!(place_is_free(&host).await);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn when_the_function_that_dials_dies_the_one_that_hangs_up_puts_the_phone_out_and_its_place_stays_taken()
 {
    let host = Host::start().await;
    let answer = host.gateway().will_answer_later();
    let is_listed = async {
        listed(&host).await;
        dialled(&host).await;
    };
    killed_after(host.call(json!({})), is_listed).await;
    let (phone, call) = (dialled(&host).await, listed(&host).await);
    let gateway = async {
        room_goes(&host).await;
        is_sent_away(comes_late(&host, &phone).await).await;
        answer.send(Answer::Ok).ok().unwrap();
    };
    let (hung_up, ()) = join(delete(&host, &call), gateway).await;
    assert_eq!(hung_up, 202, "nobody knows what LiveKit has answered");
    assert_eq!(host.rooms().await.len(), 0);
    assert!(!place_is_free(&host).await);
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_call_with_many_phones_gives_the_places_of_all_back() {
    let host = Host::start().await;
    let (_, started) = host.call(json!({})).await;
    let page = Page::default();
    let keys = host.store.list("calls/", page).await.unwrap().entries;
    let key = keys.into_iter().map(|entry| entry.key);
    let key = key.clone().find(|key| key.contains("/outbound/")).unwrap();
    let object = host.store.get(&key).await.unwrap().unwrap();
    let leg: Value = serde_json::from_slice(&object.bytes).unwrap();
    host.store.delete(&key).await.unwrap();
    // So many that have no place any more, and the one that has is the last.
    let folder = key.rsplit_once('/').unwrap().0;
    for at in 0..=250 {
        let mut leg = leg.clone();
        if at < 250 {
            leg["counted"]["id"] = json!(format!("gone-{at}"));
        }
        let bytes = serde_json::to_vec(&leg).unwrap();
        let key = format!("{folder}/{at:016x}.json");
        host.store.put(&key, bytes.into()).await.unwrap();
    }
    assert_eq!(host.call(json!({"to": NUMBER})).await.0, 403);
    assert_eq!(delete(&host, started["call"].as_str().unwrap()).await, 204);
    assert!(place_is_free(&host).await, "the last one's too");
    host.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_phone_that_is_dialled_is_put_out_also_when_its_room_is_deleted_or_it_is_sent_away_itself() {
    for path in ["/v1/rooms/crm-1", "/v1/rooms/crm-1/participants/phone"] {
        let host = Host::start().await;
        let answer = host.gateway().will_answer_later();
        let scenario = async {
            let phone = dialled(&host).await;
            listed(&host).await;
            let ended = host.ask("DELETE", path, KEY, None);
            let gateway = async {
                is_marked(&host).await;
                if path.ends_with("crm-1") {
                    room_goes(&host).await;
                }
                let in_room = comes_late(&host, &phone).await;
                is_sent_away(in_room).await;
                assert!(!place_is_free(&host).await, "{path}: LiveKit has not answered");
                answer.send(Answer::Ok).ok().unwrap();
            };
            join(ended, gateway).await.0
        };
        let wanted = json!({"room": "crm-1", "participant_identity": "phone"});
        let (started, ended) = join(host.call(wanted), scenario).await;
        was_cancelled(&started);
        assert_eq!(ended.0, 204, "{path}: {}", ended.1);
        assert!(place_is_free(&host).await, "{path}");
        host.stack.stop().await.unwrap();
    }
}

#[tokio::test]
async fn another_phone_of_the_same_identity_in_a_later_room_of_the_same_name_is_left_alone() {
    let host = Host::start().await;
    let answer = host.gateway().will_answer_later();
    let scenario = async {
        let phone = dialled(&host).await;
        let call = listed(&host).await;
        let gateway = async {
            room_goes(&host).await;
            let attributes = [("sip.callID", "SCL_other"), ("trunkline.leg", "other")];
            let other = host.join(&phone.room, &phone.identity, &attributes).await;
            answer.send(Answer::Recorded(recorded("busy"))).ok().unwrap();
            other
        };
        join(delete(&host, &call), gateway).await
    };
    let wanted = json!({"room": "crm-1", "participant_identity": "phone"});
    let (started, (hung_up, _other)) = join(host.call(wanted), scenario).await;
    assert_eq!((started.0, hung_up), (201, 204), "{}", started.1);
    let there = host.livekit.participant("crm-1", "phone").await.unwrap();
    assert!(there.is_some(), "the other call's phone was put out");
    host.stack.stop().await.unwrap();
}
