//! Session timers (RFC 4028): a call whose other side is gone ends, though nobody hung up. Pure, with time as an argument.

use std::time::{Duration, Instant};

/// How long a session may go unrefreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimes {
    /// What we ask for when we place a call.
    pub expires: Duration,
    /// The least that we agree to.
    pub least: Duration,
}

impl SessionTimes {
    /// The values that RFC 4028 recommends (§4, §5).
    pub const DEFAULT: Self = Self {
        expires: Duration::from_mins(30),
        least: Duration::from_secs(90),
    };
}

impl Default for SessionTimes {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Whose task the refresh is, by their parts in the transaction that agrees on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }
}

/// A Session-Expires header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expires {
    pub(crate) interval: Duration,
    pub(crate) refresher: Option<Role>,
}

impl Expires {
    /// Reads `1800;refresher=uac`.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let seconds: u32 = parts.next()?.parse().ok()?;
        let refresher = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let is_refresher = name.trim().eq_ignore_ascii_case("refresher");
            match value.trim() {
                who if is_refresher && who.eq_ignore_ascii_case("uac") => Some(Role::Uac),
                who if is_refresher && who.eq_ignore_ascii_case("uas") => Some(Role::Uas),
                _ => None,
            }
        });
        Some(Self {
            interval: Duration::from_secs(seconds.into()),
            refresher,
        })
    }

    /// The header's value.
    pub(crate) fn value(self) -> String {
        let seconds = self.interval.as_secs();
        match self.refresher {
            Some(role) => format!("{seconds};refresher={}", role.as_str()),
            None => seconds.to_string(),
        }
    }
}

/// How a request that opens or refreshes a session is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Without a timer.
    Untimed,
    /// By 422 with our least.
    TooBrief,
    /// By this header.
    Timed(Expires),
}

/// What the other side asks for, answered (§9). `is_supported`: it knows timers; who does not leaves the refresh to us.
pub(crate) fn answer(asked: Option<Expires>, is_supported: bool, times: SessionTimes) -> Answer {
    let Some(asked) = asked else {
        return Answer::Untimed;
    };
    if is_supported && asked.interval < times.least {
        return Answer::TooBrief;
    }
    let refresher = if is_supported {
        // Whoever wants a timer may wind it.
        asked.refresher.unwrap_or(Role::Uac)
    } else {
        Role::Uas
    };
    Answer::Timed(Expires {
        interval: asked.interval.max(times.least),
        refresher: Some(refresher),
    })
}

/// The Reason of our BYE.
pub(crate) fn expired() -> String {
    crate::stack::reason(408, "session expired")
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Refresh the session.
    Refresh,
    /// Hang up.
    Expired,
}

/// The timer of a session that stands.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Running>);

#[derive(Debug)]
struct Running {
    since: Instant,
    interval: Duration,
    /// When we refresh; `None` when the other side does, or our refresh is under way.
    refresh_at: Option<Instant>,
    /// A refresh came to nothing: the other side does not know the call any more.
    is_lost: bool,
}

impl Timer {
    /// The session is refreshed, or not timed any more. `we`: whether the refresh is ours.
    pub(crate) fn agreed(&mut self, agreed: Option<(Duration, bool)>, now: Instant) {
        self.0 = agreed.map(|(interval, we)| Running {
            since: now,
            interval,
            refresh_at: we.then(|| now + interval / 2),
            is_lost: false,
        });
    }

    /// Our refresh is to be tried again.
    pub(crate) fn again_at(&mut self, at: Instant) {
        if let Some(running) = &mut self.0 {
            running.refresh_at = Some(at);
        }
    }

    /// The other side does not know the call, or does not answer.
    pub(crate) fn lost(&mut self) {
        if let Some(running) = &mut self.0 {
            running.is_lost = true;
        }
    }

    /// How long the session may go unrefreshed.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.0.as_ref().map(|running| running.interval)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let running = self.0.as_ref()?;
        let end = running.end();
        Some(running.refresh_at.map_or(end, |at| at.min(end)))
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        let running = self.0.as_mut()?;
        if now >= running.end() {
            self.0 = None;
            return Some(Due::Expired);
        }
        running.refresh_at.filter(|at| now >= *at)?;
        running.refresh_at = None;
        Some(Due::Refresh)
    }
}

