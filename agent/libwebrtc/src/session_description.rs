//! Session descriptions as text with a type.

use std::{fmt, str::FromStr};

use crate::engine::sdp::Sdp;

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum SdpType {
    Offer,
    PrAnswer,
    Answer,
    Rollback,
}

impl FromStr for SdpType {
    type Err = &'static str;

    fn from_str(sdp_type: &str) -> Result<Self, Self::Err> {
        match sdp_type {
            "offer" => Ok(Self::Offer),
            "pranswer" => Ok(Self::PrAnswer),
            "answer" => Ok(Self::Answer),
            "rollback" => Ok(Self::Rollback),
            _ => Err("invalid SdpType"),
        }
    }
}

impl fmt::Display for SdpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offer => "offer",
            Self::PrAnswer => "pranswer",
            Self::Answer => "answer",
            Self::Rollback => "rollback",
        })
    }
}

#[derive(Clone, Debug)]
pub struct SessionDescription {
    sdp_type: SdpType,
    sdp: String,
}

#[derive(Clone, thiserror::Error, Debug)]
#[error("Failed to parse sdp: {line} - {description}")]
pub struct SdpParseError {
    pub line: String,
    pub description: String,
}

impl SessionDescription {
    pub fn parse(sdp: &str, sdp_type: SdpType) -> Result<Self, SdpParseError> {
        Sdp::parse(sdp)?;
        Ok(Self::new(sdp_type, sdp.into()))
    }

    pub(crate) fn new(sdp_type: SdpType, sdp: String) -> Self {
        Self { sdp_type, sdp }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.sdp
    }

    pub fn sdp_type(&self) -> SdpType {
        self.sdp_type
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sdp)
    }
}
