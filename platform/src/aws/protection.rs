//! ECS task protection: while it is on, neither scale-in nor a deployment stops the task that this process runs in.
//!
//! Every container of a task finds the ECS agent at `ECS_AGENT_URI`; the task's role has to allow `ecs:UpdateTaskProtection` and
//! `ecs:GetTaskProtection`. Source: "Amazon ECS task scale-in protection endpoint", Developer Guide.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::config::Environment;

/// The agent answers when ECS has answered it.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest part of the agent's own words that is kept.
const MAX_REASON_CHARS: usize = 120;

/// The agent of the task that this process runs in.
#[derive(Debug, Clone)]
pub struct TaskProtection {
    http: reqwest::Client,
    url: String,
}

/// Why the task is protected as little, or as much, as before.
#[derive(Debug, thiserror::Error)]
pub enum ProtectionError {
    /// The agent does not answer.
    #[error("the ECS agent does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// It says no, in ECS's words: `AccessDeniedException`, `DEPLOYMENT_BLOCKED`, `TASK_NOT_VALID`, …
    #[error("ECS refuses: {0}")]
    Refused(String),
}

#[derive(Deserialize)]
struct Answer {
    protection: Option<State>,
    failure: Option<Failure>,
    error: Option<Error>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    protection_enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Error {
    code: String,
}

impl TaskProtection {
    /// `None` where there is no ECS agent. The process's TLS provider must have been installed before.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn of(environment: &dyn Environment) -> Result<Option<Self>, reqwest::Error> {
        let agent = environment.var("ECS_AGENT_URI").filter(|uri| !uri.is_empty());
        let Some(agent) = agent else { return Ok(None) };
        let builder = reqwest::Client::builder().timeout(LIMIT).no_proxy();
        Ok(Some(Self {
            http: builder.build()?,
            url: format!("{}/task-protection/v1/state", agent.trim_end_matches('/')),
        }))
    }

    /// Protects the task for so many minutes from now (1 to 2,880), or, with `None`, no longer.
    ///
    /// # Errors
    /// As [`ProtectionError`] says; within 5 s.
    pub async fn set(&self, minutes: Option<u32>) -> Result<(), ProtectionError> {
        let wanted = match minutes {
            Some(minutes) => json!({"ProtectionEnabled": true, "ExpiresInMinutes": minutes}),
            None => json!({"ProtectionEnabled": false}),
        };
        let answer = self.http.put(&self.url).json(&wanted).send().await;
        let answer = answer.map_err(ProtectionError::Unreachable)?;
        let status = answer.status();
        let told = answer.json::<Answer>().await.ok();
        let reason = match told {
            Some(Answer {
                protection: Some(state),
                ..
            }) if status.is_success() && state.protection_enabled == minutes.is_some() => return Ok(()),
            Some(Answer {
                failure: Some(failure),
                ..
            }) => failure.reason,
            Some(Answer {
                error: Some(error), ..
            }) => error.code,
            _ => format!("HTTP {status}"),
        };
        Err(ProtectionError::Refused(
            reason.chars().take(MAX_REASON_CHARS).collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{body_json, method, path},
    };

    use super::*;

    async fn agent(answer: ResponseTemplate) -> (MockServer, TaskProtection) {
        crate::install_providers();
        let server = MockServer::start().await;
        Mock::given(method("PUT"))
            .and(path("/api/x/task-protection/v1/state"))
            .and(body_json(
                json!({"ProtectionEnabled": true, "ExpiresInMinutes": 60}),
            ))
            .respond_with(answer)
            .mount(&server)
            .await;
        let uri = format!("{}/api/x", server.uri());
        let environment = BTreeMap::from([("ECS_AGENT_URI".to_owned(), uri)]);
        (server, TaskProtection::of(&environment).unwrap().unwrap())
    }

    #[tokio::test]
    async fn what_ecs_answers_is_understood() {
        let enabled = json!({"protection": {
            "ExpirationDate": "2026-11-20T18:40:01Z", "ProtectionEnabled": true, "TaskArn": "arn:aws:ecs:eu-central-1:111122223333:task/x/1",
        }});
        let (_server, task) = agent(ResponseTemplate::new(200).set_body_json(enabled)).await;
        task.set(Some(60)).await.unwrap();
        // Anything else is no protection.
        let refused = task.set(Some(61)).await.unwrap_err();
        assert_eq!(refused.to_string(), "ECS refuses: HTTP 404 Not Found");

        for (status, answer, reason) in [
            (
                200,
                json!({"failure": {"Arn": "arn", "Detail": null, "Reason": "TASK_NOT_VALID"}}),
                "TASK_NOT_VALID",
            ),
            (
                400,
                json!({"error": {"Arn": "arn", "Code": "AccessDeniedException", "Message": "User … is not authorized"}, "requestID": "1"}),
                "AccessDeniedException",
            ),
            (
                200,
                json!({"protection": {"ProtectionEnabled": false, "TaskArn": "arn"}}),
                "HTTP 200 OK",
            ),
            (500, json!("?"), "HTTP 500 Internal Server Error"),
        ] {
            let (_server, task) = agent(ResponseTemplate::new(status).set_body_json(answer)).await;
            let refused = task.set(Some(60)).await.unwrap_err();
            assert_eq!(refused.to_string(), format!("ECS refuses: {reason}"));
        }
    }

    #[test]
    fn where_there_is_no_agent_there_is_nothing_to_ask() {
        let environment = BTreeMap::from([("ECS_AGENT_URI".to_owned(), String::new())]);
        assert!(TaskProtection::of(&environment).unwrap().is_none());
        assert!(
            TaskProtection::of(&BTreeMap::<String, String>::new())
                .unwrap()
                .is_none()
        );
    }
}
