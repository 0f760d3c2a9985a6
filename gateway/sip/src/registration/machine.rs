//! When a registration is renewed, and when it is tried again. Pure: time and chance come in as arguments.

use std::time::{Duration, Instant};

use super::{RegistrationFault, RegistrationStatus};

/// The first pause after a failure, doubled with each further one.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The same where the account is at fault: registrars ban who tries a wrong password again and again.
const FAULTY_PAUSE: Duration = Duration::from_mins(1);
const LONGEST_FAULTY_PAUSE: Duration = Duration::from_mins(30);
/// The longest that a registrar may want, whatever it says.
const LONGEST: Duration = Duration::from_hours(24);

/// What an attempt has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Granted(Duration),
    /// 423, and the least that it takes (RFC 3261 §10.2.8).
    TooBrief(Duration),
    Failed {
        fault: RegistrationFault,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
}

/// One registration.
#[derive(Debug)]
pub(crate) struct Machine {
    asked: Duration,
    granted: Option<(Duration, Instant)>,
    fault: Option<(RegistrationFault, Duration)>,
    failures: u32,
    attempt_at: Instant,
}

impl Machine {
    /// The first attempt is due at once.
    pub(crate) fn new(asked: Duration, now: Instant) -> Self {
        Self {
            asked,
            granted: None,
            fault: None,
            failures: 0,
            attempt_at: now,
        }
    }

    /// What is asked for, if an attempt is due now.
    pub(crate) fn attempt(&self, now: Instant) -> Option<Duration> {
        (now >= self.attempt_at).then_some(self.asked)
    }

    /// When something changes by itself.
    pub(crate) fn next(&self) -> Instant {
        self.ends()
            .map_or(self.attempt_at, |ends| ends.min(self.attempt_at))
    }

    /// Takes an attempt's outcome. `chance`, from 0 to 1, keeps those who lost a registrar together from coming back together.
    pub(crate) fn outcome(&mut self, outcome: Outcome, chance: f64, now: Instant) {
        let chance = chance.clamp(0.0, 1.0);
        match outcome {
            Outcome::Granted(granted) => {
                self.granted = Some((granted, now + granted));
                (self.fault, self.failures) = (None, 0);
                // A quarter at least is left for further attempts.
                self.attempt_at = now + granted.mul_f64(0.5 + 0.25 * chance);
            }
            Outcome::TooBrief(least) if least > self.asked && least <= LONGEST => {
                self.asked = least;
                self.attempt_at = now;
            }
            Outcome::TooBrief(_) => self.failed(RegistrationFault::Refused(423), None, chance, now),
            Outcome::Failed { fault, retry_after } => self.failed(fault, retry_after, chance, now),
        }
    }

    /// When what was granted runs out.
    pub(crate) fn ends(&self) -> Option<Instant> {
        self.granted.map(|(_, until)| until)
    }

    /// The connection that calls would come by is gone: another one is needed now.
    pub(crate) fn disconnected(&mut self, now: Instant) {
        self.attempt_at = self.attempt_at.min(now);
    }

    pub(crate) fn status(&self, now: Instant) -> RegistrationStatus {
        let holds = self.granted.filter(|(_, until)| now < *until);
        RegistrationStatus {
            granted: holds.map(|(granted, _)| granted),
            fault: self.fault,
            host: None,
        }
    }

