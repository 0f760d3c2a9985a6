//! Where we differ from the recordings, and why.

use super::compare::{Finding, fits};

pub(super) struct Difference {
    /// Of scenarios and fields, with `*` for anything.
    pub(super) scenarios: &'static str,
    pub(super) path: &'static str,
    /// What livekit-sip has there, and what we have; `-` for nothing, `*` for anything.
    pub(super) theirs: &'static str,
    pub(super) ours: &'static str,
    pub(super) why: &'static str,
}

/// By which a row of the table is told from others of the page.
pub(super) const END: &str = " |";

impl Difference {
    pub(super) fn explains(&self, scenario: &str, finding: &Finding) -> bool {
        let is = |pattern: &str, value: &Option<String>| fits(pattern, value.as_deref().unwrap_or("-"));
        fits(self.scenarios, scenario)
            && fits(self.path, &finding.path)
            && is(self.theirs, &finding.theirs)
            && is(self.ours, &finding.ours)
    }

    pub(super) fn row(&self) -> String {
        let Self {
            scenarios,
            path,
            theirs,
            ours,
            why,
        } = self;
        format!("| `{scenarios}` | `{path}` | `{theirs}` | `{ours}` | {why}{END}")
    }
}

pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        scenarios: "*",
        path: "answers.0",
        theirs: "SIP/2.0 100 Processing",
        ours: "SIP/2.0 100 Trying",
        why: "the phrase of RFC 3261 §21.1.1",
    },
    Difference {
        scenarios: "inbound-auth-challenge",
        path: "answers.1",
        theirs: "SIP/2.0 407 Unauthorized",
        ours: "SIP/2.0 407 Proxy Authentication Required",
        why: "the phrase of RFC 3261 §21.4.8",
    },
    Difference {
        scenarios: "inbound-no-codec",
        path: "answers.1",
        theirs: "SIP/2.0 180 Ringing",
        ours: "SIP/2.0 488 Not Acceptable Here",
        why: "it is no syntax error (RFC 3261 §21.4.26), and nothing rings before",
    },
    Difference {
        scenarios: "inbound-no-codec",
        path: "answers.2",
        theirs: "SIP/2.0 400 ",
        ours: "-",
        why: "the 488 came before",
    },
    Difference {
        scenarios: "inbound-trunk-no-rule",
        path: "answers.2",
        theirs: "-",
        ours: "SIP/2.0 404 Not Found",
        why: "a caller is told that nobody is there",
    },
    Difference {
        scenarios: "inbound-wrong-number",
        path: "answers.2",
        theirs: "-",
        ours: "SIP/2.0 404 Not Found",
        why: "a caller is told that nobody is there",
    },
    Difference {
        scenarios: "inbound-agent-leaves",
        path: "answers.3",
        theirs: "-",
        ours: "BYE",
        why: "nobody talks to nobody; the recorded call stayed up until the phone hung up",
    },
    Difference {
        scenarios: "*",
        path: "*.attributes.trunkline.*",
        theirs: "-",
        ours: "*",
        why: "what Trunkline's agents and records read",
    },
    Difference {
        scenarios: "*",
        path: "*articipant.capabilities.*",
        theirs: "-",
        ours: "*",
        why: "our side of the room is LiveKit's Rust SDK",
    },
    Difference {
        scenarios: "*",
        path: "*articipant.clientProtocol",
        theirs: "-",
        ours: "2",
        why: "likewise",
    },
    Difference {
        scenarios: "*",
        path: "active.capabilities.*",
        theirs: "-",
        ours: "*",
        why: "likewise",
    },
    Difference {
        scenarios: "*",
        path: "active.clientProtocol",
        theirs: "-",
        ours: "2",
        why: "likewise",
    },
    Difference {
        scenarios: "*",
        path: "*.codecs.0.cid",
        theirs: "audio",
        ours: "*",
        why: "likewise",
    },
    Difference {
        scenarios: "*",
        path: "*.mid",
        theirs: "*",
        ours: "*",
        why: "likewise: the number of the track's section in its SDP",
    },
];
