//! How many answers of this process were failures lately.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// What counts as lately.
pub const WINDOW: Duration = Duration::from_mins(5);
const SLICE: Duration = Duration::from_secs(10);

/// Counts answers in slices of ten seconds. Clones count together.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<VecDeque<Slice>>>);

struct Slice {
    from: Instant,
    requests: u64,
    errors: u64,
}

impl Tally {
    /// Middleware: counts the answer; one of 500 and above is an error.
    pub async fn count(State(tally): State<Self>, request: Request, next: Next) -> Response {
        let response = next.run(request).await;
        tally.add(response.status().is_server_error());
        response
    }

    fn add(&self, is_error: bool) {
        let now = Instant::now();
        let mut slices = self.0.lock();
        if slices.back().is_none_or(|slice| now - slice.from >= SLICE) {
            slices.push_back(Slice {
                from: now,
                requests: 0,
                errors: 0,
            });
        }
        if let Some(slice) = slices.back_mut() {
            slice.requests += 1;
            slice.errors += u64::from(is_error);
        }
        while slices.front().is_some_and(|slice| now - slice.from > WINDOW) {
            slices.pop_front();
        }
    }

    /// Requests and errors of the last [`WINDOW`].
    pub fn lately(&self) -> (u64, u64) {
        let now = Instant::now();
        let slices = self.0.lock();
        let lately = slices.iter().filter(|slice| now - slice.from <= WINDOW);
        lately.fold((0, 0), |(requests, errors), slice| {
            (requests + slice.requests, errors + slice.errors)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_the_window_counts_no_more_and_takes_no_memory() {
        let tally = Tally::default();
        tally.add(true);
        tokio::time::advance(WINDOW + SLICE).await;
        assert_eq!(tally.lately(), (0, 0));
        for at in 0..1_000 {
            tokio::time::advance(Duration::from_secs(1)).await;
            tally.add(at % 4 == 0);
        }
        let (requests, errors) = tally.lately();
        assert!((300..=311).contains(&requests), "{requests}");
        assert!((74..=78).contains(&errors), "{errors}");
        assert!(tally.0.lock().len() <= 32);
    }
}
