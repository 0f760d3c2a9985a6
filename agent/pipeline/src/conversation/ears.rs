//! Words while they are spoken, where the recogniser can hear them.

use turns::{Input, TurnId, Words};

use super::Conversation;
use crate::FRAME_SAMPLES;
use crate::listen::Ear;
use crate::report::Speaker;
use crate::stages::{EarNews, Stage};

/// What the recogniser listens to.
#[derive(Default)]
pub(super) struct Ears {
    /// While it is spoken.
    open: Option<Ear>,
    /// When it is over and its transcript is still to come.
    finishing: Option<Ear>,
    /// How many there were.
    count: u32,
}

impl Ears {
    /// Whoever listened to the turn stops.
    pub(super) fn close(&mut self, turn: TurnId) {
        for ear in [&mut self.open, &mut self.finishing] {
            ear.take_if(|ear| ear.turn == turn);
        }
    }

    /// Takes the ear `id` out, open or not.
    fn take(&mut self, id: u32) -> Option<Ear> {
        let ears = [&mut self.open, &mut self.finishing];
        ears.into_iter().find_map(|ear| ear.take_if(|ear| ear.id == id))
    }

    fn turn_of(&self, id: u32) -> Option<TurnId> {
        let mut ears = [&self.open, &self.finishing].into_iter().flatten();
        ears.find(|ear| ear.id == id).map(|ear| ear.turn)
    }
}

impl Conversation {
    /// Listens to the turn from its beginning, unless that is done already. A turn that goes on after a silence is heard
    /// again as a whole, so that its transcript is of one piece.
    pub(super) fn lend_ear(&mut self, turn: TurnId) {
        let listens = |ear: &Ear| ear.turn == turn;
        if self.stt.streaming().is_none() || self.ears.open.as_ref().is_some_and(listens) {
            return;
        }
        self.ears.count = self.ears.count.wrapping_add(1);
        let begun = self.hearing.speech(turn).to_vec();
        self.usage.heard(begun.len());
        let (ear, heard) = Ear::new(self.ears.count, turn, begun, self.cancel.child_token());
        self.tasks.spawn(ear.listen(
            self.stt.clone(),
            heard,
            self.profile.language.clone(),
            self.profile.timeouts.stt,
            self.stage_events.0.clone(),
        ));
        self.ears.open = Some(ear);
    }

    /// Passes a frame on. An ear that does not keep up is given up: the turn is transcribed when it is over.
    pub(super) fn feed_ear(&mut self, frame: &[i16; FRAME_SAMPLES]) {
        let Some(ear) = &self.ears.open else { return };
        self.usage.heard(frame.len());
        if !ear.hear(frame) {
            tracing::warn!("the recogniser does not keep up with the caller");
            self.ears.open = None;
        }
    }

    /// Asks for the transcript of what was listened to; false when nobody listened.
    pub(super) fn finish_ear(&mut self, turn: TurnId, take: u32) -> bool {
        let Some(mut ear) = self.ears.open.take_if(|ear| ear.turn == turn) else {
            return false;
        };
        ear.finish(take);
        self.ears.finishing = Some(ear);
        true
    }

    pub(super) fn ear_news(&mut self, id: u32, news: EarNews) {
        let Some(turn) = self.ears.turn_of(id) else { return };
        let mut ended = || self.ears.take(id).and_then(|ear| ear.take);
        match news {
            EarNews::Interim(text) => {
                let words = Words::of(&text);
                self.caption(Speaker::User, turn.0, &text, false);
                self.input(Input::Interim { turn, words });
                self.guess_by_interim(&text);
            }
            EarNews::EndOfUtterance => self.input(Input::EndOfUtterance { turn }),
            EarNews::Final(transcript) => {
                if let Some(take) = ended() {
                    self.transcribed(turn, take, Ok(transcript));
                } else {
                    // It has heard enough by itself; the rest is heard when the turn is over.
                    let words = Words::of(&transcript.text);
                    self.input(Input::Interim { turn, words });
                }
            }
            EarNews::Failed(error) => {
                // No sound is lost: the whole turn is kept, and is transcribed instead.
                let take = ended();
                let at = self.now();
                self.ledger.failed(Stage::Stt, &error, at);
                let is_wanted = |take: &u32| self.user.as_ref().is_some_and(|user| user.take == *take);
                if let Some(take) = take.filter(is_wanted) {
                    self.transcribe_whole(turn, take);
                }
            }
        }
    }
}
