"""s3_front.py DIALECT PORT USER PASSWORD BACKEND: a service that speaks a dialect of S3, in front of a real S3 server.

It checks each request as the service does (`s3_dialects.py`), says it in plain S3 to the server at BACKEND (`http://host:port
user password`), and the answer in the dialect again. What is kept, listed, joined and refused is so by the real server.
"""

import http.client
import http.server
import sys
import threading
import time
import urllib.parse

from s3_dialects import DIALECTS, Refusal, sign_v4

# What concerns one connection only, is made anew on each, or tells of the real server.
OF_REPLY = {"connection", "content-length", "date", "server", "transfer-encoding", "x-amz-id-2", "x-openstack-request-id", "x-trans-id"}


class Request:
    """A request whose body has been read, seen from the service: which bucket and key it means, and nothing encoded."""

    def __init__(self, method, target, headers, body):
        self.method, self.body = method, body
        self.raw_path, _, self.raw_query = target.partition("?")
        self.path = urllib.parse.unquote(self.raw_path)
        pairs = (pair.partition("=") for pair in self.raw_query.split("&") if pair)
        self.query = [(urllib.parse.unquote(name), urllib.parse.unquote(value)) for name, _, value in pairs]
        self.headers = {name.lower(): value.encode("latin-1").decode() for name, value in headers.items()}
        if len(self.headers) != len(headers.items()):
            raise Refusal(400, "InvalidArgument", "a header field stands there twice")
        self.bucket, self.key = "", ""

    def asks(self, name):
        return any(each == name for each, _ in self.query)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


class Backend:
    """The real server; each thread has a connection to it."""

    def __init__(self, text):
        url, self.user, self.password = text.split()
        self.host = urllib.parse.urlsplit(url).netloc
        self.local = threading.local()

    def call(self, method, bucket, key="", query=(), headers=(), body=b""):
        path = urllib.parse.quote(f"/{bucket}/{key}" if bucket else "/", safe="/-_.~")
        quoted = sorted((urllib.parse.quote(name, safe="-_.~"), urllib.parse.quote(value, safe="-_.~")) for name, value in query)
        query = "&".join(f"{name}={value}" for name, value in quoted)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {**dict(headers), "host": self.host, "x-amz-date": stamp, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
        scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
        signature = sign_v4(self.password, scope, method, path, query, headers, sorted(headers))
        signed = ";".join(sorted(headers))
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.user}/{scope}, SignedHeaders={signed}, Signature={signature}"
        headers["content-length"] = str(len(body))
        for attempt in range(2):
            connection = getattr(self.local, "connection", None) or http.client.HTTPConnection(self.host, timeout=120)
            self.local.connection = connection
            try:
                connection.putrequest(method, path + (query and "?" + query), skip_host=True, skip_accept_encoding=True)
                for name, value in headers.items():
                    connection.putheader(name, value.encode())
                connection.endheaders(body or None)
                reply = connection.getresponse()
                return Reply(reply.status, dict((name.lower(), value) for name, value in reply.getheaders()), reply.read())
            except (http.client.HTTPException, ConnectionError):
                # It may have closed a connection that was idle.
                connection.close()
                self.local.connection = None
                if attempt:
                    raise


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        dialect = self.server.dialect
        try:
            if "transfer-encoding" in self.headers:
                raise Refusal(411, "MissingContentLength")
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            request = Request(self.command, self.path, self.headers, body)
            dialect.locate(request)
            dialect.check(request)
            reply = dialect.serve(request, self.server.backend)
        except Refusal as refusal:
            if "transfer-encoding" in self.headers:
                self.close_connection = True
            reply = Reply(refusal.status, {"content-type": "application/xml"}, refusal.xml())
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            if name not in OF_REPLY:
                # Some clients want the usual fields in the usual letters.
                name = name if name.startswith("x-") else name.title().replace("Etag", "ETag")
                self.send_header(name, value.encode().decode("latin-1"))
        length = reply.headers.get("content-length", "0") if self.command == "HEAD" and reply.status == 200 else len(reply.body)
        if reply.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def handle_expect_100(self):
        return not self.server.dialect.knows_expect or super().handle_expect_100()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    name, port, user, password, backend = sys.argv[1:]
    server = Server(("127.0.0.1", int(port)), Handler)
    server.dialect = DIALECTS[name](user, password)
    server.backend = Backend(backend)
    server.serve_forever()
