"""tls_front.py URL COMMAND...: runs a command for which every host that it asks by TLS is the server at URL.

It is for clients whose hosts can't be moved. The command finds a proxy in its environment, which ends the TLS with a
certificate of an authority that only this command trusts, and passes on what is in it.
"""

import datetime
import os
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
PIECE = 64 * 1024


class Authority:
    """Certifies any host, with one key for all."""

    def __init__(self):
        self.key, self.host_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.certificate = self._certify("authority", self.key, x509.BasicConstraints(True, None))
        self.contexts = {}
        self.lock = threading.Lock()

    def context(self, host):
        """What a server needs to pass for this host."""
        with self.lock:
            if host not in self.contexts:
                names = x509.SubjectAlternativeName([x509.DNSName(host)])
                self.contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                # It takes them from a file only.
                with tempfile.NamedTemporaryFile() as file:
                    file.write(self._certify(host, self.host_key, names))
                    file.write(self.host_key.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
                    file.flush()
                    self.contexts[host].load_cert_chain(file.name)
            return self.contexts[host]

    def _certify(self, name, key, extension):
        subject, issuer = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, it)]) for it in (name, "authority"))
        now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
        serial = x509.random_serial_number()
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), serial, now - day, now + day)
        return builder.add_extension(extension, critical=False).sign(self.key, hashes.SHA256()).public_bytes(PEM)


def read_connect(client):
    """The host that a client asks the proxy for."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        if not piece:
            raise ConnectionError
        head += piece
    method, target, _ = head.decode().split(" ", 2)
    if method != "CONNECT":
        raise ValueError(f"{method} {target}: only TLS goes through here")
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    return target.rpartition(":")[0]


def relay(client, server):
    """Passes on what comes from either, until one of them hangs up."""
    while True:
        # What was decrypted already doesn't make the socket readable.
        ready = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source in ready:
            piece = source.recv(PIECE)
            if not piece:
                return
            (server if source is client else client).sendall(piece)


def serve(client, address, authority):
    try:
        with client, socket.create_connection(address) as server:
            context = authority.context(read_connect(client))
            with context.wrap_socket(client, server_side=True) as decrypted:
                relay(decrypted, server)
    except OSError:
        pass  # clients hang up as they like


def listen(listener, address, authority):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, address, authority), daemon=True).start()


def main(url, *command):
    address = urllib.parse.urlsplit(url)
    authority = Authority()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    threading.Thread(target=listen, args=(listener, (address.hostname, address.port), authority), daemon=True).start()
    proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(authority.certificate)
        file.flush()
        # The variables of OpenSSL and Go, and of Python's requests.
        trust = {"SSL_CERT_FILE": file.name, "REQUESTS_CA_BUNDLE": file.name}
        environment = os.environ | trust | {"HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": "", "no_proxy": ""}
        return subprocess.run(command, env=environment).returncode


sys.exit(main(*sys.argv[1:]))
