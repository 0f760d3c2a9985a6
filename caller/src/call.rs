//! Taking part in a call.

use std::sync::Arc;
use std::time::Duration;

use audio::{Resampler, frame_samples};
use media::{Digit, dtmf::DIGIT_FRAMES};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::driver::{Command, Offered, Progress, SipLeg, TracedMessage, listen};
use crate::ear::{Ear, EarOptions};
use crate::error::CallError;
use crate::mouth::{Mouth, SPEECH_HZ, Speakerphone, Spoken, Utterance};
use crate::place::CallerConfig;
use crate::received::{Received, Recorder};
use crate::report::{CallReport, EndedBy, TimedStep, one_line};
use crate::sip::uac::Uac;

/// How many utterances may wait behind the one under way.
const MAX_UTTERANCES: usize = 16;
/// The most keys pressed at once.
const MAX_DIGITS: usize = 32;
/// The longest utterance: ten minutes.
const MAX_SPEECH: usize = 600 * SPEECH_HZ as usize;
/// A call under way. Dropping it stops SIP and RTP without a word, as a phone whose network is gone.
pub struct Call {
    id: String,
    pub(crate) invited: Instant,
    ear: EarOptions,
    commands: mpsc::Sender<Command>,
    utterances: mpsc::Sender<Utterance>,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) heard: watch::Receiver<u64>,
    pub(crate) recorder: Arc<Mutex<Recorder>>,
    trace: Arc<Mutex<Vec<TracedMessage>>>,
    sending: CancellationToken,
    tasks: TaskTracker,
    token: DropGuard,
}

impl Call {
    pub(crate) fn start(
        config: &CallerConfig,
        call_id: String,
        uac: Uac,
        sip: UdpSocket,
        rtp: Arc<UdpSocket>,
        offered: Offered,
    ) -> Self {
        let invited = Instant::now();
        let token = CancellationToken::new();
        let (commands, command_queue) = mpsc::channel(8);
        let (utterances, utterance_queue) = mpsc::channel(MAX_UTTERANCES);
        let (progress_out, progress) = watch::channel(Progress::default());
        let (heard_out, heard) = watch::channel(0);
        let recorder = Arc::new(Mutex::new(Recorder::new(config.max_recording)));
        let trace = Arc::new(Mutex::new(Vec::new()));
        let leg = SipLeg {
            uac,
            socket: sip,
            target: config.target,
            invited,
            commands: command_queue,
            progress: progress_out,
            trace: Arc::clone(&trace),
            offered,
            token: token.clone(),
            cancelled: false,
        };
        let sending = token.child_token();
        let tasks = TaskTracker::new();
        tasks.spawn(leg.run());
        tasks.spawn(listen(
            Arc::clone(&rtp),
            Arc::clone(&recorder),
            invited,
            heard_out,
            token.clone(),
        ));
        tasks.spawn(speak_when_answered(
            rtp,
            progress.clone(),
            utterance_queue,
            Arc::clone(&recorder),
            (config.speakerphone, invited),
            sending.clone(),
        ));
        tasks.close();
        Self {
            id: call_id,
            invited,
            ear: config.ear,
            commands,
            utterances,
            progress,
            heard,
            recorder,
            trace,
            sending,
            tasks,
            token: token.drop_guard(),
        }
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.id
    }

    /// When the INVITE was sent: all times of this crate count from here.
    pub fn invited_at(&self) -> Instant {
        self.invited
    }

    /// Waits for 180 or another 18x (an answer counts too).
    pub async fn wait_ringing(&self, within: Duration) -> Result<(), CallError> {
        self.wait("ringing", within, |progress| {
            progress.ringing || progress.media.is_some()
        })
        .await
    }

    /// Waits for the 200. RTP flows from then on.
    pub async fn wait_answered(&self, within: Duration) -> Result<(), CallError> {
        self.wait("an answer", within, |progress| progress.media.is_some())
            .await
    }

    /// Waits until the call is over, whoever ends it.
    pub async fn wait_ended(&self, within: Duration) -> Result<EndedBy, CallError> {
        let mut progress = self.progress.clone();
        let ended = timeout(within, progress.wait_for(|progress| progress.ended.is_some())).await;
        match ended {
            Ok(Ok(progress)) => Ok(progress.ended.clone().unwrap_or(EndedBy::Caller)),
            _ => Err(self.late("the end of the call", within)),
        }
    }

    /// Speaks 16 kHz samples and waits until the last of them has left. Utterances queue up behind each other.
    ///
    /// # Errors
    ///
    /// [`CallError::Speech`] beyond ten minutes, [`CallError::Busy`] when 16 wait, [`CallError::Ended`] when the call
    /// ends first.
    pub async fn speak(&self, samples: &[i16]) -> Result<Spoken, CallError> {
        if samples.is_empty() || samples.len() > MAX_SPEECH {
            return Err(CallError::Speech(samples.len(), SPEECH_HZ));
        }
        self.say(samples.to_vec(), Vec::new()).await
    }

    /// Presses keys of the telephone one after the other, each for 260 ms with as long a pause after it, as telephone-events
    /// (RFC 4733), and waits until the last of them has left. Does nothing where the other side takes none.
    ///
    /// # Errors
    ///
    /// [`CallError::Digits`] for anything but 1 to 32 of 0-9 * # A-D; else as [`Call::speak`].
    pub async fn press(&self, digits: &str) -> Result<Spoken, CallError> {
        let digits: Option<Vec<_>> = digits.chars().map(Digit::from_char).collect();
        let digits = digits.filter(|digits| (1..=MAX_DIGITS).contains(&digits.len()));
        let digits = digits.ok_or(CallError::Digits)?;
        let length = digits.len() * DIGIT_FRAMES * frame_samples(SPEECH_HZ);
        self.say(vec![0; length], digits).await
    }

