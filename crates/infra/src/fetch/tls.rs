//! Whom to believe that a server is who it says.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The certificates of `ca_file` (PEM), or else the system's. Reads files.
pub(crate) fn roots(ca_file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<CertificateDer<'static>> = match ca_file {
        None => rustls_native_certs::load_native_certs().certs,
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|e| format!("ca_file {}: {e}", file.display()))?,
    };
    // One that is of no use does not spoil the others.
    let usable: Vec<_> =
        found.into_iter().filter(|c| RootCertStore::empty().add(c.clone()).is_ok()).collect();
    match (usable.is_empty(), ca_file) {
        (false, _) => Ok(usable),
        (true, Some(file)) => Err(format!("ca_file {}: there is no certificate in it", file.display())),
        (true, None) => {
            Err("this system has no certificates of authorities: install ca-certificates, or set ca_file"
                .to_owned())
        }
    }
}

/// How a client speaks TLS 1.2 and 1.3 with servers that one of `roots` vouches for.
pub(super) fn client(roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
