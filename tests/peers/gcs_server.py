"""gcs_server.py PORT: Google Cloud Storage on the loopback address, for all of Google's hosts that it takes.

It keeps real state, and refuses what Google's discovery document doesn't have (`google_api.py`). How it behaves comes from
the guides of Cloud Storage and from what client programs found. Methods of the API that it lacks are answered with 501.
Signing in is at `/o/oauth2/v2/auth` and `/token`, which also takes what the key of the service account signs.

Stricter than Google: a parameter that stands there twice is refused, page tokens are good for one listing, a token for a
rewrite only for the same call, and a clock that is a minute off is no clock.

Below `/_control/` (see fake_service.py), besides faults:

- `bucket` {"name", "versioning"?, "lifecycle"?, "pays"? (who asks has to), "moves"? (false: it moves no objects)}: makes or changes one.
- `taken` {"name"}: a bucket of somebody else.
- `key`: the key of the service account, as Google hands it out; its `token_uri` is Google's.
- `put` {"bucket", "name", "base64"?, "metadata"?, "composite"?, "encoding"?}: an object as others make it.
- `objects` {"bucket"}: of each its name, base64, generation and what else is kept.
- `deny` {"methods"}: the account may not call these. `ahead` {"seconds"}: its clock runs so far ahead of ours.
- `step` {"bytes"}: a rewrite copies no more at once. `page` {"size"}: no page is longer.
- `sessions`: how many uploads aren't finished; `drop_sessions` {"status"?: 404 or 410}: they are forgotten;
  `store_less` {"bytes"}: of the next part of an upload only so many bytes are kept.
- `race` {"match", "bucket", "name", "base64"}: puts an object once a request that matches has been read, before it is carried out.
"""

import base64
import email.utils
import gzip
import hashlib
import json
import secrets
import sys
import time
import urllib.parse

import google_crc32c
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from fake_service import Refused, Reply, Service, SignIn, serve
from google_api import Api, media, refused, select
from google_uploads import Uploads

UPLOAD = "/upload/storage/v1/b/"
PROJECT = "tester-project"
ACCOUNT = f"tester@{PROJECT}.iam.gserviceaccount.com"
TOKEN_URI = "https://oauth2.googleapis.com/token"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLOCK_TOLERANCE = 60
LONGEST_NAME = 1024
CLASSES = {"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"}
# What whoever sends an object may say of it.
WRITABLE = "contentType contentEncoding contentDisposition contentLanguage cacheControl metadata storageClass customTime".split()
# What clients write back that only tells.
TOLD = "kind id name bucket generation metageneration etag size md5Hash crc32c mediaLink timeCreated updated kmsKeyName".split()
# What is compared of an object, and where its conditions stand.
CONDITIONS = ("Generation", "Metageneration")


def encode(data):
    return base64.b64encode(data).decode()


