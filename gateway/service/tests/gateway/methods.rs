//! What others in the room may ask of the phone's participant.

use livekit::prelude::{PerformRpcData, RpcError};
use serde_json::{Value, json};
use service::Timeouts;

use crate::agent::{Agent, Noticed};
use crate::fixture::{Fixture, IDENTITY};
use crate::outbound::{allowed, dial, request, trunk, went_well};
use crate::sessions::{HOPS, SDP, ack_refusal, answered, asked, invite, replies, within};
use crate::sipp::{self, Sipp};

const HEADERS: &str = "lk.sip.GetRemoteHeaders";
const END: &str = "lk.sip.EndCall";

async fn ask(agent: &Agent, identity: &str, method: &str, question: Value) -> Result<Value, RpcError> {
    let question = PerformRpcData::new(identity.to_owned(), method).with_payload(question.to_string());
    let answer = Box::pin(agent.room.local_participant().perform_rpc(question)).await?;
    Ok(serde_json::from_str(&answer).expect("JSON"))
}

fn ending() -> Value {
    json!({"headers": {"X-End": "why"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_reads_the_callers_headers_and_ends_the_call_with_its_own() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let mut agent = Agent::join(&fixture).await;
    let steps = [
        invite(1, &format!("{HOPS}X-Acct: 42\nX-Other: 1\n"), SDP),
        answered("200", &[]),
        within("ACK", 1, "", ""),
        asked("BYE", "X-End", "^ ?why"),
        replies("", ""),
    ];
    let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
    agent.wait_for(Noticed::Status("active".into())).await;
    let all = ask(&agent, IDENTITY, HEADERS, json!({})).await.expect("told");
    let told = all["headers"].as_object().expect("headers");
    let names: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["Call-ID", "Contact", "From", "To", "X-Acct", "X-Other"]);
    let some = json!({"include": ["x-acct", "From", "Via"], "exclude": ["from"]});
    let some = ask(&agent, IDENTITY, HEADERS, some).await.expect("told");
    assert_eq!(some, json!({"headers": {"X-Acct": "42"}}));

    for wrong in [json!({"headers": {"X-End": "why\r\nTo: x"}}), json!([1])] {
        let error = ask(&agent, IDENTITY, END, wrong).await.expect_err("refused");
        assert_eq!(error.code, 1500, "{error:?}");
    }
    let done = ask(&agent, IDENTITY, END, ending()).await.expect("ended");
    assert_eq!(done, json!({}));
    agent.wait_for(Noticed::End("agent_hung_up".into())).await;
    caller.went_by_the_scenario().await;
    fixture.released().await;
    let leg = fixture.leg().await;
    assert_eq!(
        (leg.reason.as_str(), leg.why.as_str()),
        ("end_call", "a participant of the room ended the call")
    );
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_is_refused_when_the_room_ends_it() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let mute = Agent::mute(&fixture).await;
    let steps = [
        invite(1, HOPS, SDP),
        answered("480", &[("X-End", "^ ?why")]),
        ack_refusal(1),
    ];
    let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
    fixture.participant().await;
    ask(&mute, IDENTITY, END, ending()).await.expect("ended");
    caller.went_by_the_scenario().await;
    fixture.released().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_phone_that_was_dialled_the_headers_are_those_of_its_answer() {
    let fixture = Fixture::dialling(allowed()).await;
    let agent = Agent::join(&fixture).await;
    let sipp = Sipp::start(&sipp::picks_up()).await;
    let trunk = trunk(&fixture, &sipp).await;
    let phone = dial(&fixture, &request(&trunk)).await.expect("answered");
    let identity = phone.participant_identity;
    let told = ask(&agent, &identity, HEADERS, json!({"include": ["X-Callee"]})).await;
    assert_eq!(told.expect("told"), json!({"headers": {"X-Callee": "yes"}}));
    let done = ask(&agent, &identity, END, json!({})).await.expect("ended");
    assert_eq!(done, json!({}));
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}
