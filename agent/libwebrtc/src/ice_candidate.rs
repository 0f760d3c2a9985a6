//! Trickled ICE candidates (RFC 8838).

use std::fmt;

use crate::session_description::SdpParseError;

#[derive(Debug)]
pub struct IceCandidate {
    mid: String,
    mline_index: i32,
    candidate: String,
}

impl IceCandidate {
    /// Never fails: a candidate that cannot be understood is logged and ignored when it is added (RFC 8839 §5.1 wants them tolerated).
    pub fn parse(sdp_mid: &str, sdp_mline_index: i32, sdp: &str) -> Result<Self, SdpParseError> {
        Ok(Self::new(sdp_mid.into(), sdp_mline_index, sdp.into()))
    }

    pub(crate) fn new(mid: String, mline_index: i32, candidate: String) -> Self {
        Self {
            mid,
            mline_index,
            candidate,
        }
    }

    pub fn sdp_mid(&self) -> String {
        self.mid.clone()
    }

    pub fn sdp_mline_index(&self) -> i32 {
        self.mline_index
    }

    pub fn candidate(&self) -> String {
        self.candidate.clone()
    }
}

impl fmt::Display for IceCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.candidate)
    }
}