def rfc3339(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".000Z"


class Call:
    """A request that fits the API."""

    def __init__(self, method, variables, parameters, request, mask):
        self.method = method
        self.variables = {name: urllib.parse.unquote(value) for name, value in variables.items()}
        self.parameters = parameters
        self.request = request
        self.mask = mask
        self.written = {}  # the body
        self.content = None  # what is uploaded, and its type
        self.mime = None
        self.last_part = request


class Object:
    def __init__(self, name, data, generation, described, storage_class, kms_key=None, composite=False):
        self.name = name
        self.data = data
        self.generation = generation
        self.metageneration = 1
        self.described = described
        self.storage_class = storage_class
        self.kms_key = kms_key
        self.composite = composite
        self.created = time.time()

    @property
    def hashes(self):
        crc32c = {"crc32c": encode(google_crc32c.value(self.data).to_bytes(4, "big"))}
        # Nobody has read a composed object from its beginning to its end.
        return crc32c if self.composite else crc32c | {"md5Hash": encode(hashlib.md5(self.data).digest())}

    def render(self, bucket, host=""):
        path = f"{bucket.name}/o/{urllib.parse.quote(self.name, safe='')}"
        told = {
            "kind": "storage#object",
            "mediaLink": f"http://{host}/download/storage/v1/b/{path}?generation={self.generation}&alt=media",
            "id": f"{bucket.name}/{self.name}/{self.generation}",
            "bucket": bucket.name,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(len(self.data)),
            "storageClass": self.storage_class,
            "etag": encode(f"{self.generation}/{self.metageneration}".encode()),
            "timeCreated": rfc3339(self.created),
            "updated": rfc3339(self.created),
        }
        if self.kms_key:
            told["kmsKeyName"] = f"{self.kms_key}/cryptoKeyVersions/1"
        if self.composite:
            told["componentCount"] = 2
        return told | self.hashes | self.described


class Bucket:
    def __init__(self, name):
        self.name = name
        self.described = {"location": "US", "storageClass": "STANDARD"}
        self.objects = {}
        self.pays = False
        self.moves = True

    def render(self):
        return {"kind": "storage#bucket", "id": self.name, "name": self.name} | self.described


class Storage(Service):
    def __init__(self):
        self.api = Api("storage.v1.json")
        super().__init__(
            SignIn(
                scopes=[*self.api.scopes, "openid"],
                offline={"access_type": "offline", "prompt": "consent"},
                expires_in=3600,
                parameters=("include_granted_scopes", "login_hint"),
            )
        )
        self.uploads = Uploads(self.api, self.run, lambda _: None)
        self.buckets = {}
        self.taken = set()
        self.pages = {}
        self.rewrites = {}
        self.generations = int(time.time() * 1_000_000)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id = secrets.token_hex(20)
        self.races = []
        # What tests may change:
        self.denied = set()
        self.ahead = 0
        self.step = 1 << 40
        self.page_limit = 1000
        self.controls |= {
            "bucket": self.set_bucket,
            "taken": lambda name: self.taken.add(name),
            "key": self.tell_key,
            "put": self.put,
            "objects": self.tell_objects,
            "deny": lambda methods: setattr(self, "denied", set(methods)),
            "ahead": lambda seconds: setattr(self, "ahead", seconds),
            "step": lambda bytes: setattr(self, "step", bytes),
            "page": lambda size: setattr(self, "page_limit", size),
            "sessions": lambda: sum(session.reply is None for session in self.uploads.sessions.values()),
            "drop_sessions": self.drop_sessions,
            "store_less": lambda bytes: self.uploads.partly_stored.append(bytes),
            "race": lambda match, **object: self.races.append((match, object)),
        }
        self.methods = {
            "storage.buckets.delete": self.delete_bucket,
            "storage.buckets.get": self.get_bucket,
            "storage.buckets.insert": self.insert_bucket,
            "storage.buckets.list": self.list_buckets,
            "storage.objects.compose": self.compose,
            "storage.objects.copy": self.copy,
            "storage.objects.delete": self.delete,
            "storage.objects.get": self.get,
            "storage.objects.insert": self.insert,
            "storage.objects.list": self.list,
            "storage.objects.move": self.move,
            "storage.objects.patch": self.patch,
            "storage.objects.rewrite": self.rewrite,
        }

    # ---- what tests steer

    def set_bucket(self, name, versioning=None, lifecycle=None, pays=False, moves=True):
        bucket = self.buckets.setdefault(name, Bucket(name))
        bucket.pays, bucket.moves = pays, moves
        bucket.described |= {"versioning": {"enabled": versioning}} if versioning is not None else {}
        bucket.described |= {"lifecycle": {"rule": lifecycle}} if lifecycle is not None else {}

    def tell_key(self):
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": self.key_id,
            "private_key": pem.decode(),
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": TOKEN_URI,
        }

    def put(self, bucket, name, metadata=None, composite=False, encoding=None, **content):
        described = {"metadata": metadata} if metadata else {}
        described |= {"contentEncoding": encoding} if encoding else {}
        data = base64.b64decode(content.get("base64", ""))
        self.store(self.buckets[bucket], name, data, described, composite=composite)

    def tell_objects(self, bucket):
        bucket = self.buckets[bucket]
        found = sorted(bucket.objects.items())
        return [object.render(bucket) | {"base64": encode(object.data)} for _, object in found]

    def drop_sessions(self, status=404):
        self.uploads.sessions.clear()
        self.uploads.lost_session_status = status

    # ---- requests

    def answer(self, request):
        line = f"{request.method} {request.target}"
        for race in [race for race in self.races if line.startswith(race[0])]:
            self.races.remove(race)
            self.put(**race[1])
        try:
            reply = self.route(request)
        except Refused as refused:
            reply = refused.reply
        reply.headers["Date"] = email.utils.formatdate(time.time() + self.ahead, usegmt=True)
        return reply

    def route(self, request):
        if request.path == "/o/oauth2/v2/auth":
            return self.sign_in.authorize(request)
        if request.path == "/token":
            form = request.form() or {}
            return self.redeem(form) if form.get("grant_type") == JWT_BEARER else self.sign_in.token(request)
        upload_id = dict(request.query).get("upload_id")
        if upload_id is not None and request.path.startswith(UPLOAD):
            # The address of a session is secret, and enough; a token that comes with it has to be good.
            if "Authorization" in request.headers:
                self.check_token(request)
            return self.uploads.go_on(request, upload_id)

        method, variables, is_upload = self.api.find(request.method, request.path)
        if not self.check_token(request) & method.scopes:
            raise refused(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
        parameters = self.api.check_query(method, request.query, is_upload)
        fields = parameters.get("fields", "*")
        mask = self.api.mask(method.response, fields) if method.response and fields else {}
        call = Call(method, variables, parameters, request, mask)
        if method.id in self.denied:
            permission = method.id.replace("storage.objects.insert", "storage.objects.create")
            message = f"{ACCOUNT} does not have {permission} access to the Google Cloud Storage resource."
            raise refused(403, "forbidden", message)
        if is_upload:
            return self.uploads.start(call)
        call.written = self.api.read_body(method, request.headers.get("Content-Type", ""), request.body)
        return self.run(call)

    def run(self, call, only_check=False):
        """Carries out a call; or only checks one that is to have its content later."""
        method = call.method
        if method.id not in self.methods:
            raise refused(501, "notImplemented", f"The fake lacks {method.id}")
        run = self.methods[method.id]
        return run(call, only_check=True) if only_check else run(call)

    def cut_off(self, request):
        self.uploads.cut_off(request, dict(request.query).get("upload_id"))

    def redeem(self, form):
        """Gives a token for an assertion (RFC 7523)."""

        def wrong(description):
            return Refused(400, body={"error": "invalid_grant", "error_description": description})

        try:
            signed, _, signature = form["assertion"].rpartition(".")
            header, claims = (json.loads(decode_url(part)) for part in signed.split("."))
            if header != {"alg": "RS256", "typ": "JWT", "kid": self.key_id}:
                raise wrong("Invalid JWT: unknown key or algorithm")
            self.key.public_key().verify(
                decode_url(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (KeyError, ValueError, InvalidSignature):
            raise wrong("Invalid JWT Signature.") from None
        now = time.time() + self.ahead
        if not now - CLOCK_TOLERANCE <= claims["iat"] <= now + CLOCK_TOLERANCE or not 0 < claims["exp"] - claims["iat"] <= 3600:
            raise wrong("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
        own = urllib.parse.urlsplit(claims["aud"])
        if claims["aud"] != TOKEN_URI and (own.hostname, own.path) != ("127.0.0.1", "/token"):
            raise wrong("Invalid JWT: Failed audience check.")
        scopes = set(claims["scope"].split())
        if claims["iss"] != ACCOUNT or not scopes or not scopes <= self.sign_in.scopes:
            raise wrong("Invalid JWT: unknown account or scope")
        return Reply(body=self.sign_in.new_access(scopes))

    def check_token(self, request):
        """The scopes of the token."""
        header = request.headers.get("Authorization")
        kind, _, token = (header or "").partition(" ")
        try:
            return self.sign_in.check(token if kind == "Bearer" else None)
        except (KeyError, TimeoutError):
            missing, wrong = ("required", "Anonymous caller."), ("authError", "Invalid Credentials")
            reason, message = missing if header is None else wrong
            raise refused(401, reason, message, "Authorization", "header") from None

    # ---- buckets

    def bucket_of(self, call, variable="bucket"):
        bucket = self.buckets.get(call.variables[variable])
        if bucket is None:
            raise refused(404, "notFound", "The specified bucket does not exist.")
        if bucket.pays and call.parameters.get("userProject") != PROJECT:
            message = "Bucket is a requester pays bucket but no user project provided."
            raise refused(400, "userProjectMissing" if "userProject" not in call.parameters else "invalid", message)
        return bucket

    def get_bucket(self, call):
        return Reply(body=select(call.mask, self.bucket_of(call).render()))

    def list_buckets(self, call):
        self.check_project(call)
        names = sorted(name for name in self.buckets if name.startswith(call.parameters.get("prefix", "")))
        page, told = self.page_of(call, names)
        items = [self.buckets[name].render() for name in page]
        return Reply(body=select(call.mask, {"kind": "storage#buckets", "items": items} | told))

    def insert_bucket(self, call):
        self.check_project(call)
        name = call.written.get("name", "")
        if not 3 <= len(name) <= 222 or not set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_."):
            raise refused(400, "invalid", f"Invalid bucket name: '{name}'")
        if name in self.buckets or name in self.taken:
            raise refused(409, "conflict", "The requested bucket name is not available.")
        bucket = self.buckets[name] = Bucket(name)
        bucket.described |= call.written
        return Reply(body=select(call.mask, bucket.render()))

    def delete_bucket(self, call):
        bucket = self.bucket_of(call)
        if bucket.objects:
            raise refused(409, "conflict", "The bucket you tried to delete is not empty.")
        del self.buckets[bucket.name]
        return Reply(204)

    def check_project(self, call):
        if call.parameters["project"] != PROJECT:
            raise refused(403, "forbidden", "The account has no access to the project.")

    # ---- objects

    def find(self, call, bucket, name):
        """The object, of the generation that may be told."""
        object = bucket.objects.get(name)
        wanted = call.parameters.get("generation")
        if object is None or wanted not in (None, str(object.generation)):
            raise refused(404, "notFound", f"No such object: {bucket.name}/{name}")
        return object

    def meet_conditions(self, call, object, start="if"):
        """Refuses what isn't as the parameters say, whose names begin so."""
        for what in CONDITIONS:
            found = 0 if object is None else getattr(object, what.lower())
            for name, wanted in [(f"{start}{what}Match", True), (f"{start}{what}NotMatch", False)]:
                value = call.parameters.get(name)
                if value is not None and not value.lstrip("-").isdecimal():
                    raise refused(400, "invalid", f"Invalid argument: {name}")
                if value is not None and (int(value) == found) != wanted:
                    message = "At least one of the pre-conditions you specified did not hold."
                    raise refused(412, "conditionNotMet", message, "If-Match", "header")

    def store(self, bucket, name, data, described, kms_key=None, composite=False):
        if not 1 <= len(name.encode()) <= LONGEST_NAME or {"\r", "\n"} & set(name) or name in (".", ".."):
            raise refused(400, "invalid", f"Invalid object name: '{name}'")
        described = dict(described)
        storage_class = described.pop("storageClass", bucket.described["storageClass"])
        if storage_class not in CLASSES:
            raise refused(400, "invalid", f"The storage class {storage_class} is not valid.")
        self.generations += 1
        object = Object(name, data, self.generations, described, storage_class, kms_key, composite)
        bucket.objects[name] = object
        return object

    def tell(self, call, bucket, object):
        return Reply(body=select(call.mask, object.render(bucket, call.request.host)))

    def get(self, call):
        bucket = self.bucket_of(call)
        object = self.find(call, bucket, call.variables["object"])
        self.meet_conditions(call, object)
        if call.parameters.get("alt") != "media":
            return self.tell(call, bucket, object)
        told = ",".join(f"{name.removesuffix('Hash')}={value}" for name, value in object.hashes.items())
        headers = {
            "X-Goog-Generation": str(object.generation),
            "X-Goog-Metageneration": str(object.metageneration),
            "X-Goog-Hash": told,
            "X-Goog-Stored-Content-Length": str(len(object.data)),
            "X-Goog-Stored-Content-Encoding": object.described.get("contentEncoding", "identity"),
        }
        data = object.data
        if object.described.get("contentEncoding") == "gzip":
            if "gzip" in call.request.headers.get("Accept-Encoding", ""):
                headers["Content-Encoding"] = "gzip"
            else:
                data = gzip.decompress(data)
        return media(call.request, data, object.described.get("contentType", "application/octet-stream"), headers)

    def insert(self, call, only_check=False):
        bucket = self.bucket_of(call)
        name = call.parameters.get("name", call.written.get("name"))
        if name is None:
            raise refused(400, "required", "Required parameter: name", "name")
        self.meet_conditions(call, bucket.objects.get(name))
        sums = {name: call.written[name] for name in ("md5Hash", "crc32c") if name in call.written}
        described = self.described_in(call)
        if only_check:
            return None
        for told in filter(None, call.last_part.headers.get("X-Goog-Hash", "").split(",")):
            kind, _, value = told.strip().partition("=")
            sums["md5Hash" if kind == "md5" else kind] = value
        object = Object(name, call.content, 0, {}, "")
        for kind, value in sums.items():
            if object.hashes.get(kind) != value:
                label = "MD5" if kind == "md5Hash" else "CRC32C"
                message = f'Provided {label} hash "{value}" doesn\'t match calculated {label} hash "{object.hashes.get(kind)}".'
                raise refused(400, "invalid", message)
        if call.mime:
            described.setdefault("contentType", call.mime)
        object = self.store(bucket, name, call.content, described, call.parameters.get("kmsKeyName"))
        return self.tell(call, bucket, object)

    @staticmethod
    def described_in(call):
        """What the body says of an object."""
        for name in call.written:
            if name not in (*WRITABLE, *TOLD):
                raise refused(501, "notImplemented", f"The fake doesn't know what writing {name} does")
        return {name: value for name, value in call.written.items() if name in WRITABLE}

    def list(self, call):
        bucket = self.bucket_of(call)
        asked = call.parameters
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        rows = {}
        for name in sorted(bucket.objects, key=str.encode):
            below, _, rest = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            if not name.startswith(prefix) or name < asked.get("startOffset", ""):
                continue
            if asked.get("endOffset") and name >= asked["endOffset"]:
                continue
            if delimiter and delimiter in name[len(prefix) :]:
                rows.setdefault(prefix + below + delimiter, None)
                if not (asked.get("includeTrailingDelimiter") and not rest):
                    continue
            rows[name] = bucket.objects[name]
        page, told = self.page_of(call, list(rows))
        prefixes = [name for name in page if delimiter and name.endswith(delimiter) and name != prefix]
        items = [rows[name].render(bucket, call.request.host) for name in page if rows[name] is not None]
        body = {"kind": "storage#objects"} | told
        body |= {"prefixes": prefixes} if prefixes else {}
        body |= {"items": items} if items else {}
        return Reply(body=select(call.mask, body))

    def page_of(self, call, names):
        """What is on the page that is asked for, and where the next one begins."""
        listing = {name: value for name, value in call.request.query if name not in ("pageToken", "maxResults")}
        listing = json.dumps([call.request.path, listing], sort_keys=True)
        after = ""
        if "pageToken" in call.parameters:
            made_for, after = self.pages.get(call.parameters["pageToken"], (None, ""))
            if made_for != listing:
                raise refused(400, "invalid", "Invalid page token.", "pageToken")
        names = [name for name in names if name.encode() > after.encode()]
        size = min(call.parameters.get("maxResults") or 1000, self.page_limit)
        if len(names) <= size:
            return names, {}
        token = secrets.token_urlsafe(20)
        self.pages[token] = listing, names[size - 1]
        return names[:size], {"nextPageToken": token}

    def delete(self, call):
        bucket = self.bucket_of(call)
        object = self.find(call, bucket, call.variables["object"])
        self.meet_conditions(call, object)
        del bucket.objects[object.name]
        return Reply(204)

    def patch(self, call):
        bucket = self.bucket_of(call)
        object = self.find(call, bucket, call.variables["object"])
        self.meet_conditions(call, object)
        described = self.described_in(call)
        metadata = object.described.get("metadata", {}) | described.get("metadata", {})
        object.described |= described
        object.described["metadata"] = {name: value for name, value in metadata.items() if value is not None}
        object.metageneration += 1
        return self.tell(call, bucket, object)

    def ends(self, call):
        """Both ends of a copy, whose conditions hold: bucket and object of the source, bucket and name of the copy."""
        source, target = self.bucket_of(call, "sourceBucket"), self.bucket_of(call, "destinationBucket")
        object = self.find(call, source, call.variables["sourceObject"])
        if call.parameters.get("sourceGeneration") not in (None, str(object.generation)):
            raise refused(404, "notFound", f"No such object: {source.name}/{object.name}")
        name = call.variables["destinationObject"]
        self.meet_conditions(call, object, "ifSource")
        self.meet_conditions(call, target.objects.get(name))
        return object, target, name

    def duplicate(self, call, object, target, name):
        # A description stands for all of the source's; without one, only the storage class is the bucket's.
        described = self.described_in(call) or object.described
        key = call.parameters.get("destinationKmsKeyName")
        return self.store(target, name, object.data, described, key, object.composite)

    def copy(self, call):
        object, target, name = self.ends(call)
        return self.tell(call, target, self.duplicate(call, object, target, name))

    def rewrite(self, call):
        object, target, name = self.ends(call)
        token = call.parameters.get("rewriteToken")
        this = [object.generation, name, call.written]
        done = 0
        if token is not None:
            made_for, done = self.rewrites.pop(token, (None, 0))
            if made_for != this:
                raise refused(400, "invalid", "Invalid rewrite token.", "rewriteToken")
        size = len(object.data)
        done = min(size, done + self.step)
        told = {"kind": "storage#rewriteResponse", "totalBytesRewritten": str(done), "objectSize": str(size)}
        if done < size:
            token = secrets.token_urlsafe(40)
            self.rewrites[token] = this, done
            told |= {"done": False, "rewriteToken": token}
        else:
            told |= {"done": True, "resource": self.duplicate(call, object, target, name).render(target, call.request.host)}
        return Reply(body=select(call.mask, told))

    def move(self, call):
        bucket = self.bucket_of(call)
        if not bucket.moves:
            raise refused(400, "invalid", "The bucket doesn't move objects.")
        object = self.find(call, bucket, call.variables["sourceObject"])
        name = call.variables["destinationObject"]
        self.meet_conditions(call, object, "ifSource")
        self.meet_conditions(call, bucket.objects.get(name))
        described = object.described | {"storageClass": object.storage_class}
        moved = self.store(bucket, name, object.data, described, object.kms_key, object.composite)
        del bucket.objects[object.name]
        return self.tell(call, bucket, moved)

    def compose(self, call):
        bucket = self.bucket_of(call, "destinationBucket")
        name = call.variables["destinationObject"]
        self.meet_conditions(call, bucket.objects.get(name))
        sources = [self.find(call, bucket, source["name"]) for source in call.written["sourceObjects"]]
        described = call.written.get("destination", {})
        data = b"".join(source.data for source in sources)
        return self.tell(call, bucket, self.store(bucket, name, data, described, composite=True))


def decode_url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


if __name__ == "__main__":
    serve(Storage(), int(sys.argv[1]))
