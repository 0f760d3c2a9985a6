//! What the log says of webhooks, and what it never says.

use std::{
    io,
    sync::{Arc, Once},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::sender::{Function, SECRET, Webhook, cancelled_call, sample};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// All that is logged at TRACE and above while `webhooks` are sent.
pub(crate) async fn logged(function: &Function, webhooks: Vec<Webhook>) -> Vec<Value> {
    // What another test's thread finds nobody to be interested in is switched off for all: somebody is interested in everything.
    static EVERYTHING: Once = Once::new();
    EVERYTHING.call_once(|| {
        let nowhere = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(io::sink)
            .finish();
        tracing::subscriber::set_global_default(nowhere).unwrap();
    });
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    for webhook in webhooks {
        function.send(webhook).await;
    }
    drop(guard);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn each_webhook_is_one_line_at_info_with_id_event_call_outcome_and_ms() {
    let function = Function::new(&[json!({"profile": "support", "numbers": ["+1*"]})]);
    let webhooks = vec![
        sample("participant_joined.sip.ringing.json"),
        sample("participant_joined.sip.ringing.json"),
    ];
    let lines = logged(&function, webhooks).await;
    let info: Vec<_> = lines
        .iter()
        .filter(|line| line["level"] == "INFO")
        .map(|line| &line["fields"])
        .collect();
    let [first, second] = info.as_slice() else {
        panic!("two lines, not {info:?}")
    };
    assert_eq!(first["id"], "EV_YSrQmuvinjcV");
    assert_eq!(first["event"], "participant_joined");
    assert_eq!(first["call_id"], "RM_5dNYzUpD9LnC");
    assert_eq!(
        (&first["outcome"], &second["outcome"]),
        (&json!("job_enqueued"), &json!("replay"))
    );
    assert!(first["ms"].as_f64().is_some_and(|ms| ms > 0.0));
}

#[tokio::test]
async fn no_number_token_secret_or_password_is_logged_even_at_trace() {
    let function = Function::new(&[json!({"profile": "support", "numbers": ["+1*"]})]);
    let webhooks = cancelled_call();
    let tokens: Vec<_> = webhooks
        .iter()
        .filter_map(|webhook| webhook.authorization.clone())
        .collect();
    let turn_password = "dMXIRrkQ0mPvYutkfT50dFvxVcwXV40XoKenrUgsy9D";
    assert!(
        String::from_utf8_lossy(&webhooks[0].body).contains(turn_password),
        "the canary is in the input"
    );
    let tampered = Webhook {
        body: b"+15550100".to_vec(),
        ..webhooks[0].clone()
    };
    let lines = logged(&function, [webhooks, vec![tampered]].concat()).await;
    assert!(
        lines.iter().any(|line| line["level"] == "DEBUG"),
        "bodies are there, masked"
    );
    let all = lines.iter().map(Value::to_string).collect::<String>();
    for canary in ["15551234", "15550100", SECRET, turn_password]
        .into_iter()
        .chain(tokens.iter().map(String::as_str))
    {
        assert!(!all.contains(canary), "{canary} in {all}");
    }
}
