//! TLS for SIP: our certificate, which may change while we run, and the authorities that we trust.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

/// Longest file that is read, in bytes. Chains and lists of authorities are shorter.
const MAX_FILE: u64 = 1024 * 1024;

/// Why a certificate, its key or a list of authorities cannot be used. Nothing of their content is shown.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is longer than 1 MiB", path.display())]
    TooLong { path: PathBuf },
    #[error("{} holds no certificate in PEM", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds no private key in PEM", path.display())]
    NoKey { path: PathBuf },
    #[error("the certificate in {} does not go with the key in {}", certificate.display(), key.display())]
    Mismatch {
        certificate: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// Our certificate with its key, as two PEM files have it. Connections that stand keep the one that they began with.
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Current>,
}

struct Current {
    certified: Arc<CertifiedKey>,
    /// The files' content, to see whether it has changed.
    files: Files,
}

#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads both files. Blocks: for the start, before anything is served.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files::read(certificate, key)?;
        let current = Current {
            certified: files.certified(certificate, key)?,
            files,
        };
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: RwLock::new(current),
        })
    }

    /// Reads both files again and takes what they hold for new connections; whether it is another certificate. Blocks.
    ///
    /// # Errors
    /// [`TlsError`]; the certificate stays the one it was. Worth another try: two files are not replaced at the same moment.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let files = Files::read(&self.certificate, &self.key)?;
        if self.current.read().files == files {
            return Ok(false);
        }
        let certified = files.certified(&self.certificate, &self.key)?;
        *self.current.write() = Current { certified, files };
        Ok(true)
    }

    /// For those who connect to us.
    pub(crate) fn server(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().certified))
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(certificate)?,
            key: read(key)?,
        })
    }

    fn certified(&self, certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain = certificates(&self.certificate, certificate)?;
        let private =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::NoKey { path: key.to_owned() })?;
        // It compares the two.
        let certified =
            CertifiedKey::from_der(chain, private, &provider()).map_err(|source| TlsError::Mismatch {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                source,
            })?;
        Ok(Arc::new(certified))
    }
}

/// Whom we trust when we connect to others.
#[derive(Clone)]
pub struct Authorities(Arc<ClientConfig>);

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorities(..)")
    }
}

impl Authorities {
    /// Those of a PEM file and nobody else; without a file, those of Mozilla's list. Blocks.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub fn load(file: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        match file {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let (taken, _) = roots.add_parsable_certificates(certificates(&read(path)?, path)?);
                if taken == 0 {
                    return Err(TlsError::NoCertificate {
                        path: path.to_owned(),
                    });
                }
            }
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(TlsError::TooLong {
            path: path.to_owned(),
        });
    }
    std::fs::read(path).map_err(failed)
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| TlsError::NoCertificate {
            path: path.to_owned(),
        })
}
