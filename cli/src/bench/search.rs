//! The search for the most callers that are still answered in time. Pure.

/// More callers than one process of them is good for.
const MOST: u16 = 500;

/// What is known: the most that went well and the fewest that did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Search {
    good: u16,
    bad: Option<u16>,
}

impl Search {
    pub(super) fn note(&mut self, callers: u16, is_good: bool) {
        if is_good {
            self.good = self.good.max(callers);
        } else {
            self.bad = Some(self.bad.map_or(callers, |bad| bad.min(callers)));
        }
    }

    /// How many to try next: twice as many until it is too many, then what lies halfway; `None` when it is known to a tenth.
    pub(super) fn next(self) -> Option<u16> {
        let next = match self.bad {
            None => self.good.saturating_mul(2).clamp(1, MOST),
            Some(bad) => self.good.midpoint(bad),
        };
        let is_new = next > self.good && self.bad.is_none_or(|bad| next < bad);
        let is_fine = self
            .bad
            .is_some_and(|bad| bad.saturating_sub(self.good) <= (self.good / 10).max(1));
        (is_new && !is_fine).then_some(next)
    }

    /// The most callers that went well.
    pub(super) fn found(self) -> u16 {
        self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(limit: u16, known: &[u16]) -> (u16, Vec<u16>) {
        let (mut search, mut tried) = (Search::default(), Vec::new());
        for callers in known {
            search.note(*callers, *callers <= limit);
        }
        while let Some(callers) = search.next() {
            tried.push(callers);
            search.note(callers, callers <= limit);
        }
        (search.found(), tried)
    }

    #[test]
    fn the_limit_is_found_by_doubling_and_halving_from_what_is_known() {
        assert_eq!(search(7, &[1]), (7, vec![2, 4, 8, 6, 7]));
        let (found, tried) = search(133, &[1, 20]);
        assert_eq!(tried[..4], [40, 80, 160, 120]);
        assert!((120..=133).contains(&found), "{found}");
        assert_eq!(search(0, &[20]), (0, vec![10, 5, 2, 1]));
    }

    #[test]
    fn it_ends_where_this_process_does() {
        assert_eq!(search(u16::MAX, &[300]), (500, vec![500]));
    }
}
