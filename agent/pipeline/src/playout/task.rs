//! The playout's task: one utterance at a time, told by commands, telling by news.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use turns::UtteranceId;

use super::buffer::Buffer;
use super::flight::Flight;
use super::{AudioOut, AudioOutError, Command, News, Piece, Played};

/// Frames are written while less than this is under way, so that 60 ms are at most: what the executor's delays need,
/// and little enough to be taken back.
const REFILL: Duration = Duration::from_millis(40);
/// A sink that takes longer than this for a frame is broken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// Sound that is fetched from the synthesis ahead of its time; the rest waits there. Enough for most sentences, since
/// the length of one is known, and so its share that was heard, only when all of it is here.
const FETCH_AHEAD: Duration = Duration::from_secs(10);
/// Progress is told so often.
const MARK_EVERY: Duration = Duration::from_millis(200);

/// The playout's ends of its channels.
pub(crate) struct Wiring {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) news: mpsc::Sender<News>,
    pub(crate) cancel: CancellationToken,
    /// Whether [`News::Heard`] is wanted.
    pub(crate) tells_heard: bool,
}

/// The task's state.
pub(crate) struct Playout {
    out: Box<dyn AudioOut>,
    wiring: Wiring,
    frame_samples: usize,
    flight: Flight,
    current: Option<Current>,
}

struct Current {
    utterance: UtteranceId,
    pieces: mpsc::Receiver<Piece>,
    buffer: Buffer,
    paused: bool,
    marked: Option<Instant>,
}

/// What is to be done next.
enum Step {
    Write,
    Finish,
    Wait { until: Option<Instant>, fetches: bool },
}

impl Playout {
    pub(crate) fn new(out: Box<dyn AudioOut>, wiring: Wiring) -> Self {
        let sample_rate_hz = out.sample_rate_hz();
        let frame_samples = audio::frame_samples(sample_rate_hz);
        let flight = Flight::new(sample_rate_hz, Instant::now());
        Self {
            out,
            wiring,
            frame_samples,
            flight,
            current: None,
        }
    }

    /// Plays until the commands end or the call is cancelled, and is silent then.
    pub(crate) async fn run(mut self) {
        loop {
            self.land().await;
            let result = match self.step() {
                Step::Write => self.write().await,
                Step::Finish => {
                    self.finish().await;
                    Ok(())
                }
                Step::Wait { until, fetches } => {
                    if !self.wait(until, fetches).await {
                        break;
                    }
                    Ok(())
                }
            };
            if let Err(error) = result {
                self.tell(News::Failed(error)).await;
                break;
            }
        }
        self.stop().await;
    }

    /// Passes on what the far end has got.
    async fn land(&mut self) {
        let now = Instant::now();
        let mut has_landed = false;
        while let Some(frame) = self.flight.landed(now) {
            has_landed = true;
            self.tell_heard(frame.at, frame.samples).await;
        }
        let Some(current) = &mut self.current else { return };
        let is_due = current
            .marked
            .is_some_and(|at| now.saturating_duration_since(at) >= MARK_EVERY);
        if has_landed && is_due {
            current.marked = Some(now);
            let utterance = current.utterance;
            let written = current.buffer.position();
            let words = current.buffer.words(self.flight.heard(now).unwrap_or(written));
            self.tell(News::Mark { utterance, words }).await;
        }
    }

    fn step(&self) -> Step {
        let (now, lands) = (Instant::now(), self.flight.lands());
        let Some(current) = self.current.as_ref().filter(|current| !current.paused) else {
            return Step::Wait {
                until: None,
                fetches: false,
            };
        };
        let (ahead, complete) = (current.buffer.ahead(), current.buffer.is_complete());
        let fetches = !complete && ahead < self.frame_samples * frames(FETCH_AHEAD);
        if ahead >= self.frame_samples || (complete && ahead > 0) {
            if lands <= now + REFILL {
                return Step::Write;
            }
            return Step::Wait {
                until: lands.checked_sub(REFILL),
                fetches,
            };
        }
        match (lands <= now, complete, ahead) {
            (true, true, _) => Step::Finish,
            // Starved in mid-frame: what there is is worth more now than later.
            (true, false, 1..) => Step::Write,
            (true, false, 0) => Step::Wait { until: None, fetches },
            (false, ..) => Step::Wait {
                until: Some(lands),
                fetches,
            },
        }
    }

