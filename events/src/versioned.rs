//! Stored and queued JSON that carries a version.

use serde::{Deserialize, de::DeserializeOwned};

/// Why a body cannot be read. No retry cures it.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No JSON, or not the fields of the type.
    #[error("not a {what} (line {line}, column {column})")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// Where reading stopped, counted from 1.
        line: usize,
        /// Where reading stopped, counted from 1.
        column: usize,
    },
    /// Written by newer code than this.
    #[error("{what} version {found} is newer than {newest}, the newest that this program reads: update it")]
    Newer {
        /// What was expected.
        what: &'static str,
        /// The version in the body.
        found: u32,
        /// The newest version that this code reads.
        newest: u32,
    },
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The parser's own message may quote the body, so that only its position is kept.
fn malformed(what: &'static str, error: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed {
        what,
        line: error.line(),
        column: error.column(),
    }
}

/// Reads `body` as a `T` of any version up to `newest`.
pub(crate) fn decode<T: DeserializeOwned>(
    body: &[u8],
    what: &'static str,
    newest: u32,
) -> Result<T, DecodeError> {
    let Version { version } = serde_json::from_slice(body).map_err(|e| malformed(what, &e))?;
    if version > newest {
        return Err(DecodeError::Newer {
            what,
            found: version,
            newest,
        });
    }
    serde_json::from_slice(body).map_err(|e| malformed(what, &e))
}
