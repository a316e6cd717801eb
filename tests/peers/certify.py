"""Prints what a server on 127.0.0.1 needs for TLS: its certificate, its key, and the certificate of an authority that
nobody knows. The library comes with moto."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM, PKCS8, PLAIN = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


def certify(name, key, issuer, issuer_key, *extensions):
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    name, issuer = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, it)]) for it in (name, issuer))
    serial = x509.random_serial_number()
    builder = x509.CertificateBuilder(issuer, name, key.public_key(), serial, now - day, now + day)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    print(builder.sign(issuer_key, hashes.SHA256()).public_bytes(PEM).decode(), end="")


authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
certify("server", key, "authority", authority_key, x509.BasicConstraints(False, None), address)
print(key.private_bytes(PEM, PKCS8, PLAIN).decode(), end="")
certify("authority", authority_key, "authority", authority_key, x509.BasicConstraints(True, None))
