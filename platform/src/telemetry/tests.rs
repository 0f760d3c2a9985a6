use std::{io::Write, sync::Arc};

use parking_lot::Mutex;
use serde_json::Value;
use tracing::{debug, error, info, info_span, trace, warn};

use super::*;
use crate::{Secret, config::LogFormat};

/// Gathers what is logged.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(config: &LogConfig, act: impl FnOnce()) -> String {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = subscriber(config, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, act);
    String::from_utf8(captured.0.lock().clone()).unwrap()
}

fn at(level: &str) -> LogConfig {
    LogConfig {
        level: level.into(),
        ..LogConfig::default()
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_line_holds_the_fields_of_its_event_and_of_all_its_spans() {
    let text = logged(&at("info"), || {
        let call = info_span!("call", call_id = "RM_1", profile = tracing::field::Empty);
        call.record("profile", "support");
        let _call = call.enter();
        let _turn = info_span!("turn", turn_id = 3, profile = "inner").entered();
        info!(ms = 1.5, ok = true, target_name = %"x", "answered {}", "now");
    });
    let lines = json_lines(&text);
    let [line] = lines.as_slice() else {
        panic!("{text}")
    };
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "answered now");
    assert_eq!(line["call_id"], "RM_1");
    assert_eq!(line["turn_id"], 3);
    assert_eq!(line["profile"], "inner", "the inner span wins");
    assert_eq!(
        (line["ms"].as_f64(), line["ok"].as_bool()),
        (Some(1.5), Some(true))
    );
    assert!(line["target"].as_str().unwrap().contains("telemetry"));
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn nothing_leaks_at_trace_from_our_own_words() {
    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.Y2FuYXJ5LXNpZ25hdHVyZQ";
    const CANARIES: [&str; 6] = [
        JWT,
        "15550100123",
        "canary-secret-of-the-config",
        "canary-password",
        "canary-key",
        "5550199",
    ];
    for format in [LogFormat::Json, LogFormat::Text] {
        let secrets = vec![Secret::new("canary-secret-of-the-config")];
        let config = LogConfig {
            level: "trace".into(),
            format,
            secrets,
        };
        let text = logged(&config, || {
            let _span =
                info_span!("call", caller = "+15550100123", sip = ?"<sip:15550100123@host>").entered();
            trace!("connect wss://h/rtc?access_token={JWT}");
            debug!(authorization = "canary-key", api_key = "canary-key", "asked");
            warn!(
                error = &std::io::Error::other(format!("bad token {JWT}")) as &dyn std::error::Error,
                "refused"
            );
            info!(url = "redis://u:canary-password@h", value = ?Some("canary-secret-of-the-config"), "tel:5550199");
        });
        for canary in CANARIES {
            assert!(!text.contains(canary), "{canary} in {text}");
        }
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("[token]") && text.contains("[phone]") && text.contains("[secret]"));
    }
}

#[test]
fn leaky_targets_stay_capped_whatever_the_level_says() {
    let text = logged(&at("trace,rsipstack=trace,hyper=debug"), || {
        info!(target: "rsipstack::transaction", "INVITE sip:x");
        warn!(target: "rsipstack::transaction", "warned");
        debug!(target: "hyper::client", "header");
        trace!(target: "livekit::rtc_engine", "sdp");
        trace!(target: "gateway", "kept");
    });
    let messages: Vec<Value> = json_lines(&text)
        .iter()
        .map(|line| line["message"].clone())
        .collect();
    assert_eq!(messages, ["warned", "kept"]);
}

#[test]
fn what_capped_targets_dump_is_cut() {
    let text = logged(&at("info"), || {
        error!(target: "livekit::rtc_engine", "event took long: {}", "words that were said ".repeat(100));
    });
    assert!(text.len() < 500, "{text}");
}

#[test]
fn numbers_that_dependencies_quote_are_masked_however_they_are_written() {
    let text = logged(&at("info"), || {
        error!(target: "livekit::room", "left voice-ai-call_+1@15550100123_x, code 500, and 1 555 010");
    });
    assert!(!text.contains("15550100123"), "{text}");
    assert!(text.contains("code 500, and 1 555 010"), "{text}");
}

#[test]
fn the_offer_of_a_session_that_is_closed_is_no_error_and_any_other_one_is() {
    let text = logged(&at("info"), || {
        let failed = "failed to negotiate the publisher: Rtc(RtcError { error_type: InvalidState, message:";
        error!(target: "livekit::rtc_engine::rtc_session", "{failed} \"the peer connection is closed\" }})");
        error!(target: "livekit::rtc_engine::rtc_session", "{failed} \"no such section\" }})");
        error!(target: "gateway", "{failed} \"the peer connection is closed\" }})");
    });
    assert_eq!(json_lines(&text).len(), 2, "{text}");
}

#[test]
fn records_of_the_log_crate_go_through_the_same_filter_and_masks() {
    // Only one logger can be set in a process; this is the only test that needs it.
    let _ = tracing_log::LogTracer::init();
    let text = logged(&at("debug"), || {
        log::debug!(target: "gateway", "kept, from +15550100123");
        log::trace!(target: "gateway", "below the level");
        log::debug!(target: "livekit::rtc_engine", "capped");
    });
    let lines = json_lines(&text);
    assert_eq!(
        (lines.len(), &lines[0]["target"]),
        (1, &"gateway".into()),
        "{text}"
    );
    assert_eq!(lines[0]["message"], "kept, from [phone]");
    assert!(lines[0].get("log.target").is_none());
}

#[test]
fn levels_apply_per_target() {
    let text = logged(&at("warn,gateway=debug"), || {
        info!("not this");
        error!("this");
        debug!(target: "gateway::sip", "and this");
    });
    assert_eq!(json_lines(&text).len(), 2, "{text}");
    for bad in ["", "loud", "info,gateway", "info,=debug", "info,gateway=loud"] {
        assert!(parse_level(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_text_cannot_forge_a_line_or_a_field() {
    let forged = "x\n{\"level\":\"INFO\",\"message\":\"forged\"}\r\n\u{1b}[2J";
    let json = logged(&at("info"), || {
        info!(level = "DEBUG", timestamp = "1970", "{forged}");
    });
    let lines = json_lines(&json);
    assert_eq!(
        (lines.len(), &lines[0]["level"], &lines[0]["level_"]),
        (1, &"INFO".into(), &"DEBUG".into())
    );
    let config = LogConfig {
        format: LogFormat::Text,
        ..at("info")
    };
    let text = logged(&config, || info!(field = forged, "{forged}"));
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn long_texts_are_cut() {
    let text = logged(&at("info"), || info!("{}", "ä".repeat(100_000)));
    assert!(text.len() < 9_000);
}
