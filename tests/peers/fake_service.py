"""What the fakes of cloud services share: an HTTP/1.1 server, faults on demand, and sign-in by OAuth 2.

A fake is a `Service` that answers requests; `serve` runs it. Below `/_control/` tests steer it, with JSON in and out:

- `fault` {"match": start of "METHOD /path?query", "after": how many to let pass, "times": how often, and one of
  "status" (with "headers" and "body", JSON or a string), "lose_reply": true, "cut_request": bytes, "cut_reply": bytes,
  "corrupt": true}; faults that match are used up in the order they came in. `clear` drops them.
- `requests`: "METHOD /path?query" of each request since it was last asked; `count`: how many there were in all.
- `revoke`: every token dies; `expire`: every access token dies; `grant`: the refresh token of the tests works again;
  `rotate` {"on": true}: each refresh gives a new refresh token and ends the old one.

The sign-in follows RFC 6749 and RFC 7636 (PKCE), and is stricter than services are: PKCE and `state` have to be there.
"""

import base64
import collections
import hashlib
import http
import http.server
import json
import re
import secrets
import sys
import threading
import time
import traceback
import urllib.parse

CLIENT_ID = "tester-client"
CLIENT_SECRET = "tester-secret"
REFRESH_TOKEN = "tester-refresh"

CONTROL = "/_control/"
REMEMBERED_REQUESTS = 100_000
CODE_LIFETIME = 600
REDIRECT = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]|https://[^/?#]+/")


