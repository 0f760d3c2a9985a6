//! An agent of ECS that answers as it is told.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

use super::*;
use crate::{serving::Serving, testing::job};

/// What nothing here lasts.
const SOON: Duration = Duration::from_secs(10);

struct Bench {
    agent: MockServer,
    protection: Arc<Protection>,
    serving: Serving,
    life: Lifecycle,
}

impl Bench {
    /// With an agent that does as it is asked, or that refuses.
    async fn new(refuses: bool) -> Self {
        platform::install_providers();
        let agent = MockServer::start().await;
        let answer = move |request: &wiremock::Request| {
            let asked: Value = request.body_json().unwrap();
            ResponseTemplate::new(200).set_body_json(if refuses {
                json!({"failure": {"Arn": "arn", "Reason": "TASK_NOT_VALID"}})
            } else {
                json!({"protection": {"ProtectionEnabled": asked["ProtectionEnabled"], "TaskArn": "arn"}})
            })
        };
        Mock::given(method("PUT"))
            .respond_with(answer)
            .mount(&agent)
            .await;
        let environment = BTreeMap::from([("ECS_AGENT_URI".to_owned(), agent.uri())]);
        let task = TaskProtection::of(&environment).unwrap().unwrap();
        let bench = Self {
            agent,
            protection: Protection::new(task),
            serving: Serving::default(),
            life: Lifecycle::new(),
        };
        let keeping = bench.protection.clone();
        let (calls, soft) = (bench.serving.calls(), bench.life.soft.clone());
        bench.life.tasks.spawn(keeping.keep(calls, soft));
        bench
    }

    /// Waits until the agent was asked for this much, in this order.
    async fn was_asked(&self, wanted: &[bool]) {
        let began = tokio::time::Instant::now();
        loop {
            let requests = self.agent.received_requests().await.unwrap();
            let bodies = requests
                .iter()
                .map(|request| request.body_json::<Value>().unwrap());
            let asked: Vec<_> = bodies.map(|body| body["ProtectionEnabled"] == true).collect();
            if asked == wanted {
                return;
            }
            assert!(began.elapsed() < SOON, "{asked:?}, not {wanted:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_task_is_protected_from_before_its_first_call_to_after_its_last_one() {
    let bench = Bench::new(false).await;
    bench.was_asked(&[]).await;
    let first = bench.serving.begin(&job().call).unwrap();
    assert!(bench.protection.is_in_place(&bench.life).await);
    bench.was_asked(&[true]).await;
    let other = CallId::new("RM_other").unwrap();
    let second = bench.serving.begin(&other).unwrap();
    drop(first);
    assert!(bench.protection.is_in_place(&bench.life).await);
    bench.was_asked(&[true]).await;
    drop(second);
    bench.was_asked(&[true, false]).await;
    assert!(
        !*bench.protection.asked.borrow(),
        "the next call waits until it is asked for anew"
    );

    // Told to end with a call: the call keeps its task.
    let last = bench.serving.begin(&other).unwrap();
    bench.was_asked(&[true, false, true]).await;
    bench.life.soft.cancel();
    bench.life.tasks.close();
    assert!(!bench.life.tasks.is_empty());
    drop(last);
    timeout(SOON, bench.life.tasks.wait()).await.unwrap();
    bench.was_asked(&[true, false, true, false]).await;
}

#[tokio::test]
async fn no_call_begins_in_a_task_that_is_told_to_end_and_none_waits_for_an_agent_that_refuses() {
    let bench = Bench::new(true).await;
    let call = bench.serving.begin(&job().call).unwrap();
    assert!(bench.protection.is_in_place(&bench.life).await);
    drop(call);
    bench.life.soft.cancel();
    assert!(!bench.protection.is_in_place(&bench.life).await);
    bench.life.tasks.close();
    timeout(SOON, bench.life.tasks.wait()).await.unwrap();
}
