"""gcs_scenario.py URL BUCKET: Google's own Python client on the fake Cloud Storage, by the key in the environment.

Any difference from what Cloud Storage answers ends the scenario with a failure; otherwise it prints nothing.
"""

import base64
import datetime
import hashlib
import json
import os
import sys
import urllib.request

from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound, PreconditionFailed
from google.cloud import storage
from google.oauth2 import service_account

url, name = sys.argv[1:]
SCOPE = "https://www.googleapis.com/auth/devstorage."
UNIT = 256 * 1024


def client(scope="read_write"):
    key = json.loads(os.environ["KEY"])
    credentials = service_account.Credentials.from_service_account_info(key, scopes=[SCOPE + scope])
    return storage.Client(key["project_id"], credentials, client_options={"api_endpoint": url})


def control(what, **fields):
    with urllib.request.urlopen(f"{url}/_control/{what}", json.dumps(fields).encode()) as reply:
        return json.load(reply)


def fails(kind, call, *args, **more):
    try:
        call(*args, **more)
    except kind:
        return
    raise AssertionError(f"{call} was not refused with {kind}")


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


cloud = client()
bucket = cloud.bucket(name)
once = {"retry": None}

# One request, with a hash that is compared, conditions and metadata.
small = bucket.blob("a/kleiner Ö+%2F")
small.metadata = {"mtime": "2001-02-03T04:05:06.789Z"}
small.upload_from_string(b"123456789", checksum="md5", if_generation_match=0)
# The sum that catalogues of CRCs have.
check = base64.b64encode((0xE3069283).to_bytes(4, "big")).decode()
assert (small.md5_hash, small.size, small.crc32c) == (md5(b"123456789"), 9, check)
fails(PreconditionFailed, small.upload_from_string, b"again", if_generation_match=0, **once)
first = small.generation
small.upload_from_string(b"second", if_generation_match=first)
assert small.generation > first
fails(PreconditionFailed, small.upload_from_string, b"third", if_generation_match=first, **once)
wrong = bucket.blob("wrong")
wrong.md5_hash = md5(b"other")
fails(BadRequest, wrong.upload_from_string, b"bytes", **once)
fails(NotFound, wrong.reload)

# Downloads, whole and in part, of one generation alone.
assert small.download_as_bytes() == b"second" and small.download_as_bytes(start=1, end=3) == b"eco"
fails(PreconditionFailed, small.download_as_bytes, if_generation_match=first)
fails(NotFound, bucket.blob("none").download_as_bytes)

# In parts, of which one is kept in part only and one fails.
large = bytes(range(256)) * (5 * UNIT // 256) + b"the end"
control("store_less", bytes=UNIT)
control("fault", match="PUT /upload/", after=1, status=503)
parted = bucket.blob("large", chunk_size=2 * UNIT)
with open("/dev/shm/gcs_scenario" if os.path.isdir("/dev/shm") else "/tmp/gcs_scenario", "w+b") as file:
    os.unlink(file.name)
    file.write(large)
    file.seek(0)
    parted.upload_from_file(file, size=len(large), checksum="md5", if_generation_match=0)
assert parted.md5_hash == md5(large) and parted.download_as_bytes() == large
assert control("sessions") == 0

# Listings: in order, in pages, by folder.
for each in ["l/b", "l/a/1", "l/a/2", "l/c/"]:
    bucket.blob(each).upload_from_string(b"")
listed = [blob.name for blob in bucket.list_blobs(prefix="l/", page_size=2)]
assert listed == ["l/a/1", "l/a/2", "l/b", "l/c/"], listed
level = bucket.list_blobs(prefix="l/", delimiter="/", page_size=1)
assert [blob.name for blob in level] == ["l/b"] and level.prefixes == {"l/a/", "l/c/"}
trailing = bucket.list_blobs(prefix="l/", delimiter="/", include_trailing_delimiter=True)
assert [blob.name for blob in trailing] == ["l/b", "l/c/"]
some = bucket.list_blobs(start_offset="l/a/2", end_offset="l/c", fields="items(name),nextPageToken")
assert [blob.name for blob in some] == ["l/a/2", "l/b"]

# Copying in several calls, moving, changing what is told, composing.
control("step", bytes=2 * UNIT)
copy = bucket.blob("copy")
token, calls = None, 0
while calls == 0 or token is not None:
    token, done, total = copy.rewrite(parted, token=token, if_generation_match=0)
    calls += 1
assert (calls, done, total) == (3, len(large), len(large)) and copy.md5_hash == md5(large)
fails(PreconditionFailed, copy.rewrite, parted, if_generation_match=0, **once)
moved = bucket.move_blob(copy, "moved", if_generation_match=0, if_source_generation_match=copy.generation)
assert moved.generation > copy.generation
fails(NotFound, copy.reload)
time = datetime.datetime(2020, 9, 13, tzinfo=datetime.timezone.utc)
moved.metadata, moved.custom_time = {"x": "y"}, time
# This takes more than to write.
fails(Forbidden, moved.patch)
moved.patch(client=client("full_control"))
assert moved.metageneration == 2 and moved.metadata == {"x": "y"}
moved.update_storage_class("NEARLINE")
assert moved.storage_class == "NEARLINE" and moved.metadata == {"x": "y"}
composed = bucket.blob("composed")
composed.compose([small, small], if_generation_match=0)
assert composed.md5_hash is None and composed.crc32c and composed.component_count == 2
assert composed.download_as_bytes() == b"second" * 2

# Removing.
fails(PreconditionFailed, small.delete, if_generation_match=first, **once)
small.delete(if_generation_match=small.generation)
fails(NotFound, small.delete)

# Buckets.
made = cloud.create_bucket(f"{name}-made", location="EU")
assert made.name in [bucket.name for bucket in cloud.list_buckets()]
fails(Conflict, cloud.create_bucket, made.name)
made.delete()
fails(NotFound, made.reload)
assert not cloud.bucket("no-such-bucket").exists()

# Whoever may only read.
reader = client("read_only").bucket(name)
assert reader.blob("large").download_as_bytes() == large
fails(Forbidden, reader.blob("new").upload_from_string, b"")
