//! The types of `trunks` and `dispatch_rules`: LiveKit's own objects, with names for ids. `Debug` shows names alone, since the
//! objects hold passwords and telephone numbers.

use std::fmt;

use livekit_protocol as proto;

use crate::Secret;

/// What the LiveKit server should know of the telephone network. Names are unique within each list.
#[derive(Debug, Clone, Default)]
pub struct Telephony {
    /// `trunks.inbound`: whose calls are let in.
    pub inbound: Vec<InboundTrunk>,
    /// `trunks.outbound`: where calls go out.
    pub outbound: Vec<OutboundTrunk>,
    /// `dispatch_rules`: which room a call goes to.
    pub rules: Vec<DispatchRule>,
}

/// An entry of `trunks.inbound`. Made with what no key sets left at LiveKit's default, and without id or times.
#[derive(Clone)]
pub struct InboundTrunk {
    /// LiveKit's object without its password.
    pub(super) info: proto::SipInboundTrunkInfo,
    pub(super) password: Option<Secret>,
}

/// An entry of `trunks.outbound`, as [`InboundTrunk`] is.
#[derive(Clone)]
pub struct OutboundTrunk {
    pub(super) info: proto::SipOutboundTrunkInfo,
    pub(super) password: Option<Secret>,
}

/// An entry of `dispatch_rules`. It names its trunks; their ids are the server's.
#[derive(Clone)]
pub struct DispatchRule {
    pub(super) info: proto::SipDispatchRuleInfo,
    /// `trunks`: names of [`Telephony::inbound`], or ids (`ST_…`) of trunks that are not in the file. Empty only where the
    /// file says `any_trunk`.
    pub trunks: Vec<String>,
}

impl Telephony {
    /// The passwords of all trunks.
    pub fn passwords(&self) -> impl Iterator<Item = &Secret> {
        let inbound = self.inbound.iter().filter_map(|trunk| trunk.password.as_ref());
        inbound.chain(self.outbound.iter().filter_map(|trunk| trunk.password.as_ref()))
    }

    /// Whether the file says anything of trunks and rules.
    pub fn is_empty(&self) -> bool {
        self.inbound.is_empty() && self.outbound.is_empty() && self.rules.is_empty()
    }
}

impl InboundTrunk {
    /// What the trunk is known by.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// LiveKit's object with its password: for LiveKit alone.
    pub fn object(&self) -> proto::SipInboundTrunkInfo {
        proto::SipInboundTrunkInfo {
            auth_password: exposed(self.password.as_ref()),
            ..self.info.clone()
        }
    }
}

impl OutboundTrunk {
    /// What the trunk is known by.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// LiveKit's object with its password: for LiveKit alone.
    pub fn object(&self) -> proto::SipOutboundTrunkInfo {
        proto::SipOutboundTrunkInfo {
            auth_password: exposed(self.password.as_ref()),
            ..self.info.clone()
        }
    }
}

impl DispatchRule {
    /// What the rule is known by.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// LiveKit's object for trunks of these ids.
    pub fn object(&self, trunk_ids: Vec<String>) -> proto::SipDispatchRuleInfo {
        proto::SipDispatchRuleInfo {
            trunk_ids,
            ..self.info.clone()
        }
    }
}

fn exposed(password: Option<&Secret>) -> String {
    password.map_or_else(String::new, |password| password.expose().to_owned())
}

macro_rules! debug_by_name {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("name", &self.name()).finish_non_exhaustive()
            }
        }
    )*};
}

debug_by_name!(InboundTrunk, OutboundTrunk, DispatchRule);
