//! A caller who was answered and has no room yet.

use std::future::pending;
use std::sync::Arc;

use media::Digit;
use sip::{CallControl, CallEvent, Renegotiation};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::heard::Heard;
use super::machine::EndReason;
use super::media_leg::MediaLeg;
use super::{Context, conversation};
use crate::bridge::Cue;

pub(super) struct Line<'a> {
    context: &'a Arc<Context>,
    control: &'a CallControl,
    events: &'a mut mpsc::Receiver<CallEvent>,
    pub(super) media: MediaLeg,
    tasks: TaskTracker,
    cancel: CancellationToken,
    /// Nothing while the answer to our offer is missing.
    heard: Option<Heard>,
    acknowledged: bool,
}

/// What a conversation takes over of it.
pub(super) struct Answered {
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
    pub(super) heard: Option<Heard>,
    pub(super) acknowledged: bool,
}

/// What comes of a caller on the line.
pub(super) enum Said {
    Key(Digit),
    Over(EndReason),
}

impl<'a> Line<'a> {
    /// Answers the call.
    pub(super) async fn answer(
        context: &'a Arc<Context>,
        control: &'a CallControl,
        events: &'a mut mpsc::Receiver<CallEvent>,
        mut media: MediaLeg,
    ) -> Self {
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let heard = media.open(&tasks, &cancel);
        // The caller may be gone: its event says so.
        let _ = control.accept(media.description(), Vec::new()).await;
        Self {
            context,
            control,
            events,
            media,
            tasks,
            cancel,
            heard,
            acknowledged: false,
        }
    }

    /// What is next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Said {
        loop {
            let heard = &mut self.heard;
            let key = async {
                match heard {
                    Some(heard) => heard.key().await,
                    None => pending().await,
                }
            };
            // All arms are cancel-safe.
            let said = tokio::select! {
                () = self.context.stop.cancelled() => Some(Said::Over(EndReason::ShutDown)),
                digit = key => Some(Said::Key(digit)),
                event = self.events.recv() => self.phone(event),
            };
            if let Some(said) = said {
                return said;
            }
        }
    }

    /// Lets the caller hear this once, or nothing.
    pub(super) async fn play(&self, cue: Option<Cue>) {
        let sounds = &self.context.sounds;
        self.media.play(cue.map(|cue| sounds.cue(cue))).await;
    }

    /// Hangs up. The dialog may be over already.
    pub(super) async fn hang_up(&self, why: &str) {
        let reason = format!("SIP;cause=200;text=\"{why}\"");
        let _ = self.control.bye(Some(reason)).await;
    }

    /// Ends its media.
    pub(super) async fn close(self) -> MediaLeg {
        self.cancel.cancel();
        drop(self.heard);
        conversation::ended(self.tasks).await;
        self.media
    }

    /// For the room that it has now.
    pub(super) fn into_parts(self) -> (MediaLeg, Answered) {
        let Self {
            media,
            tasks,
            cancel,
            heard,
            acknowledged,
            ..
        } = self;
        let answered = Answered {
            tasks,
            cancel,
            heard,
            acknowledged,
        };
        (media, answered)
    }

    fn phone(&mut self, event: Option<CallEvent>) -> Option<Said> {
        let over = |reason| Some(Said::Over(reason));
        match event {
            Some(CallEvent::Acknowledged) => {
                self.acknowledged = true;
                None
            }
            Some(CallEvent::Cancelled | CallEvent::HungUp) => over(EndReason::CallerHungUp),
            Some(CallEvent::NotAcknowledged) => over(EndReason::NotAcknowledged),
            Some(CallEvent::SessionExpired) => over(EndReason::SessionExpired),
            Some(CallEvent::Renegotiation(Renegotiation { offer, answer })) => {
                let _ = answer.send(self.media.renegotiate(offer.as_deref()));
                None
            }
            Some(CallEvent::OfferAnswered(answer)) => {
                let was_agreed = self.media.codec().is_some();
                match self.media.accept(&answer) {
                    Ok(()) if was_agreed => None,
                    Ok(()) => {
                        self.heard = self.media.open(&self.tasks, &self.cancel);
                        None
                    }
                    Err(error) if was_agreed => {
                        tracing::warn!(%error, "the session stays as it was");
                        None
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the phone's answer cannot be used");
                        over(EndReason::NoMedia)
                    }
                }
            }
            Some(CallEvent::Info { content_type, body }) => {
                keyed(self.context, &self.media, &content_type, &body).map(Said::Key)
            }
            Some(CallEvent::Ended) | None => over(EndReason::DialogEnded),
            // Of calls that we place, and of transfers, which have not begun.
            Some(
                CallEvent::Trying(_)
                | CallEvent::HostFailed(_)
                | CallEvent::Progress { .. }
                | CallEvent::Answered(_)
                | CallEvent::Refused { .. }
                | CallEvent::Unreachable
                | CallEvent::Transfer(_)
                // Answered with 405: there is nobody yet to bring together with anybody.
                | CallEvent::Referred(_),
            ) => None,
        }
    }
}

/// A digit by INFO, where that is wanted and the phone has no other way: who sends both means one.
pub(super) fn keyed(context: &Context, media: &MediaLeg, content_type: &str, body: &[u8]) -> Option<Digit> {
    if !context.config.info_dtmf || media.has_events() {
        return None;
    }
    media::dtmf::of_info(content_type, body)
}
