//! Attempts at a transcript: of an utterance that is over, and while it is spoken.

use std::sync::Arc;
use std::time::Duration;

use audio::Resampler;
use futures_util::{StreamExt, stream};
use providers::{ProviderError, Stt, SttEvent, Transcript};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use turns::TurnId;

use crate::SAMPLE_RATE_HZ;
use crate::stages::{EarNews, StageEvent};

/// Frames that may wait for the recogniser, beside the beginning of the utterance: 5 s. One that is later than that is given
/// up, and the utterance is transcribed when it is over.
const WAITING_FRAMES: usize = 250;

/// One utterance that is listened to. Dropping it ends that.
pub(crate) struct Ear {
    pub(crate) id: u32,
    pub(crate) turn: TurnId,
    /// The take that its transcript is for; none as long as it is being spoken.
    pub(crate) take: Option<u32>,
    /// Gone when the utterance is over.
    speech: Option<mpsc::Sender<Vec<i16>>>,
    ended: CancellationToken,
    token: CancellationToken,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl Ear {
    /// An ear for `turn`, and what it hears, of which `begun` was spoken already.
    pub(crate) fn new(
        id: u32,
        turn: TurnId,
        begun: Vec<i16>,
        token: CancellationToken,
    ) -> (Self, mpsc::Receiver<Vec<i16>>) {
        let (speech, heard) = mpsc::channel(WAITING_FRAMES + 1);
        // There is room: nothing was sent yet.
        let _ = speech.try_send(begun);
        let ear = Self {
            id,
            turn,
            take: None,
            speech: Some(speech),
            ended: CancellationToken::new(),
            token,
        };
        (ear, heard)
    }

    /// Another frame; false when the recogniser does not keep up.
    pub(crate) fn hear(&self, frame: &[i16]) -> bool {
        self.speech
            .as_ref()
            .is_none_or(|speech| speech.try_send(frame.to_vec()).is_ok())
    }

    /// The utterance is over: its transcript is for `take`.
    pub(crate) fn finish(&mut self, take: u32) {
        self.take = Some(take);
        self.speech = None;
        self.ended.cancel();
    }

    /// The task that asks the recogniser, and tells `events`. `limit` counts from the end of the utterance.
    pub(crate) fn listen(
        &self,
        stt: Arc<dyn Stt>,
        heard: mpsc::Receiver<Vec<i16>>,
        language: String,
        limit: Duration,
        events: mpsc::Sender<StageEvent>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let teller = Teller { ear: self.id, events };
        let (token, ended) = (self.token.clone(), self.ended.clone());
        async move {
            let listening = async {
                let news = match follow(&*stt, heard, &language, (ended, limit), &teller).await {
                    Ok(transcript) => EarNews::Final(transcript),
                    Err(error) => EarNews::Failed(error),
                };
                teller.tell(news).await;
            };
            token.run_until_cancelled(Box::pin(listening)).await;
        }
    }
}

struct Teller {
    ear: u32,
    events: mpsc::Sender<StageEvent>,
}

impl Teller {
    /// The conversation always listens, and when it does not any more the call is over.
    async fn tell(&self, news: EarNews) {
        let ear = self.ear;
        let _ = self.events.send(StageEvent::Listened { ear, news }).await;
    }
}

async fn follow(
    stt: &dyn Stt,
    heard: mpsc::Receiver<Vec<i16>>,
    language: &str,
    (ended, limit): (CancellationToken, Duration),
    teller: &Teller,
) -> Result<Transcript, ProviderError> {
    let provider = stt.name();
    let broken = |reason: &str| ProviderError::Protocol {
        provider,
        reason: reason.to_owned(),
    };
    let recogniser = stt
        .streaming()
        .ok_or_else(|| broken("it does not listen to speech"))?;
    let resampler = resampler(stt.sample_rate_hz(), provider)?;
    let speech = stream::unfold((heard, resampler), |(mut heard, mut resampler)| async move {
        let samples = convert(heard.recv().await?, resampler.as_mut());
        Some((samples, (heard, resampler)))
    });
    let mut events = recogniser.listen(speech.boxed(), language);
    let mut deadline = None;
    loop {
        // Every arm is cancel-safe: a stream, a token and a timer lose nothing when another arm wins.
        let event = tokio::select! {
            event = events.next() => event,
            () = ended.cancelled(), if deadline.is_none() => {
                deadline = Some(Instant::now() + limit);
                continue;
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return Err(ProviderError::Timeout { provider, after: limit });
            }
        };
        match event.ok_or_else(|| broken("it stopped listening without a transcript"))?? {
            SttEvent::Interim(transcript) => teller.tell(EarNews::Interim(transcript.text)).await,
            SttEvent::EndOfUtterance => teller.tell(EarNews::EndOfUtterance).await,
            SttEvent::Final(transcript) => return Ok(transcript),
        }
    }
}

/// Recognises `speech`, which is at 16 kHz, within the recogniser's own limit.
pub(crate) async fn transcribe(
    stt: Arc<dyn Stt>,
    speech: Vec<i16>,
    language: String,
) -> Result<Transcript, ProviderError> {
    let speech = at_rate(speech, stt.sample_rate_hz(), stt.name())?;
    stt.transcribe(&speech, &language).await
}

fn at_rate(speech: Vec<i16>, rate: u32, provider: &'static str) -> Result<Vec<i16>, ProviderError> {
    Ok(convert(speech, resampler(rate, provider)?.as_mut()))
}

/// From the rate at which the caller is heard; none where there is nothing to do.
fn resampler(rate: u32, provider: &'static str) -> Result<Option<Resampler>, ProviderError> {
    if rate == SAMPLE_RATE_HZ {
        return Ok(None);
    }
    let made = Resampler::new(SAMPLE_RATE_HZ, rate).map_err(|error| ProviderError::Refused {
        provider,
        reason: error.to_string(),
    });
    made.map(Some)
}

fn convert(samples: Vec<i16>, resampler: Option<&mut Resampler>) -> Vec<i16> {
    let Some(resampler) = resampler else {
        return samples;
    };
    let mut converted = Vec::new();
    resampler.process(&samples, &mut converted);
    converted
}
