//! The scripted dialogue: a language model that needs no model, in any language.
//!
//! ```yaml
//! variables:
//!   opens: nine in the morning
//! intents:
//!   - name: opening_hours
//!     phrases: [when do you open]       # understood word by word, also within a longer sentence
//!     keywords: [open hours]            # understood when all these words are said, in any order
//!     replies: We open at {opens}.      # one text, or several that take turns
//!   - name: appointment
//!     phrases: [i need an appointment]
//!     replies: On Monday or on Tuesday?
//!     then: choosing_day                # what is expected next
//!   - name: monday
//!     when: choosing_day                # counts only then, and before all others
//!     phrases: [monday]
//!     replies: See you on Monday.
//!   - name: goodbye
//!     phrases: [goodbye]
//!     replies: Goodbye.
//!     action: end_call                  # a tool without arguments; done when the reply has been said
//!   - name: sales
//!     phrases: [talk to sales]
//!     replies: One moment, please.
//!     action: {transfer_call: {to: sales}}
//!     after: You are through.           # said with the tool's result, which `{result}` stands for; else nothing is
//!     after_failure: Sorry, nobody is there.   # else the fallback
//! fallback: Sorry, I did not understand.
//! word_delay_ms: 0                      # between the words of a reply, 0 to 2000, to play a slow model
//! ```
//!
//! A dialogue keeps nothing between two replies: what is expected, and which reply comes next, follows from the history
//! that it is given. An intent with `then` makes its state the expected one; an intent with `when` and without `then`
//! ends it; the others, and what was not understood, leave it.

mod matching;
mod parse;
mod script;
mod section;

use std::{io, path::Path, time::Duration};

pub use matching::words;
pub use script::Scripted;

use crate::{
    Fault, Faults,
    file::{self, FileError},
    offline::pocketsphinx::Phrase,
};

/// What an agent understands, and what it says to that. `Debug` shows none of its texts.
#[derive(Clone, PartialEq, Eq)]
pub struct Dialogue {
    intents: Vec<Intent>,
    /// At least one.
    fallback: Vec<String>,
    word_delay: Duration,
}

#[derive(Clone, PartialEq, Eq)]
struct Intent {
    name: String,
    /// In words. Each phrase and each group of keywords has at least one.
    phrases: Vec<Vec<String>>,
    keywords: Vec<Vec<String>>,
    /// At least one, with the variables filled in.
    replies: Vec<String>,
    action: Option<Action>,
    when: Option<String>,
    then: Option<String>,
    /// What is said with the action's result, and when it failed.
    after: Option<String>,
    after_failure: Option<String>,
}

/// A tool that is called with a reply.
#[derive(Clone, PartialEq, Eq)]
struct Action {
    tool: String,
    /// JSON.
    arguments: String,
}

impl Dialogue {
    /// Reads the dialogue at `path`, a regular file of at most [`MAX_BYTES`](crate::file::MAX_BYTES).
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let fault = |error: FileError| {
            let problem = format!("cannot read the dialogue {}: {error}", path.display());
            Faults(vec![Fault::new("dialogue", problem, error.remedy())])
        };
        let bytes = file::read(path).map_err(fault)?;
        let yaml =
            String::from_utf8(bytes).map_err(|error| fault(io::Error::other(error.utf8_error()).into()))?;
        Self::parse(&yaml)
    }

    /// Reads a dialogue, or finds all that is wrong with it. An unknown key is a fault.
    pub fn parse(yaml: &str) -> Result<Self, Faults> {
        parse::dialogue(yaml)
    }

    /// The tools that it calls, each with its key.
    pub fn tools(&self) -> Vec<(String, &str)> {
        let actions = self.intents.iter().enumerate();
        actions
            .filter_map(|(at, intent)| Some((at, intent.action.as_ref()?)))
            .map(|(at, action)| (format!("intents[{at}].action"), action.tool.as_str()))
            .collect()
    }

    /// All phrases, for a recogniser that wants to know what to expect.
    pub fn phrases(&self) -> Vec<Phrase> {
        let of = |(at, intent): (usize, &Intent)| {
            let name = move |number| format!("intents[{at}].phrases[{number}]");
            let phrases = intent.phrases.iter().cloned().enumerate();
            phrases
                .map(move |(number, words)| Phrase {
                    key: name(number),
                    words,
                })
                .collect::<Vec<_>>()
        };
        self.intents.iter().enumerate().flat_map(of).collect()
    }
}

impl std::fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.intents.iter().map(|intent| &intent.name).collect();
        f.debug_struct("Dialogue")
            .field("intents", &names)
            .finish_non_exhaustive()
    }
}