    async fn say(&self, samples: Vec<i16>, digits: Vec<Digit>) -> Result<Spoken, CallError> {
        let (done, spoken) = oneshot::channel();
        let utterance = Utterance {
            samples,
            digits,
            done,
        };
        self.utterances.try_send(utterance).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Busy,
            mpsc::error::TrySendError::Closed(_) => self.ended("speaking"),
        })?;
        spoken.await.map_err(|_| self.ended("the end of the speech"))
    }

    /// Speaks a WAV file of any usual rate.
    pub async fn speak_wav(&self, file: &[u8]) -> Result<Spoken, CallError> {
        let wav = audio::wav::read(file).map_err(CallError::Wav)?;
        let unfit = |_| CallError::Speech(wav.samples.len(), wav.sample_rate_hz);
        let mut samples = Vec::new();
        Resampler::new(wav.sample_rate_hz, SPEECH_HZ)
            .map_err(unfit)?
            .process(&wav.samples, &mut samples);
        self.speak(&samples).await
    }

    /// Stops sending RTP for good, silence too.
    pub fn stop_sending(&self) {
        self.sending.cancel();
    }

    /// An ear that hears from now on.
    pub fn ear(&self) -> Ear<'_> {
        let cursor = self.recorder.lock().received.samples.len();
        Ear::new(self, self.ear, cursor)
    }

    /// An ear that hears everything from the first packet.
    pub fn ear_from_start(&self) -> Ear<'_> {
        Ear::new(self, self.ear, 0)
    }

    /// All that has come back so far.
    pub fn received(&self) -> Received {
        self.recorder.lock().received.clone()
    }

    /// CANCEL or BYE, whichever fits; [`Self::wait_ended`] tells when it is done.
    pub async fn hang_up(&self) {
        // A closed queue belongs to a call whose task is gone.
        let _ = self.commands.send(Command::HangUp).await;
    }

    /// Sends bytes as they are from the call's SIP port to the target.
    pub async fn send_raw(&self, bytes: &[u8]) {
        let _ = self.commands.send(Command::Raw(bytes.to_vec())).await;
    }

    /// The SIP messages so far, at most 512.
    pub fn trace(&self) -> Vec<TracedMessage> {
        self.trace.lock().clone()
    }

    /// The steps so far.
    pub fn steps(&self) -> Vec<TimedStep> {
        self.progress.borrow().steps.clone()
    }

    /// Steps and figures so far.
    pub fn report(&self) -> CallReport {
        report(&self.id, &self.progress, &self.recorder)
    }

    /// Stops every task of the call and returns its report. A call still up is left without a word, as by dropping.
    pub async fn finish(self) -> CallReport {
        drop(self.token);
        self.tasks.wait().await;
        report(&self.id, &self.progress, &self.recorder)
    }

    async fn wait(
        &self,
        what: &'static str,
        within: Duration,
        reached: impl Fn(&Progress) -> bool,
    ) -> Result<(), CallError> {
        let mut progress = self.progress.clone();
        let wanted = progress.wait_for(|progress| reached(progress) || progress.ended.is_some());
        let arrived = match timeout(within, wanted).await {
            Ok(Ok(progress)) => reached(&progress),
            _ => return Err(self.late(what, within)),
        };
        if arrived { Ok(()) } else { Err(self.ended(what)) }
    }

    pub(crate) fn late(&self, what: &'static str, waited: Duration) -> CallError {
        CallError::Late {
            what,
            waited,
            so_far: one_line(&self.progress.borrow().steps),
        }
    }

    pub(crate) fn ended(&self, what: &'static str) -> CallError {
        let progress = self.progress.borrow();
        let by = progress.ended.clone().unwrap_or(EndedBy::Caller);
        CallError::Ended {
            what,
            by,
            so_far: one_line(&progress.steps),
        }
    }
}

fn report(call_id: &str, progress: &watch::Receiver<Progress>, recorder: &Mutex<Recorder>) -> CallReport {
    let progress = progress.borrow();
    CallReport {
        call_id: call_id.to_owned(),
        steps: progress.steps.clone(),
        codec: progress.media.map(|negotiated| negotiated.codec),
        rtp: recorder.lock().rtp,
    }
}

/// Runs the mouth from the answer to the end of the call.
async fn speak_when_answered(
    socket: Arc<UdpSocket>,
    mut progress: watch::Receiver<Progress>,
    utterances: mpsc::Receiver<Utterance>,
    recorder: Arc<Mutex<Recorder>>,
    (speakerphone, invited): (Option<Speakerphone>, Instant),
    token: CancellationToken,
) {
    let over = |progress: &Progress| progress.ended.is_some();
    let answered = async {
        let now = progress
            .wait_for(|progress| progress.media.is_some() || over(progress))
            .await
            .ok()?;
        now.media
            .and_then(|negotiated| Some((negotiated.remote?, negotiated)))
    };
    // Cancel-safe: a token and a watched value.
    let media = tokio::select! {
        () = token.cancelled() => return,
        media = answered => media,
    };
    let Some((remote, media)) = media else {
        return;
    };
    let mouth = Mouth {
        socket,
        remote,
        media,
        utterances,
        recorder,
        speakerphone,
        invited,
        token: token.clone(),
    };
    tokio::select! {
        () = mouth.run() => {}
        // The end of the call stops the packets, as a phone would.
        _ = progress.wait_for(over) => {}
    }
}