    /// Forgets what has run out.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.granted = self.granted.filter(|(_, until)| now < *until);
    }

    fn failed(&mut self, fault: RegistrationFault, retry_after: Option<Duration>, chance: f64, now: Instant) {
        let is_accounts = matches!(
            fault,
            RegistrationFault::Credentials | RegistrationFault::Refused(403 | 404)
        );
        let (first, longest) = if is_accounts {
            (FAULTY_PAUSE, LONGEST_FAULTY_PAUSE)
        } else {
            (PAUSE, LONGEST_PAUSE)
        };
        let doubled = first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = (self.failures + 1).min(16);
        // RFC 5626 §4.5: between half of it and all of it.
        let pause = doubled.min(longest).mul_f64(0.5 + 0.5 * chance);
        let pause = pause.max(retry_after.unwrap_or_default().min(LONGEST_FAULTY_PAUSE));
        self.fault = Some((fault, pause));
        self.attempt_at = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failed(fault: RegistrationFault) -> Outcome {
        Outcome::Failed {
            fault,
            retry_after: None,
        }
    }

    #[test]
    fn it_is_renewed_by_what_the_registrar_grants() {
        let start = start();
        let mut machine = Machine::new(s(300), start);
        assert_eq!(machine.attempt(start), Some(s(300)));
        machine.outcome(Outcome::Granted(s(60)), 0.0, start);
        assert_eq!(machine.status(start).granted, Some(s(60)));
        assert_eq!(
            (machine.attempt(start + s(29)), machine.next()),
            (None, start + s(30))
        );
        assert_eq!(machine.attempt(start + s(30)), Some(s(300)));
        machine.outcome(Outcome::Granted(s(100)), 1.0, start + s(30));
        assert_eq!(machine.next(), start + s(105));
    }

    #[test]
    fn it_holds_until_it_runs_out_however_often_its_renewal_fails() {
        let start = start();
        let mut machine = Machine::new(s(60), start);
        machine.outcome(Outcome::Granted(s(60)), 0.0, start);
        let (mut now, mut attempts) = (start, 0);
        while machine.status(now).granted.is_some() {
            now = machine.next();
            machine.expire(now);
            if machine.attempt(now).is_some() {
                attempts += 1;
                machine.outcome(failed(RegistrationFault::Unreachable), 1.0, now);
            }
        }
        assert_eq!(now, start + s(60));
        // After 30 s, and 2, 4, 8 and 16 s later.
        assert_eq!(attempts, 5);
        assert_eq!(
            machine.status(now).fault.map(|(fault, _)| fault),
            Some(RegistrationFault::Unreachable)
        );
        machine.outcome(Outcome::Granted(s(60)), 0.0, now + s(5));
        assert_eq!(machine.status(now + s(5)).fault, None);
    }

    #[test]
    fn pauses_double_up_to_their_longest_and_chance_halves_them() {
        let start = start();
        let pauses = |fault, chance: f64| {
            let mut machine = Machine::new(s(60), start);
            let mut now = start;
            let all: Vec<u64> = (0..12)
                .map(|_| {
                    machine.outcome(failed(fault), chance, now);
                    let pause = machine.next() - now;
                    now += pause;
                    pause.as_secs()
                })
                .collect();
            all
        };
        let whole = pauses(RegistrationFault::Refused(503), 1.0);
        assert_eq!(whole, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
        let half = pauses(RegistrationFault::Unreachable, 0.0);
        assert_eq!(half, [1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150, 150]);
        let account = pauses(RegistrationFault::Credentials, 1.0);
        assert_eq!(account[..6], [60, 120, 240, 480, 960, 1_800]);
        assert_eq!(pauses(RegistrationFault::Refused(403), 1.0), account);
    }

    #[test]
    fn what_the_registrar_wants_is_done_within_bounds() {
        let start = start();
        let mut machine = Machine::new(s(60), start);
        machine.outcome(Outcome::TooBrief(s(600)), 0.0, start);
        assert_eq!(machine.attempt(start), Some(s(600)));
        for least in [s(600), s(5), LONGEST + s(1)] {
            machine.outcome(Outcome::TooBrief(least), 1.0, start);
            assert_eq!(machine.attempt(start), None, "it would be asked for ever");
        }
        let mut machine = Machine::new(s(60), start);
        for (wanted, pause) in [(s(90), s(90)), (s(86_400), s(1_800)), (s(0), s(8))] {
            let outcome = Outcome::Failed {
                fault: RegistrationFault::Refused(503),
                retry_after: Some(wanted),
            };
            machine.outcome(outcome, 1.0, start);
            assert_eq!(machine.next(), start + pause);
        }
    }

    #[test]
    fn a_lost_connection_is_made_good_at_once_but_not_in_place_of_a_pause() {
        let start = start();
        let mut machine = Machine::new(s(600), start);
        machine.outcome(Outcome::Granted(s(600)), 0.0, start);
        machine.disconnected(start + s(10));
        assert_eq!(machine.attempt(start + s(10)), Some(s(600)));
        assert!(machine.status(start + s(10)).granted.is_some());
    }
}
