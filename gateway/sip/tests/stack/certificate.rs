//! Certificates of an authority that nobody but the tests knows, as files.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        Self {
            certificate: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
            folder: TempDir::new().expect("a folder"),
        }
    }

    /// The authority's own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.write("authority.pem", "CERTIFICATE", &self.certificate)
    }

    /// A certificate for `name` and its key, in the same two files each time. Returns the certificate as it is on the wire.
    pub(crate) fn issue(&self, name: &str) -> (PathBuf, PathBuf, Vec<u8>) {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let files = (
            self.write("certificate.pem", "CERTIFICATE", certificate.der()),
            self.write("key.pem", "PRIVATE KEY", key.serialized_der()),
        );
        (files.0, files.1, certificate.der().to_vec())
    }

    fn write(&self, name: &str, label: &str, der: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        let text = format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", base64(der));
        std::fs::write(&path, text).expect("written");
        path
    }
}

/// In lines of 64 characters (RFC 7468 §2).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for line in bytes.chunks(48) {
        for group in line.chunks(3) {
            let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for digit in 0..4 {
                if digit <= group.len() {
                    let value = bits >> (18 - 6 * digit) & 63;
                    let digit = DIGITS.get(usize::try_from(value).expect("6 bits"));
                    text.push(char::from(*digit.expect("of 64")));
                } else {
                    text.push('=');
                }
            }
        }
        text.push('\n');
    }
    text
}
