"""b2_server.py PORT KEY_ID KEY: Backblaze B2 on the loopback address: the simulator that b2sdk, Backblaze's own library, is tested with, behind HTTP.

What it keeps and how it lists, joins and checks is the simulator's. Added here is what the simulator leaves to a caller who
never errs: who may do what, names, limits, what may be asked twice, addresses that take one upload at a time and none after
a failure, and listings with a delimiter. Its limits of 200 bytes and 200 uploads are lifted to what B2 has.

Below `/_control/` (see fake_service.py), besides faults:

- `expire`: every token for an account ends; `bucket` {"name"}; `lifecycle` {"bucket", "rules"}.
- `key` {"capabilities", "bucket" and "prefix" if it is restricted}: a new application key, {"id", "key"}.
- `put` {"bucket", "name", "base64", "info", "sha1"}: a file of any name, as may come by way of S3.
- `versions` {"bucket"}: name, action, id, base64, info, sha1 and encryption of each, as B2 lists them.
- `unfinished` {"bucket"}: the names of large files that were begun.
- `race` {"match", "bucket", "name", "base64"}: puts a file once a request that matches has been read, before it is carried out.
"""

import base64
import io
import itertools
import json
import re
import sys
import time
import urllib.parse
import uuid

from b2sdk._internal import exception, raw_simulator
from b2sdk._internal.encryption.setting import SSE_B2_AES, SSE_NONE
from b2sdk._internal.raw_api import ALL_CAPABILITIES, B2RawHTTPApi, MetadataDirectiveMode
from b2sdk._internal.utils import b2_url_decode, hex_sha1_of_bytes
from fake_service import Fault, Refused, Reply, Service, serve

ACCOUNT = "account"
OWN_TOKEN = "ours"
LEAST_PART = 5_000_000
LARGEST_UPLOAD = 5_000_000_000
UPLOAD, UPLOAD_PART = "/upload/", "/upload-part/"
INFO = "x-bz-info-"

# What each call takes of the key, what it has to be told, and what it may be told.
CALLS = {
    "b2_list_buckets": ("listBuckets", "accountId", "bucketId bucketName bucketTypes"),
    "b2_create_bucket": ("writeBuckets", "accountId bucketName bucketType", "bucketInfo lifecycleRules"),
    "b2_update_bucket": ("writeBuckets", "accountId bucketId", "bucketType bucketInfo lifecycleRules"),
    "b2_delete_bucket": ("deleteBuckets", "accountId bucketId", ""),
    "b2_list_file_names": ("listFiles", "bucketId", "startFileName maxFileCount prefix delimiter"),
    "b2_list_file_versions": (
        "listFiles",
        "bucketId",
        "startFileName startFileId maxFileCount prefix delimiter",
    ),
    "b2_get_file_info": ("readFiles", "fileId", ""),
    "b2_hide_file": ("writeFiles", "bucketId fileName", ""),
    "b2_delete_file_version": ("deleteFiles", "fileName fileId", "bypassGovernance"),
    "b2_copy_file": (
        "writeFiles",
        "sourceFileId fileName",
        "destinationBucketId range metadataDirective contentType fileInfo destinationServerSideEncryption",
    ),
    "b2_copy_part": ("writeFiles", "sourceFileId largeFileId partNumber", "range"),
    "b2_get_upload_url": ("writeFiles", "bucketId", ""),
    "b2_get_upload_part_url": ("writeFiles", "fileId", ""),
    "b2_start_large_file": (
        "writeFiles",
        "bucketId fileName contentType",
        "fileInfo serverSideEncryption",
    ),
    "b2_list_parts": ("writeFiles", "fileId", "startPartNumber maxPartCount"),
    "b2_finish_large_file": ("writeFiles", "fileId partSha1Array", ""),
    "b2_cancel_large_file": ("writeFiles", "fileId", ""),
    "b2_list_unfinished_large_files": ("listFiles", "bucketId", "startFileId maxFileCount namePrefix"),
}


