//! Who is asked, and who is asked when that fails.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{Chain, Member, TellTrouble, Terms, Trouble};
use crate::{Llm, ProviderError, Stt, Tts};

/// Before the first retry: a connection that broke is often there again at once.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);

/// What a chain wants to know of any port.
pub(super) trait Named {
    fn name(&self) -> &'static str;
}

impl Named for dyn Stt {
    fn name(&self) -> &'static str {
        Stt::name(self)
    }
}

impl Named for dyn Llm {
    fn name(&self) -> &'static str {
        Llm::name(self)
    }
}

impl Named for dyn Tts {
    fn name(&self) -> &'static str {
        Tts::name(self)
    }
}

/// The attempts at one request.
pub(super) struct Attempts<P: ?Sized> {
    members: Arc<[Member<P>]>,
    current: usize,
    /// Those that were not asked yet.
    others: VecDeque<usize>,
    terms: Terms,
    retries: u32,
    tell: Option<TellTrouble>,
}

impl<P: ?Sized> Attempts<P> {
    pub(super) fn new(chain: &Chain<P>) -> Self {
        let (up, down): (Vec<_>, Vec<_>) = chain
            .members
            .iter()
            .map(Member::is_up)
            .enumerate()
            .partition(|(_, is_up)| *is_up);
        let mut others: VecDeque<_> = up.into_iter().chain(down).map(|(at, _)| at).collect();
        Self {
            members: chain.members.clone(),
            current: others.pop_front().unwrap_or(0),
            others,
            terms: chain.terms,
            retries: 0,
            tell: chain.tell.clone(),
        }
    }

    /// Who is asked now.
    pub(super) fn provider(&self) -> &Arc<P> {
        &self.member().provider
    }

    pub(super) fn limit(&self) -> Duration {
        self.terms.limit
    }

    pub(super) fn succeeded(&self) {
        self.member().has_succeeded();
    }

    /// The request cannot be made again, since a part of its answer was passed on: the next one begins with another.
    pub(super) fn broke(&self) {
        self.member().has_failed();
    }

    #[expect(clippy::indexing_slicing, reason = "a chain's own indices")]
    fn member(&self) -> &Member<P> {
        &self.members[self.current]
    }
}

impl<P: Named + ?Sized> Attempts<P> {
    /// Waits for when the request is to be made again, of whomever it is to be made.
    ///
    /// # Errors
    /// `error`, when there is nobody left.
    pub(super) async fn failed(&mut self, error: ProviderError) -> Result<(), ProviderError> {
        if let Some(next) = self.others.pop_front() {
            self.broke();
            self.current = next;
            self.retries = 0;
            self.tell(error, Some(self.provider().name()));
            return Ok(());
        }
        let is_out_of_reach = matches!(error, ProviderError::Unavailable { .. });
        if !is_out_of_reach || self.retries >= self.terms.max_retry {
            self.broke();
            return Err(error);
        }
        let wait = match self.retries {
            0 => FIRST_INTERVAL.min(self.terms.retry_interval),
            _ => self.terms.retry_interval,
        };
        self.retries += 1;
        self.tell(error, None);
        sleep(wait).await;
        Ok(())
    }

    fn tell(&self, error: ProviderError, instead: Option<&'static str>) {
        if let Some(tell) = &self.tell {
            tell(Trouble { error, instead });
        }
    }
}
