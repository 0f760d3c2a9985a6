//! The providers of one stage, best first: when one fails, it is asked again or the next one is.
//!
//! A chain has the port of its members, and their limits on time: nothing that is asked of it waits for ever.

mod attempts;
mod llm;
mod rate;
mod stt;
mod tts;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use attempts::Attempts;
pub(crate) use tts::Voiced;

use crate::{Llm, ProviderError, Stt, Tts};

/// How long a member that has failed comes after those that have not. The caller whose turn it is then waits for one attempt.
const OUT_OF_FAVOUR: Duration = Duration::from_secs(30);

/// How long and how often a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// For a transcript; for the first piece of a reply or of speech, and between two. Default 10 s.
    pub limit: Duration,
    /// How often the last member is asked again that could not be reached. One that let the caller wait for its whole limit is not, nor
    /// is one that refused, nor one that there is another for. Default 3.
    pub max_retry: u32,
    /// The wait before asking again; the first time it is 0.1 s, or this if it is shorter. Default 2 s.
    pub retry_interval: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            limit: Duration::from_secs(10),
            max_retry: 3,
            retry_interval: Duration::from_secs(2),
        }
    }
}

/// A failure that is not the end of the matter.
#[derive(Debug)]
pub struct Trouble {
    /// What went wrong, and at which provider.
    pub error: ProviderError,
    /// The provider that is asked instead; `None`: the same once more.
    pub instead: Option<&'static str>,
}

/// Who is told of [`Trouble`]. It is called on the way to the next attempt, and must not wait.
pub type TellTrouble = Arc<dyn Fn(Trouble) + Send + Sync>;

/// The providers of one stage, best first. Clones share what is known of their health, whichever call has found it out.
pub struct Chain<P: ?Sized> {
    members: Arc<[Member<P>]>,
    terms: Terms,
    tell: Option<TellTrouble>,
}

struct Member<P: ?Sized> {
    provider: Arc<P>,
    failed_at: Mutex<Option<Instant>>,
}

impl<P: ?Sized> Member<P> {
    fn new(provider: Arc<P>) -> Self {
        Self {
            provider,
            failed_at: Mutex::new(None),
        }
    }

    fn is_up(&self) -> bool {
        self.failed_at
            .lock()
            .is_none_or(|failed_at| failed_at.elapsed() >= OUT_OF_FAVOUR)
    }

    fn has_failed(&self) {
        *self.failed_at.lock() = Some(Instant::now());
    }

    fn has_succeeded(&self) {
        *self.failed_at.lock() = None;
    }
}

impl<P: ?Sized> Clone for Chain<P> {
    fn clone(&self) -> Self {
        Self {
            members: self.members.clone(),
            terms: self.terms,
            tell: self.tell.clone(),
        }
    }
}

impl<P: ?Sized> Chain<P> {
    /// `first`, and those that are asked when it fails.
    pub fn new(first: Arc<P>, others: Vec<Arc<P>>) -> Self {
        let all = std::iter::once(first).chain(others);
        Self {
            members: all.map(Member::new).collect(),
            terms: Terms::default(),
            tell: None,
        }
    }

    /// The same providers, asked on other terms.
    #[must_use]
    pub fn on(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// The same providers, whose troubles are told.
    #[must_use]
    pub fn telling(self, tell: TellTrouble) -> Self {
        Self {
            tell: Some(tell),
            ..self
        }
    }

    /// Whether somebody is there who has not failed lately.
    pub fn is_up(&self) -> bool {
        self.members.iter().any(Member::is_up)
    }

    /// The member that stands for the chain: its name and its rate are the chain's.
    #[expect(clippy::indexing_slicing, reason = "there is a first one, always")]
    fn head(&self) -> &P {
        &self.members[0].provider
    }

    /// Those that are up come first.
    fn attempts(&self) -> Attempts<P> {
        Attempts::new(self)
    }
}

macro_rules! debug_by_names {
    ($($port:ident),*) => {$(
        impl std::fmt::Debug for Chain<dyn $port> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_list()
                    .entries(self.members.iter().map(|member| member.provider.name()))
                    .finish()
            }
        }
    )*};
}

debug_by_names!(Stt, Llm, Tts);