class Bucket(raw_simulator.BucketSimulator):
    MAX_SIMPLE_COPY_SIZE = LARGEST_UPLOAD

    def list_file_names(self, *args, **more):
        """As the simulator does; but there, a large file that isn't finished hides the file in its place."""
        files = self.file_name_and_id_to_file
        self.file_name_and_id_to_file = {key: file for key, file in files.items() if file.action != "start"}
        try:
            return super().list_file_names(*args, **more)
        finally:
            self.file_name_and_id_to_file = files


class Simulator(raw_simulator.RawSimulator):
    BUCKET_SIMULATOR_CLASS = Bucket
    MIN_PART_SIZE = LEAST_PART

    def _assert_account_auth(self, *_, **__):
        """`B2.allow` has asked: the simulator refuses keys for one bucket whatever bucket it is."""


def refused(status, code, message):
    return Refused(status, body={"status": status, "code": code, "message": message})


class B2(Service):
    def __init__(self, key_id, key):
        super().__init__(None)
        self.sim = Simulator()
        self.sim.bucket_id_counter = itertools.count()
        # They count down, as the newest comes first; all have as many digits, as they are sorted as texts.
        self.file_ids = itertools.count(999_999_999, -1)
        self.add_key(key_id, key, ALL_CAPABILITIES, None, None)
        self.sim.auth_token_to_key[OWN_TOKEN] = self.sim.key_id_to_key[key_id]
        self.targets = {}  # by path: what opens it, and the simulator's address
        self.busy = set()
        self.races = []
        self.controls |= {
            "expire": lambda: self.sim.expired_auth_tokens.update(self.sim.auth_token_to_key),
            "bucket": self.new_bucket,
            "lifecycle": self.set_lifecycle,
            "key": self.new_key,
            "put": self.put,
            "versions": self.list_versions,
            "unfinished": self.list_unfinished,
            "race": lambda match, **file: self.races.append((match, file)),
        }

    # ---- what tests steer

    def add_key(self, key_id, key, capabilities, buckets, prefix):
        self.sim.key_id_to_key[key_id] = raw_simulator.KeySimulator(
            account_id=ACCOUNT,
            name="key",
            application_key_id=key_id,
            key=key,
            capabilities=capabilities,
            expiration_timestamp_or_none=None,
            buckets_or_none=buckets,
            name_prefix_or_none=prefix,
        )

    def new_key(self, capabilities, bucket=None, prefix=None):
        key_id, key = f"key{len(self.sim.key_id_to_key)}", uuid.uuid4().hex
        buckets = bucket and [{"id": self.bucket(bucket).bucket_id, "name": bucket}]
        self.add_key(key_id, key, capabilities, buckets, prefix)
        return {"id": key_id, "key": key}

    def new_bucket(self, name, type="allPrivate", info=None, rules=None):
        self.sim.create_bucket(None, OWN_TOKEN, ACCOUNT, name, type, info, None, rules)
        bucket = self.bucket(name)
        bucket.default_server_side_encryption = SSE_NONE
        bucket.options_set = []
        bucket.upload_url_counter = itertools.count()
        bucket.file_id_counter = self.file_ids
        bucket.upload_timestamp_counter = iter(lambda: int(time.time() * 1000), None)
        return {"name": name}

    def bucket(self, name):
        return self.sim.bucket_name_to_bucket[name]

    def set_lifecycle(self, bucket, rules):
        self.bucket(bucket).lifecycle_rules = rules

    def put(self, bucket, name, info=None, sha1=None, **content):
        bucket = self.bucket(bucket)
        data = base64.b64decode(content.get("base64", ""))
        file = raw_simulator.FileSimulator(
            ACCOUNT,
            bucket,
            bucket._next_file_id(),
            "upload",
            name,
            "application/octet-stream",
            hex_sha1_of_bytes(data),
            info or {},
            data,
            next(bucket.upload_timestamp_counter),
            server_side_encryption=SSE_NONE,
        )
        file.content_sha1 = sha1 or file.content_sha1
        bucket.file_id_to_file[file.file_id] = file
        bucket.file_name_and_id_to_file[file.sort_key()] = file
        self.sim.file_id_to_bucket_id[file.file_id] = bucket.bucket_id
        return {"id": file.file_id}

    def list_versions(self, bucket):
        files = self.bucket(bucket).file_name_and_id_to_file
        return [
            {
                "name": name,
                "id": file_id,
                "action": file.action,
                "base64": base64.b64encode(file.data_bytes or b"").decode(),
                "info": file.file_info,
                "sha1": file.content_sha1,
                "encryption": file.server_side_encryption and file.server_side_encryption.mode.value,
            }
            for (name, file_id), file in sorted(files.items())
        ]

    def list_unfinished(self, bucket):
        return [row["name"] for row in self.list_versions(bucket) if row["action"] == "start"]

    # ---- requests

    def meet(self, line):
        fault = super().meet(line)
        path = line.split(" ")[1]
        if path in self.targets:
            if fault is not None:
                # A storage pod that failed takes nothing more at this address.
                del self.targets[path]
            elif path in self.busy:
                told = {"status": 400, "code": "auth_token_limit", "message": "more than one upload using auth token"}
                return Fault(match="", status=400, body=told)
            self.busy.add(path)
        return fault

    def cut_off(self, request):
        self.busy.discard(request.path)

    def answer(self, request):
        line = f"{request.method} {request.target}"
        for race in [race for race in self.races if line.startswith(race[0])]:
            self.races.remove(race)
            self.put(**race[1])
        try:
            return self.route(request)
        except exception.B2Error as error:
            raise self.refusal(error) from error
        finally:
            self.busy.discard(request.path)

    @staticmethod
    def refusal(error):
        kinds = {
            exception.BadJson: (400, "bad_request"),
            exception.DuplicateBucketName: (400, "duplicate_bucket_name"),
            exception.FileNotPresent: (400, "file_not_present"),
            exception.FileSha1Mismatch: (400, "bad_request"),
            exception.PartSha1Mismatch: (400, "bad_request"),
            exception.ChecksumMismatch: (400, "bad_request"),
            exception.MissingPart: (400, "missing_part"),
            exception.CopySourceTooBig: (400, "source_too_large"),
            exception.NonExistentBucket: (400, "bad_bucket_id"),
            exception.UnusableFileName: (400, "bad_request"),
            exception.InvalidMetadataDirective: (400, "bad_request"),
        }
        found = [told for kind, told in kinds.items() if isinstance(error, kind)]
        status, code = found[0] if found else (400, "bad_request")
        is_sum = isinstance(error, (exception.FileSha1Mismatch, exception.PartSha1Mismatch))
        return refused(status, code, "Sha1 did not match data received" if is_sum else str(error))

    def route(self, request):
        path = request.path
        if path.startswith((UPLOAD, UPLOAD_PART)):
            return self.take_upload(request)
        if path.startswith("/file/") or path.endswith("/b2_download_file_by_id"):
            return self.send_file(request)
        call = re.fullmatch(r"/b2api/v([1-4])/(b2_[a-z_]+)", path)
        if call is None:
            raise refused(404, "not_found", "unknown URL")
        base = f"http://{request.host}"
        if call[2] == "b2_authorize_account":
            return self.authorize(request, int(call[1]), base)
        if call[2] not in CALLS:
            raise refused(404, "not_found", f"unknown call {call[2]}")
        token, key = self.key_of(request)
        arguments = json.loads(request.body) if request.body else dict(request.query)
        capability, required, optional = CALLS[call[2]]
        for name in required.split():
            if arguments.get(name) is None:
                raise refused(400, "bad_request", f"required field {name} is missing")
        for name, value in arguments.items():
            if name not in f"{required} {optional}".split() and value is not None:
                raise refused(400, "bad_request", f"unknown field in B2: {name}")
        self.allow(key, capability, arguments)
        arguments = {snake(name): value for name, value in arguments.items()}
        told = getattr(self, call[2])(token, base, **arguments)
        if call[1] == "1":
            # The first version of the API has another word for the length, which rclone goes by.
            told |= {"files": [row | {"size": row.get("contentLength")} for row in told.get("files", [])]}
        return Reply(body=told)

    def authorize(self, request, version, base):
        kind, _, basic = request.headers.get("Authorization", "").partition(" ")
        key_id, _, secret = base64.b64decode(basic).decode().partition(":") if kind == "Basic" else ("", "", "")
        key = self.sim.key_id_to_key.get(key_id)
        if key is None or key.key != secret:
            raise refused(401, "unauthorized", "invalid accountId or applicationKey")
        told = self.sim.authorize_account(base, key_id, secret)
        storage = told["apiInfo"]["storageApi"]
        storage |= {"apiUrl": base, "downloadUrl": base, "s3ApiUrl": base, "recommendedPartSize": 100_000_000}
        if version < 3:
            told |= storage | {"minimumPartSize": 100_000_000}
        return Reply(body=told)

    def key_of(self, request):
        token = request.headers.get("Authorization", "")
        if token in self.sim.expired_auth_tokens:
            raise refused(401, "expired_auth_token", "Authorization token has expired")
        if token not in self.sim.auth_token_to_key:
            raise refused(401, "bad_auth_token", "Invalid authorization token")
        return token, self.sim.auth_token_to_key[token]

    def allow(self, key, capability, arguments):
        """Refuses what the key may not."""
        file = arguments.get("fileId") or arguments.get("sourceFileId") or arguments.get("largeFileId")
        bucket_id = arguments.get("bucketId") or self.sim.file_id_to_bucket_id.get(file)
        names = [arguments[name] for name in ("fileName", "prefix", "namePrefix") if name in arguments]
        if capability == "listFiles" and not names:
            names = [""]
        may = capability in key.capabilities
        if key.buckets_or_none and capability != "listBuckets":
            may &= any(bucket["id"] == bucket_id for bucket in key.buckets_or_none) or bucket_id is None
        if key.buckets_or_none and capability == "listBuckets":
            may &= any(bucket["name"] == arguments.get("bucketName") for bucket in key.buckets_or_none)
        if key.name_prefix_or_none:
            may &= all((name or "").startswith(key.name_prefix_or_none) for name in names)
        if not may:
            raise refused(401, "unauthorized", "unauthorized")

    def take_upload(self, request):
        known = self.targets.get(request.path)
        if known is None or request.headers.get("Authorization") != known[0]:
            raise refused(401, "bad_auth_token", "Invalid authorization token")
        if known[0] in self.sim.expired_auth_tokens:
            raise refused(401, "expired_auth_token", "Authorization token has expired")
        if "Content-Length" not in request.headers:
            raise refused(400, "bad_request", "Content-Length is missing")
        _, address, key = known
        body, sha1 = request.body, request.headers["X-Bz-Content-Sha1"]
        if request.path.startswith(UPLOAD_PART):
            number = int(request.headers["X-Bz-Part-Number"])
            told = self.sim.upload_part(address, address, number, len(body), sha1, io.BytesIO(body))
            return Reply(body=told)
        name = b2_url_decode(request.headers["X-Bz-File-Name"])
        self.check_name(name)
        self.allow(key, "writeFiles", {"fileName": name})
        fields = {field.lower(): value for field, value in request.headers.items()}
        info = {field[len(INFO) :]: b2_url_decode(value) for field, value in fields.items() if field.startswith(INFO)}
        encryption = SSE_B2_AES if fields.get("x-bz-server-side-encryption") == "AES256" else None
        kind = fields["content-type"]
        told = self.sim.upload_file(
            address, address, name, len(body), kind, sha1, info, io.BytesIO(body), encryption
        )
        return Reply(body=told)

    def check_name(self, name):
        B2RawHTTPApi.check_b2_filename(None, name)
        if any(len(part.encode()) > 250 for part in name.split("/")):
            raise refused(400, "bad_request", "File name segments must be at most 250 bytes")

    def send_file(self, request):
        token, key = self.key_of(request)
        if request.path.startswith("/file/"):
            _, _, bucket_name, name = request.path.split("/", 3)
            name = urllib.parse.unquote_plus(name)
            bucket = self.sim.bucket_name_to_bucket.get(bucket_name)
            found = bucket and self.newest(bucket, name)
        else:
            bucket = self.bucket_of(dict(request.query)["fileId"])
            found = bucket and bucket.file_id_to_file.get(dict(request.query)["fileId"])
        self.allow(key, "readFiles", {"bucketId": bucket and bucket.bucket_id, "fileName": found and found.name})
        if not found or found.action != "upload":
            raise refused(404, "not_found", "File with such name does not exist.")
        data, wanted = found.data_bytes, re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        headers = {name: value for name, value in found.as_download_headers(token).items() if value is not None}
        headers.pop("content-length")
        if wanted is None:
            return Reply(200, headers, data)
        first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        if first > last:
            raise refused(416, "range_not_satisfiable", "The Range in the request is outside the size of the file")
        return Reply(206, headers | {"Content-Range": f"bytes {first}-{last}/{len(data)}"}, data[first : last + 1])

    @staticmethod
    def newest(bucket, name):
        """The newest version of a file, be it a marker; not one that isn't finished."""
        found = [
            file
            for (file_name, _), file in sorted(bucket.file_name_and_id_to_file.items())
            if file_name == name and file.action != "start"
        ]
        return found[0] if found else None

    def bucket_of(self, file_id):
        return self.sim.bucket_id_to_bucket.get(self.sim.file_id_to_bucket_id.get(file_id))

    # ---- calls

    def b2_list_buckets(self, token, _, account_id, bucket_id=None, bucket_name=None, bucket_types=None):
        return self.sim.list_buckets(self.sim.API_URL, token, account_id, bucket_id, bucket_name)

    def b2_create_bucket(self, token, _, account_id, bucket_name, bucket_type, bucket_info=None, lifecycle_rules=None):
        self.new_bucket(bucket_name, bucket_type, bucket_info, lifecycle_rules)
        return self.bucket(bucket_name).bucket_dict(token)

    def b2_update_bucket(
        self, token, _, account_id, bucket_id, bucket_type=None, bucket_info=None, lifecycle_rules=None
    ):
        return self.sim.update_bucket(
            None, token, account_id, bucket_id, bucket_type, bucket_info, None, lifecycle_rules
        )

    def b2_delete_bucket(self, token, _, account_id, bucket_id):
        if self.sim._get_bucket_by_id(bucket_id).file_id_to_file:
            raise refused(400, "bad_request", "Cannot delete non-empty bucket")
        return self.sim.delete_bucket(None, token, account_id, bucket_id)

    def b2_list_file_names(self, token, _, **asked):
        return self.list_files(self.sim.list_file_names, token, asked)

    def b2_list_file_versions(self, token, _, **asked):
        return self.list_files(self.sim.list_file_versions, token, asked)

    def list_files(self, names, token, asked):
        most = asked.get("max_file_count") or 100
        if not 1 <= most <= 10_000:
            raise refused(400, "out_of_range", "maxFileCount out of range")
        prefix, delimiter = asked.get("prefix") or "", asked.get("delimiter")
        start = max(asked.get("start_file_name") or "", prefix)
        more = {"start_file_id": asked["start_file_id"]} if asked.get("start_file_id") else {}
        if not start.startswith(prefix):
            told = {"files": [], "nextFileName": None, "nextFileId": None}
        else:
            count = 10**9 if delimiter else most
            told = names(
                None, token, asked["bucket_id"], start_file_name=start, max_file_count=count, prefix=prefix, **more
            )
        if delimiter:
            rows, next_name = [], None
            for row in told["files"]:
                folder, found, _ = row["fileName"][len(prefix) :].partition(delimiter)
                if found:
                    row = row | {"fileName": prefix + folder + delimiter, "action": "folder", "fileId": None}
                    if rows and rows[-1]["fileName"] == row["fileName"]:
                        continue
                if len(rows) == most:
                    next_name = row["fileName"]
                    break
                rows.append(row)
            told |= {"files": rows, "nextFileName": next_name, "nextFileId": None}
        return told

    def b2_get_file_info(self, token, _, file_id):
        bucket = self.bucket_of(file_id)
        if bucket is None or file_id not in bucket.file_id_to_file:
            raise refused(404, "not_found", f"file_state_none: {file_id}")
        return bucket.get_file_info_by_id(token, file_id)

    def b2_hide_file(self, token, _, bucket_id, file_name):
        newest = self.newest(self.sim._get_bucket_by_id(bucket_id), file_name)
        if newest is None:
            raise refused(400, "no_such_file", f"file_state_none: {file_name}")
        if newest.action == "hide":
            raise refused(400, "already_hidden", f"File has already been hidden: {file_name}")
        told = self.sim.hide_file(self.sim.API_URL, token, bucket_id, file_name)
        self.sim.file_id_to_bucket_id[told["fileId"]] = bucket_id
        return told

    def b2_delete_file_version(self, token, _, file_id, file_name, bypass_governance=None):
        return self.sim.delete_file_version(None, token, file_id, file_name)

    def b2_copy_file(
        self,
        token,
        _,
        source_file_id,
        file_name,
        destination_bucket_id=None,
        range=None,
        metadata_directive=None,
        content_type=None,
        file_info=None,
        destination_server_side_encryption=None,
    ):
        self.check_name(file_name)
        source = self.bucket_of(source_file_id)
        if source is None or source_file_id not in source.file_id_to_file:
            raise refused(404, "not_found", "file_state_none")
        directive = metadata_directive and MetadataDirectiveMode[metadata_directive]
        told = source.copy_file(
            token,
            source_file_id,
            file_name,
            range_of(range),
            directive,
            content_type,
            file_info,
            destination_bucket_id,
            SSE_B2_AES if destination_server_side_encryption else None,
        ).as_upload_result(token)
        self.sim.file_id_to_bucket_id[told["fileId"]] = destination_bucket_id or source.bucket_id
        return told

    def b2_copy_part(self, token, _, source_file_id, large_file_id, part_number, range=None):
        return self.sim.copy_part(None, token, source_file_id, large_file_id, part_number, range_of(range))

    def b2_get_upload_url(self, token, base, bucket_id):
        return self.new_target(UPLOAD, token, base, self.sim.get_upload_url(None, token, bucket_id))

    def b2_get_upload_part_url(self, token, base, file_id):
        self.unfinished(file_id)
        told = self.sim.get_upload_part_url(None, token, file_id)
        return self.new_target(UPLOAD_PART, token, base, told) | {"fileId": file_id}

    def new_target(self, kind, token, base, told):
        path, opens = kind + uuid.uuid4().hex, f"upload-{uuid.uuid4().hex}"
        self.targets[path] = opens, told["uploadUrl"], self.sim.auth_token_to_key[token]
        return told | {"uploadUrl": base + path, "authorizationToken": opens}

    def unfinished(self, file_id):
        bucket = self.bucket_of(file_id)
        file = bucket and bucket.file_id_to_file.get(file_id)
        if not file or file.action != "start":
            raise refused(400, "bad_request", f"No active upload for: {file_id}")
        return file

    def b2_start_large_file(
        self, token, _, bucket_id, file_name, content_type, file_info=None, server_side_encryption=None
    ):
        self.check_name(file_name)
        encryption = SSE_B2_AES if server_side_encryption else None
        return self.sim.start_large_file(
            None, token, bucket_id, file_name, content_type, file_info or {}, encryption
        )

    def b2_list_parts(self, token, _, file_id, start_part_number=None, max_part_count=None):
        self.unfinished(file_id)
        return self.sim.list_parts(None, token, file_id, start_part_number, max_part_count)

    def b2_finish_large_file(self, token, _, file_id, part_sha1_array):
        parts = [part for part in self.unfinished(file_id).parts if part is not None]
        if not parts or any(len(part.part_data) < LEAST_PART for part in parts[:-1]):
            raise refused(400, "bad_request", "a part is missing or too small")
        return self.sim.finish_large_file(None, token, file_id, part_sha1_array)

    def b2_cancel_large_file(self, token, _, file_id):
        self.unfinished(file_id)
        return self.sim.cancel_large_file(None, token, file_id)

    def b2_list_unfinished_large_files(
        self, token, _, bucket_id, start_file_id=None, max_file_count=None, name_prefix=None
    ):
        bucket = self.sim._get_bucket_by_id(bucket_id)
        started = [file for file in bucket.file_id_to_file.values() if file.action == "start"]
        started = [file for file in started if file.name.startswith(name_prefix or "")]
        return {"files": [file.as_start_large_file_result(token) for file in started], "nextFileId": None}


def snake(name):
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def range_of(text):
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", text or "")
    return found and (int(found[1]), int(found[2]))


if __name__ == "__main__":
    serve(B2(sys.argv[2], sys.argv[3]), int(sys.argv[1]))
