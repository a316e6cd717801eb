//! A certificate authority that nobody knows, and a server's certificate from it.

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::process::Command;
use std::sync::Arc;

/// Prints the authority's certificate, the server's and its key. The library comes with moto.
const SCRIPT: &str = r#"
import datetime, ipaddress
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

def certify(name, key, issuer, issuer_key, *extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    name, issuer = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, it)]) for it in (name, issuer))
    builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number(),
        now - datetime.timedelta(days=1), now + datetime.timedelta(days=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    print(builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode())

ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
certify("authority", ca_key, "authority", ca_key, x509.BasicConstraints(True, None))
certify("server", key, "authority", ca_key, x509.BasicConstraints(False, None),
    x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]))
print(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption()).decode())
"#;

/// The authority's certificate in PEM, and what a server on 127.0.0.1 needs.
pub fn unknown_authority() -> (String, Arc<ServerConfig>) {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/python/bin/python");
    let output = Command::new(python).args(["-c", SCRIPT]).output();
    let output = output.unwrap_or_else(|error| panic!("{error}: run tests/run --install"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let (authority, rest) = text.split_at(text.find(end).unwrap() + end.len());
    let certificate = CertificateDer::from_pem_slice(rest.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(rest.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (authority.to_owned(), Arc::new(config))
}
