//! Replies that are begun on a guess, while the caller's turn goes on.

use std::sync::Arc;
use std::time::Duration;

use providers::{ChatRequest, Llm};
use turns::TurnId;

use super::Conversation;
use crate::primed::{Primed, letters};

/// Guesses at one turn. A caller who keeps changing their words is waited for.
const MAX_GUESSES: u32 = 3;
/// Longer turns are not guessed at.
const MAX_SPEECH: Duration = Duration::from_secs(10);

/// What is guessed of the caller's turn.
#[derive(Default)]
pub(super) struct Guess {
    primed: Option<Primed>,
    count: u32,
    /// What the recogniser has made out last.
    interim: String,
}

impl Conversation {
    /// Words that the recogniser has made out while they are spoken: a guess is worth making when it says the same twice.
    pub(super) fn guess_by_interim(&mut self, words: &str) {
        let is_stable = letters(words).eq(letters(&self.guess.interim));
        words.clone_into(&mut self.guess.interim);
        if is_stable {
            self.guess_at(words);
        }
    }

    /// The words of the turn as far as it has got, if they are known.
    pub(super) fn guess_by_transcript(&mut self, turn: TurnId) {
        let user = self.user.as_ref().filter(|user| user.id == turn);
        if let Some(Ok(words)) = user.and_then(|user| user.transcript.as_ref()) {
            let words = words.clone();
            self.guess_at(&words);
        }
    }

    /// Begins the reply to `words`, which may be all that the caller says in this turn.
    pub(super) fn guess_at(&mut self, words: &str) {
        let now = self.now();
        let is_short = |started: Duration| now.saturating_sub(started) <= MAX_SPEECH;
        let is_worth_it = self.profile.preemptive_generation
            && letters(words).next().is_some()
            && self.preparing.is_none()
            && self.playing.is_none()
            && self.user.as_ref().is_some_and(|user| is_short(user.started_at));
        if !is_worth_it {
            return;
        }
        let request = self.request(Some(words.trim()));
        let is_made = |primed: &Primed| primed.answers(&request);
        if self.guess.primed.as_ref().is_some_and(is_made) || self.guess.count >= MAX_GUESSES {
            return;
        }
        self.forget_guess();
        self.guess.count += 1;
        let (primed, asking) = Primed::ask(&*self.llm, request, self.cancel.child_token());
        self.tasks.spawn(asking);
        self.guess.primed = Some(primed);
    }

    /// The model for `request`, which has begun to answer it if that was guessed.
    pub(super) fn model_for(&mut self, request: &ChatRequest) -> Arc<dyn Llm> {
        let primed = self.guess.primed.take_if(|primed| primed.answers(request));
        self.forget_guess();
        match primed {
            Some(primed) => primed.then(self.llm.clone()),
            None => self.llm.clone(),
        }
    }

    /// The guess was wrong; the model was asked all the same.
    pub(super) fn forget_guess(&mut self) {
        if self.guess.primed.take().is_some() {
            self.usage.asked();
        }
    }

    /// Another turn begins.
    pub(super) fn guess_anew(&mut self) {
        self.forget_guess();
        self.guess = Guess::default();
    }
}
