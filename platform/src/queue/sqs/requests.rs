//! The requests to SQS, and what their failures mean.

use std::time::Duration;

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Config, Region},
    types::{Message, MessageSystemAttributeName, QueueAttributeName},
};
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use super::{
    leases::{Leases, whole_seconds},
    polls::Outcome,
};
use crate::{
    aws::{Access, fault::Fault, limits, retries},
    config::SqsConfig,
    queue::{Depth, MAX_RECEIVES, QueueError, Receipt, Received},
};

/// What SQS calls a receipt whose lease is over.
const STALE: &[&str] = &[
    "ReceiptHandleIsInvalid",
    "AWS.SimpleQueueService.ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
];
/// What it calls one too, among other things: "the receipt handle has expired", "not available for visibility timeout
/// change", "total visibility timeout beyond the limit".
const INVALID: &[&str] = &["InvalidParameterValue", "InvalidParameterValueException"];

pub(super) struct Requests {
    client: Client,
    pub(super) config: SqsConfig,
    leases: Leases,
    /// The URL of the dead letters' queue, once it is known.
    dead_letters: OnceCell<String>,
}

impl Requests {
    pub(super) async fn new(config: &SqsConfig, access: &Access, leases: Leases) -> Self {
        let client = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .endpoint_url(&config.endpoint)
            .credentials_provider(access.provider(&config.region).await)
            .retry_config(retries())
            .timeout_config(limits(Duration::ZERO))
            .build();
        Self {
            client: Client::from_conf(client),
            config: config.clone(),
            leases,
            dead_letters: OnceCell::new_with(config.dead_letters.clone()),
        }
    }

    pub(super) async fn send(&self, group: &str, dedup_id: &str, body: &str) -> Result<(), QueueError> {
        self.client
            .send_message()
            .queue_url(&self.config.url)
            .message_group_id(group)
            .message_deduplication_id(dedup_id)
            .message_body(body)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| failed("send", error.into()))
    }

    /// Receives one body.
    pub(super) async fn receive(&self, visibility: Duration, wait: Duration) -> Outcome {
        let limits = Config::builder().timeout_config(limits(wait + Duration::from_secs(1)));
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.config.url)
            .max_number_of_messages(1)
            .visibility_timeout(whole_seconds(visibility))
            .wait_time_seconds(whole_seconds(wait))
            .receive_request_attempt_id(format!("{:032x}", rand::random::<u128>()))
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .customize()
            .config_override(limits)
            .send()
            .await
            .map_err(|error| failed("receive", error.into()))?;
        let message = answer.messages.unwrap_or_default().into_iter().next();
        Ok(message.and_then(|message| self.received(message, visibility)))
    }

    fn received(&self, message: Message, visibility: Duration) -> Option<Received> {
        let attributes = message.attributes.unwrap_or_default();
        let attribute = |name| attributes.get(&name).map(String::as_str);
        let sent_ms: i128 = attribute(MessageSystemAttributeName::SentTimestamp)
            .and_then(|ms| ms.parse().ok())
            .unwrap_or(0);
        let Some((handle, body)) = message.receipt_handle.zip(message.body) else {
            tracing::error!("a message without a receipt handle or body");
            return None;
        };
        Some(Received {
            receipt: self.leases.begin(&handle, visibility),
            group: attribute(MessageSystemAttributeName::MessageGroupId)
                .unwrap_or_default()
                .to_owned(),
            body,
            receive_count: attribute(MessageSystemAttributeName::ApproximateReceiveCount)
                .and_then(|count| count.parse().ok())
                .unwrap_or(1),
            sent_at: OffsetDateTime::from_unix_timestamp_nanos(sent_ms * 1_000_000)
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        })
    }

    /// Lets the lease end `visibility` from now; with zero, ends it.
    pub(super) async fn set_visibility(
        &self,
        receipt: &Receipt,
        visibility: Duration,
    ) -> Result<(), QueueError> {
        let handle = self.leases.handle(receipt)?;
        let (visibility, seconds) = self.leases.allowed(&handle, visibility)?;
        let asked = self.leases.now();
        let answer = self
            .client
            .change_message_visibility()
            .queue_url(&self.config.url)
            .receipt_handle(handle.text)
            .visibility_timeout(seconds)
            .send()
            .await
            .map_err(|error| lease_failed("extend a lease", error.into()));
        match answer {
            Ok(_) if !visibility.is_zero() => {
                self.leases.renew(&handle, asked, visibility);
                Ok(())
            }
            Ok(_) => {
                self.leases.end(&handle);
                Ok(())
            }
            Err(error) => {
                if matches!(error, QueueError::StaleReceipt) {
                    self.leases.end(&handle);
                }
                Err(error)
            }
        }
    }

    pub(super) async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let handle = self.leases.handle(receipt)?;
        let answer = self
            .client
            .delete_message()
            .queue_url(&self.config.url)
            .receipt_handle(handle.text)
            .send()
            .await
            .map_err(|error| lease_failed("delete", error.into()));
        match answer {
            Ok(_) | Err(QueueError::StaleReceipt) => self.leases.end(&handle),
            // It may have been deleted: a second delete of the same lease is not refused by SQS.
            Err(_) => {}
        }
        answer.map(|_| ())
    }

    pub(super) async fn depth(&self) -> Result<Depth, QueueError> {
        let own = self.counts(&self.config.url).await?;
        let dead = match self.dead_letters_url().await? {
            Some(url) => self.counts(&url).await?,
            None => Counts::default(),
        };
        Ok(Depth {
            visible: own.visible,
            in_flight: own.in_flight,
            dead: dead.visible + dead.in_flight,
        })
    }

    pub(super) async fn settings(&self) -> Result<Settings, QueueError> {
        let names = [
            QueueAttributeName::RedrivePolicy,
            QueueAttributeName::DeduplicationScope,
        ];
        let mut found = self.attributes(&self.config.url, names).await?;
        let redrive = found.remove(&QueueAttributeName::RedrivePolicy);
        Ok(Settings {
            dedup_scope: found.remove(&QueueAttributeName::DeduplicationScope),
            redrive: redrive.and_then(|json| serde_json::from_str(&json).ok()),
        })
    }

    async fn attributes(
        &self,
        url: &str,
        names: impl IntoIterator<Item = QueueAttributeName>,
    ) -> Result<std::collections::HashMap<QueueAttributeName, String>, QueueError> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(url)
            .set_attribute_names(Some(names.into_iter().collect()))
            .send()
            .await
            .map_err(|error| failed("tell its state", error.into()))?;
        Ok(answer.attributes.unwrap_or_default())
    }

    async fn counts(&self, url: &str) -> Result<Counts, QueueError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as InFlight,
        };
        let found = self.attributes(url, [Visible, Delayed, InFlight]).await?;
        let count = |name| found.get(&name).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        Ok(Counts {
            visible: count(Visible) + count(Delayed),
            in_flight: count(InFlight),
        })
    }

    /// As configured, else as the redrive policy says. A queue without a policy is asked again each time: it may get one.
    async fn dead_letters_url(&self) -> Result<Option<String>, QueueError> {
        if let Some(url) = self.dead_letters.get() {
            return Ok(Some(url.clone()));
        }
        let Some(redrive) = self.settings().await?.redrive else {
            return Ok(None);
        };
        // arn:aws:sqs:<region>:<account>:<name>
        let mut arn = redrive.target.rsplitn(3, ':');
        let (Some(name), Some(account)) = (arn.next(), arn.next()) else {
            return Ok(None);
        };
        let answer = self
            .client
            .get_queue_url()
            .queue_name(name)
            .queue_owner_aws_account_id(account)
            .send()
            .await
            .map_err(|error| failed("name its dead letters", error.into()))?;
        let url = answer.queue_url.unwrap_or_default();
        // Somebody else may have set it meanwhile, to the same.
        let _ = self.dead_letters.set(url.clone());
        Ok(Some(url))
    }
}

