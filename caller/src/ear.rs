//! Listening: where the other side begins and stops to speak, by level.

use std::time::Duration;

use audio::level::rms_dbfs;
use tokio::time::{Instant, timeout};

use crate::call::Call;
use crate::error::CallError;
use crate::received::{Received, Recorder};

/// How often a listener looks whether the other side has stopped sending.
const LOOK: Duration = Duration::from_millis(20);

/// When sound counts as speech. The defaults fit synthesised speech over loopback, where silence is digital.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarOptions {
    /// The level of a 20 ms frame above which it is loud (default −45 dBFS).
    pub threshold_dbfs: f32,
    /// How long it must be loud without a break to count as speech (default 60 ms).
    pub onset: Duration,
}

impl Default for EarOptions {
    fn default() -> Self {
        Self {
            threshold_dbfs: -45.0,
            onset: Duration::from_millis(60),
        }
    }
}

/// A place in what was received: `at` is when it was on the wire, since the INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub at: Duration,
    pub sample: usize,
}

/// Takes turns: hears where the other side begins and stops to speak. Each moment is heard once.
pub struct Ear<'a> {
    call: &'a Call,
    scanner: Scanner,
}

impl<'a> Ear<'a> {
    pub(crate) fn new(call: &'a Call, options: EarOptions, cursor: usize) -> Self {
        Self {
            call,
            scanner: Scanner::new(options, cursor),
        }
    }

    /// The start of the next speech.
    ///
    /// # Errors
    ///
    /// [`CallError::Late`] when none begins in time, [`CallError::Ended`] when the call ends first.
    pub async fn wait_for_speech(&mut self, within: Duration) -> Result<Moment, CallError> {
        self.listen("speech", within, |scanner, recorder, _| {
            scanner.speech(&recorder.received)
        })
        .await
    }

    /// The start of the next silence that lasts `hold`. A side that stops sending is silent too.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_for_speech`].
    pub async fn wait_for_silence(&mut self, hold: Duration, within: Duration) -> Result<Moment, CallError> {
        self.listen("silence", within, |scanner, recorder, now| {
            let received = &recorder.received;
            scanner.silence(received, hold).or_else(|| {
                let stopped = now.saturating_sub(recorder.last_arrival.unwrap_or_default()) >= hold;
                stopped.then(|| scanner.quiet_from(received))
            })
        })
        .await
    }

    /// One utterance: from the next speech to the silence of `hold` after it.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_for_speech`]; `within` is for both waits together.
    pub async fn wait_for_utterance(
        &mut self,
        hold: Duration,
        within: Duration,
    ) -> Result<(Moment, Moment), CallError> {
        let deadline = Instant::now() + within;
        let start = self.wait_for_speech(within).await?;
        let rest = deadline.saturating_duration_since(Instant::now());
        Ok((start, self.wait_for_silence(hold, rest).await?))
    }

    async fn listen(
        &mut self,
        what: &'static str,
        within: Duration,
        mut scan: impl FnMut(&mut Scanner, &Recorder, Duration) -> Option<Moment>,
    ) -> Result<Moment, CallError> {
        let mut heard = self.call.heard.clone();
        let deadline = Instant::now() + within;
        loop {
            heard.mark_unchanged();
            let ended = self.call.progress.borrow().ended.is_some();
            if let Some(moment) = scan(
                &mut self.scanner,
                &self.call.recorder.lock(),
                self.call.invited.elapsed(),
            ) {
                return Ok(moment);
            }
            if ended {
                return Err(self.call.ended(what));
            }
            if Instant::now() >= deadline {
                return Err(self.call.late(what, within));
            }
            // A packet, or time to look whether packets have stopped.
            let _ = timeout(LOOK, heard.changed()).await;
        }
    }
}

/// Scans what was received, frame by frame, each frame once.
#[derive(Debug)]
pub(crate) struct Scanner {
    options: EarOptions,
    cursor: usize,
    run: usize,
}

impl Scanner {
    pub(crate) fn new(options: EarOptions, cursor: usize) -> Self {
        Self {
            options,
            cursor,
            run: 0,
        }
    }

    /// The start of the next speech in the frames not yet scanned; the cursor then stands after its onset.
    pub(crate) fn speech(&mut self, received: &Received) -> Option<Moment> {
        let needed = samples(received, self.options.onset);
        while let Some((loud, length)) = self.next_frame(received) {
            self.run = if loud { self.run + length } else { 0 };
            if self.run >= needed {
                let sample = self.cursor - self.run;
                self.run = 0;
                return Some(Moment {
                    at: received.time_of(sample),
                    sample,
                });
            }
        }
        None
    }

    /// The start of the next silence of at least `hold`; the cursor then stands at the end of that `hold`.
    pub(crate) fn silence(&mut self, received: &Received, hold: Duration) -> Option<Moment> {
        let needed = samples(received, hold);
        while let Some((loud, length)) = self.next_frame(received) {
            self.run = if loud { 0 } else { self.run + length };
            if self.run >= needed {
                return Some(self.quiet_from(received));
            }
        }
        None
    }

    /// The start of the quiet run that ends where nothing more has come, for a side that has stopped sending.
    pub(crate) fn quiet_from(&mut self, received: &Received) -> Moment {
        let sample = self.cursor - self.run;
        self.run = 0;
        Moment {
            at: received.time_of(sample),
            sample,
        }
    }

    fn next_frame(&mut self, received: &Received) -> Option<(bool, usize)> {
        let length = samples(received, Duration::from_millis(20)).max(1);
        let frame = received.samples.get(self.cursor..self.cursor + length)?;
        self.cursor += length;
        Some((rms_dbfs(frame) > self.options.threshold_dbfs, length))
    }
}

fn samples(received: &Received, length: Duration) -> usize {
    let count = length.as_millis() * u128::from(received.sample_rate_hz) / 1000;
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// 8 kHz: `true` is 20 ms of sound.
    fn heard(frames: &[bool]) -> Received {
        let samples = frames
            .iter()
            .flat_map(|loud| [if *loud { 8_000 } else { 0 }; 160])
            .collect();
        Received {
            sample_rate_hz: 8_000,
            samples,
            ..Received::default()
        }
    }

    #[test]
    fn a_click_is_no_speech_and_a_gap_no_silence() {
        let (on, off) = (true, false);
        let received = heard(&[off, on, off, on, on, on, off, on, on, off, off, off, off]);
        let mut scanner = Scanner::new(EarOptions::default(), 0);
        assert_eq!(
            scanner.speech(&received).map(|moment| moment.sample),
            Some(3 * 160)
        );
        assert_eq!(
            scanner.silence(&received, MS(60)).map(|moment| moment.sample),
            Some(9 * 160)
        );
        assert_eq!(scanner.speech(&received), None);
    }

    #[test]
    fn scanning_goes_on_where_it_stopped() {
        let mut received = heard(&[true, true]);
        let mut scanner = Scanner::new(EarOptions::default(), 0);
        assert_eq!(scanner.speech(&received), None);
        received.samples.extend([8_000; 160]);
        assert_eq!(scanner.speech(&received).map(|moment| moment.sample), Some(0));
    }
}
