//! The playout against a far end that hears 16 samples a millisecond, in virtual time.

use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;
use tokio::time::advance;

use super::*;

const RATE: u32 = 16_000;
const FRAME_SAMPLES: usize = 320;
const ONE: UtteranceId = UtteranceId(1);

/// What the far end has heard: nothing (zeros are gaps) or the samples written, in real time.
#[derive(Clone, Default)]
struct FarEnd(Arc<Mutex<Line>>);

#[derive(Default)]
struct Line {
    queue: std::collections::VecDeque<i16>,
    heard: Vec<i16>,
    last: Option<Instant>,
}

impl Line {
    fn run(&mut self) {
        let now = Instant::now();
        let elapsed = now
            .saturating_duration_since(self.last.unwrap_or(now))
            .as_micros()
            * u128::from(RATE);
        let count = usize::try_from(elapsed / 1_000_000)
            .unwrap()
            .min(self.queue.len());
        self.heard.extend(self.queue.drain(..count));
        self.last = Some(now);
    }
}

#[async_trait::async_trait]
impl AudioOut for FarEnd {
    fn sample_rate_hz(&self) -> u32 {
        RATE
    }

    async fn write(&mut self, frame: &[i16]) -> Result<(), AudioOutError> {
        let mut line = self.0.lock().unwrap();
        line.run();
        assert!(
            line.queue.len() + frame.len() <= 3 * FRAME_SAMPLES,
            "more than 60 ms under way"
        );
        line.queue.extend(frame);
        Ok(())
    }

    fn clear(&mut self) {
        let mut line = self.0.lock().unwrap();
        line.run();
        line.queue.clear();
    }
}

impl FarEnd {
    fn heard(&self) -> Vec<i16> {
        let mut line = self.0.lock().unwrap();
        line.run();
        line.heard.clone()
    }
}

struct Bench {
    far_end: FarEnd,
    commands: mpsc::Sender<Command>,
    pieces: Option<mpsc::Sender<Piece>>,
    news: mpsc::Receiver<News>,
    _tasks: JoinSet<()>,
}

impl Bench {
    /// A playout that was told to play utterance 1.
    fn new() -> Self {
        let far_end = FarEnd::default();
        let (commands, obeyed) = mpsc::channel(8);
        let (told, news) = mpsc::channel(1024);
        let wiring = Wiring {
            commands: obeyed,
            news: told,
            cancel: CancellationToken::new(),
            tells_heard: true,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(Playout::new(Box::new(far_end.clone()), wiring).run());
        let (pieces, taken) = mpsc::channel(1024);
        commands
            .try_send(Command::Play {
                utterance: ONE,
                pieces: taken,
            })
            .unwrap();
        Self {
            far_end,
            commands,
            pieces: Some(pieces),
            news,
            _tasks: tasks,
        }
    }

    /// A sentence whose samples count up from `first`.
    fn sentence(&self, text: &str, first: i16, samples: i16) {
        let pieces = self.pieces.as_ref().unwrap();
        pieces.try_send(Piece::Sentence(text.into())).unwrap();
        for piece in (first..first + samples).collect::<Vec<_>>().chunks(700) {
            pieces.try_send(Piece::Samples(piece.to_vec())).unwrap();
        }
        pieces.try_send(Piece::SentenceEnd).unwrap();
    }

    fn end(&mut self) {
        self.pieces = None;
    }

    fn tell(&self, command: Command) {
        self.commands.try_send(command).unwrap();
    }

    /// Lets `ms` pass in steps of a millisecond.
    async fn run(&self, ms: u64) {
        for _ in 0..ms {
            settle().await;
            advance(Duration::from_millis(1)).await;
        }
        settle().await;
    }

    /// News other than what was heard, in words.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Started { .. } => told.push("started".into()),
                News::Finished(played) => told.push(format!("finished: {}", played.words)),
                News::Stopped(played) => told.push(format!("stopped: {}", played.words)),
                News::Failed(error) => told.push(error.to_string()),
                News::Mark { .. } | News::Heard { .. } => {}
            }
        }
        told
    }
}

