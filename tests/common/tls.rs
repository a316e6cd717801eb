//! A certificate authority that nobody knows, and a server's certificate from it.

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::process::Command;
use std::sync::Arc;

/// The authority's certificate in PEM, and what a server on 127.0.0.1 needs.
pub fn unknown_authority() -> (String, Arc<ServerConfig>) {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/python/bin/python");
    let certify = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/certify.py");
    let output = Command::new(python).args(["-B", certify]).output();
    let output = output.unwrap_or_else(|error| panic!("{error}: run tests/run --install"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let certificate = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (authority_of(&text).to_owned(), Arc::new(config))
}

/// A client's side of a session with a server for which `certify.py` printed this.
pub fn client_of(printed: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_of(printed).as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn authority_of(printed: &str) -> &str {
    &printed[printed.rfind("-----BEGIN CERTIFICATE-----").unwrap()..]
}