impl Running {
    /// Before the other side may have given the session up (§10): so there is time for the BYE.
    fn end(&self) -> Instant {
        if self.is_lost {
            return self.since;
        }
        let margin = (self.interval / 3).min(Duration::from_secs(32));
        self.since + self.interval.saturating_sub(margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn expires(interval: u64, refresher: Option<Role>) -> Expires {
        Expires {
            interval: seconds(interval),
            refresher,
        }
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn headers_are_read_whatever_else_they_say() {
        for (text, read) in [
            ("1800", Some(expires(1800, None))),
            (" 90 ;refresher=uas", Some(expires(90, Some(Role::Uas)))),
            ("90;x=y; Refresher = UAC", Some(expires(90, Some(Role::Uac)))),
            ("90;refresher=me", Some(expires(90, None))),
            ("soon", None),
            ("99999999999", None),
        ] {
            assert_eq!(Expires::parse(text), read, "{text}");
        }
        assert_eq!(expires(90, Some(Role::Uac)).value(), "90;refresher=uac");
    }

    #[test]
    fn who_refreshes_goes_by_what_the_caller_says_and_can() {
        let answered = |asked, is_supported| answer(asked, is_supported, SessionTimes::DEFAULT);
        let timed = |interval, role| Answer::Timed(expires(interval, Some(role)));
        for (asked, is_supported, expected) in [
            (None, true, Answer::Untimed),
            (Some(expires(600, None)), true, timed(600, Role::Uac)),
            (Some(expires(600, Some(Role::Uas))), true, timed(600, Role::Uas)),
            (Some(expires(600, Some(Role::Uac))), false, timed(600, Role::Uas)),
            (Some(expires(60, None)), true, Answer::TooBrief),
            // Who knows no timers cannot be told either.
            (Some(expires(60, None)), false, timed(90, Role::Uas)),
        ] {
            assert_eq!(
                answered(asked, is_supported),
                expected,
                "{asked:?}, {is_supported}"
            );
        }
    }

    #[test]
    fn our_refresh_is_due_at_half_time_and_the_end_before_the_others() {
        let (mut timer, now) = (Timer::default(), start());
        assert_eq!(timer.poll_timeout(), None);
        timer.agreed(Some((seconds(90), true)), now);
        assert_eq!(timer.poll_timeout(), Some(now + seconds(45)));
        assert_eq!(timer.handle_timeout(now + seconds(44)), None);
        assert_eq!(timer.handle_timeout(now + seconds(45)), Some(Due::Refresh));
        assert_eq!(timer.handle_timeout(now + seconds(46)), None, "it is under way");
        assert_eq!(timer.poll_timeout(), Some(now + seconds(60)));
        timer.agreed(Some((seconds(90), true)), now + seconds(46));
        assert_eq!(timer.poll_timeout(), Some(now + seconds(91)));
    }

    #[test]
    fn a_session_that_the_other_side_does_not_refresh_expires() {
        let (mut timer, now) = (Timer::default(), start());
        timer.agreed(Some((seconds(1800), false)), now);
        assert_eq!(timer.handle_timeout(now + seconds(1767)), None);
        assert_eq!(timer.handle_timeout(now + seconds(1768)), Some(Due::Expired));
        assert_eq!(timer.poll_timeout(), None, "once");
    }

    #[test]
    fn a_call_that_the_other_side_does_not_know_expires_at_once_and_glare_is_waited_out() {
        let (mut timer, now) = (Timer::default(), start());
        timer.agreed(Some((seconds(90), true)), now);
        assert_eq!(timer.handle_timeout(now + seconds(45)), Some(Due::Refresh));
        timer.again_at(now + seconds(48));
        assert_eq!(timer.handle_timeout(now + seconds(48)), Some(Due::Refresh));
        timer.lost();
        assert_eq!(timer.handle_timeout(now + seconds(49)), Some(Due::Expired));
        timer.agreed(None, now);
        assert_eq!(timer.poll_timeout(), None);
    }
}
