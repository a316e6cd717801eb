"""google_drive_scenario.py URL: Google's own Python client on the fake Google Drive.

The client is built from the same discovery document that the fake checks requests with, and reads the replies by it.
Any difference from what Drive answers ends the scenario with a failure; otherwise it prints nothing.
"""

import hashlib
import importlib.resources
import io
import json
import sys
import urllib.request

from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaInMemoryUpload, MediaIoBaseDownload

url = sys.argv[1]
FOLDER = "application/vnd.google-apps.folder"
DOCUMENT = "application/vnd.google-apps.document"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
UNIT = 256 * 1024
FIELDS = "id,name,parents,size,md5Checksum,sha256Checksum,modifiedTime,version,headRevisionId,trashed,driveId"


def client():
    """The client, with both its addresses turned to the fake."""
    documents = importlib.resources.files("googleapiclient.discovery_cache.documents")
    document = json.loads(documents.joinpath("drive.v3.json").read_text())
    document["rootUrl"] = document["mtlsRootUrl"] = f"{url}/"
    document["baseUrl"] = document["rootUrl"] + document["servicePath"]
    credentials = Credentials(
        None,
        refresh_token="tester-refresh",
        token_uri=f"{url}/token",
        client_id="tester-client",
        client_secret="tester-secret",
    )
    return build_from_document(document, credentials=credentials)


def control(what, **fields):
    with urllib.request.urlopen(f"{url}/_control/{what}", json.dumps(fields).encode()) as reply:
        return json.load(reply)


def fails(status, reason, request):
    try:
        request.execute()
    except HttpError as error:
        assert error.resp.status == status, error
        assert error.error_details[0]["reason"] == reason, error
    else:
        raise AssertionError(f"{request.uri} was not refused")


def download(request, chunk):
    out = io.BytesIO()
    downloader = MediaIoBaseDownload(out, request, chunksize=chunk)
    done = False
    while not done:
        _, done = downloader.next_chunk()
    return out.getvalue()


def all_changes(token, **parameters):
    """The changes since a token, page by page, and the next token."""
    changes = []
    fields = f"nextPageToken,newStartPageToken,changes(fileId,removed,file({FIELDS}))"
    while True:
        page = drive.changes().list(pageToken=token, pageSize=1, fields=fields, **parameters).execute()
        changes += page["changes"]
        if "newStartPageToken" in page:
            return changes, page["newStartPageToken"]
        token = page["nextPageToken"]


drive = client()
files = drive.files()
about = drive.about().get(fields="user,storageQuota,exportFormats").execute()
assert about["user"]["me"] and DOCX in about["exportFormats"][DOCUMENT]
fails(400, "required", drive.about().get())
root = files.get(fileId="root", fields="id").execute()["id"]
start = drive.changes().getStartPageToken().execute()["startPageToken"]

# Folders and small files; the names of two are the same.
ids = files.generateIds(count=3, space="drive", type="files").execute()["ids"]
body = {"id": ids[0], "name": "It's \\ a / folder", "mimeType": FOLDER}
folder = files.create(body=body, fields="id,parents").execute()
assert folder == {"id": ids[0], "parents": [root]}
fails(409, "fileIdInUse", files.create(body={"id": ids[0], "name": "again", "mimeType": FOLDER}))
time = "2001-02-03T04:05:06.789Z"
for file_id in ids[1:]:
    body = {"id": file_id, "name": "twin", "parents": [ids[0]], "modifiedTime": time}
    media = MediaInMemoryUpload(file_id.encode(), "text/plain")
    created = files.create(body=body, media_body=media, fields=FIELDS + ",mimeType").execute()
    assert created["md5Checksum"] == hashlib.md5(file_id.encode()).hexdigest()
    assert (created["modifiedTime"], created["mimeType"], created["size"]) == (time, "text/plain", str(len(file_id)))