/// Whether `heard` counts from 1 to `last` and then, within a frame, is silent.
fn assert_counts(heard: &[i16], last: i16) {
    let wrong = heard
        .iter()
        .zip(1..=last)
        .position(|(heard, sample)| *heard != sample);
    assert_eq!(wrong, None, "the first wrong sample of {}", heard.len());
    let tail = heard
        .get(usize::try_from(last).unwrap()..)
        .expect("all was heard");
    assert!(tail.iter().all(|sample| *sample == 0) && tail.len() < FRAME_SAMPLES);
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_sample_is_heard_once_and_in_order() {
    let mut bench = Bench::new();
    bench.sentence("one two", 1, 3200);
    bench.sentence("three", 3201, 1000);
    bench.end();
    bench.run(300).await;
    let heard = bench.far_end.heard();
    assert_counts(&heard, 4200);
    assert_eq!(bench.told(), ["started", "finished: one two three"]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_silent_at_once_and_resumes_at_the_very_sample() {
    let mut bench = Bench::new();
    bench.sentence("one two three four", 1, 16_000);
    bench.end();
    bench.run(333).await;
    bench.tell(Command::Pause { utterance: ONE });
    bench.run(1).await;
    let heard = bench.far_end.heard();
    bench.run(500).await;
    assert_eq!(
        bench.far_end.heard(),
        heard,
        "something was heard during the pause"
    );
    bench.tell(Command::Resume { utterance: ONE });
    bench.run(1000).await;
    assert_counts(&bench.far_end.heard(), 16_000);
    assert_eq!(bench.told(), ["started", "finished: one two three four"]);
}

#[tokio::test(start_paused = true)]
async fn pauses_at_any_millisecond_lose_and_double_nothing() {
    let mut bench = Bench::new();
    bench.sentence("one two three four", 1, 16_000);
    bench.end();
    for step in 0..40 {
        bench.run(17 + step % 5).await;
        bench.tell(Command::Pause { utterance: ONE });
        bench.run(3).await;
        bench.tell(Command::Resume { utterance: ONE });
    }
    bench.run(1000).await;
    assert_counts(&bench.far_end.heard(), 16_000);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_silent_at_once_and_tells_the_words_heard() {
    let mut bench = Bench::new();
    bench.sentence("one two three four", 1, 16_000);
    bench.run(510).await;
    bench.tell(Command::Interrupt { utterance: ONE });
    bench.run(1).await;
    let heard = bench.far_end.heard().len();
    assert!((8_000..=8_200).contains(&heard), "{heard}");
    bench.run(500).await;
    assert_eq!(bench.far_end.heard().len(), heard);
    assert_eq!(bench.told(), ["started", "stopped: one two"]);
    assert!(
        bench.pieces.unwrap().is_closed(),
        "the synthesis is not told that nobody listens"
    );
}

#[tokio::test(start_paused = true)]
async fn an_interruption_during_a_pause_counts_only_what_was_heard_before() {
    let mut bench = Bench::new();
    bench.sentence("one two three four", 1, 16_000);
    bench.run(300).await;
    bench.tell(Command::Pause { utterance: ONE });
    bench.run(900).await;
    bench.tell(Command::Interrupt { utterance: ONE });
    bench.run(1).await;
    assert_eq!(bench.told(), ["started", "stopped: one"]);
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_synthesis_delays_but_loses_nothing() {
    let mut bench = Bench::new();
    bench.sentence("one", 1, 1000);
    bench.run(400).await;
    bench.sentence("two", 1001, 1000);
    bench.end();
    bench.run(400).await;
    let heard: Vec<i16> = bench
        .far_end
        .heard()
        .into_iter()
        .filter(|sample| *sample != 0)
        .collect();
    assert_counts(&heard, 2000);
    assert_eq!(bench.told(), ["started", "finished: one two"]);
}

#[tokio::test(start_paused = true)]
async fn commands_about_another_utterance_change_nothing() {
    let mut bench = Bench::new();
    bench.sentence("one", 1, 3200);
    bench.end();
    bench.run(50).await;
    bench.tell(Command::Pause {
        utterance: UtteranceId(9),
    });
    bench.tell(Command::Interrupt {
        utterance: UtteranceId(9),
    });
    bench.run(300).await;
    assert_eq!(bench.told(), ["started", "finished: one"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_is_told_sample_by_sample_for_the_recording() {
    let mut bench = Bench::new();
    bench.sentence("one two three four", 1, 16_000);
    bench.run(205).await;
    bench.tell(Command::Pause { utterance: ONE });
    bench.run(100).await;
    bench.tell(Command::Resume { utterance: ONE });
    bench.run(95).await;
    bench.tell(Command::Interrupt { utterance: ONE });
    bench.run(1).await;
    let mut recorded = Vec::new();
    while let Ok(news) = bench.news.try_recv() {
        if let News::Heard { samples, .. } = news {
            recorded.extend(samples);
        }
    }
    assert!(
        recorded == bench.far_end.heard(),
        "{} recorded, {} heard",
        recorded.len(),
        bench.far_end.heard().len()
    );
}
