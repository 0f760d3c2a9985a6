/// Installs the process's one TLS provider and one token provider (both aws-lc). Call it first in every `main` and in
/// every test that may touch TLS or tokens; calling it again does nothing.
///
/// Without it, two rustls providers are linked (ring by dependencies, aws-lc by others) and the first TLS client of any
/// kind panics; and LiveKit's token code lazily installs a provider that can sign HMAC only, which breaks every later
/// RS256 token of the process.
pub fn install_providers() {
    // An error only says that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

#[cfg(test)]
mod tests {
    #[test]
    fn installing_twice_is_harmless() {
        super::install_providers();
        super::install_providers();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
