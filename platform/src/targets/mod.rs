//! Whom a call or a transfer may go to: the guard against toll fraud.
//!
//! Nothing may be dialled that the configuration does not list, and of what it lists, emergency and premium numbers are still refused.
//! Both lists below are a second lock, not the first: keep `calls.targets.numbers` as narrow as the business is.

mod lists;

use std::fmt;

use crate::config::{NumberPrefix, Targets};
use lists::{EMERGENCY, NORTH_AMERICAN_ABROAD, PREMIUM, PREMIUM_NATIONAL};

/// No number in E.164 with its country code is shorter; what is shorter is a service number behind a country code.
const MIN_DIGITS: usize = 7;

/// No extension of a PBX is longer; what is longer leads out of it.
const MAX_EXTENSION_DIGITS: usize = 6;

/// Somebody that may be dialled. `Debug` shows the kind only.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// A number in E.164.
    Number(String),
    /// A SIP user at a listed host.
    Sip {
        /// The user part.
        user: String,
        /// The host, with its port when one was given.
        host: String,
        /// The user without separators and in lower case: what may be written in several ways is one.
        counted: String,
    },
}

impl Target {
    /// As LiveKit takes it for a transfer.
    pub fn uri(&self) -> String {
        match self {
            Self::Number(number) => format!("tel:{number}"),
            Self::Sip { user, host, .. } => format!("sip:{user}@{host}"),
        }
    }

    /// What is dialled: the number, or the user as it was written.
    pub fn user(&self) -> &str {
        match self {
            Self::Number(number) => number,
            Self::Sip { user, .. } => user,
        }
    }

    /// What calls are counted by, however it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Number(number) => number,
            Self::Sip { counted, .. } => counted,
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number(_) => "Number(redacted)",
            Self::Sip { .. } => "Sip(redacted)",
        })
    }
}

/// Why something may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a number in E.164 nor a SIP URI.
    #[error("it is neither a number in E.164 nor a SIP URI")]
    Invalid,
    /// An emergency number.
    #[error("emergency and service numbers are not dialled")]
    Emergency,
    /// A premium number.
    #[error("premium-rate numbers are not dialled")]
    Premium,
    /// Not in the configuration's list.
    #[error("it is not in the list of what may be dialled")]
    NotListed,
    /// Not in the caller's list.
    #[error("it is not in this caller's list of what may be dialled")]
    NotListedForCaller,
}

impl TargetError {
    /// What the log calls it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "target_invalid",
            Self::Emergency => "target_emergency",
            Self::Premium => "target_premium",
            Self::NotListed => "target_not_listed",
            Self::NotListedForCaller => "target_not_listed_for_caller",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Invalid => "write a number like +4930123456, or sip:user@host",
            Self::Emergency | Self::Premium => {
                "calls.targets.special allows what must be dialled all the same"
            }
            Self::NotListed => "calls.targets.numbers and calls.targets.sip_hosts list what may be dialled",
            Self::NotListedForCaller => "the caller's `numbers` list what it may dial",
        }
    }
}

/// What the configuration allows.
#[derive(Debug, Clone)]
pub struct Policy(Targets);

impl Policy {
    /// Takes `calls.targets`.
    pub fn new(targets: Targets) -> Self {
        Self(targets)
    }

    /// Reads what a caller wants to dial: `+4930123456`, `tel:+4930123456`, `sip:user@host[:port]`. Spaces, dots, dashes and brackets
    /// in numbers are ignored. `own` narrows the list for one caller; empty: it does not.
    ///
    /// # Errors
    /// As [`TargetError`] says.
    pub fn check(&self, text: &str, own: &[NumberPrefix]) -> Result<Target, TargetError> {
        let text = text.trim();
        if text.len() > 256 || !text.is_ascii() {
            return Err(TargetError::Invalid);
        }
        match scheme(text) {
            Some(("sip", rest)) => self.sip(rest, own),
            Some(("tel", rest)) => self.number(rest, own),
            Some(_) => Err(TargetError::Invalid),
            None => self.number(text, own),
        }
    }