    /// Waits for whatever comes first; false when the task is to end.
    async fn wait(&mut self, until: Option<Instant>, fetches: bool) -> bool {
        let due = until.unwrap_or_else(Instant::now);
        let pieces = self.current.as_mut().filter(|_| fetches);
        // Every arm is cancel-safe: a receiver that is not polled to its end keeps its message.
        tokio::select! {
            biased;
            () = self.wiring.cancel.cancelled() => return false,
            command = self.wiring.commands.recv() => match command {
                Some(command) => self.obey(command).await,
                None => return false,
            },
            piece = next_piece(pieces) => {
                if let Some(current) = &mut self.current {
                    current.buffer.push(piece);
                }
            }
            () = sleep_until(due), if until.is_some() => {}
        }
        true
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Play { utterance, pieces } => {
                self.stop().await;
                let buffer = Buffer::new(self.out.sample_rate_hz());
                self.current = Some(Current {
                    utterance,
                    pieces,
                    buffer,
                    paused: false,
                    marked: None,
                });
            }
            Command::Pause { utterance } => {
                if self.plays(utterance) {
                    let heard = self.silence().await;
                    if let Some(current) = &mut self.current {
                        current.buffer.rewind(heard);
                        current.paused = true;
                    }
                }
            }
            Command::Resume { utterance } => {
                if let Some(current) = self
                    .current
                    .as_mut()
                    .filter(|current| current.utterance == utterance)
                {
                    current.paused = false;
                }
            }
            Command::Interrupt { utterance } => {
                if self.plays(utterance) {
                    self.stop().await;
                }
            }
        }
    }

    fn plays(&self, utterance: UtteranceId) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.utterance == utterance)
    }

    async fn write(&mut self) -> Result<(), AudioOutError> {
        let mut samples = vec![0; self.frame_samples];
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let position = current.buffer.position();
        let own = current.buffer.take(&mut samples);
        timeout(WRITE_TIMEOUT, self.out.write(&samples))
            .await
            .map_err(|_| AudioOutError {
                reason: format!("a frame took longer than {WRITE_TIMEOUT:?}"),
            })??;
        let now = Instant::now();
        let at = self.flight.take_off(position, own, samples, now);
        if current.marked.is_none() {
            current.marked = Some(now);
            let utterance = current.utterance;
            self.tell(News::Started { utterance, at }).await;
        }
        Ok(())
    }

    async fn finish(&mut self) {
        if let Some(current) = self.current.take() {
            let words = current.buffer.words(current.buffer.position());
            let is_whole = current.buffer.is_whole();
            let at = self.flight.lands();
            self.tell(News::Finished(Played {
                utterance: current.utterance,
                words,
                is_whole,
                at,
            }))
            .await;
        }
    }

    /// Silence for good.
    async fn stop(&mut self) {
        let heard = self.silence().await;
        if let Some(current) = self.current.take() {
            let words = current.buffer.words(heard);
            let at = self.flight.lands();
            self.tell(News::Stopped(Played {
                utterance: current.utterance,
                words,
                is_whole: false,
                at,
            }))
            .await;
        }
    }

    /// Silence now; returns the position up to which the utterance was heard.
    async fn silence(&mut self) -> usize {
        let now = Instant::now();
        if let Some(queued) = self.out.queued_samples() {
            self.flight.correct(queued, now);
        }
        self.out.clear();
        while let Some(frame) = self.flight.landed(now) {
            self.tell_heard(frame.at, frame.samples).await;
        }
        let written = self
            .current
            .as_ref()
            .map_or(0, |current| current.buffer.position());
        let heard = self.flight.heard(now).unwrap_or(written);
        if let Some(frame) = self.flight.crash(now) {
            self.tell_heard(frame.at, frame.samples).await;
        }
        heard
    }

    async fn tell_heard(&mut self, at: Instant, samples: Vec<i16>) {
        if self.wiring.tells_heard {
            self.tell(News::Heard { at, samples }).await;
        }
    }

    /// The conversation always listens, and when it does not any more it is over.
    async fn tell(&mut self, news: News) {
        let _ = self.wiring.news.send(news).await;
    }
}

async fn next_piece(current: Option<&mut Current>) -> Option<Piece> {
    match current {
        Some(current) => current.pieces.recv().await,
        None => std::future::pending().await,
    }
}

fn frames(duration: Duration) -> usize {
    usize::try_from(duration.as_millis() / turns::FRAME.as_millis()).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
