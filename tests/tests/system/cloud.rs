//! What stands in for AWS: queue, bucket and parameters on MiniStack.

use std::sync::Arc;

use dev::MiniStack;
use platform::{
    aws::Access,
    clock::SystemClock,
    config,
    store::{self, Store},
};
use serde_json::{Value, json};

/// A key for the HTTP API.
pub(crate) const API_KEY: &str = "a-key-for-the-operators-of-this-test-0123456789";

const BUCKET: &str = "trunkline-calls";
const QUEUE: &str = "call-jobs";

/// The addresses of what stands in for AWS. It ends with the [`MiniStack`] that it was made of.
pub(crate) struct Cloud {
    url: String,
}

impl Cloud {
    /// Makes the bucket and the two queues, as docs/operation.md says.
    pub(crate) async fn on(server: &MiniStack) -> Self {
        let cloud = Self { url: server.url() };
        let bucket = reqwest::Client::new()
            .put(format!("{}/{BUCKET}", cloud.url))
            .header("authorization", scope("s3"))
            .send();
        assert!(bucket.await.unwrap().status().is_success());
        let dead = json!({"QueueName": format!("{QUEUE}-dead.fifo"), "Attributes": {"FifoQueue": "true"}});
        cloud.ask("sqs", "AmazonSQS.CreateQueue", dead).await;
        let dead = format!("arn:aws:sqs:{}:000000000000:{QUEUE}-dead.fifo", MiniStack::REGION);
        let redrive = json!({"deadLetterTargetArn": dead, "maxReceiveCount": "3"});
        let attributes = json!({
            "FifoQueue": "true",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
            "RedrivePolicy": redrive.to_string(),
        });
        let queue = json!({"QueueName": format!("{QUEUE}.fifo"), "Attributes": attributes});
        cloud.ask("sqs", "AmazonSQS.CreateQueue", queue).await;
        cloud
    }

    pub(crate) async fn put_parameter(&self, name: &str, value: &str) {
        let parameter = json!({"Name": name, "Value": value, "Type": "SecureString", "Overwrite": true});
        self.ask("ssm", "AmazonSSM.PutParameter", parameter).await;
    }

    /// What an operator would do with the `aws` command.
    async fn ask(&self, service: &str, target: &str, body: Value) {
        let request = reqwest::Client::new()
            .post(format!("{}/", self.url))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
            .header("authorization", scope(service))
            .body(body.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert!(
            status.is_success(),
            "{target}: {status} {}",
            answer.text().await.unwrap()
        );
    }

    /// The environment of every process.
    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", MiniStack::KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", MiniStack::KEY.to_owned()),
            ("AWS_REGION", MiniStack::REGION.to_owned()),
            ("AWS_ENDPOINT_URL_SSM", self.url.clone()),
        ]
    }

    /// Its part of the configuration.
    pub(crate) fn yaml(&self) -> String {
        format!(
            "queue: sqs:{}/000000000000/{QUEUE}.fifo?region={}\nstore: {}\naccess:\n  keys:\n    - name: operators\n      \
             key: {API_KEY}\n      scopes: [token:create, calls:read]\n      rooms: [\"*\"]\n",
            self.url,
            MiniStack::REGION,
            self.store_url("spool"),
        )
    }

    fn store_url(&self, spool: &str) -> String {
        format!(
            "s3://{BUCKET}?region={}&endpoint={}&path_style=true&spool={spool}",
            MiniStack::REGION,
            self.url
        )
    }

    /// The store, as the test looks into it.
    pub(crate) async fn store(&self, spool: &std::path::Path) -> Arc<dyn Store> {
        let url = self.store_url("spool-of-the-test");
        let config = config::store(&url, spool, &config::ProcessEnvironment).unwrap();
        let access = Access::Keys {
            id: MiniStack::KEY.to_owned(),
            secret: MiniStack::KEY.into(),
        };
        store::open(&config, &access, Arc::new(SystemClock))
            .await
            .unwrap()
    }
}

/// Which service is meant stands in the scope of the signature, which is not checked.
fn scope(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=x",
        MiniStack::REGION
    )
}
