//! When a connection has taken too long, and when it is to be kept alive.

use std::time::Instant;

use super::StreamTimes;

/// Watches over one connection. Tell it what happens; it says what is due.
#[derive(Debug)]
pub(crate) struct Vigil {
    times: StreamTimes,
    /// Whether we have opened the connection: then its keep-alives are ours.
    is_ours: bool,
    opened_at: Instant,
    has_spoken: bool,
    heard_at: Instant,
    pinged_at: Instant,
    /// Since when a message has been under way.
    amid_since: Option<Instant>,
    /// Since when the other side has taken nothing of what waits for it.
    stalled_since: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Ping,
    /// It is over; nobody is to blame.
    Idle,
    /// The other side was too slow.
    Slow,
}

impl Vigil {
    pub(crate) fn new(times: StreamTimes, is_ours: bool, now: Instant) -> Self {
        Self {
            times,
            is_ours,
            opened_at: now,
            has_spoken: is_ours,
            heard_at: now,
            pinged_at: now,
            amid_since: None,
            stalled_since: None,
        }
    }

    /// Bytes have come, and `is_amid` a message they ended.
    pub(crate) fn heard(&mut self, is_amid: bool, now: Instant) {
        self.heard_at = now;
        self.amid_since = is_amid.then(|| self.amid_since.unwrap_or(now));
    }

    /// A whole message has come; the next one's time begins.
    pub(crate) fn message(&mut self) {
        self.has_spoken = true;
        self.amid_since = None;
    }

    /// Something waits to be taken by the other side, or nothing does any more.
    pub(crate) fn writing(&mut self, waits: bool, now: Instant) {
        self.stalled_since = waits.then(|| self.stalled_since.unwrap_or(now));
    }

    /// The other side has taken something.
    pub(crate) fn wrote(&mut self) {
        self.stalled_since = None;
    }

    /// When to ask again what is due.
    pub(crate) fn next(&self) -> Instant {
        let first = (!self.has_spoken).then(|| self.opened_at + self.times.message);
        let amid = self.amid_since.map(|since| since + self.times.message);
        let stalled = self.stalled_since.map(|since| since + self.times.write);
        let ping = self.is_ours.then(|| self.pinged_at + self.times.keep_alive);
        let idle = self.heard_at + self.times.idle;
        let all = [first, amid, stalled, ping].into_iter().flatten();
        all.fold(idle, Instant::min)
    }

    /// What is due now; ask again until nothing is. `in_use`: by a call.
    pub(crate) fn due(&mut self, in_use: bool, now: Instant) -> Option<Due> {
        let over = |since: Option<Instant>, limit| since.is_some_and(|since| now >= since + limit);
        let unspoken = (!self.has_spoken).then_some(self.opened_at);
        if over(unspoken, self.times.message)
            || over(self.amid_since, self.times.message)
            || over(self.stalled_since, self.times.write)
        {
            return Some(Due::Slow);
        }
        if over(Some(self.heard_at), self.times.idle) {
            if !in_use {
                return Some(Due::Idle);
            }
            self.heard_at = now;
        }
        if self.is_ours && over(Some(self.pinged_at), self.times.keep_alive) {
            self.pinged_at = now;
            return Some(Due::Ping);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMES: StreamTimes = StreamTimes {
        message: Duration::from_secs(10),
        write: Duration::from_secs(5),
        idle: Duration::from_secs(100),
        keep_alive: Duration::from_secs(30),
    };

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_never_says_a_word_is_given_up_soon() {
        let start = start();
        let mut vigil = Vigil::new(TIMES, false, start);
        assert_eq!(vigil.next(), start + s(10));
        assert_eq!(vigil.due(false, start + s(9)), None);
        // Bytes that are no message do not help.
        vigil.heard(true, start + s(9));
        assert_eq!(vigil.due(true, start + s(10)), Some(Due::Slow));
    }

    #[test]
    fn a_message_must_come_to_its_end_byte_by_byte_or_not() {
        let start = start();
        let mut vigil = Vigil::new(TIMES, false, start);
        vigil.heard(false, start);
        vigil.message();
        for second in 20..=29 {
            vigil.heard(true, start + s(second));
            assert_eq!(vigil.due(false, start + s(second)), None);
        }
        assert_eq!(vigil.next(), start + s(30));
        assert_eq!(vigil.due(true, start + s(30)), Some(Due::Slow));
    }

    #[test]
    fn who_takes_nothing_is_given_up_even_in_a_call() {
        let start = start();
        let mut vigil = Vigil::new(TIMES, true, start);
        vigil.writing(true, start);
        vigil.writing(true, start + s(4));
        assert_eq!(vigil.next(), start + s(5));
        vigil.wrote();
        vigil.writing(true, start + s(4));
        assert_eq!(vigil.due(true, start + s(8)), None);
        assert_eq!(vigil.due(true, start + s(9)), Some(Due::Slow));
    }

    #[test]
    fn an_idle_connection_is_kept_for_its_call_and_no_longer() {
        let start = start();
        let mut vigil = Vigil::new(TIMES, false, start);
        vigil.message();
        assert_eq!(vigil.due(false, start + s(99)), None);
        assert_eq!(vigil.due(true, start + s(100)), None);
        assert_eq!(vigil.next(), start + s(200));
        assert_eq!(vigil.due(false, start + s(200)), Some(Due::Idle));
    }

    #[test]
    fn our_own_connections_are_kept_alive_by_us() {
        let start = start();
        let mut ours = Vigil::new(TIMES, true, start);
        let mut pings = 0;
        for second in 0..=90 {
            // It answers each.
            ours.heard(false, start + s(second));
            pings += u32::from(ours.due(false, start + s(second)) == Some(Due::Ping));
        }
        assert_eq!(pings, 3);
    }
}