#[derive(Default)]
struct Counts {
    visible: u64,
    in_flight: u64,
}

/// What the contract depends on and only the queue's owner can set.
pub(super) struct Settings {
    dedup_scope: Option<String>,
    redrive: Option<Redrive>,
}

#[derive(serde::Deserialize)]
struct Redrive {
    #[serde(rename = "deadLetterTargetArn")]
    target: String,
    /// A number, or a text with one.
    #[serde(rename = "maxReceiveCount")]
    max_receives: serde_json::Value,
}

impl Settings {
    pub(super) fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.dedup_scope.as_deref() != Some("messageGroup") {
            warnings.push("DeduplicationScope is not messageGroup: dedup ids count across groups");
        }
        match &self.redrive {
            None => warnings.push("there is no RedrivePolicy: a job that always fails comes again for ever"),
            Some(redrive) if redrive.max_receives() != Some(MAX_RECEIVES) => {
                warnings.push("maxReceiveCount of the RedrivePolicy is not 3");
            }
            Some(_) => {}
        }
        warnings
    }
}

impl Redrive {
    fn max_receives(&self) -> Option<u32> {
        match &self.max_receives {
            serde_json::Value::String(text) => text.parse().ok(),
            number => number.as_u64().and_then(|n| u32::try_from(n).ok()),
        }
    }
}

fn failed(action: &'static str, fault: Fault) -> QueueError {
    match fault.remedy {
        Some(remedy) => QueueError::Denied {
            action,
            remedy,
            source: Box::new(fault),
        },
        None => QueueError::Unavailable {
            reason: action,
            source: Box::new(fault),
        },
    }
}

/// As [`failed`], of a request that names a receipt.
fn lease_failed(action: &'static str, fault: Fault) -> QueueError {
    if fault.is(STALE) || fault.is(INVALID) {
        return QueueError::StaleReceipt;
    }
    failed(action, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_do_not_fit_are_named() {
        let settings = |scope: Option<&str>, redrive: Option<&str>| Settings {
            dedup_scope: scope.map(str::to_owned),
            redrive: redrive.map(|json| serde_json::from_str(json).unwrap()),
        };
        let good = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:1:d.fifo","maxReceiveCount":3}"#;
        let as_text = good.replace(":3}", r#":"3"}"#);
        assert!(settings(Some("messageGroup"), Some(good)).warnings().is_empty());
        assert!(
            settings(Some("messageGroup"), Some(&as_text))
                .warnings()
                .is_empty()
        );
        assert_eq!(
            settings(Some("queue"), Some(&good.replace('3', "5")))
                .warnings()
                .len(),
            2
        );
        assert_eq!(settings(None, None).warnings().len(), 2);
    }
}
