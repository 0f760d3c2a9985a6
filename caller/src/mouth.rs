//! Speaking: one RTP packet per 20 ms from the answer to the end, silence included.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use audio::codec::{Codec, Encoder};
use audio::{FRAME, Resampler, frame_samples};
use media::rtp::Packet;
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::received::Recorder;

/// Speech comes in at 16 kHz.
pub(crate) const SPEECH_HZ: u32 = 16_000;
/// Samples of a frame of speech.
const SPEECH_FRAME: usize = frame_samples(SPEECH_HZ);
/// Later than this the missed packets are left out, as a phone that slept would do.
const MAX_CATCH_UP: Duration = Duration::from_millis(500);

/// When an utterance was on the wire, since the INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoken {
    pub started: Duration,
    pub ended: Duration,
}

/// An utterance that waits for its turn.
pub(crate) struct Utterance {
    pub(crate) samples: Vec<i16>,
    pub(crate) done: oneshot::Sender<Spoken>,
}

/// The sending half of the call's RTP.
pub(crate) struct Mouth {
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) remote: SocketAddr,
    pub(crate) codec: Codec,
    pub(crate) utterances: mpsc::Receiver<Utterance>,
    pub(crate) recorder: Arc<Mutex<Recorder>>,
    /// Time zero of the call.
    pub(crate) invited: Instant,
    pub(crate) ssrc: u32,
    pub(crate) token: CancellationToken,
}

/// The utterance being spoken.
struct Speaking {
    rest: VecDeque<i16>,
    started: Option<Duration>,
    done: oneshot::Sender<Spoken>,
}

impl Mouth {
    /// Runs until the token is cancelled. An utterance cut off by that is not reported as spoken.
    pub(crate) async fn run(mut self) {
        let Ok(resampler) = Resampler::new(SPEECH_HZ, self.codec.sample_rate_hz()) else {
            return;
        };
        let mut stream = Stream::new(self.codec, self.ssrc, resampler);
        let mut speaking: Option<Speaking> = None;
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
                stream.skip(skipped);
            }
            let frame = self.next_frame(&mut speaking);
            let datagram = stream.packet(&frame);
            // A closed port on the other side shows as an error of a later send: the call's SIP says what became of it.
            let sent = self.socket.send_to(datagram, self.remote).await.is_ok();
            self.account(sent, lateness);
            self.finish(&mut speaking);
            due += FRAME;
        }
    }

    /// The next 20 ms: of the utterance under way, else of the next one, else silence.
    fn next_frame(&mut self, speaking: &mut Option<Speaking>) -> [i16; SPEECH_FRAME] {
        if speaking.is_none() {
            *speaking = self.utterances.try_recv().ok().map(|utterance| Speaking {
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

/// The stream's numbering and encoding.
struct Stream {
    codec: Codec,
    encoder: Encoder,
    resampler: Resampler,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    first: bool,
    pcm: Vec<i16>,
    payload: Vec<u8>,
    datagram: Vec<u8>,
}

impl Stream {
    fn new(codec: Codec, ssrc: u32, resampler: Resampler) -> Self {
        Self {
            codec,
            encoder: Encoder::new(codec),
            resampler,
            ssrc,
            sequence: 0,
            timestamp: ssrc,
            first: true,
            pcm: Vec::new(),
            payload: Vec::new(),
            datagram: Vec::new(),
        }
    }

    fn packet(&mut self, frame: &[i16]) -> &[u8] {
        self.pcm.clear();
        self.payload.clear();
        self.datagram.clear();
        self.resampler.process(frame, &mut self.pcm);
        self.encoder.encode(&self.pcm, &mut self.payload);
        Packet {
            marker: self.first,
            payload_type: self.codec.payload_type(),
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload: &self.payload,
        }
        .write(&mut self.datagram);
        self.first = false;
        self.sequence = self.sequence.wrapping_add(1);
        self.skip(1);
        &self.datagram
    }

    /// Lets the time of so many frames pass.
    fn skip(&mut self, frames: u32) {
        // All three codecs have one byte per tick of the RTP clock.
        let ticks = u32::try_from(self.codec.frame_bytes()).unwrap_or(0);
        self.timestamp = self.timestamp.wrapping_add(ticks.wrapping_mul(frames));
    }
}
