//! Who is let in, and who has to go for it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Limits,
    pulse::{Pulse, Silence},
};

/// Between two warnings that all connections are taken.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Keeps the connections to their number.
#[derive(Debug)]
pub(crate) struct Door {
    limits: Limits,
    seats: Arc<Semaphore>,
    taken: Mutex<Taken>,
    /// Somebody fell silent.
    silent: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by: HashMap<u64, Occupant>,
    warned_at: Option<Instant>,
}

#[derive(Debug)]
struct Occupant {
    source: Source,
    pulse: Arc<Pulse>,
    close: CancellationToken,
}

/// Whom addresses are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(IpAddr);

/// A connection's place; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) pulse: Arc<Pulse>,
    /// Cancelled when the connection has to go.
    pub(crate) close: CancellationToken,
    number: u64,
    door: Arc<Door>,
    _permit: OwnedSemaphorePermit,
}

impl Door {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            seats: Arc::new(Semaphore::new(
                limits.connections.clamp(1, Semaphore::MAX_PERMITS),
            )),
            taken: Mutex::default(),
            silent: Arc::default(),
        })
    }

    /// A seat for a connection from `from`, for which another may have to go. Cancel-safe: at worst one went for nothing.
    pub(crate) async fn seat(self: &Arc<Self>, from: IpAddr) -> Seat {
        let permit = self.permit().await;
        let (pulse, close) = (
            Arc::new(Pulse::new(self.limits, self.silent.clone())),
            CancellationToken::new(),
        );
        let mut taken = self.taken.lock();
        let number = taken.next;
        taken.next += 1;
        taken.by.insert(
            number,
            Occupant {
                source: Source::of(from),
                pulse: pulse.clone(),
                close: close.clone(),
            },
        );
        drop(taken);
        Seat {
            pulse,
            close,
            number,
            door: self.clone(),
            _permit: permit,
        }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = self.seats.clone().try_acquire_owned() {
            return permit;
        }
        self.warn();
        loop {
            let silent = self.silent.notified();
            let is_leaving = self.close_one();
            tokio::select! {
                // Cancel-safe, both: a permit that comes late is dropped and free again, and a notice is only a hint.
                Ok(permit) = self.seats.clone().acquire_owned() => return permit,
                () = silent, if !is_leaving => {}
            }
        }
    }

    /// Closes the most dispensable of the silent connections; whether there is one.
    pub(crate) fn close_one(&self) -> bool {
        let taken = self.taken.lock();
        let mut of_source: HashMap<Source, usize> = HashMap::new();
        for occupant in taken.by.values() {
            *of_source.entry(occupant.source).or_default() += 1;
        }
        let staying = taken
            .by
            .values()
            .filter(|occupant| !occupant.close.is_cancelled());
        let silent = staying.filter_map(|occupant| Some((occupant, occupant.pulse.silence()?)));
        let rank = |(occupant, silence): &(&Occupant, Silence)| {
            let neighbours = of_source.get(&occupant.source).copied().unwrap_or(0);
            (silence.is_welcome, std::cmp::Reverse(neighbours), silence.since)
        };
        let Some((occupant, _)) = silent.min_by_key(rank) else {
            return false;
        };
        occupant.close.cancel();
        true
    }

    fn warn(&self) {
        let now = Instant::now();
        let mut taken = self.taken.lock();
        if taken.warned_at.is_none_or(|at| now - at >= WARN_EVERY) {
            taken.warned_at = Some(now);
            tracing::warn!(
                connections = self.limits.connections,
                "all connections are taken; silent ones are closed for new ones"
            );
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.door.taken.lock().by.remove(&self.number);
    }
}

impl Source {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            // Whoever has one address of IPv6 has the /64 that it is in (RFC 6177 §2).
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn door(connections: usize) -> Arc<Door> {
        Door::new(Limits {
            connections,
            ..Limits::default()
        })
    }

    /// A seat taken a second after the one before.
    async fn seat(door: &Arc<Door>, from: &str) -> Seat {
        advance(SECOND).await;
        door.seat(from.parse().unwrap()).await
    }

    fn serve(seat: &Seat, with_success: bool) {
        seat.pulse.asked();
        seat.pulse.answered(with_success);
        seat.pulse.finished();
    }

    #[tokio::test(start_paused = true)]
    async fn the_strangers_of_the_largest_source_go_first_and_the_welcome_last() {
        let door = door(5);
        let welcome = seat(&door, "10.0.0.1").await;
        serve(&welcome, true);
        let lone = seat(&door, "10.0.0.2").await;
        let neighbour = seat(&door, "2001:db8::1").await;
        let refused = seat(&door, "2001:db8::ffff:2").await;
        serve(&refused, false);
        let busy = seat(&door, "2001:db8::3").await;
        busy.pulse.asked();

        let closed = || {
            let all = [&welcome, &lone, &neighbour, &refused, &busy];
            all.map(|seat| u8::from(seat.close.is_cancelled()))
        };
        for expected in [[0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 0]] {
            assert!(door.close_one());
            assert_eq!(closed(), expected);
        }
        assert!(!door.close_one(), "what has a request under way stays");
    }

    #[tokio::test(start_paused = true)]
    async fn a_seat_is_free_when_the_closed_connection_has_gone() {
        let door = door(1);
        let first = seat(&door, "10.0.0.1").await;
        let from = "10.0.0.2".parse().unwrap();
        let mut second = std::pin::pin!(door.seat(from));
        assert!(timeout(SECOND, second.as_mut()).await.is_err());
        assert!(first.close.is_cancelled());
        drop(first);
        timeout(SECOND, second).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn while_all_are_busy_the_next_waits_until_one_falls_silent() {
        let door = door(1);
        let first = seat(&door, "10.0.0.1").await;
        first.pulse.asked();
        let from = "10.0.0.2".parse().unwrap();
        let mut second = std::pin::pin!(door.seat(from));
        assert!(timeout(SECOND, second.as_mut()).await.is_err());
        assert!(!first.close.is_cancelled());
        first.pulse.answered(true);
        first.pulse.finished();
        assert!(timeout(SECOND, second.as_mut()).await.is_err());
        assert!(first.close.is_cancelled());
        drop(first);
        timeout(SECOND, second).await.unwrap();
    }
}
