//! How long a silence must be to end a turn: fixed, or learned from the caller's hesitations.

use std::time::Duration;

use crate::{Endpointing, EndpointingMode};

/// The delay of this caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    options: Endpointing,
    delay: Duration,
}

impl Pace {
    pub(crate) fn new(options: Endpointing) -> Self {
        Self {
            options,
            delay: options.min_delay,
        }
    }

    /// The delay when nothing is known of the turn.
    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }

    /// The caller fell silent for `pause` and went on with the same turn.
    pub(crate) fn hesitated(&mut self, pause: Duration) {
        self.learn(pause);
    }

    /// A turn went by without a hesitation.
    pub(crate) fn flowed(&mut self) {
        self.learn(self.options.min_delay);
    }

    /// An exponential moving average, whose weight of the past is `alpha`.
    fn learn(&mut self, pause: Duration) {
        let Endpointing {
            mode,
            min_delay,
            max_delay,
            alpha,
        } = self.options;
        if mode == EndpointingMode::Dynamic {
            let pause = pause.clamp(min_delay, max_delay);
            let learned = self.delay.mul_f32(alpha) + pause.mul_f32(1.0 - alpha);
            self.delay = learned.clamp(min_delay, max_delay);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(mode: EndpointingMode) -> Pace {
        Pace::new(Endpointing {
            mode,
            alpha: 0.5,
            ..Endpointing::default()
        })
    }

    #[test]
    fn a_fixed_delay_learns_nothing() {
        let mut pace = pace(EndpointingMode::Fixed);
        pace.hesitated(Duration::from_secs(2));
        assert_eq!(pace.delay(), Duration::from_millis(500));
    }

    #[test]
    fn a_dynamic_delay_follows_the_hesitations_and_comes_back() {
        let mut pace = pace(EndpointingMode::Dynamic);
        pace.hesitated(Duration::from_millis(1500));
        assert_eq!(pace.delay(), Duration::from_secs(1));
        pace.flowed();
        assert_eq!(pace.delay(), Duration::from_millis(750));
    }

    #[test]
    fn a_dynamic_delay_stays_between_min_and_max() {
        let mut pace = pace(EndpointingMode::Dynamic);
        for _ in 0..100 {
            pace.hesitated(Duration::from_mins(1));
        }
        assert!(pace.delay() <= Duration::from_secs(3));
        for _ in 0..100 {
            pace.hesitated(Duration::ZERO);
        }
        assert!(pace.delay() >= Duration::from_millis(500));
    }
}
