"""The dialects that `s3_front.py` speaks: Alibaba Cloud OSS, Tencent Cloud COS, JD Cloud OSS.

They are as their documentation and their official clients have them, and stricter where that is harder for a client: a
field of another dialect is refused, and what a service is only not said to know, it doesn't know.
"""

import base64
import calendar
import email.utils
import hashlib
import hmac
import re
import time
import urllib.parse

import crcmod

SKEW = 15 * 60
# What a client's field becomes on the way to the real server, which knows one class and no encryption. It keeps them as metadata.
KEPT = ("storage-class", "server-side-encryption", "server-side-encryption-key-id", "server-side-encryption-cos-kms-key-id")
# Of one connection only, or checked here; the MD5 needn't be that of the body which is passed on.
DROPPED = set(
    "accept accept-encoding authorization connection content-length content-md5 date expect host user-agent".split()
)


crc64 = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, xorOut=(1 << 64) - 1)


class Refusal(Exception):
    def __init__(self, status, code, message=""):
        self.status, self.code, self.message = status, code, message

    def xml(self):
        return f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>".encode()


def hmac_sha(key, text, digest="sha256"):
    return hmac.new(key if isinstance(key, bytes) else key.encode(), text.encode(), digest)


def chain(first, *texts):
    key = first.encode()
    for text in texts:
        key = hmac_sha(key, text).digest()
    return key.hex()


def sign_v4(secret, scope, method, path, query, headers, signed):
    """Amazon's signature of a request whose path and query are as they are on the wire."""
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed)
    payload = headers["x-amz-content-sha256"]
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{';'.join(signed)}\n{payload}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return chain("AWS4" + secret, *scope.split("/"), f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}")


def check_time(seconds):
    if abs(seconds - time.time()) > SKEW:
        raise Refusal(403, "RequestTimeTooSkewed")


def stamp_time(stamp):
    try:
        return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError as error:
        raise Refusal(403, "AccessDenied", str(error)) from error


