//! What the model may do in this very call: transfer it, and send and ask for touch tones.

mod keypad;
mod transfer;

use std::sync::Arc;

use livekit::{Room, SipDTMF};
use providers::tools::{Tool, ToolError, function};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Duration, sleep};

pub(crate) use keypad::Keypad;
pub use transfer::check as check_transfers;
pub(super) use transfer::{Line, Transfer};

use keypad::{COLLECT_LIMIT, Wanted};

/// Digits that are sent at once.
const MAX_DIGITS: usize = 32;
/// How long the phone is given for a digit; `w` waits as long.
const DIGIT: Duration = Duration::from_millis(500);
/// As many digits as there may be, and some time.
const SEND_LIMIT: Duration = Duration::from_secs(17);

#[derive(Deserialize, JsonSchema)]
struct Digits {
    /// 1 to 32 of 0-9 * # A-D; w waits half a second.
    digits: String,
}

/// Sends touch tones to the phone, such as to a menu on the other side.
pub(super) fn send_dtmf(room: Arc<Room>) -> Arc<dyn Tool> {
    let description =
        "Sends touch tones to the other side of the phone call, as if they were pressed on its keypad.";
    let run = move |Digits { digits }: Digits| send(room.clone(), digits);
    Arc::new(function("send_dtmf", description, run).limit(SEND_LIMIT))
}

async fn send(room: Arc<Room>, digits: String) -> Result<String, ToolError> {
    let codes: Option<Vec<_>> = digits.to_ascii_uppercase().chars().map(code).collect();
    let codes = codes.filter(|codes| (1..=MAX_DIGITS).contains(&codes.len()));
    let Some(codes) = codes else {
        return Err(ToolError(
            "the digits are not 1 to 32 of 0-9 * # A-D w".to_owned(),
        ));
    };
    for (code, digit) in codes {
        if let Some(code) = code {
            let dtmf = SipDTMF {
                code,
                digit: digit.to_string(),
                ..SipDTMF::default()
            };
            let sent = room.local_participant().publish_dtmf(dtmf).await;
            sent.map_err(|_| ToolError("the digits could not be sent".to_owned()))?;
        }
        sleep(DIGIT).await;
    }
    Ok("they were sent".to_owned())
}

/// The event code of RFC 4733 §3.2; none for a pause.
fn code(digit: char) -> Option<(Option<u32>, char)> {
    let code = match digit {
        'W' => return Some((None, digit)),
        '*' => 10,
        '#' => 11,
        'A'..='D' => 12 + u32::from(digit) - u32::from('A'),
        _ => digit.to_digit(10)?,
    };
    Some((Some(code), digit))
}

#[derive(Deserialize, JsonSchema)]
struct Collect {
    /// How many digits there are at most. 1 to 32.
    max_digits: usize,
    /// The key that ends the entry, mostly #; it is not part of the result.
    stop_digit: Option<char>,
    /// Seconds to wait for the first digit and for each further one. 1 to 20; default 8.
    timeout_seconds: Option<u64>,
}

/// Waits for what the caller types.
pub(super) fn collect_dtmf(keypad: Arc<Keypad>) -> Arc<dyn Tool> {
    let description = "Waits for digits that the caller types on the phone's keypad, such as a customer number. Ask for them first; \
                       the result follows when they were typed.";
    let run = move |collect: Collect| {
        let keypad = keypad.clone();
        async move {
            let wanted = Wanted {
                most: collect.max_digits.clamp(1, MAX_DIGITS),
                stop: collect.stop_digit,
                patience: Duration::from_secs(collect.timeout_seconds.unwrap_or(8).clamp(1, 20)),
            };
            match keypad.collect(wanted).await {
                digits if digits.is_empty() => Err(ToolError("the caller typed nothing".to_owned())),
                digits => Ok(format!("the caller typed {digits}")),
            }
        }
    };
    let tool = function("collect_dtmf", description, run);
    Arc::new(tool.after_speech().limit(COLLECT_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_have_the_codes_of_rfc_4733() {
        let codes: Vec<_> = "09*#ADW".chars().map(|digit| code(digit).unwrap().0).collect();
        assert_eq!(
            codes,
            [Some(0), Some(9), Some(10), Some(11), Some(12), Some(15), None]
        );
        assert!(code('E').is_none() && code('٣').is_none());
    }
}
