//! Speaking: one RTP packet per 20 ms from the answer to the end, silence included.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use audio::{FRAME, Resampler, frame_samples};
use media::sdp::Negotiated;
use media::{Digit, Start, Transmitter};
use parking_lot::Mutex;
use rand::Rng;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::received::{Received, Recorder};

/// Speech comes in at 16 kHz.
pub(crate) const SPEECH_HZ: u32 = 16_000;
/// Samples of a frame of speech.
const SPEECH_FRAME: usize = frame_samples(SPEECH_HZ);
/// Later than this the missed packets are left out, as a phone that slept would do.
const MAX_CATCH_UP: Duration = Duration::from_millis(500);

/// A telephone whose microphone hears its loudspeaker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speakerphone {
    /// How much louder than it came, in dB; below 0.
    pub gain_db: f32,
    /// From the network to the network.
    pub delay: Duration,
}

/// When an utterance was on the wire, since the INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoken {
    pub started: Duration,
    pub ended: Duration,
}

/// An utterance that waits for its turn.
pub(crate) struct Utterance {
    pub(crate) samples: Vec<i16>,
    /// Keys that are pressed as it begins: their events stand in the place of its sound.
    pub(crate) digits: Vec<Digit>,
    pub(crate) done: oneshot::Sender<Spoken>,
}

/// The sending half of the call's RTP.
pub(crate) struct Mouth {
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) remote: SocketAddr,
    pub(crate) media: Negotiated,
    pub(crate) utterances: mpsc::Receiver<Utterance>,
    pub(crate) recorder: Arc<Mutex<Recorder>>,
    pub(crate) speakerphone: Option<Speakerphone>,
    /// Time zero of the call.
    pub(crate) invited: Instant,
    pub(crate) token: CancellationToken,
}

/// The utterance being spoken.
struct Speaking {
    rest: VecDeque<i16>,
    started: Option<Duration>,
    done: oneshot::Sender<Spoken>,
}

/// What of the received sound comes next.
struct Echo {
    factor: f32,
    delay: Duration,
    next: Option<usize>,
}

impl Echo {
    fn of(phone: Speakerphone) -> Self {
        Self {
            factor: 10_f32.powf(phone.gain_db / 20.0),
            delay: phone.delay,
            next: None,
        }
    }

    /// Adds the echo to the frame that is sent at `now`. The sound has come without gaps since its first packet: once begun, it is taken so.
    fn mix(&mut self, frame: &mut [i16], received: &Received, now: Duration) {
        let begins =
            || (!received.samples.is_empty() && now >= received.time_of(0) + self.delay).then_some(0);
        let Some(next) = self.next.or_else(begins) else {
            return;
        };
        self.next = Some(next + frame.len());
        for (sample, echo) in frame.iter_mut().zip(received.samples.iter().skip(next)) {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a float that is too large becomes the largest sample"
            )]
            let echo = (f32::from(*echo) * self.factor) as i16;
            *sample = sample.saturating_add(echo);
        }
    }
}

impl Mouth {
    /// Runs until the token is cancelled. An utterance cut off by that is not reported as spoken.
    pub(crate) async fn run(mut self) {
        let codec = self.media.codec;
        let Ok(mut resampler) = Resampler::new(SPEECH_HZ, codec.sample_rate_hz()) else {
            return;
        };
        let mut transmitter = Transmitter::new(
            codec,
            self.media.payload_type,
            self.media.events,
            self.media.opus,
            Start {
                ssrc: rand::rng().random(),
                sequence: rand::rng().random(),
                timestamp: rand::rng().random(),
            },
        );
        let (mut pcm, mut datagrams) = (Vec::new(), Vec::new());
        let mut speaking: Option<Speaking> = None;
        let mut echo = self.speakerphone.map(Echo::of);
        let mut due = Instant::now();
        loop {
            // Cancel-safe: a timer and a token.
            tokio::select! {
                () = self.token.cancelled() => return,
                () = sleep_until(due) => {}
            }
            let lateness = Instant::now().saturating_duration_since(due);
            if lateness > MAX_CATCH_UP {
                let skipped = lateness.as_millis() / FRAME.as_millis();
                let skipped = u32::try_from(skipped).unwrap_or(u32::MAX);
                due += FRAME * skipped;
                (0..skipped).for_each(|_| transmitter.skip());
            }
            let frame = self.next_frame(&mut speaking, &mut transmitter);
            resampler.process(&frame, &mut pcm);
            let ready = codec.frame_samples().min(pcm.len());
            if let (Some(echo), Some(frame)) = (&mut echo, pcm.get_mut(..ready)) {
                echo.mix(frame, &self.recorder.lock().received, self.invited.elapsed());
            }
            transmitter.frame(pcm.get(..ready).unwrap_or_default(), |datagram| {
                datagrams.push(datagram.to_vec());
            });
            pcm.drain(..ready);
            for datagram in datagrams.drain(..) {
                // A closed port on the other side shows as an error of a later send: the call's SIP says what became of it.
                let sent = self.socket.send_to(&datagram, self.remote).await.is_ok();
                self.account(sent, lateness);
            }
            self.finish(&mut speaking);
            due += FRAME;
        }
    }

    /// The next 20 ms: of the utterance under way, else of the next one, else silence.
    fn next_frame(
        &mut self,
        speaking: &mut Option<Speaking>,
        transmitter: &mut Transmitter,
    ) -> [i16; SPEECH_FRAME] {
        if speaking.is_none()
            && let Ok(utterance) = self.utterances.try_recv()
        {
            for digit in utterance.digits {
                // There is room: those of the utterance before have left.
                let _ = transmitter.press(digit);
            }
            *speaking = Some(Speaking {
                rest: utterance.samples.into(),
                started: None,
                done: utterance.done,
            });
        }
        let mut frame = [0; SPEECH_FRAME];
        if let Some(current) = speaking {
            current.started.get_or_insert_with(|| self.invited.elapsed());
            for (place, sample) in frame
                .iter_mut()
                .zip(current.rest.drain(..SPEECH_FRAME.min(current.rest.len())))
            {
                *place = sample;
            }
        }
        frame
    }

    /// Reports an utterance whose last frame has just left.
    fn finish(&self, speaking: &mut Option<Speaking>) {
        if let Some(done) = speaking.take_if(|current| current.rest.is_empty()) {
            let ended = self.invited.elapsed() + FRAME;
            // Whoever asked may have stopped waiting.
            let _ = done.done.send(Spoken {
                started: done.started.unwrap_or(ended),
                ended,
            });
        }
    }

    fn account(&self, sent: bool, lateness: Duration) {
        let mut recorder = self.recorder.lock();
        recorder.rtp.sent += u64::from(sent);
        recorder.rtp.max_send_lateness = recorder.rtp.max_send_lateness.max(lateness);
    }
}