class Dialect:
    prefix = "x-amz-"
    knows_expect = True
    bad_digest = "BadDigest"
    host = None  # Where the name of a bucket stands before, as a pattern.
    classes = {"STANDARD"}
    archives = set()
    encryptions = set()

    def __init__(self, user, password):
        self.user, self.password = user, password

    def locate(self, request):
        """Which bucket and key a request means."""
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        found = self.host and re.fullmatch(self.host, host)
        if found:
            request.bucket, request.key = found[1], request.path[1:]
        else:
            request.bucket, _, request.key = request.path[1:].partition("/")

    def check(self, request):
        self.check_signature(request)
        told = request.headers.get("content-md5")
        if told and told != base64.b64encode(hashlib.md5(request.body).digest()).decode():
            raise Refusal(400, self.bad_digest)
        for name, value in request.headers.items():
            if name.startswith("x-") and not name.startswith(self.prefix):
                raise Refusal(400, "InvalidArgument", f"{name} is of another service")
            if name == self.prefix + "storage-class" and value not in self.classes:
                raise Refusal(400, "InvalidStorageClass")
            if name == self.prefix + "server-side-encryption" and value not in self.encryptions:
                raise Refusal(400, "InvalidEncryptionAlgorithmError")

    def match(self, signature, given):
        if not hmac.compare_digest(signature, given):
            raise Refusal(403, "SignatureDoesNotMatch")

    def expect_user(self, user):
        if user != self.user:
            raise Refusal(403, "InvalidAccessKeyId")

    def serve(self, request, backend):
        if request.method == "GET" and request.key and not request.query:
            self.expect_readable(request, backend)
        body, headers = self.body(request), self.to_backend(request, backend)
        if "content-md5" in request.headers:
            headers["content-md5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
        reply = backend.call(request.method, request.bucket, request.key, self.query(request), headers, body)
        return self.from_backend(request, reply)

    def expect_readable(self, request, backend):
        """Nothing is read from an archive."""
        known = backend.call("HEAD", request.bucket, request.key).headers
        if known.get("x-amz-meta-kept-storage-class") in self.archives:
            raise Refusal(403, "InvalidObjectState")

    def query(self, request):
        return request.query

    def body(self, request):
        return request.body

    def to_backend(self, request, backend):
        headers = {}
        for name, value in request.headers.items():
            own = name.removeprefix(self.prefix)
            if name in DROPPED or own in ("date", "content-sha256"):
                continue
            if own == name:
                headers[name] = value
            elif own in KEPT:
                headers["x-amz-meta-kept-" + own] = value
            else:
                headers["x-amz-" + own] = value
        return headers

    def from_backend(self, request, reply):
        reply.headers = {self.own_name(name): value for name, value in reply.headers.items()}
        return reply

    def own_name(self, name):
        for beginning in ("x-amz-meta-kept-", "x-amz-"):
            if name.startswith(beginning):
                return self.prefix + name.removeprefix(beginning)
        return name


class Forbidding(Dialect):
    """One that has a field of its own against overwriting, and no other condition on writes; and that tells a CRC-64 of what
    it stored, which of an object is that of all its bytes however they came there."""

    no_rules = "NoSuchLifecycleConfiguration"

    def __init__(self, user, password):
        super().__init__(user, password)
        self.sums = {}

    def serve(self, request, backend):
        if request.asks("lifecycle"):
            # The store behind knows none.
            raise Refusal(404, self.no_rules)
        reply = super().serve(request, backend)
        is_copy = self.prefix + "copy-source" in request.headers
        is_joined = request.method == "POST" and request.asks("uploadId") and b"<Error>" not in reply.body
        if reply.status in (200, 206) and request.key:
            if request.method == "PUT" and not is_copy:
                reply.headers[self.prefix + "hash-crc64ecma"] = str(crc64(request.body))
            elif is_joined or request.method in ("GET", "HEAD") and not request.query:
                reply.headers[self.prefix + "hash-crc64ecma"] = str(self.sum_of(request, backend))
        return reply

    def sum_of(self, request, backend):
        """The sum of the object that is there, which is read once for each version of it."""
        known = backend.call("HEAD", request.bucket, request.key).headers
        version = (request.bucket, request.key, known.get("etag"), known.get("last-modified"))
        if version not in self.sums:
            self.sums[version] = crc64(backend.call("GET", request.bucket, request.key).body)
        return self.sums[version]

    def to_backend(self, request, backend):
        headers = super().to_backend(request, backend)
        if request.method != "GET":
            headers.pop("if-match", None)
            headers.pop("if-none-match", None)
        if headers.pop("x-amz-forbid-overwrite", "false") == "true":
            versioning = backend.call("GET", request.bucket, query=[("versioning", "")]).body
            if b"<Status>" not in versioning:
                headers["if-none-match"] = "*"
        return headers

    def from_backend(self, request, reply):
        if reply.status == 412 and request.headers.get(self.prefix + "forbid-overwrite") == "true":
            raise Refusal(409, "FileAlreadyExists")
        # Theirs have no namespace.
        reply.body = re.sub(rb' xmlns(:xsi)?="[^"]*"| xsi:type="[^"]*"', b"", reply.body)
        return super().from_backend(request, reply)


class Oss(Forbidding):
    prefix = "x-oss-"
    bad_digest = "InvalidDigest"
    no_rules = "NoSuchLifecycle"
    host = r"([a-z0-9-]+)\.oss-[a-z0-9-]+\.aliyuncs\.com"
    classes = {"Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"}
    archives = {"Archive", "ColdArchive", "DeepColdArchive"}
    encryptions = {"AES256", "KMS", "SM4"}
    resources = set(
        "acl append bucketInfo continuation-token delete encryption lifecycle location partNumber position restore stat symlink tagging "
        "uploadId uploads versionId versioning versions".split()
    )

    def check_signature(self, request):
        headers, given = request.headers, request.headers.get("authorization", "")
        if given.startswith("OSS4-HMAC-SHA256 "):
            fields = dict(part.strip().split("=", 1) for part in given.split(" ", 1)[1].split(","))
            user, scope = fields["Credential"].split("/", 1)
            self.expect_user(user)
            stamp = headers.get("x-oss-date", "")
            check_time(stamp_time(stamp))
            region = scope.split("/")[1:2]
            if scope != f"{stamp[:8]}/{''.join(region)}/oss/aliyun_v4_request":
                raise Refusal(400, "InvalidArgument", "the scope is wrong")
            if headers.get("x-oss-content-sha256") != "UNSIGNED-PAYLOAD":
                raise Refusal(400, "InvalidArgument", "the body has to be unsigned")
            more = sorted(filter(None, fields.get("AdditionalHeaders", "").split(";")))
            signed = (name for name in sorted(headers) if name.startswith("x-oss-") or name in ("content-md5", "content-type", *more))
            lines = "".join(f"{name}:{headers[name].strip()}\n" for name in signed)
            resource = urllib.parse.quote(f"/{request.bucket}/{request.key}" if request.bucket else "/", safe="/-_.~")
            query = "&".join(pair.removesuffix("=") for pair in sorted(request.raw_query.split("&")))
            canonical = f"{request.method}\n{resource}\n{query}\n{lines}\n{';'.join(more)}\nUNSIGNED-PAYLOAD"
            digest = hashlib.sha256(canonical.encode()).hexdigest()
            text = f"OSS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
            self.match(chain("aliyun_v4" + self.password, *scope.split("/"), text), fields["Signature"])
        elif given.startswith("OSS "):
            user, signature = given[4:].split(":")
            self.expect_user(user)
            date = headers.get("x-oss-date") or headers.get("date", "")
            check_time(email.utils.parsedate_to_datetime(date).timestamp())
            named = sorted(pair for pair in request.query if pair[0] in self.resources)
            resource = f"/{request.bucket}/{request.key}" if request.bucket else "/"
            resource += "?" * bool(named) + "&".join(name + (value and "=" + value) for name, value in named)
            lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-oss-"))
            told = (headers.get(name, "") for name in ("content-md5", "content-type"))
            text = "\n".join([request.method, *told, date, lines + resource])
            self.match(base64.b64encode(hmac_sha(self.password, text, "sha1").digest()).decode(), signature)
        else:
            raise Refusal(403, "AccessDenied")

    def body(self, request):
        # Their ETags have capital letters.
        return re.sub(rb"<ETag>[^<]*</ETag>", lambda it: b"<ETag>" + it[0][6:-7].lower() + b"</ETag>", request.body)

    def query(self, request):
        return [(name, urllib.parse.unquote(value) if name == "continuation-token" else value) for name, value in request.query]

    def to_backend(self, request, backend):
        headers = super().to_backend(request, backend)
        is_standard = headers.pop("x-amz-range-behavior", "") == "standard"
        if "range" in headers and not is_standard:
            # Without it a range that isn't there is answered with all of the file; here any is.
            del headers["range"]
        for name in headers:
            if name.endswith("if-match"):
                headers[name] = headers[name].lower()
        return headers

    def from_backend(self, request, reply):
        reply = super().from_backend(request, reply)
        is_upper = lambda it: b"<ETag>" + it[1].replace(b"&quot;", b'"').upper() + b"</ETag>"
        reply.body = re.sub(rb"<ETag>([^<]*)</ETag>", is_upper, reply.body)
        # Each tells what kind of object it is, after its ETag.
        kind = lambda it: it[0] + (b"<Type>Multipart</Type>" if b"-" in it[1] else b"<Type>Normal</Type>")
        if b"<ListBucketResult" in reply.body[:200]:
            reply.body = re.sub(rb"<ETag>([^<]*)</ETag>", kind, reply.body)
            if ("encoding-type", "url") in request.query:
                token = lambda it: it[1] + urllib.parse.quote(it[2]).encode() + it[3]
                reply.body = re.sub(rb"(<NextContinuationToken>)([^<]*)(<)", token, reply.body)
        if "etag" in reply.headers:
            reply.headers["etag"] = reply.headers["etag"].upper()
            if request.key and request.method in ("GET", "HEAD"):
                reply.headers["x-oss-object-type"] = "Multipart" if "-" in reply.headers["etag"] else "Normal"
        return reply


class Cos(Forbidding):
    prefix = "x-cos-"
    host = r"([a-z0-9-]+-[0-9]+)\.cos\.[a-z0-9-]+\.myqcloud\.com"
    classes = set("STANDARD STANDARD_IA INTELLIGENT_TIERING MAZ_STANDARD MAZ_STANDARD_IA ARCHIVE DEEP_ARCHIVE".split())
    archives = {"ARCHIVE", "DEEP_ARCHIVE"}
    encryptions = {"AES256", "cos/kms"}

    def check_signature(self, request):
        given = request.headers.get("authorization", "")
        fields = dict(part.split("=", 1) for part in given.split("&") if "=" in part)
        if fields.get("q-sign-algorithm") != "sha1":
            raise Refusal(403, "AccessDenied")
        self.expect_user(fields["q-ak"])
        begin, end = map(int, fields["q-sign-time"].split(";"))
        if not begin <= time.time() <= end:
            raise Refusal(403, "RequestTimeTooSkewed")
        signed = fields["q-header-list"].split(";")
        has_to_be = {name for name in request.headers if name.startswith("x-cos-") or name in ("host", "content-md5", "content-type")}
        if not has_to_be <= set(signed):
            raise Refusal(403, "SignatureDoesNotMatch", f"not signed: {has_to_be - set(signed)}")
        quote = lambda text: urllib.parse.quote(text, safe="-_.~")
        query = {quote(name).lower(): value for name, value in request.query}
        lines = "&".join(f"{name}={quote(request.headers[urllib.parse.unquote(name)])}" for name in signed)
        named = "&".join(f"{name}={quote(query[name])}" for name in filter(None, fields["q-url-param-list"].split(";")))
        digest = hashlib.sha1(f"{request.method.lower()}\n{request.path}\n{named}\n{lines}\n".encode()).hexdigest()
        key = hmac_sha(self.password, fields["q-key-time"], "sha1").hexdigest()
        text = f"sha1\n{fields['q-sign-time']}\n{digest}\n"
        self.match(hmac_sha(key, text, "sha1").hexdigest(), fields["q-signature"])

    def query(self, request):
        # It knows the first version of listings only.
        return [pair for pair in request.query if pair[0] not in ("list-type", "continuation-token", "start-after")]

    def to_backend(self, request, backend):
        headers = super().to_backend(request, backend)
        source = headers.get("x-amz-copy-source")
        if source:
            host, _, key = source.lstrip("/").partition("/")
            found = re.fullmatch(self.host, host) or re.fullmatch(r"([a-z0-9-]+-[0-9]+)\.127\.0\.0\.1:[0-9]+", host)
            if not found:
                raise Refusal(400, "InvalidArgument", "the source of a copy is told by its host")
            headers["x-amz-copy-source"] = f"/{found[1]}/{key}"
        directive = headers.get("x-amz-metadata-directive")
        if directive:
            headers["x-amz-metadata-directive"] = {"Copy": "COPY", "Replaced": "REPLACE"}[directive]
        return headers


class Jd(Dialect):
    """Amazon's, without what its documentation doesn't have: conditions on writes and on the source of a copy are ignored,
    and so is that a client waits before it sends a body."""

    knows_expect = False
    classes = {"STANDARD", "REDUCED_REDUNDANCY"}

    def check_signature(self, request):
        headers, given = request.headers, request.headers.get("authorization", "")
        found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)", given)
        if not found:
            raise Refusal(403, "AccessDenied")
        user, scope, signed, signature = found.groups()
        self.expect_user(user)
        check_time(stamp_time(headers.get("x-amz-date", "")))
        query = "&".join(pair if "=" in pair else pair + "=" for pair in sorted(request.raw_query.split("&")) if pair)
        self.match(sign_v4(self.password, scope, request.method, request.raw_path, query, headers, signed.split(";")), signature)
        sum_told = headers["x-amz-content-sha256"]
        if sum_told != "UNSIGNED-PAYLOAD" and hashlib.sha256(request.body).hexdigest() != sum_told:
            raise Refusal(400, "XAmzContentSHA256Mismatch")

    def check(self, request):
        super().check(request)
        if "x-amz-security-token" in request.headers or "aws-chunked" in request.headers.get("content-encoding", ""):
            raise Refusal(400, "InvalidArgument", "not compatible")
        listing = request.method == "GET" and request.bucket and not request.key
        if any(request.asks(name) for name in ("versioning", "versions", "tagging")) or listing and not (
            request.asks("uploads") or ("list-type", "2") in request.query
        ):
            raise Refusal(501, "NotImplemented")

    def to_backend(self, request, backend):
        headers = super().to_backend(request, backend)
        ignored = [name for name in headers if "copy-source-if" in name]
        if request.method not in ("GET", "HEAD"):
            ignored += [name for name in ("if-match", "if-none-match") if name in headers]
        return {name: value for name, value in headers.items() if name not in ignored}

    def from_backend(self, request, reply):
        reply = super().from_backend(request, reply)
        reply.headers = {name: value for name, value in reply.headers.items() if name not in ("x-amz-version-id", "x-amz-delete-marker")}
        return reply


DIALECTS = {"aliyun-oss": Oss, "tencent-cos": Cos, "jd-oss": Jd}
