//! What listeners would say of a stream: the E-model (ITU-T G.107), simplified.

use std::time::Duration;

use crate::RtpStats;

/// The rating of a call with all of G.107's default values.
const BEST_RATING: f64 = 93.2;
/// How well concealment bears random loss: `Bpl` of G.711 with concealment (ITU-T G.113, appendix I).
const LOSS_ROBUSTNESS: f64 = 25.1;
/// The one-way delay from which conversations suffer, in milliseconds.
const DELAY_FELT_MS: f64 = 177.3;

/// Of a hundred packets, how many were lost.
pub fn loss_percent(stats: &RtpStats) -> f64 {
    let expected = stats.packets_received + stats.packets_lost;
    if expected == 0 {
        return 0.0;
    }
    count(stats.packets_lost) * 100.0 / count(expected)
}

/// The mean opinion score, 1 to 4.5, of a stream with random loss of `loss_percent` that is heard `delay` after it was spoken.
///
/// `R = 93.2 − Id − Ie,eff` and its mapping to a score are those of G.107 (annex B), `Ie,eff` its equation 7-29 with `Ie = 0` and
/// `BurstR = 1`, `Id` its usual approximation by two straight lines. Every codec of ours is judged as G.711 is: G.722 sounds better than the
/// scale of G.107, which is one of narrow-band telephony, can say.
pub fn mos(loss_percent: f64, delay: Duration) -> f64 {
    let delay_ms = delay.as_secs_f64() * 1_000.0;
    let delayed = 0.024 * delay_ms + 0.11 * (delay_ms - DELAY_FELT_MS).max(0.0);
    let lossy = 95.0 * loss_percent / (loss_percent + LOSS_ROBUSTNESS);
    let rating = (BEST_RATING - delayed - lossy).clamp(0.0, 100.0);
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    score.clamp(1.0, 4.5)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "2^53 packets are five million years of a call"
)]
fn count(packets: u64) -> f64 {
    packets as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_e_model() {
        for (loss, delay_ms, expected) in [
            (0.0, 0, 4.41),
            (0.0, 100, 4.36),
            (1.0, 0, 4.33),
            (5.0, 0, 3.92),
            (0.0, 300, 3.71),
            (20.0, 100, 2.51),
            (100.0, 1_000, 1.0),
        ] {
            let score = mos(loss, Duration::from_millis(delay_ms));
            assert!(
                (score - expected).abs() < 0.02,
                "{loss} %, {delay_ms} ms: {score}"
            );
        }
    }

    #[test]
    fn loss_is_of_all_packets_that_were_sent() {
        let stats = RtpStats {
            packets_received: 95,
            packets_lost: 5,
            ..RtpStats::default()
        };
        assert!((loss_percent(&stats) - 5.0).abs() < 1e-9);
        assert!(loss_percent(&RtpStats::default()).abs() < 1e-9);
    }
}
