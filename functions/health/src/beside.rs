//! Parts of the process that the functions do not know, and that say themselves how they are.

use std::fmt;
use std::sync::Arc;

use crate::{Component, Status};

/// How a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it says.
    pub detail: String,
    /// Whether it works.
    pub is_well: bool,
}

/// A part that calls can do without. It answers at once, and with `None` when there is nothing to say.
#[derive(Clone)]
pub struct Beside {
    name: &'static str,
    remedy: &'static str,
    ask: Arc<dyn Fn() -> Option<Report> + Send + Sync>,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Beside {
    /// `remedy` is what to do when it is not well.
    pub fn new(
        name: &'static str,
        remedy: &'static str,
        ask: impl Fn() -> Option<Report> + Send + Sync + 'static,
    ) -> Self {
        let ask = Arc::new(ask);
        Self { name, remedy, ask }
    }

    pub(crate) fn component(&self) -> Option<Component> {
        let Report { detail, is_well } = (self.ask)()?;
        Some(Component {
            name: self.name,
            status: if is_well { Status::Ok } else { Status::Failed },
            ms: 0,
            detail,
            remedy: (!is_well).then_some(self.remedy),
        })
    }
}
