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
        path: "messages.100 INVITE*.line",
        theirs: "SIP/2.0 100 Processing",
        ours: "SIP/2.0 100 Trying",
        why: "the phrase of RFC 3261 §21.1.1",
    },
    Difference {
        scenarios: "*auth*",
        path: "answers.0",
        theirs: "SIP/2.0 407 Unauthorized",
        ours: "SIP/2.0 407 Proxy Authentication Required",
        why: "the phrase of RFC 3261 §21.4.8",
    },
    Difference {
        scenarios: "*transfer*",
        path: "answers.*",
        theirs: "SIP/2.0 200 success",
        ours: "SIP/2.0 200 OK",
        why: "the phrase of RFC 3261 §21.2.1",
    },
    Difference {
        scenarios: "inbound-no-codec",
        path: "answers.0",
        theirs: "SIP/2.0 180 Ringing",
        ours: "SIP/2.0 488 Not Acceptable Here",
        why: "it is no syntax error (RFC 3261 §21.4.26), and nothing rings before",
    },
    Difference {
        scenarios: "inbound-no-codec",
        path: "answers.1",
        theirs: "SIP/2.0 400 ",
        ours: "-",
        why: "the 488 came before",
    },
    Difference {
        scenarios: "inbound-no-codec",
        path: "messages.180 INVITE.*",
        theirs: "*",
        ours: "-",
        why: "likewise",
    },
    Difference {
        scenarios: "inbound-no-codec",
        path: "messages.400 INVITE.*",
        theirs: "*",
        ours: "-",
        why: "likewise",
    },
    Difference {
        scenarios: "inbound-no-codec",
        path: "messages.488 INVITE.*",
        theirs: "-",
        ours: "*",
        why: "likewise",
    },
    Difference {
        scenarios: "inbound-no-codec",
        path: "bus.EvaluateSIPDispatchRules.*",
        theirs: "*",
        ours: "-",
        why: "likewise",
    },
    Difference {
        scenarios: "inbound-trunk-no-rule",
        path: "answers.1",
        theirs: "-",
        ours: "SIP/2.0 404 Not Found",
        why: "a caller is told that nobody is there",
    },
    Difference {
        scenarios: "inbound-wrong-number*",
        path: "answers.1",
        theirs: "-",
        ours: "SIP/2.0 404 Not Found",
        why: "likewise",
    },
    Difference {
        scenarios: "inbound-*",
        path: "messages.404 INVITE.*",
        theirs: "-",
        ours: "*",
        why: "what stands in it",
    },
    Difference {
        scenarios: "inbound-agent-leaves",
        path: "answers.2",
        theirs: "*",
        ours: "BYE",
        why: "nobody talks to nobody; the recorded call stayed up until the phone hung up",
    },
    Difference {
        scenarios: "inbound-agent-leaves",
        path: "messages.BYE.*",
        theirs: "-",
        ours: "*",
        why: "what stands in it",
    },
    Difference {
        scenarios: "inbound-agent-leaves",
        path: "messages.200 BYE.*",
        theirs: "*",
        ours: "-",
        why: "of the recorded phone's BYE",
    },
    Difference {
        scenarios: "extra-misc",
        path: "answers.*",
        theirs: "*",
        ours: "*",
        why: "INFO outside a call belongs to none: 481 (RFC 6086 §4.2.2)",
    },
    Difference {
        scenarios: "extra-misc",
        path: "messages.405 INFO.*",
        theirs: "*",
        ours: "-",
        why: "likewise",
    },
    Difference {
        scenarios: "extra-misc",
        path: "messages.481 INFO.*",
        theirs: "-",
        ours: "*",
        why: "likewise",
    },
    Difference {
        scenarios: "extra-misc",
        path: "messages.200 OPTIONS.accept",
        theirs: "-",
        ours: "application/sdp",
        why: "RFC 3261 §11.2",
    },
    Difference {
        scenarios: "extra-reinvite",
        path: "messages.200 INVITE (2).sdp.direction",
        theirs: "sendrecv",
        ours: "recvonly",
        why: "hold is honoured",
    },
    Difference {
        scenarios: "extra-noack",
        path: "others.statuses.*",
        theirs: "*",
        ours: "*",
        why: "a call is active when the phone has acknowledged the 200 (RFC 3261 §13.3.1.4); livekit-sip takes it for granted after three",
    },
    Difference {
        scenarios: "extra-auth-*",
        path: "bus.GetSIPTrunkAuthentication.*.request.call.lkCallId",
        theirs: "<SCL 1>",
        ours: "<SCL 2>",
        why: "the INVITE that was challenged was no call yet; the one with credentials is",
    },
    Difference {
        scenarios: "outbound-transfer-hang",
        path: "bus.TransferSIPParticipant.0.reply.*",
        theirs: "*",
        ours: "-",
        why: "LiveKit gave up at the same moment and hears no answer any more; whoever asked is told the same",
    },
    Difference {
        scenarios: "errors-and-kill",
        path: "errors.create-unreachable-tcp.http",
        theirs: "412",
        ours: "408",
        why: "nobody there is nobody there, by TCP as by UDP; the log says `unreachable`",
    },
    Difference {
        scenarios: "errors-and-kill",
        path: "errors.create-unreachable-tcp.body.code",
        theirs: "failed_precondition",
        ours: "canceled",
        why: "likewise",
    },
    Difference {
        scenarios: "errors-and-kill",
        path: "errors.create-unreachable-tcp.body.msg",
        theirs: "twirp error unknown: transport<TCP> dial err=*",
        ours: "twirp error unknown: sip request timed out",
        why: "likewise",
    },
    Difference {
        scenarios: "*",
        path: "messages.*.user-agent",
        theirs: "*",
        ours: "Trunkline/*",
        why: "says who it is in every message",
    },
    Difference {
        scenarios: "*",
        path: "messages.100 INVITE*.allow",
        theirs: "INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE",
        ours: "-",
        why: "a 100 says that the request came, and no more (RFC 3261 §8.2.6.1)",
    },
    Difference {
        scenarios: "*",
        path: "messages.100 INVITE*.to",
        theirs: "as asked; tag",
        ours: "as asked",
        why: "likewise: the call has its tag with the 180",
    },
    Difference {
        scenarios: "*",
        path: "messages.*.allow",
        theirs: "INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE",
        ours: "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY, PRACK",
        why: "what is taken: both refuse MESSAGE",
    },
    Difference {
        scenarios: "*",
        path: "messages.*.allow",
        theirs: "-",
        ours: "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY, PRACK",
        why: "also where RFC 3261 §13.3.1.4 and §21.4.6 want it, and where they do not mind",
    },
    Difference {
        scenarios: "*",
        path: "messages.REFER.allow",
        theirs: "INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE",
        ours: "-",
        why: "the INVITE, or the 200, has said it",
    },
    Difference {
        scenarios: "*",
        path: "messages.*.contact",
        theirs: "-",
        ours: "*",
        why: "where RFC 3261 §12.1.1 wants it, and where nobody minds",
    },
    Difference {
        scenarios: "outbound-*",
        path: "messages.ACK*.contact",
        theirs: "<sip:<gateway>>",
        ours: "-",
        why: "an ACK moves nobody",
    },
    Difference {
        scenarios: "outbound-*",
        path: "messages.*.contact",
        theirs: "<sip:<gateway>>",
        ours: "<sip:<trunk's number>@<gateway>>",
        why: "who calls",
    },
    Difference {
        scenarios: "outbound-auth",
        path: "messages.ACK (2).proxy-authorization",
        theirs: "-",
        ours: "*",
        why: "an ACK has the INVITE's credentials (RFC 3261 §13.2.2.4)",
    },
    Difference {
        scenarios: "*",
        path: "messages.*.via",
        theirs: "SIP/2.0/UDP <gateway>;alias;branch=*",
        ours: "SIP/2.0/UDP <gateway>;branch=**",
        why: "`alias` is for connections (RFC 5923); but for the ACK of a 200 we ask for the port (RFC 3581)",
    },
    Difference {
        scenarios: "extra-*",
        path: "messages.*.via",
        theirs: "as asked; received, rport",
        ours: "as asked",
        why: "the phone that is played in its place does not ask for its port",
    },
    Difference {
        scenarios: "outbound-*",
        path: "messages.200 *.via",
        theirs: "as asked; received, rport",
        ours: "as asked",
        why: "likewise",
    },
    Difference {
        scenarios: "*",
        path: "messages.*.reason",
        theirs: "-",
        ours: "SIP;cause=200;text=*",
        why: "why the call ends (RFC 3326)",
    },
    Difference {
        scenarios: "outbound-*",
        path: "messages.INVITE*.supported",
        theirs: "-",
        ours: "timer, 100rel",
        why: "session timers (RFC 4028) and reliable answers (RFC 3262)",
    },
    Difference {
        scenarios: "outbound-*",
        path: "messages.INVITE*.session-expires",
        theirs: "-",
        ours: "1800",
        why: "likewise",
    },
    Difference {
        scenarios: "outbound-*",
        path: "messages.INVITE*.min-se",
        theirs: "-",
        ours: "90",
        why: "likewise",
    },
    Difference {
        scenarios: "*",
        path: "messages.*INVITE*.sdp.s",
        theirs: "LiveKit",
        ours: "trunkline",
        why: "a name",
    },
    Difference {
        scenarios: "*",
        path: "messages.*INVITE*.sdp.fmtp:101",
        theirs: "0-16",
        ours: "0-15",
        why: "the sixteen keys; a flash of the hook is none",
    },
    Difference {
        scenarios: "*",
        path: "bus.*.older.*",
        theirs: "*",
        ours: "-",
        why: "fields of older servers, which say again what `call` says",
    },
    Difference {
        scenarios: "*",
        path: "bus.UpdateSIPCallState.*",
        theirs: "*",
        ours: "-",
        why: "livekit-server does nothing with it",
    },
    Difference {
        scenarios: "*",
        path: "bus.*.seconds",
        theirs: "3.0",
        ours: "123.0",
        why: "the answer is waited for as long; clocks may differ by two minutes",
    },
    Difference {
        scenarios: "*",
        path: "others.changes.trunkline.end.*",
        theirs: "-",
        ours: "*",
        why: "what Trunkline's agents and records read",
    },
    Difference {
        scenarios: "*",
        path: "*.attributes.trunkline.*",
        theirs: "-",
        ours: "*",
        why: "likewise",
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
