//! The types of `calls`: what may be called, and how much.

use std::time::Duration;

use super::access::NumberPrefix;

/// `calls`: outbound calls and transfers over the HTTP API.
#[derive(Debug, Clone)]
pub struct CallsConfig {
    /// `targets`: what may be called and transferred to. Default: nothing.
    pub targets: Targets,
    /// `trunks`: LiveKit's ids of the outbound trunks that may be used. Default: none.
    pub trunks: Vec<String>,
    /// `from`: what may be shown to phones besides the trunk's numbers; `*`: anything. Default: none.
    pub from: Vec<String>,
    /// `per_trunk`: calls at the same time over one trunk. Default 10.
    pub per_trunk: u32,
    /// `per_number`: calls at the same time to one number. Default 1.
    pub per_number: u32,
    /// `max_duration`: the longest that a call may last. 1 m to 24 h, default `1h`.
    pub max_duration: Duration,
    /// `ringing_timeout`: the longest that it may ring. 5 s to 80 s, default `45s`.
    pub ringing_timeout: Duration,
}

impl Default for CallsConfig {
    fn default() -> Self {
        Self {
            targets: Targets::default(),
            trunks: Vec::new(),
            from: Vec::new(),
            per_trunk: 10,
            per_number: 1,
            max_duration: Duration::from_hours(1),
            ringing_timeout: Duration::from_secs(45),
        }
    }
}

/// `calls.targets`.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// `numbers`: prefixes of E.164.
    pub numbers: Vec<NumberPrefix>,
    /// `sip_hosts`: host names (with a port, when it is another than 5060) of SIP URIs, to the letter.
    pub sip_hosts: Vec<String>,
    /// `special`: emergency and premium numbers that are allowed all the same, as prefixes with or without `+`. Default: none.
    pub special: Vec<String>,
}
