//! Concealment of lost frames, in the manner of ITU-T G.711 Appendix I: the last pitch period is repeated and
//! fades out.

/// Covers gaps in one stream of speech PCM.
///
/// A gap goes on at full level for 10 ms, then fades linearly, and is silent from 60 ms on. The first good
/// frame after a gap is faded in over 5 ms, so that there is no click. Nothing is delayed.
pub struct Concealer {
    rate: Rate,
    /// The last samples played, concealed ones included: always [`Rate::history`] of them.
    history: Vec<i16>,
    /// One pitch period, repeated while the gap lasts; empty when there is no gap.
    period: Vec<i16>,
    /// Samples concealed so far in this gap.
    gap: usize,
}

/// The lengths that depend on the sample rate, in samples.
#[derive(Clone, Copy)]
struct Rate {
    shortest_period: usize,
    longest_period: usize,
    window: usize,
    history: usize,
    full: usize,
    silent: usize,
    fade_in: usize,
}

impl Rate {
    fn new(sample_rate_hz: u32) -> Self {
        let samples = |tenth_ms: usize| sample_rate_hz as usize * tenth_ms / 10_000;
        // Voices lie between 66 and 200 Hz for the search (Appendix I §2.4 has the same 5 to 15 ms); the
        // match is made over 20 ms.
        let (longest_period, window) = (samples(150), samples(200));
        Self {
            shortest_period: samples(50),
            longest_period,
            window,
            history: longest_period + window,
            full: samples(100),
            silent: samples(600),
            fade_in: samples(50),
        }
    }
}

impl Concealer {
    /// For a stream at `sample_rate_hz` that has not begun.
    pub fn new(sample_rate_hz: u32) -> Self {
        let rate = Rate::new(sample_rate_hz);
        Self {
            rate,
            history: vec![0; rate.history],
            period: Vec::with_capacity(rate.longest_period),
            gap: 0,
        }
    }

    /// Takes note of a good frame and, after a gap, fades it in over the concealment in place.
    pub fn good(&mut self, frame: &mut [i16]) {
        if self.gap > 0 {
            let length = self.rate.fade_in.min(frame.len());
            for (n, sample) in frame[..length].iter_mut().enumerate() {
                let concealed = i32::from(self.concealed_sample());
                let mixed = concealed * (length - n) as i32 + i32::from(*sample) * n as i32;
                *sample = (mixed / length as i32) as i16;
            }
            self.gap = 0;
            self.period.clear();
        }
        self.remember(frame);
    }

    /// Appends `samples` samples of concealment to `out`.
    pub fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        if self.gap == 0 {
            self.take_period();
        }
        let start = out.len();
        for _ in 0..samples {
            let sample = self.concealed_sample();
            out.push(sample);
        }
        self.remember(&out[start..]);
    }

    /// Whether the gap has lasted so long that concealment is silence.
    pub fn is_silent(&self) -> bool {
        self.gap >= self.rate.silent
    }

    /// The next sample of the gap.
    fn concealed_sample(&mut self) -> i16 {
        let Rate { full, silent, .. } = self.rate;
        let gain = if self.gap < full {
            silent - full
        } else {
            silent.saturating_sub(self.gap)
        };
        let sample = self
            .period
            .get(self.gap % self.period.len().max(1))
            .copied()
            .unwrap_or(0);
        self.gap += 1;
        (i64::from(sample) * gain as i64 / (silent - full) as i64) as i16
    }

    /// Finds the pitch period at the end of the history and keeps it, its seam smoothed by an overlap of a
    /// quarter period.
    fn take_period(&mut self) {
        let length = self.pitch();
        let end = self.history.len();
        self.period.clear();
        self.period.extend_from_slice(&self.history[end - length..]);
        // Where the period repeats, its end is faded into what came before its start, since that leads into
        // the start.
        let overlap = length / 4;
        for n in 0..overlap {
            let before = i32::from(self.history[end - length - overlap + n]);
            let place = length - overlap + n;
            let mixed = i32::from(self.period[place]) * (overlap - n) as i32 + before * (n + 1) as i32;
            self.period[place] = (mixed / (overlap + 1) as i32) as i16;
        }
    }

    /// The lag of the best normalised correlation of the last 20 ms with the past.
    fn pitch(&self) -> usize {
        let Rate {
            shortest_period,
            longest_period,
            window,
            ..
        } = self.rate;
        let end = self.history.len();
        let recent = &self.history[end - window..];
        let mut best = (0.0, longest_period);
        for lag in shortest_period..=longest_period {
            let past = &self.history[end - window - lag..end - lag];
            let (mut product, mut energy) = (0i64, 1i64);
            for (&now, &then) in recent.iter().zip(past) {
                product += i64::from(now) * i64::from(then);
                energy += i64::from(then) * i64::from(then);
            }
            let score = product as f64 / (energy as f64).sqrt();
            if score > best.0 {
                best = (score, lag);
            }
        }
        best.1
    }

    fn remember(&mut self, samples: &[i16]) {
        let kept = samples.len().min(self.history.len());
        self.history.copy_within(kept.., 0);
        let end = self.history.len();
        self.history[end - kept..].copy_from_slice(&samples[samples.len() - kept..]);
    }
}
