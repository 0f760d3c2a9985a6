//! SSM's Parameter Store and Secrets Manager, as far as a start needs them: one signed request per secret.

use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use serde_json::{Value, json};
use tokio::{
    sync::OnceCell,
    time::{sleep, timeout},
};

use super::{ATTEMPT, ATTEMPTS, Access, CONNECT, pause};
use crate::{
    Secret,
    clock::SharedClock,
    config::{Environment, Reference, SecretSource, Unread},
};

/// The longest answer that is read: a secret has at most 64 KiB, and JSON may double it.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Reads what references name, from AWS or what stands in for it.
pub struct AwsSecrets {
    access: Access,
    clock: SharedClock,
    region: Option<String>,
    /// `AWS_ENDPOINT_URL_SSM` and `AWS_ENDPOINT_URL_SECRETS_MANAGER`, or `AWS_ENDPOINT_URL`.
    endpoints: [Option<String>; 2],
    http: OnceCell<reqwest::Client>,
}

/// One request, before it is signed.
struct Request {
    service: &'static str,
    region: String,
    url: String,
    target: &'static str,
    body: String,
}

/// Why there was no answer.
enum Failed {
    /// It may succeed the next time.
    Passing(String),
    Final(Unread),
}

impl AwsSecrets {
    /// Region (`AWS_REGION`, `AWS_DEFAULT_REGION`) and endpoints (`AWS_ENDPOINT_URL…`) come from `env`. Asks for nothing, not even
    /// credentials, before the first [`read`](SecretSource::read).
    pub fn new(access: Access, env: &dyn Environment, clock: SharedClock) -> Self {
        let first = |names: &[&str]| {
            let set = |name: &&str| env.var(name).filter(|value| !value.is_empty());
            names.iter().find_map(set)
        };
        Self {
            access,
            clock,
            region: first(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            endpoints: ["AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_SECRETS_MANAGER"]
                .map(|name| first(&[name, "AWS_ENDPOINT_URL"])),
            http: OnceCell::new(),
        }
    }

    fn request(&self, reference: &Reference) -> Result<Request, Unread> {
        let [ssm, secrets_manager] = &self.endpoints;
        let url = |service: &str, region: &str, endpoint: &Option<String>| {
            let domain = if region.starts_with("cn-") {
                "amazonaws.com.cn"
            } else {
                "amazonaws.com"
            };
            let usual = || format!("https://{service}.{region}.{domain}");
            endpoint
                .clone()
                .unwrap_or_else(usual)
                .trim_end_matches('/')
                .to_owned()
                + "/"
        };
        match reference {
            Reference::Parameter(name) => {
                let region = self
                    .region
                    .clone()
                    .ok_or_else(|| Unread::new("the parameter's region is not known", "set AWS_REGION"))?;
                Ok(Request {
                    service: "ssm",
                    url: url("ssm", &region, ssm),
                    region,
                    target: "AmazonSSM.GetParameter",
                    body: json!({"Name": name, "WithDecryption": true}).to_string(),
                })
            }
            Reference::Secret { arn, .. } => {
                let region = arn.split(':').nth(3).unwrap_or_default().to_owned();
                Ok(Request {
                    service: "secretsmanager",
                    url: url("secretsmanager", &region, secrets_manager),
                    region,
                    target: "secretsmanager.GetSecretValue",
                    body: json!({"SecretId": arn}).to_string(),
                })
            }
        }
    }

    async fn answer(&self, request: &Request) -> Result<Value, Unread> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let tried = timeout(ATTEMPT, self.attempt(request)).await;
            let passing = match tried {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Failed::Final(unread))) => return Err(unread),
                Ok(Err(Failed::Passing(reason))) => reason,
                Err(_) => format!("no answer within {} s", ATTEMPT.as_secs_f32()),
            };
            if attempt >= ATTEMPTS {
                return Err(Unread::new(
                    format!("{} did not answer: {passing}", request.url),
                    "see that the process reaches it (network, AWS_ENDPOINT_URL…), and start again",
                ));
            }
            sleep(pause(attempt)).await;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Value, Failed> {
        let signed = self.signed(request).await.map_err(Failed::Final)?;
        let mut response = signed
            .send()
            .await
            .map_err(|error| Failed::Passing(plain(&error)))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Failed::Passing(plain(&error)))?
        {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Failed::Final(Unread::new(
                    "the answer is too long",
                    "keep a shorter secret",
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let kind = answer.get("__type").and_then(Value::as_str).unwrap_or_default();
        let kind = kind.rsplit('#').next().unwrap_or_default();
        if status.is_server_error() || status.as_u16() == 429 || kind.starts_with("Throttling") {
            return Err(Failed::Passing(format!("status {status}")));
        }
        Err(Failed::Final(refusal(request, status.as_u16(), kind)))
    }

    /// Signature Version 4 over the body and all headers.
    async fn signed(&self, request: &Request) -> Result<reqwest::RequestBuilder, Unread> {
        let credentials = self.access.provider(&request.region).await;
        let credentials = credentials.provide_credentials().await.map_err(|_| {
            Unread::new(
                "there are no credentials to read the secret with",
                "give the process a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        })?;
        let unsigned = || {
            Unread::new(
                "the request cannot be signed",
                "see that the credentials are whole",
            )
        };
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&request.region)
            .name(request.service)
            .time(self.clock.now().into())
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| unsigned())?
            .into();
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", request.target),
        ];
        let body = SignableBody::Bytes(request.body.as_bytes());
        let signable =
            SignableRequest::new("POST", &request.url, headers.into_iter(), body).map_err(|_| unsigned())?;
        let (instructions, _) = sign(signable, &params).map_err(|_| unsigned())?.into_parts();
        let mut builder = self.http().await?.post(&request.url);
        for (name, value) in headers.into_iter().chain(instructions.headers()) {
            builder = builder.header(name, value);
        }
        Ok(builder.body(request.body.clone()))
    }

    async fn http(&self) -> Result<&reqwest::Client, Unread> {
        let build = || async {
            crate::install_providers();
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .timeout(ATTEMPT + Duration::from_millis(100))
                .redirect(reqwest::redirect::Policy::none())
                .build()
        };
        self.http.get_or_try_init(build).await.map_err(|error| {
            Unread::new(
                format!("there can be no connection to AWS: {error}"),
                "install the package ca-certificates",
            )
        })
    }
}

#[async_trait]
impl SecretSource for AwsSecrets {
    async fn read(&self, reference: &Reference) -> Result<Secret, Unread> {
        let answer = self.answer(&self.request(reference)?).await?;
        let (text, member) = match reference {
            Reference::Parameter(_) => (answer.pointer("/Parameter/Value"), None),
            Reference::Secret { member, .. } => (answer.pointer("/SecretString"), member.as_deref()),
        };
        let none = || Unread::new("the secret has no text", "store it as text, not as bytes");
        let text = text
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or_else(none)?;
        let Some(member) = member else {
            return Ok(text.into());
        };
        let object: Value = serde_json::from_str(text).unwrap_or_default();
        let found = object
            .get(member)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        found.map(Secret::from).ok_or_else(|| {
            Unread::new(
                format!("the secret has no text member \"{member}\""),
                "store a JSON object with that member, or name another one behind the #",
            )
        })
    }
}

fn refusal(request: &Request, status: u16, kind: &str) -> Unread {
    let (region, service) = (&request.region, request.service);
    let action = match service {
        "ssm" => "ssm:GetParameter",
        _ => "secretsmanager:GetSecretValue",
    };
    match kind {
        "ParameterNotFound" | "ParameterVersionNotFound" | "ResourceNotFoundException" => Unread::new(
            format!("there is no such secret in {region}"),
            "correct the name, or put the secret there (docs/aws.md, \"From nothing to a call\")",
        ),
        "AccessDeniedException" => Unread::new(
            "this process may not read the secret",
            format!("allow {action} to its role, and kms:Decrypt if the secret has a key of your own"),
        ),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "ExpiredTokenException" => Unread::new(
            format!("AWS does not take the credentials ({kind})"),
            "give the process other ones, and see that its clock is right",
        ),
        _ => Unread::new(
            format!("{service} refuses with status {status} {kind}"),
            "look the name up in the service's documentation",
        ),
    }
}

/// The innermost cause: the outer ones repeat the URL.
fn plain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
