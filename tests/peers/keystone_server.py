"""keystone_server.py FOLDER PORT USER PASSWORD: Keystone, and a Swift that believes it, on the loopback address.

PORT speaks both versions of the identity service: /v3 is Keystone's own, and /v2.0, which Keystone has dropped, is put into its
words. USER is in the project "nas" of the domain "Default"; the catalogue has its Swift in the region "one", and nothing in "two".
FOLDER/application-credential gets the id of an application credential, whose secret is the password, too.
"""

import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

folder, port, user, password = sys.argv[1:]
programs = Path(sys.executable).parent
here = Path(__file__).parent

CONF = """
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = false
"""

APPLICATION = """
import sys
sys.argv = ["keystone", "--config-file", "{folder}/keystone.conf"]
from keystone.server.wsgi import initialize_public_application
application = initialize_public_application()
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(url):
    for _ in range(600):
        try:
            return urllib.request.urlopen(url).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{url} doesn't answer")


def manage(*arguments):
    subprocess.run([programs / "keystone-manage", "--config-file", f"{folder}/keystone.conf", *arguments], check=True)


def ask(method, path, body=None, token=None):
    """Asks Keystone; gives the header fields and the body of its reply."""
    fields = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(urllib.request.Request(f"{identity}{path}", data, fields, method=method)) as reply:
        text = reply.read()
        return reply.headers, json.loads(text) if text else None


def token_of(name, secret, project):
    domain = {"id": "default"}
    by_password = {"methods": ["password"], "password": {"user": {"name": name, "domain": domain, "password": secret}}}
    body = {"auth": {"identity": by_password, "scope": {"project": {"name": project, "domain": domain}}}}
    return ask("POST", "/auth/tokens", body)[0]["X-Subject-Token"]


def make(kind, token, **fields):
    return ask("POST", f"/{kind}s", {kind: fields}, token)[1][kind]["id"]


def seed():
    admin = token_of("admin", password, "admin")
    roles = {role["name"]: role["id"] for role in ask("GET", "/roles", None, admin)[1]["roles"]}
    store = make("service", admin, type="object-store", name="swift")
    # The first was made with Keystone itself.
    make("region", admin, id="two")
    for region, address in [("one", swift), ("two", "http://127.0.0.1:9")]:
        for interface in ["public", "internal"]:
            url = f"{address}/v1/AUTH_%(project_id)s"
            make("endpoint", admin, service_id=store, interface=interface, region=region, url=url)
    for name, project, role in [(user, "nas", "member"), ("swift", "service", "admin")]:
        project = make("project", admin, name=project, domain_id="default")
        person = make("user", admin, name=name, domain_id="default", password=password)
        ask("PUT", f"/projects/{project}/users/{person}/roles/{roles[role]}", None, admin)
        if name == user:
            own = {"application_credential": {"name": "mooring", "secret": password}}
            made = ask("POST", f"/users/{person}/application_credentials", own, token_of(name, password, "nas"))
            Path(folder, "application-credential").write_text(made[1]["application_credential"]["id"])


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.pass_on(None)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v2.0/tokens":
            self.version_2(json.loads(body)["auth"])
        else:
            self.pass_on(body)

    def pass_on(self, body):
        keystone = http.client.HTTPConnection(urlsplit(identity).netloc)
        keystone.request(self.command, self.path, body, {"Content-Type": "application/json"})
        reply = keystone.getresponse()
        self.answer(reply.status, reply.read(), {"X-Subject-Token": reply.headers.get("X-Subject-Token", "")})

    def answer(self, status, body, fields={}):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **fields}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def version_2(self, auth):
        given = auth.get("passwordCredentials")
        by_key = auth.get("RAX-KSKEY:apiKeyCredentials")
        name, secret = (given["username"], given["password"]) if given else (by_key["username"], by_key["apiKey"])
        domain = {"id": "default"}
        person = {"name": name, "domain": domain, "password": secret}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": person}}}}
        if project := auth.get("tenantName") or (by_key and "nas"):
            body["auth"]["scope"] = {"project": {"name": project, "domain": domain}}
        try:
            fields, told = ask("POST", "/auth/tokens", body)
        except urllib.error.HTTPError as refused:
            return self.answer(refused.code, refused.read())
        catalog = []
        for offer in told["token"].get("catalog", []):
            endpoints = {}
            for each in offer["endpoints"]:
                endpoints.setdefault(each["region"], {"region": each["region"]})[f"{each['interface']}URL"] = each["url"]
            catalog.append({"type": offer["type"], "name": offer["name"], "endpoints": list(endpoints.values())})
        token = {"id": fields["X-Subject-Token"], "expires": told["token"]["expires_at"]}
        access = {"token": token, "serviceCatalog": catalog, "user": {"id": name, "name": name, "roles": []}}
        self.answer(200, json.dumps({"access": access}).encode())


identity = f"http://127.0.0.1:{free_port()}/v3"
swift = f"http://127.0.0.1:{free_port()}"
for name in ["fernet", "credential", "swift"]:
    os.mkdir(f"{folder}/{name}", 0o700)
Path(folder, "keystone.conf").write_text(CONF.format(folder=folder))
Path(folder, "keystone_application.py").write_text(APPLICATION.format(folder=folder))

store = [sys.executable, "-B", here / "swift_server.py", f"{folder}/swift", str(urlsplit(swift).port), "service:swift", password]
subprocess.Popen([*store, identity])
manage("db_sync")
me = ["--keystone-user", str(os.geteuid()), "--keystone-group", str(os.getegid())]
manage("fernet_setup", *me)
manage("credential_setup", *me)
# Swift asks at the internal address.
urls = ["--bootstrap-public-url", identity, "--bootstrap-internal-url", identity]
manage("bootstrap", "--bootstrap-password", password, "--bootstrap-region-id", "one", *urls)
listen = ["--no-control-socket", "-w", "1", "-b", urlsplit(identity).netloc]
subprocess.Popen([programs / "gunicorn", *listen, "keystone_application:application"], cwd=folder)
wait_for(identity)
seed()
wait_for(f"{swift}/healthcheck")
http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Front).serve_forever()