class Request:
    """A request, its body read whole. The path is percent-encoded still, the query isn't."""

    def __init__(self, method, target, headers):
        self.method = method
        self.target = target
        self.headers = headers
        self.path, _, query = target.partition("?")
        self.query = urllib.parse.parse_qsl(query, keep_blank_values=True)
        self.body = b""

    @property
    def host(self):
        return self.headers.get("Host", "")

    @property
    def content_type(self):
        """Without its parameters, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def form(self):
        """The fields of a form in the body, or None if there is no form."""
        if self.content_type != "application/x-www-form-urlencoded":
            return None
        return dict(urllib.parse.parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


class Reply:
    """A reply; a body that is neither bytes nor a string goes out as JSON."""

    def __init__(self, status=200, headers=None, body=b""):
        self.status = status
        self.headers = dict(headers or {})
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            self.headers.setdefault("Content-Type", "application/json; charset=UTF-8")
        self.body = body


class Refused(Exception):
    """Ends the work on a request with this reply."""

    def __init__(self, status, headers=None, body=b""):
        super().__init__(status)
        self.reply = Reply(status, headers, body)


class SignIn:
    """Who may use the service: the authorization, token and revocation endpoints of OAuth 2, and the tokens they gave.

    - `scopes`: all there are; an authorization without `scope` gets those of `default_scopes`, if there are any.
    - `offline`: the parameters without which an authorization brings no refresh token.
    - `parameters`: further parameters that an authorization may have.
    - `needs_redirect`: whether there has to be a `redirect_uri`; without one the code is shown on a page.
    - `needs_secret`: whether the client has to name its secret although it uses PKCE.
    - `token_fields`: what else stands in the reply that brings the first tokens.
    """

    def __init__(
        self,
        scopes,
        offline,
        expires_in,
        default_scopes=(),
        parameters=(),
        needs_redirect=True,
        needs_secret=True,
        token_fields=None,
    ):
        self.scopes = set(scopes)
        self.default_scopes = default_scopes
        self.offline = offline
        self.expires_in = expires_in
        self.needs_redirect = needs_redirect
        self.needs_secret = needs_secret
        self.token_fields = token_fields or {}
        self.parameters = {"response_type", "client_id", "redirect_uri", "scope", "state"}
        self.parameters |= {"code_challenge", "code_challenge_method", *offline, *parameters}
        self.rotates = False
        self.codes = {}
        self.access_tokens = {}  # each with its scopes and when it expires
        self.refresh_tokens = {}  # each with its scopes
        self.grant()

    def grant(self):
        self.refresh_tokens[REFRESH_TOKEN] = set(self.default_scopes or self.scopes)

    def expire(self):
        for token, (scopes, _) in self.access_tokens.items():
            self.access_tokens[token] = scopes, 0

    def revoke_all(self):
        self.access_tokens.clear()
        self.refresh_tokens.clear()
        self.codes.clear()

    def check(self, token):
        """The scopes of an access token; raises KeyError if it is unknown, TimeoutError if it has expired."""
        scopes, end = self.access_tokens[token]
        if end <= time.time():
            raise TimeoutError
        return scopes

    def authorize(self, request):
        """The page on which a person consents, who does so at once."""
        asked = dict(request.query)
        if len(asked) != len(request.query):
            raise self._bad_page("a parameter stands there twice")
        for name in asked:
            if name not in self.parameters:
                raise self._bad_page(f"unknown parameter {name}")
        for name, value in {"response_type": "code", "client_id": CLIENT_ID, "code_challenge_method": "S256"}.items():
            if asked.get(name) != value:
                raise self._bad_page(f"{name} has to be {value}")
        if not asked.get("state"):
            raise self._bad_page("state is missing")
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", asked.get("code_challenge", "")):
            raise self._bad_page("code_challenge isn't an S256 challenge")
        scopes = set(asked.get("scope", "").split()) or set(self.default_scopes)
        if not scopes or not scopes <= self.scopes:
            raise self._bad_page("scope is missing or unknown")
        redirect = asked.get("redirect_uri")
        if redirect is None and self.needs_redirect:
            raise self._bad_page("redirect_uri is missing")
        if redirect is not None and not REDIRECT.match(redirect):
            raise self._bad_page("redirect_uri has to be on https or on this machine")

        code = secrets.token_urlsafe(24)
        offline = all(asked.get(name) == value for name, value in self.offline.items())
        self.codes[code] = {
            "challenge": asked["code_challenge"],
            "redirect": redirect,
            "scopes": scopes,
            "offline": offline,
            "end": time.time() + CODE_LIFETIME,
        }
        if redirect is None:
            return Reply(200, {"Content-Type": "text/plain"}, f"code: {code}")
        separator = "&" if "?" in redirect else "?"
        answer = urllib.parse.urlencode({"state": asked["state"], "code": code})
        return Reply(302, {"Location": redirect + separator + answer})

    def token(self, request):
        """Gives tokens for a code or a refresh token."""
        form = request.form() if request.method == "POST" else None
        if form is None:
            raise self._bad("invalid_request", "it takes a POST with a form")
        self._check_client(request, form)
        kind = form.get("grant_type")
        if kind == "authorization_code":
            return self._redeem_code(form)
        if kind == "refresh_token":
            return self._refresh(form)
        raise self._bad("unsupported_grant_type", f"Invalid grant_type: {kind}")

    def revoke(self, request):
        """Ends a token as RFC 7009 says; whichever it is, all tokens of the consent die with it."""
        token = (request.form() or dict(request.query)).get("token")
        if token not in self.access_tokens and token not in self.refresh_tokens:
            raise self._bad("invalid_token", "Token expired or revoked")
        self.revoke_all()
        return Reply(200, body={})

    def _check_client(self, request, form):
        client, secret = form.get("client_id"), form.get("client_secret")
        header = request.headers.get("Authorization", "")
        if header.startswith("Basic "):
            pair = base64.b64decode(header[len("Basic ") :]).decode().partition(":")
            client, secret = urllib.parse.unquote(pair[0]), urllib.parse.unquote(pair[2])
        may_lack_secret = not self.needs_secret and secret is None
        if client != CLIENT_ID or secret != CLIENT_SECRET and not may_lack_secret:
            description = "The OAuth client was not found or its secret is wrong."
            raise Refused(401, body={"error": "invalid_client", "error_description": description})

    def _redeem_code(self, form):
        # A code that was tried is used up, whatever came of it.
        code = self.codes.pop(form.get("code"), None)
        if code is None or code["end"] < time.time():
            raise self._bad("invalid_grant", "Malformed, expired or used auth code.")
        if form.get("redirect_uri") != code["redirect"]:
            error = "redirect_uri_mismatch" if self.needs_redirect else "invalid_grant"
            raise self._bad(error, "Not the same redirect_uri.")
        verifier = form.get("code_verifier", "")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) or challenge != code["challenge"]:
            raise self._bad("invalid_grant", "Missing or invalid code verifier.")
        reply = self.new_access(code["scopes"]) | self.token_fields
        if code["offline"]:
            reply["refresh_token"] = self._new_refresh(code["scopes"])
        return Reply(200, body=reply)

    def _refresh(self, form):
        old = form.get("refresh_token")
        scopes = self.refresh_tokens.get(old)
        if scopes is None:
            raise self._bad("invalid_grant", "Token has been expired or revoked.")
        reply = self.new_access(scopes)
        if self.rotates:
            reply["refresh_token"] = self._new_refresh(scopes)
            del self.refresh_tokens[old]
        return Reply(200, body=reply)

    def new_access(self, scopes):
        token = "access-" + secrets.token_urlsafe(24)
        self.access_tokens[token] = scopes, time.time() + self.expires_in
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": " ".join(sorted(scopes)),
        }

    def _new_refresh(self, scopes):
        token = "refresh-" + secrets.token_urlsafe(24)
        self.refresh_tokens[token] = scopes
        return token

    @staticmethod
    def _bad(error, description):
        return Refused(400, body={"error": error, "error_description": description})

    @staticmethod
    def _bad_page(reason):
        return Refused(400, {"Content-Type": "text/plain"}, f"Error 400: invalid_request: {reason}")


class Fault:
    """What goes wrong with some of the requests, as a test asked for it."""

    ACTS = ("status", "lose_reply", "cut_request", "cut_reply", "corrupt")

    def __init__(self, *, match, after=0, times=1, headers=None, body="", **act):
        if len(act) != 1 or next(iter(act)) not in self.ACTS:
            raise ValueError(f"a fault needs one of {', '.join(self.ACTS)}")
        self.match = match
        self.after = after
        self.times = times
        self.act, self.value = next(iter(act.items()))
        self.reply = Reply(self.value, headers, body) if self.act == "status" else None

    def meets(self, line):
        """Whether it happens to this request; counts the requests it could have happened to."""
        if not line.startswith(self.match) or self.times <= 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


class Service:
    """A fake service, without a sign-in of OAuth 2 if that is None. One thread at a time is in it: `state` is held, and may be
    waited on, while it answers."""

    def __init__(self, sign_in):
        self.sign_in = sign_in
        self.state = threading.Condition()
        self.faults = []
        self.requests = collections.deque(maxlen=REMEMBERED_REQUESTS)
        self.count = 0
        self.controls = {
            "fault": lambda **fault: self.faults.append(Fault(**fault)),
            "clear": self.faults.clear,
            "requests": self._take_requests,
            "count": lambda: self.count,
        }
        if sign_in is not None:
            self.controls |= {
                "revoke": sign_in.revoke_all,
                "expire": sign_in.expire,
                "grant": sign_in.grant,
                "rotate": lambda on: setattr(sign_in, "rotates", on),
            }

    def answer(self, request):
        """The reply to a request; may raise `Refused`. Each fake has its own."""
        raise NotImplementedError

    def cut_off(self, request):
        """Told of a request of which only the start of the body came."""

    def control(self, what, arguments):
        """Does what a test asks: `controls` names a function for each, which takes the fields of the body by name."""
        if what not in self.controls:
            raise Refused(404, body={"error": f"no control {what}"})
        try:
            return self.controls[what](**arguments)
        except (LookupError, TypeError, ValueError) as error:
            raise Refused(400, body={"error": f"{what}: {error!r}"}) from error

    def meet(self, line):
        """Takes note of a request, and gives the fault that happens to it, if any."""
        self.requests.append(line)
        self.count += 1
        # Not `any`: only the first that meets it is used up.
        return next((fault for fault in self.faults if fault.meets(line)), None)

    def _take_requests(self):
        taken = list(self.requests)
        self.requests.clear()
        return taken


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_request(self):
        service = self.server.service
        request = Request(self.command, self.path, self.headers)
        if request.path.startswith(CONTROL):
            request.body = self.read_body()
            with service.state:
                self.send(self.reply_of(lambda: self.run_control(request)))
            return

        with service.state:
            fault = service.meet(f"{request.method} {request.target}")
        act, value = (fault.act, fault.value) if fault else (None, None)
        if act == "cut_request":
            request.body = self.read_body(limit=value)
            with service.state:
                service.cut_off(request)
            self.close_connection = True
            return
        request.body = self.read_body()
        if act == "status":
            reply = fault.reply
        else:
            with service.state:
                reply = self.reply_of(lambda: service.answer(request))
        if act == "lose_reply":
            self.close_connection = True
            return
        if act == "corrupt" and reply.body:
            middle = len(reply.body) // 2
            flipped = bytes([reply.body[middle] ^ 1])
            body = reply.body[:middle] + flipped + reply.body[middle + 1 :]
            reply = Reply(reply.status, reply.headers, body)
        self.send(reply, cut_after=value if act == "cut_reply" else None)

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = handle_request

    def run_control(self, request):
        arguments = json.loads(request.body or b"{}") or {}
        return Reply(body=self.server.service.control(request.path[len(CONTROL) :], arguments))

    @staticmethod
    def reply_of(answer):
        try:
            return answer()
        except Refused as refused:
            return refused.reply
        except Exception:  # a fault of the fake itself: the test has to see it
            traceback.print_exc()
            return Reply(500, {"Content-Type": "text/plain"}, "the fake has failed:\n" + traceback.format_exc())

    def read_body(self, limit=None):
        """The body of the request, or the first `limit` bytes of it."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            length = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(length if limit is None else min(length, limit))
        body = bytearray()
        while limit is None or len(body) < limit:
            size = int(self.rfile.readline().partition(b";")[0], 16)
            body += self.rfile.read(size)
            # The line's end after a chunk, or the empty line after the last one.
            while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                pass
            if size == 0:
                break
        return bytes(body[:limit])

    def send(self, reply, cut_after=None):
        """Sends a reply in one piece: two would cost a client a delayed acknowledgement."""
        try:
            phrase = http.HTTPStatus(reply.status).phrase
        except ValueError:
            phrase = "Unknown"
        has_body = reply.status >= 200 and reply.status not in (204, 304)
        fields = {"Date": self.date_time_string(), **reply.headers}
        if has_body:
            fields["Content-Length"] = str(len(reply.body))
        if cut_after is not None:
            self.close_connection = True
        head = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        body = reply.body if has_body and self.command != "HEAD" else b""
        self.wfile.write("\r\n".join(head).encode("latin-1") + body[:cut_after])

    def log_message(self, *_):
        """Says nothing: the log is for failures."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, service, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.service = service

    def handle_error(self, *_):
        # A client that goes away in the middle is no failure of the fake.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()


def serve(service, port):
    """Runs a fake on the loopback address until the process ends."""
    Server(service, port).serve_forever()
