//! References to secrets, read from SSM and Secrets Manager as MiniStack has them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use dev::MiniStack;
use platform::{
    aws::AwsSecrets,
    clock::SystemClock,
    config::{self, Faults},
};
use serde_json::{Value, json};

use crate::ministack::{access, lend};

const LIVEKIT: &str = "0123456789-canary-0123456789-canary";
const OPENAI: &str = "sk-canary-of-openai";

/// What an operator would do with the `aws` command.
async fn put(server: &MiniStack, target: &str, body: Value) -> Value {
    platform::install_providers();
    let answer = reqwest::Client::new()
        .post(server.url())
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        // Which service is meant stands in the scope of the signature.
        .header("authorization", scope(target))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{target}: {}", answer.status());
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

fn scope(target: &str) -> String {
    let service = if target.starts_with("AmazonSSM") {
        "ssm"
    } else {
        "secretsmanager"
    };
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x"
    )
}

async fn configured(server: &MiniStack, vars: &[(&str, &str)]) -> Result<config::Config, Faults> {
    let url = server.url();
    let usual = [
        ("AWS_REGION", MiniStack::REGION),
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("TRUNKLINE__LIVEKIT__API_KEY", "key"),
    ];
    let env: BTreeMap<String, String> = usual
        .iter()
        .chain(vars)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let source = AwsSecrets::new(access(), &env, Arc::new(SystemClock));
    let text = "redis: {url: redis://127.0.0.1}\nsip: {advertised_address: 127.0.0.1}\n";
    config::parse_resolved(text, None, Path::new("."), &env, &source).await
}

#[tokio::test]
async fn parameters_and_members_of_secrets_are_put_in() {
    let server = lend().await;
    let parameter =
        json!({"Name": "/t/livekit", "Value": LIVEKIT, "Type": "SecureString", "Overwrite": true});
    put(&server, "AmazonSSM.PutParameter", parameter).await;
    let name = format!("ai-{:08x}", rand::random::<u32>());
    let secret = json!({"Name": name, "SecretString": json!({"openai": OPENAI}).to_string()});
    let secret = put(&server, "secretsmanager.CreateSecret", secret).await;
    let arn = secret["ARN"].as_str().unwrap();
    let openai = format!("secretsmanager:{arn}#openai");
    let vars = [
        ("TRUNKLINE__LIVEKIT__API_SECRET", "ssm:/t/livekit"),
        ("OPENAI_API_KEY", openai.as_str()),
    ];
    let config = configured(&server, &vars).await.unwrap();
    assert_eq!(config.livekit.api_secret.expose(), LIVEKIT);
    assert_eq!(config.providers.openai.unwrap().api_key.expose(), OPENAI);

    let other = format!("secretsmanager:{arn}#other");
    let vars = [
        ("TRUNKLINE__LIVEKIT__API_SECRET", "ssm:/t/livekit"),
        ("OPENAI_API_KEY", other.as_str()),
    ];
    let faults = configured(&server, &vars).await.unwrap_err();
    let fault = faults.iter().next().unwrap();
    assert_eq!(
        (fault.key.as_str(), fault.problem.as_str()),
        (
            "providers.openai.api_key",
            "the secret has no text member \"other\""
        )
    );
    assert!(!faults.to_string().contains("canary"));
}

#[tokio::test]
async fn what_is_not_there_is_a_fault_with_key_and_remedy() {
    let server = lend().await;
    let arn = "secretsmanager:arn:aws:secretsmanager:us-east-1:000000000000:secret:none-AbCdEf";
    for reference in ["ssm:/t/none", arn] {
        let vars = [("TRUNKLINE__LIVEKIT__API_SECRET", reference)];
        let faults = configured(&server, &vars).await.unwrap_err();
        let fault = faults.iter().next().unwrap();
        assert_eq!(faults.count(), 1, "{faults}");
        assert_eq!(fault.key, "livekit.api_secret");
        assert_eq!(fault.problem, "there is no such secret in us-east-1");
        assert!(fault.remedy.contains("put the secret there"));
    }
}
