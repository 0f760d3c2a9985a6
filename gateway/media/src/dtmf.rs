//! DTMF digits as telephone-events (RFC 4733).

use std::collections::VecDeque;

/// A DTMF digit: `0`–`9`, `*`, `#`, `A`–`D`. Digits can be a PIN, so `Debug` does not show them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

impl Digit {
    /// The digit of an event code (RFC 4733 §3.2), 0..=15.
    pub fn from_code(code: u8) -> Option<Self> {
        (usize::from(code) < DIGITS.len()).then_some(Self(code))
    }

    /// The digit that this character names; letters in either case.
    pub fn from_char(character: char) -> Option<Self> {
        let wanted = u8::try_from(character.to_ascii_uppercase()).ok()?;
        DIGITS
            .iter()
            .position(|&digit| digit == wanted)
            .map(|code| Self(code as u8))
    }

    /// The event code, 0..=15.
    pub fn code(self) -> u8 {
        self.0
    }

    /// The digit as it stands on the keypad; letters in upper case.
    pub fn to_char(self) -> char {
        char::from(DIGITS[usize::from(self.0)])
    }
}

impl std::fmt::Debug for Digit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digit(_)")
    }
}

/// The digit of a SIP INFO: `application/dtmf-relay`, whose line `Signal=` names it, or `application/dtmf`, which is nothing else. No RFC has
/// them; some devices name `*` and `#` by their event codes.
pub fn of_info(content_type: &str, body: &[u8]) -> Option<Digit> {
    let kind = content_type.split(';').next()?.trim();
    let body = std::str::from_utf8(body.get(..body.len().min(MAX_INFO_BYTES))?).ok()?;
    let signal = if kind.eq_ignore_ascii_case("application/dtmf") {
        body.trim()
    } else if kind.eq_ignore_ascii_case("application/dtmf-relay") {
        let named = body.lines().filter_map(|line| line.split_once('='));
        let mut named = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("signal"));
        named.next()?.1.trim()
    } else {
        return None;
    };
    let mut characters = signal.chars();
    match (characters.next()?, characters.next()) {
        (character, None) => Digit::from_char(character),
        _ => signal.parse().ok().and_then(Digit::from_code),
    }
}

const MAX_INFO_BYTES: usize = 256;

/// Telephone-events as they were agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvents {
    /// Their payload type.
    pub payload_type: u8,
    /// The clock that durations count in: that of the codec beside them (RFC 4733 §2.1). Some phones have Opus and events at 8000 Hz
    /// only: their timestamps are of the sound's clock nevertheless, and their durations of this one.
    pub clock_rate_hz: u32,
}

impl TelephoneEvents {
    /// The ticks of 20 ms.
    pub(crate) fn frame_ticks(self) -> u16 {
        (self.clock_rate_hz / 50) as u16
    }
}

/// The payload of a telephone-event packet (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The event code; 0..=15 are digits.
    pub code: u8,
    /// Set on the last packets of an event.
    pub end: bool,
    /// The tone's power, in dB below 0 dBm0: 0..=63.
    pub volume: u8,
    /// How long it has lasted, in ticks of the RTP clock.
    pub duration: u16,
}

impl Event {
    /// Reads the first event of a payload. `None` when there are less than four bytes.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[code, flags, d0, d1] = payload.first_chunk()?;
        Some(Self {
            code,
            end: flags & 0x80 != 0,
            volume: flags & 0x3F,
            duration: u16::from_be_bytes([d0, d1]),
        })
    }

    /// The payload.
    pub fn bytes(self) -> [u8; 4] {
        let [d0, d1] = self.duration.to_be_bytes();
        [self.code, u8::from(self.end) << 7 | self.volume & 0x3F, d0, d1]
    }
}

/// Finds the digits in the event packets of one stream.
///
/// A digit counts once per RTP timestamp, at the first packet of it that arrives, whichever that is. The
/// marker bit means nothing here: some senders never set it. A segment of a long event (RFC 4733 §2.5.1.3)
/// goes on with the event before it, unless that had ended.
#[derive(Debug, Default)]
pub struct Detector {
    current: Option<Current>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    timestamp: u32,
    event: Event,
}

impl Detector {
    /// Takes the payload of an event packet; the digit when it begins one.
    pub fn handle(&mut self, timestamp: u32, payload: &[u8]) -> Option<Digit> {
        let event = Event::parse(payload)?;
        if let Some(current) = self.current {
            let ahead = timestamp.wrapping_sub(current.timestamp) as i32;
            if ahead < 0 {
                return None;
            }
            if ahead == 0 {
                let end = event.end || current.event.end;
                let duration = event.duration.max(current.event.duration);
                self.current = Some(Current {
                    timestamp,
                    event: Event {
                        end,
                        duration,
                        ..current.event
                    },
                });
                return None;
            }
            let continues = !current.event.end
                && event.code == current.event.code
                && ahead == i32::from(current.event.duration);
            if continues {
                self.current = Some(Current { timestamp, event });
                return None;
            }
        }
        self.current = Some(Current { timestamp, event });
        Digit::from_code(event.code)
    }
}

/// Frames of 20 ms that a digit takes, with the pause after it.
pub const DIGIT_FRAMES: usize = 2 * Keypad::STEPS as usize;

/// Makes the event packets of digits that wait to be sent.
///
/// A digit lasts 260 ms: 13 packets of 20 ms at −10 dBm0, of which the last, with the end bit, is sent three
/// times (RFC 4733 §2.5.1.4). After each digit comes a pause of 260 ms, so that a string of digits stays
/// apart at the other end.
#[derive(Debug, Default)]
pub(crate) struct Keypad {
    waiting: VecDeque<Digit>,
    /// The digit or pause under way, and the 20 ms steps of it already made.
    under_way: Option<(Option<Digit>, u16)>,
}

/// There is no room for another digit. Send more frames first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} digits wait already", Keypad::MOST_WAITING)]
pub struct TooManyDigits;

/// The packets for one step of 20 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// The first step of a digit: its timestamp stands for the whole event.
    pub(crate) first: bool,
    pub(crate) event: Event,
    /// How often to send the packet: once, or three times at the end.
    pub(crate) copies: usize,
}

impl Keypad {
    const MOST_WAITING: usize = 32;
    const STEPS: u16 = 13;
    const VOLUME: u8 = 10;

    pub(crate) fn press(&mut self, digit: Digit) -> Result<(), TooManyDigits> {
        if self.waiting.len() >= Self::MOST_WAITING {
            return Err(TooManyDigits);
        }
        self.waiting.push_back(digit);
        Ok(())
    }

    /// The next 20 ms: `None` when they belong to the audio.
    pub(crate) fn step(&mut self, ticks: u16) -> Option<Step> {
        let (digit, done) = match self.under_way.take() {
            Some(under_way) => under_way,
            None => (Some(self.waiting.pop_front()?), 0),
        };
        let last = done + 1 == Self::STEPS;
        self.under_way = match (digit, last) {
            (_, false) => Some((digit, done + 1)),
            (Some(_), true) => Some((None, 0)),
            (None, true) => None,
        };
        let event = Event {
            code: digit?.code(),
            end: last,
            volume: Self::VOLUME,
            duration: (done + 1) * ticks,
        };
        Some(Step {
            first: done == 0,
            event,
            copies: if last { 3 } else { 1 },
        })
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none()
    }
}