# Listing, in pages and by name.
query = f"'{ids[0]}' in parents and trashed = false"
page = files.list(q=query, pageSize=1, fields="nextPageToken,files(id,name)").execute()
rest = files.list(q=query, pageSize=1, fields="*", pageToken=page["nextPageToken"]).execute()
assert [file["id"] for file in page["files"] + rest["files"]] == ids[1:] and "nextPageToken" not in rest
by_name = files.list(q="name = 'It\\'s \\\\ a / FOLDER' and 'root' in parents").execute()["files"]
assert by_name == [{"kind": "drive#file", "id": ids[0], "name": "It's \\ a / folder", "mimeType": FOLDER}]
newest_first = files.list(q=query, orderBy="createdTime desc,name").execute()["files"]
assert {file["id"] for file in newest_first} == set(ids[1:])
fails(400, "invalid", files.list(q="no = 'query'"))
fails(400, "invalid", files.list(q=query, pageToken="nonsense"))

# A file sent in parts, of known and of unknown length, and an empty one.
big = bytes(range(256)) * (10 * UNIT // 256) + b"the end"
media = MediaInMemoryUpload(big, "application/x-big", chunksize=4 * UNIT, resumable=True)
request = files.create(body={"name": "big"}, media_body=media, fields=FIELDS)
stored, reply = [], None
while reply is None:
    progress, reply = request.next_chunk()
    stored.append(progress and progress.resumable_progress)
assert stored == [4 * UNIT, 8 * UNIT, None] and reply["size"] == str(len(big))
assert reply["sha256Checksum"] == hashlib.sha256(big).hexdigest()
big_id = reply["id"]
media = MediaInMemoryUpload(b"", "text/plain", resumable=True)
assert files.create(body={"name": "empty"}, media_body=media, fields="size").execute() == {"size": "0"}

# A part of which less is kept than was sent, and one that fails, so that the client asks how much is there.
control("store_less", bytes=UNIT)
control("fault", match="PUT /upload/", after=1, status=503)
media = MediaInMemoryUpload(big, "application/x-big", chunksize=4 * UNIT, resumable=True)
request = files.update(fileId=big_id, media_body=media, fields=FIELDS)
assert request.next_chunk()[0].resumable_progress == UNIT
try:
    request.next_chunk()
except HttpError as error:
    assert error.resp.status == 503, error
assert request.next_chunk()[0].resumable_progress == 5 * UNIT
second = request.execute()
assert second["md5Checksum"] == hashlib.md5(big).hexdigest() and second["headRevisionId"] != reply["headRevisionId"]

# Downloads.
assert download(files.get_media(fileId=big_id), UNIT) == big
revisions = drive.revisions().list(fileId=big_id, fields="revisions(id,size,keepForever)").execute()["revisions"]
assert [each["size"] for each in revisions] == [str(len(big))] * 2 and revisions[1]["id"] == second["headRevisionId"]
old = files.update(fileId=big_id, media_body=MediaInMemoryUpload(b"short", "text/plain"), fields=FIELDS).execute()
assert drive.revisions().get_media(fileId=big_id, revisionId=revisions[0]["id"]).execute() == big
which = {"fileId": big_id, "revisionId": revisions[0]["id"]}
pinned = drive.revisions().update(body={"keepForever": True}, fields="keepForever", **which).execute()
assert pinned == {"keepForever": True}
control("mark", id=big_id, abusive=True)
fails(403, "cannotDownloadAbusiveFile", files.get_media(fileId=big_id))
assert files.get_media(fileId=big_id, acknowledgeAbuse=True).execute() == b"short"

# Renaming, moving, copying.
moved = files.update(
    fileId=big_id, addParents=ids[0], removeParents=root, body={"name": "moved", "modifiedTime": time}, fields=FIELDS
).execute()
assert moved["parents"] == [ids[0]] and moved["modifiedTime"] == time and int(moved["version"]) > int(old["version"])
fails(403, "cannotAddParent", files.update(fileId=big_id, addParents=root))
fails(403, "fieldNotWritable", files.update(fileId=big_id, body={"parents": [root]}))
fails(403, "fieldNotWritable", files.update(fileId=big_id, body={"md5Checksum": "0"}))
copy = files.copy(fileId=big_id, body={"name": "copy"}, fields=FIELDS).execute()
assert copy["md5Checksum"] == moved["md5Checksum"] and copy["parents"] == [ids[0]]

# The trash: what is in a folder goes with it, and the feed tells of the folder alone.
changes, token = all_changes(start)
assert [change["fileId"] for change in changes].count(big_id) == 1 and len(changes) == 6
files.update(fileId=ids[0], body={"trashed": True}).execute()
below = files.get(fileId=big_id, fields="trashed,explicitlyTrashed").execute()
assert below == {"trashed": True, "explicitlyTrashed": False}
assert files.list(q=query).execute()["files"] == []
changes, token = all_changes(token)
assert [(change["fileId"], change["file"]["trashed"]) for change in changes] == [(ids[0], True)]
files.delete(fileId=copy["id"]).execute()
fails(404, "notFound", files.get(fileId=copy["id"]))
changes, token = all_changes(token)
assert changes == [{"fileId": copy["id"], "removed": True}]
assert all_changes(token) == ([], token)
control("forget_tokens")
fails(400, "invalid", drive.changes().list(pageToken=token))

# Documents and shortcuts.
document = control("document", path="/texts/letter", kind="document", text="Dear all")["id"]
details = files.get(fileId=document, fields="*").execute()
assert "md5Checksum" not in details and "headRevisionId" not in details and DOCX in details["exportLinks"]
assert files.export(fileId=document, mimeType=DOCX).execute().startswith(b"Dear all")
fails(403, "fileNotDownloadable", files.get_media(fileId=document))
fails(403, "fileNotExportable", files.export(fileId=big_id, mimeType=DOCX))
fails(400, "badRequest", files.export(fileId=document, mimeType="image/tiff"))
control("document", path="/texts/letter", size=11_000_000)
fails(403, "exportSizeLimitExceeded", files.export(fileId=document, mimeType=DOCX))
body = {"name": "there", "mimeType": "application/vnd.google-apps.shortcut", "shortcutDetails": {"targetId": document}}
shortcut = files.create(body=body, fields="shortcutDetails").execute()["shortcutDetails"]
assert shortcut == {"targetId": document, "targetMimeType": DOCUMENT}

# Shared drives: there for those only that say they know them.
team = control("shared_drive", name="Team")["id"]
assert drive.drives().list(fields="drives(id,name)").execute()["drives"] == [{"id": team, "name": "Team"}]
assert drive.drives().get(driveId=team).execute()["name"] == "Team"
where = {"supportsAllDrives": True, "includeItemsFromAllDrives": True, "driveId": team}
start = drive.changes().getStartPageToken(driveId=team, supportsAllDrives=True).execute()["startPageToken"]
body = {"name": "ours", "parents": [team]}
media = MediaInMemoryUpload(b"ours", "text/plain")
fails(404, "notFound", files.create(body=body, media_body=media))
ours = files.create(body=body, media_body=media, supportsAllDrives=True, fields=FIELDS).execute()
assert ours["driveId"] == team and ours["parents"] == [team]
fails(404, "notFound", files.get(fileId=ours["id"]))
listed = files.list(q=f"'{team}' in parents", corpora="drive", **where).execute()["files"]
assert [file["id"] for file in listed] == [ours["id"]]
assert files.list(q=f"'{team}' in parents").execute()["files"] == []
changes, token = all_changes(start, **where)
assert [change["fileId"] for change in changes] == [ours["id"]]
to_my_drive = {"addParents": root, "removeParents": team, "supportsAllDrives": True}
assert "driveId" not in files.update(fileId=ours["id"], fields=FIELDS, **to_my_drive).execute()
changes, token = all_changes(token, **where)
assert changes == [{"fileId": ours["id"], "removed": True}]
fails(403, "supportsTeamDrivesRequired", files.list(includeItemsFromAllDrives=True))
