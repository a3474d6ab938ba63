//! TLS of calls: rustls with `ring`, and the authorities that browsers trust.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The authorities that browsers trusted when crmflow was built.
pub fn roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// A TLS configuration that trusts these authorities.
pub fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
