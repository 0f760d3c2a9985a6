//! The DTLS certificate: one for the process, since a server that makes one for each call spends milliseconds on it and gains nothing.

use std::{fmt::Write as _, sync::Arc, sync::OnceLock};

use str0m::{
    config::{CryptoProvider, DtlsCert},
    crypto::from_feature_flags,
};

use super::internal;
use crate::RtcError;

pub(crate) struct Identity {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) certificate: DtlsCert,
    /// As an SDP attribute (RFC 8122 §5): `sha-256 AB:CD:…`.
    pub(crate) fingerprint: String,
}

/// # Errors
/// `Internal` when no certificate can be made.
pub(crate) fn identity() -> Result<&'static Identity, RtcError> {
    static IDENTITY: OnceLock<Option<Identity>> = OnceLock::new();
    let identity = IDENTITY.get_or_init(Identity::generate);
    identity
        .as_ref()
        .ok_or_else(|| internal("no DTLS certificate can be made"))
}

impl Identity {
    fn generate() -> Option<Self> {
        let provider = from_feature_flags();
        let certificate = provider.dtls_provider.generate_certificate()?;
        let digest = provider.sha256_provider.sha256(&certificate.certificate);
        let mut fingerprint = String::from("sha-256 ");
        for (position, byte) in digest.iter().enumerate() {
            let separator = if position == 0 { "" } else { ":" };
            let _ = write!(fingerprint, "{separator}{byte:02X}");
        }
        Some(Self {
            provider: Arc::new(provider),
            certificate,
            fingerprint,
        })
    }
}