    fn number(&self, text: &str, own: &[NumberPrefix]) -> Result<Target, TargetError> {
        let dialled = without_separators(text);
        let digits = dialled.strip_prefix('+').unwrap_or(&dialled);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TargetError::Invalid);
        }
        let special = self.is_special(&dialled);
        if !special {
            refuse_emergency(&dialled)?;
        }
        let listed = special && !dialled.starts_with('+');
        let in_e164 = dialled.starts_with('+') && digits.len() <= 15 && !digits.starts_with('0');
        if !in_e164 && !listed {
            return Err(TargetError::Invalid);
        }
        if !special {
            refuse_premium(&dialled)?;
        }
        if !listed {
            self.listed(&dialled)?;
        }
        narrowed(&dialled, own)?;
        Ok(Target::Number(dialled))
    }

    fn listed(&self, number: &str) -> Result<(), TargetError> {
        let abroad = NORTH_AMERICAN_ABROAD
            .iter()
            .find(|code| number.starts_with(**code));
        let is_listed = self.0.numbers.iter().any(|prefix| {
            // Whoever means an island names it.
            prefix.covers(number) && abroad.is_none_or(|code| prefix.is_within(code))
        });
        is_listed.then_some(()).ok_or(TargetError::NotListed)
    }

    fn sip(&self, rest: &str, own: &[NumberPrefix]) -> Result<Target, TargetError> {
        // No parameters, no headers, no escapes: each of them can carry another number than the one that is checked.
        let (user, host) = rest.split_once('@').ok_or(TargetError::Invalid)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
        if user.is_empty() || user.len() > 64 || !user.bytes().all(plain) {
            return Err(TargetError::Invalid);
        }
        let host = host.to_ascii_lowercase();
        if host.is_empty()
            || !host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
        {
            return Err(TargetError::Invalid);
        }
        let dialled = without_separators(user).replace('_', "");
        let digits = dialled.strip_prefix('+').unwrap_or(&dialled);
        let is_number = !digits.bytes().any(|b| b.is_ascii_alphabetic());
        // A `+` in front of a name, or in the middle: some servers read a number out of it.
        let is_misplaced = dialled.contains('+') && (!is_number || digits.contains('+'));
        if digits.is_empty() || is_misplaced {
            return Err(TargetError::Invalid);
        }
        let special = self.is_special(&dialled);
        if is_number && !special {
            refuse_emergency(&dialled)?;
            refuse_premium(&dialled)?;
        }
        if !self.0.sip_hosts.contains(&host) {
            return Err(TargetError::NotListed);
        }
        // The host may be a way out to every telephone there is.
        let leads_out = dialled.starts_with('+') || digits.len() > MAX_EXTENSION_DIGITS;
        if is_number && leads_out {
            if !special {
                self.listed(&dialled)?;
            }
            narrowed(&dialled, own)?;
        }
        // A number is the same telephone however it is written; names that differ by a separator are two users.
        let counted = if is_number {
            dialled
        } else {
            format!("{}@{host}", user.to_ascii_lowercase())
        };
        Ok(Target::Sip {
            user: user.to_owned(),
            host,
            counted,
        })
    }

    fn is_special(&self, dialled: &str) -> bool {
        self.0.special.iter().any(|special| {
            // Short numbers to the letter: 112 does not stand for 1121234.
            if special.starts_with('+') {
                dialled.starts_with(special.as_str())
            } else {
                dialled == special
            }
        })
    }
}

fn narrowed(number: &str, own: &[NumberPrefix]) -> Result<(), TargetError> {
    let is_own = own.is_empty() || own.iter().any(|prefix| prefix.covers(number));
    is_own.then_some(()).ok_or(TargetError::NotListedForCaller)
}

fn scheme(text: &str) -> Option<(&'static str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let known = ["sip", "tel"];
    let known = known.into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
    Some((known.unwrap_or(""), rest))
}

/// RFC 3966 §5.1.1: visual separators mean nothing.
fn without_separators(text: &str) -> String {
    text.chars().filter(|c| !"-. ()".contains(*c)).collect()
}

/// As dialled, and behind a country code, an international prefix or a digit for an outside line.
fn refuse_emergency(dialled: &str) -> Result<(), TargetError> {
    let digits = dialled.strip_prefix('+').unwrap_or(dialled);
    let is_short = dialled.starts_with('+') && digits.len() < MIN_DIGITS;
    let behind_prefix = ["0", "00", "9", "1", "011"]
        .iter()
        .filter_map(|prefix| digits.strip_prefix(prefix))
        .any(|rest| rest.len() >= 3 && EMERGENCY.contains(&rest));
    if is_short || EMERGENCY.contains(&digits) || behind_prefix {
        Err(TargetError::Emergency)
    } else {
        Ok(())
    }
}

fn refuse_premium(dialled: &str) -> Result<(), TargetError> {
    let begins = |text: &str, list: &[&str]| list.iter().any(|prefix| text.starts_with(prefix));
    if dialled.starts_with('+') {
        return if begins(dialled, PREMIUM) {
            Err(TargetError::Premium)
        } else {
            Ok(())
        };
    }
    let international = ["011", "00"]
        .iter()
        .find_map(|prefix| dialled.strip_prefix(prefix));
    let abroad = international.is_some_and(|rest| begins(&format!("+{rest}"), PREMIUM));
    if abroad || begins(dialled, PREMIUM_NATIONAL) {
        Err(TargetError::Premium)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
