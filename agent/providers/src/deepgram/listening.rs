//! One utterance that is listened to, by as many connections as it takes.

use std::time::Duration;

use futures_util::{StreamExt, stream::BoxStream};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Client, NAME,
    replay::Unsettled,
    socket::{Incoming, Socket},
    wire::{CLOSE_STREAM, FINALIZE, Heard, KEEP_ALIVE, Results},
};
use crate::{ProviderError, SttEvent, Transcript};

const PATH: &str = "/v1/listen";
/// The service gives a connection up that has been silent for 10 s.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(4);
/// How often a connection is opened anew without any words having become final in between.
const MAX_REOPENED: u32 = 3;
/// Before the first time, at once would be too soon for a server that is being replaced.
const BEFORE_REOPENING: Duration = Duration::from_millis(100);

/// The utterance, its words so far, and the connection, if there is one.
pub(super) struct Listening {
    client: Client,
    query: Vec<(&'static str, String)>,
    speech: BoxStream<'static, Vec<i16>>,
    /// Whether all of it has come.
    has_ended: bool,
    unsettled: Unsettled,
    socket: Option<Open>,
    /// Those that are final.
    words: String,
    confidence: Option<f32>,
    /// Whether words came after the last end of an utterance that was told.
    has_news: bool,
    /// How often the connection was opened anew without a word that became final in between; none before the service was reached.
    reopened: Option<u32>,
    is_over: bool,
}

struct Open {
    socket: Socket,
    /// Since when an answer is due.
    asked_at: Option<Instant>,
    told_at: Instant,
    /// It was told that nothing more comes.
    is_ending: bool,
}

impl Listening {
    pub(super) fn new(
        client: Client,
        query: Vec<(&'static str, String)>,
        speech: BoxStream<'static, Vec<i16>>,
        rate_hz: u32,
    ) -> Self {
        Self {
            client,
            query,
            speech,
            has_ended: false,
            unsettled: Unsettled::new(rate_hz),
            socket: None,
            words: String::new(),
            confidence: None,
            has_news: false,
            reopened: None,
            is_over: false,
        }
    }

    /// The next thing to tell; nothing after the transcript, or after an error.
    pub(super) async fn next(mut self) -> Option<(Result<SttEvent, ProviderError>, Self)> {
        if self.is_over {
            return None;
        }
        let told = loop {
            let error = match self.listen().await {
                Ok(event) => break Ok(event),
                Err(error) => error,
            };
            if let Err(error) = self.reopen(error).await {
                break Err(error);
            }
        };
        self.is_over = matches!(told, Err(_) | Ok(SttEvent::Final(_)));
        Some((told, self))
    }

    /// Listens until there is something to tell.
    async fn listen(&mut self) -> Result<SttEvent, ProviderError> {
        loop {
            if self.socket.is_none() {
                // Nothing is left to be heard.
                if self.has_ended && self.unsettled.is_empty() {
                    return Ok(self.end());
                }
                self.open().await?;
            }
            if let Some(event) = self.step().await? {
                return Ok(event);
            }
        }
    }

    /// Waits for when a connection is to be opened anew. A service that was never reached is not asked again: there may be another
    /// one.
    async fn reopen(&mut self, error: ProviderError) -> Result<(), ProviderError> {
        self.socket = None;
        let is_lost = !self.unsettled.begin_again();
        match &mut self.reopened {
            Some(times) if *times < MAX_REOPENED && error.is_retryable() && !is_lost => {
                *times += 1;
                sleep(BEFORE_REOPENING * *times).await;
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Opens a connection, and listens on meanwhile.
    async fn open(&mut self) -> Result<(), ProviderError> {
        let query: Vec<_> = self
            .query
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let opening = self.client.open(PATH, &query);
        tokio::pin!(opening);
        let socket = loop {
            // Both are cancel-safe: the opening is pinned, and a stream loses nothing.
            tokio::select! {
                socket = &mut opening => break socket?,
                samples = self.speech.next(), if !self.has_ended => match samples {
                    Some(samples) => self.unsettled.push(&samples),
                    None => self.has_ended = true,
                },
            }
        };
        self.reopened.get_or_insert(0);
        self.socket = Some(Open {
            socket,
            asked_at: None,
            told_at: Instant::now(),
            is_ending: false,
        });
        Ok(())
    }

    /// Tells the connection what it does not know, and waits for one thing to happen.
    async fn step(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        let Some(open) = &mut self.socket else {
            return Ok(None);
        };
        while let Some(piece) = self.unsettled.tell() {
            open.socket.sound(&piece).await?;
            open.told_at = Instant::now();
            open.asked_at.get_or_insert(open.told_at);
        }
        if self.has_ended && !open.is_ending {
            // The first makes it quick, the second sure.
            open.socket.control(FINALIZE).await?;
            open.socket.control(CLOSE_STREAM).await?;
            open.is_ending = true;
            open.asked_at = Some(Instant::now());
        }
        let patience = self.client.patience();
        let limit = if open.is_ending {
            patience.ending
        } else {
            patience.speaking
        };
        let silent_at = open.asked_at.unwrap_or(open.told_at) + limit;
        // Every arm is cancel-safe: a socket, a stream and timers lose nothing when another arm wins.
        tokio::select! {
            incoming = open.socket.next() => self.incoming(incoming?),
            samples = self.speech.next(), if !self.has_ended => {
                match samples {
                    Some(samples) => self.unsettled.push(&samples),
                    None => self.has_ended = true,
                }
                Ok(None)
            }
            () = sleep_until(silent_at), if open.asked_at.is_some() => Err(ProviderError::Timeout {
                provider: NAME,
                after: limit,
            }),
            () = sleep_until(open.told_at + KEEP_ALIVE_INTERVAL), if !open.is_ending => {
                open.socket.control(KEEP_ALIVE).await?;
                open.told_at = Instant::now();
                Ok(None)
            }
        }
    }

    fn incoming(&mut self, incoming: Incoming) -> Result<Option<SttEvent>, ProviderError> {
        let text = match incoming {
            Incoming::Text(text) => text,
            Incoming::Nothing => return Ok(None),
            Incoming::Closed => return self.closed(),
        };
        let heard = serde_json::from_str(&text).map_err(|_| ProviderError::Protocol {
            provider: NAME,
            reason: "a message that is none of its own".to_owned(),
        })?;
        match heard {
            Heard::Results(results) => Ok(self.results(results)),
            Heard::UtteranceEnd {} => {
                Ok(std::mem::take(&mut self.has_news).then_some(SttEvent::EndOfUtterance))
            }
            Heard::Metadata {} => Ok(self.is_ending().then(|| self.end())),
            Heard::Error(error) => {
                let code = error.into_code().map(|code| format!(" ({code})"));
                Err(ProviderError::Unavailable {
                    provider: NAME,
                    reason: format!("an error while it listened{}", code.unwrap_or_default()),
                })
            }
            Heard::Other => Ok(None),
        }
    }

    /// The connection is over: as it should be, or before all that was said is settled.
    fn closed(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        if self.is_ending() && self.unsettled.is_empty() {
            return Ok(Some(self.end()));
        }
        Err(ProviderError::Unavailable {
            provider: NAME,
            reason: "it closed the connection too soon".to_owned(),
        })
    }

    fn is_ending(&self) -> bool {
        self.socket.as_ref().is_some_and(|open| open.is_ending)
    }

    fn results(&mut self, results: Results) -> Option<SttEvent> {
        let Some(open) = &mut self.socket else { return None };
        // The end is waited for as a whole.
        open.asked_at = open.asked_at.filter(|_| open.is_ending);
        let is_ending = open.is_ending;
        let best = results.channel.best();
        let said = best.transcript.trim();
        if !results.is_final {
            let is_new = !said.is_empty();
            self.has_news |= is_new;
            return is_new.then(|| self.interim(said));
        }
        self.unsettled.settle(results.start + results.duration);
        if !said.is_empty() {
            self.words = joined(&self.words, said);
            self.reopened = Some(0);
            self.has_news = true;
            let lowest = self.confidence.unwrap_or(1.0);
            self.confidence = best
                .confidence
                .map(|confidence| confidence.min(lowest))
                .or(self.confidence);
        }
        if is_ending && results.from_finalize {
            return Some(self.end());
        }
        if results.speech_final && self.has_news && !is_ending {
            self.has_news = false;
            return Some(SttEvent::EndOfUtterance);
        }
        (!said.is_empty()).then(|| self.interim(""))
    }

    fn interim(&self, more: &str) -> SttEvent {
        SttEvent::Interim(Transcript {
            text: joined(&self.words, more),
            confidence: None,
        })
    }

    fn end(&mut self) -> SttEvent {
        SttEvent::Final(Transcript {
            text: std::mem::take(&mut self.words),
            confidence: self.confidence,
        })
    }
}

fn joined(words: &str, more: &str) -> String {
    let space = if words.is_empty() || more.is_empty() {
        ""
    } else {
        " "
    };
    format!("{words}{space}{more}")
}
