"""google_drive.py PORT: a fake of Google Drive on the loopback address, for all of its hosts.

It keeps real state, and refuses what Google's discovery document doesn't have (`google_api.py`). How it behaves
comes from the guides of the Drive API and from what client programs found: their names for errors, their requests.
Methods of the API that it lacks are answered with 501. Signing in is at `/o/oauth2/v2/auth`, `/token` and `/revoke`.

Stricter than Google: a parameter that stands there twice, a page size out of range, or null as a value is refused.
Where it isn't known what Google does, it does what is harder for a client: a folder's trashing or move brings no
changes of what is in it; renaming sets `modifiedTime`; exporting a document twice gives different bytes.

How a test steers it: `google_drive_controls.py`, besides what `fake_service.py` has.
"""

import random
import re
import secrets
import sys

from fake_service import Reply, Service, SignIn, serve
from google_api import Api, asks, below, media, refused, select
from google_drive_controls import Controls
from google_drive_query import Query, not_found
from google_drive_render import EXPORTS, PLAIN_FIELDS, USER, WRITING, render_drive, render_file, render_revision
from google_drive_store import FOLDER, GOOGLE_TYPES, SHORTCUT, Content, Store, milliseconds, new_id, now, rfc3339
from google_uploads import Uploads

UPLOAD = "/upload/drive/v3/files"
EXPORT_LIMIT = 10 * 1024 * 1024
PINNED_REVISIONS = 200
REMEMBERED_SEARCHES = 10_000

# What of a file may be written here; of the hints nothing is ever seen.
FILE_BODY = "id name mimeType parents createdTime modifiedTime trashed shortcutDetails contentHints".split()
KNOWN_FIELDS = {"File": {*FILE_BODY, *PLAIN_FIELDS}, "Revision": {"keepForever"}}

# Without `fields` a reply has these only.
FILE = "kind,id,name,mimeType,driveId,teamDriveId,resourceKey"
DEFAULT_FIELDS = {
    "File": FILE,
    "drive.files.list": f"kind,incompleteSearch,nextPageToken,files({FILE})",
    "drive.changes.list": "kind,nextPageToken,newStartPageToken,changes(kind,type,changeType,time,removed,fileId,"
    f"driveId,teamDriveId,file({FILE}),drive(kind,id,name))",
    "drive.drives.list": "kind,nextPageToken,drives(kind,id,name)",
    "drive.drives.get": "kind,id,name",
    "drive.revisions.list": "kind,nextPageToken,revisions(kind,id,mimeType,modifiedTime)",
    "drive.revisions.get": "kind,id,mimeType,modifiedTime",
    "drive.revisions.update": "kind,id,mimeType,modifiedTime",
}


class Call:
    """A request that fits the API."""

    def __init__(self, method, variables, parameters, request, mask, is_upload):
        self.method = method
        self.variables = variables
        self.parameters = parameters
        self.request = request
        self.mask = mask
        self.is_upload = is_upload
        self.written = {}  # the body
        self.content = None  # what is uploaded, and its type
        self.mime = None

    def is_set(self, name):
        return self.parameters.get(name, False)

    @property
    def knows_shared_drives(self):
        return self.is_set("supportsAllDrives") or self.is_set("supportsTeamDrives")


class GoogleDrive(Service):
    def __init__(self):
        # rclone sends it with every update by upload: a parameter of the API's version 2.
        self.api = Api("drive.v3.json", DEFAULT_FIELDS, ignored=["setModifiedDate"])
        super().__init__(
            SignIn(
                scopes=[*self.api.scopes, "openid", "email", "profile"],
                offline={"access_type": "offline", "prompt": "consent"},
                expires_in=3600,
                parameters=("include_granted_scopes", "login_hint"),
            )
        )
        self.store = Store()
        self.uploads = Uploads(self.api, self.run, self.check_room, Content)
        self.searches = {}
        self.exports = 0
        self.random = random.Random(1)
        # What tests may change:
        self.page_limit = None
        self.reorders = False
        self.search_is_incomplete = False
        self.quota = None
        self.controls |= Controls(self).all()
        self.methods = {
            "drive.about.get": self.get_about,
            "drive.changes.getStartPageToken": self.get_start_page_token,
            "drive.changes.list": self.list_changes,
            "drive.drives.get": self.get_drive,
            "drive.drives.list": self.list_drives,
            "drive.files.copy": self.copy_file,
            "drive.files.create": self.create_file,
            "drive.files.delete": self.delete_file,
            "drive.files.emptyTrash": self.empty_trash,
            "drive.files.export": self.export_file,
            "drive.files.generateIds": self.generate_ids,
            "drive.files.get": self.get_file,
            "drive.files.list": self.list_files,
            "drive.files.update": self.update_file,
            "drive.revisions.get": self.get_revision,
            "drive.revisions.list": self.list_revisions,
            "drive.revisions.update": self.update_revision,
        }

    # Requests

    def answer(self, request):
        sign_in = {"/o/oauth2/v2/auth": "authorize", "/token": "token", "/revoke": "revoke"}.get(request.path)
        if sign_in:
            return getattr(self.sign_in, sign_in)(request)
        upload_id = dict(request.query).get("upload_id")
        if upload_id is not None and request.path.startswith(UPLOAD):
            # The address of a session is secret, and enough; a token that comes with it has to be good.
            if "Authorization" in request.headers:
                self.check_token(request)
            return self.uploads.go_on(request, upload_id)

        method, variables, is_upload = self.api.find(request.method, request.path)
        scopes = self.check_token(request)
        if not scopes & method.scopes:
            raise refused(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
        parameters = self.api.check_query(method, request.query, is_upload)
        if parameters.get("alt") == "proto":
            raise refused(400, "badRequest", "The fake answers JSON only", "alt")
        if parameters.get("alt") == "media" and not method.gives_media:
            raise refused(400, "badRequest", 'Unsupported alt type "media" for non byte stream request.', "alt")
        call = Call(method, variables, parameters, request, self.mask(method, parameters), is_upload)
        if is_upload:
            return self.uploads.start(call)
        call.written = self.api.read_body(method, request.headers.get("Content-Type", ""), request.body)
        return self.run(call)

    def run(self, call, only_check=False):
        """Carries out a call; or only checks one that is to have its content later."""
        method = call.method
        if method.id not in self.methods:
            raise refused(501, "notImplemented", f"The fake lacks {method.id}")
        unknown = set(call.written) - KNOWN_FIELDS.get(method.request, set())
        if unknown:
            raise refused(501, "notImplemented", f"The fake doesn't know what writing {', '.join(unknown)} does")
        return self.methods[method.id](call, only_check=True) if only_check else self.methods[method.id](call)

    def cut_off(self, request):
        self.uploads.cut_off(request, dict(request.query).get("upload_id"))

    def check_token(self, request):
        """The scopes of the token."""
        header = request.headers.get("Authorization")
        kind, _, token = (header or "").partition(" ")
        try:
            return self.sign_in.check(token if kind == "Bearer" else None)
        except (KeyError, TimeoutError):
            missing, wrong = ("required", "Login Required."), ("authError", "Invalid Credentials")
            headers = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}
            reason, message = missing if header is None else wrong
            raise refused(401, reason, message, "Authorization", "header", headers=headers) from None

    def mask(self, method, parameters):
        if method.response is None:
            return None
        fields = parameters.get("fields")
        if fields is None:
            if method.id == "drive.about.get":
                raise refused(400, "required", "The 'fields' parameter is required for this method.", "fields")
            fields = method.default_fields
        return self.api.mask(method.response, fields) if fields else {}

    # Files

    def look_up(self, call, file_id=None):
        """The file of a call, or another that it names."""
        file_id = file_id or call.variables["fileId"]
        file = self.store.files.get(self.store.resolve(file_id))
        hides_shared_drives = "supportsAllDrives" in call.method.parameters and not call.knows_shared_drives
        if file is None or file.drive is not None and hides_shared_drives:
            raise not_found(file_id)
        return file

    @staticmethod
    def need(file, capability):
        if capability in file.denied or capability in WRITING and "canEdit" in file.denied:
            raise may_not(file)

    def check_room(self, more):
        if self.quota is None:
            return
        if self.used_bytes() + more > self.quota:
            raise refused(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")

    def used_bytes(self):
        heads = (file.head.content for file in self.store.files.values() if file.revisions and file.drive is None)
        return sum(len(content.data) for content in heads)

    def get_file(self, call):
        file = self.look_up(call)
        if call.parameters.get("alt") != "media":
            if call.is_set("acknowledgeAbuse"):
                message = "The acknowledgeAbuse parameter is only for downloads."
                raise refused(403, "invalidAbuseAcknowledgment", message, "acknowledgeAbuse")
            return self.reply_file(call, file)
        if file.is_google_type:
            message = "Only files with binary content can be downloaded. Use Export with Docs Editors files."
            raise refused(403, "fileNotDownloadable", message, "alt")
        self.check_download(call, file)
        return media(call.request, file.head.content.data, file.mime)

    def check_download(self, call, file):
        if "canDownload" in file.denied:
            raise refused(403, "cannotDownloadFile", "This file cannot be downloaded by the user.")
        if file.is_abusive and not call.is_set("acknowledgeAbuse"):
            message = "This file has been identified as malware or spam and cannot be downloaded."
            raise refused(403, "cannotDownloadAbusiveFile", message)

    def list_files(self, call):
        parameters = call.parameters
        drive_id = self.drive_of(call)
        corpora = parameters.get("corpora", "user")
        if corpora not in ("user", "domain", "drive", "allDrives"):
            raise refused(400, "invalid", "Invalid Value", "corpora")
        if (corpora == "drive") != (drive_id is not None):
            message = "The driveId parameter must be specified if and only if corpora is set to drive."
            raise refused(400, "invalid", message, "corpora")
        includes_all = self.includes_all_drives(call)
        if corpora in ("drive", "allDrives") and not includes_all:
            message = f"includeItemsFromAllDrives has to be true for corpora={corpora}"
            raise refused(403, "teamDrivesRequired", message, "includeItemsFromAllDrives")

        search = [parameters.get(name) for name in ("q", "orderBy", "corpora", "driveId", "spaces")] + [includes_all]
        condition = Query(parameters.get("q", ""), self.store).condition()
        if "pageToken" in parameters:
            made_for, found, start = self.searches.get(parameters["pageToken"], (None, None, 0))
            if made_for != search:
                raise refused(400, "invalid", "Invalid Value", "pageToken")
        else:
            found, start = self.store.candidates(condition), 0
            sort(found, parameters.get("orderBy", ""))

        def is_meant(file):
            if file.parent is None and file.is_mine or self.store.files.get(file.id) is not file:
                return False
            if drive_id is not None:
                return file.drive == drive_id and condition.meets(file)
            return (includes_all or file.drive is None) and condition.meets(file)

        size = self.page_size(call, 100)
        page = []
        while start < len(found) and len(page) < size:
            if is_meant(found[start]):
                page.append(found[start])
            start += 1
        body = {"kind": "drive#fileList", "incompleteSearch": self.search_is_incomplete}
        if any(is_meant(file) for file in found[start:]):
            token = "~!!~" + secrets.token_urlsafe(40)
            self.searches[token] = search, found, start
            if len(self.searches) > REMEMBERED_SEARCHES:
                del self.searches[next(iter(self.searches))]
            body["nextPageToken"] = token
        rendered = select(call.mask, body)
        if asks(call.mask, "files"):
            rendered["files"] = [render_file(self.store, file, below(call.mask, "files")) for file in page]
        return Reply(body=rendered)

    def page_size(self, call, default):
        size = call.parameters.get("pageSize", default)
        return size if self.page_limit is None else min(size, self.page_limit)

    def includes_all_drives(self, call):
        if not (call.is_set("includeItemsFromAllDrives") or call.is_set("includeTeamDriveItems")):
            return False
        if not call.knows_shared_drives:
            message = "supportsAllDrives has to be true where includeItemsFromAllDrives is"
            raise refused(403, "supportsTeamDrivesRequired", message, "supportsAllDrives")
        return True

    def drive_of(self, call):
        """The shared drive that a call names, if any."""
        drive_id = call.parameters.get("driveId", call.parameters.get("teamDriveId"))
        if drive_id is None:
            return None
        if drive_id not in self.store.drives or not call.knows_shared_drives:
            raise refused(404, "notFound", f"Shared drive not found: {drive_id}", "driveId")
        return drive_id

    def generate_ids(self, call):
        if call.parameters.get("space", "drive") != "drive":
            raise refused(400, "invalid", "Invalid Value", "space")
        if call.parameters.get("type", "files") not in ("files", "shortcuts"):
            raise refused(400, "invalid", "Invalid Value", "type")
        ids = [new_id() for _ in range(call.parameters.get("count", 10))]
        self.store.reserved_ids.update(ids)
        return Reply(body=select(call.mask, {"kind": "drive#generatedIds", "space": "drive", "ids": ids}))

    def new_parent(self, call, default):
        """The folder that is to have a new file."""
        parents = call.written.get("parents") or [default.id]
        if len(parents) > 1:
            raise refused(403, "cannotAddParent", "Increasing the number of parents is not allowed")
        parent = self.look_up(call, parents[0])
        self.check_parent(parent)
        return parent

    def check_parent(self, parent):
        if not parent.is_folder:
            raise refused(403, "parentNotAFolder", "The specified parent is not a folder.")
        if {"canAddChildren", "canEdit"} & parent.denied:
            raise refused(403, "insufficientParentPermissions", "Insufficient permissions for the specified parent.")

    def check_id(self, file_id, mime):
        store = self.store
        if file_id in store.files or file_id in store.gone:
            raise refused(409, "fileIdInUse", "A file already exists with the provided ID.")
        is_document = mime.startswith(GOOGLE_TYPES) and mime not in (FOLDER, SHORTCUT)
        if file_id not in store.reserved_ids or is_document:
            raise refused(400, "invalid", "The provided file ID is not usable.", "file.id", "other")

    def create_file(self, call, only_check=False):
        written, content = call.written, call.content
        mime = self.mime_of(call) or "application/octet-stream"
        parent = self.new_parent(call, self.store.root)
        if "id" in written:
            self.check_id(written["id"], mime)
        if "trashed" in written:
            raise refused(403, "fieldNotWritable", "A new file can't be trashed.", "trashed")
        is_blob = not mime.startswith(GOOGLE_TYPES)
        if content is not None and not is_blob:
            raise refused(400, "badRequest", "The fake takes no content for Google's own types")
        target = None
        if mime == SHORTCUT:
            target = self.look_up(call, written.get("shortcutDetails", {}).get("targetId", "none")).id
        if only_check:
            return None

        if content is not None:
            self.check_room(len(content.data))
        file = self.store.create(written.get("name", "Untitled"), mime, parent, written.get("id"))
        file.target = target
        self.write_fields(file, written)
        if not file.is_folder and target is None:
            self.store.add_revision(file, content or Content(b""), call.is_set("keepRevisionForever"))
        self.store.touch(file)
        return self.reply_file(call, file)

    @staticmethod
    def mime_of(call):
        """What a file is said to be, or what is uploaded into it is; None if neither is told."""
        return (call.written.get("mimeType") or call.mime or "").partition(";")[0].strip() or None

    def write_fields(self, file, written):
        for name in ("createdTime", "modifiedTime"):
            if name in written:
                setattr(file, {"createdTime": "created", "modifiedTime": "modified"}[name], milliseconds(written[name]))
        for name in PLAIN_FIELDS:
            if name in ("properties", "appProperties") and name in written:
                merged = file.written.get(name, {}) | written[name]
                file.written[name] = {key: value for key, value in merged.items() if value is not None}
            elif name in written:
                file.written[name] = written[name]

    def copy_file(self, call):
        source = self.look_up(call)
        self.need(source, "canCopy")
        if source.is_folder or source.target is not None:
            raise refused(403, "cannotCopyFile", "This file cannot be copied by the user.")
        parent = self.new_parent(call, self.store.files.get(source.parent) or self.store.root)
        if "id" in call.written:
            self.check_id(call.written["id"], source.mime)
        self.check_room(len(source.head.content.data))
        name = call.written.get("name", f"Copy of {source.name}")
        file = self.store.create(name, source.mime, parent, call.written.get("id"))
        self.write_fields(file, call.written)
        self.store.add_revision(file, source.head.content, call.is_set("keepRevisionForever"))
        self.store.touch(file)
        return self.reply_file(call, file)

    def update_file(self, call, only_check=False):
        file, written, content = self.look_up(call), call.written, call.content
        for name in ("parents", "id", "createdTime", "shortcutDetails"):
            if name in written:
                message = f"The {name} field is not directly writable in update requests."
                if name == "parents":
                    message += " Use the addParents and removeParents parameters instead."
                raise refused(403, "fieldNotWritable", message)
        parent = self.parent_after(call, file)
        is_moved = parent is not self.store.files.get(file.parent)
        is_renamed = written.get("name", file.name) != file.name
        self.check_update(call, file, is_moved, is_renamed)
        if only_check:
            return None

        if content is not None:
            self.check_room(len(content.data))
        if is_moved or is_renamed:
            self.store.move(file, written.get("name", file.name), parent)
        if content is not None or is_renamed:
            file.modified = now()
        self.write_fields(file, written)
        file.mime = self.mime_of(call) or file.mime
        if content is not None:
            self.store.add_revision(file, content, call.is_set("keepRevisionForever"))
        if "trashed" in written:
            file.trashed_time = (file.trashed_time or now()) if written["trashed"] else None
        self.store.touch(file)
        return self.reply_file(call, file)

    def check_update(self, call, file, is_moved, is_renamed):
        written = call.written
        is_root = file.parent is None and file.is_mine
        if is_root and (is_moved or is_renamed or "trashed" in written):
            raise may_not(file)
        if is_renamed:
            self.need(file, "canRename")
        if is_moved:
            self.need(file, "canMoveItemWithinDrive")
        if "trashed" in written:
            self.need(file, "canTrash" if written["trashed"] else "canUntrash")
        if call.is_upload:
            self.need(file, "canModifyContent")
            if file.is_google_type:
                raise refused(400, "badRequest", "The fake takes no content for Google's own types")
        changes_kind = written.get("mimeType", "").startswith(GOOGLE_TYPES) != file.is_google_type
        if "mimeType" in written and changes_kind:
            message = "A file can't become one of Google's own types, nor the reverse"
            raise refused(400, "badRequest", message, "mimeType")
        self.need(file, "canEdit")

    def parent_after(self, call, file):
        """The parent that an update leaves the file with."""
        old = self.store.files.get(file.parent)

        def named(parameter):
            ids = call.parameters.get(parameter, "").split(",")
            return {self.store.resolve(each) for each in ids if each}

        added, removed = named("addParents"), named("removeParents")
        if not added and not removed:
            return old
        kept = {file.parent} - {None} - removed | added
        if not kept:
            reason = "teamDrivesParentLimit" if file.drive else "cannotRemoveParent"
            raise refused(403, reason, "An item must have exactly one parent.")
        if len(kept) > 1:
            raise refused(403, "cannotAddParent", "Increasing the number of parents is not allowed")
        parent = self.look_up(call, kept.pop())
        if parent is not old:
            self.check_parent(parent)
        if self.store.is_below(parent, file):
            raise refused(400, "badRequest", "The parent would create a cycle in the folders.", "addParents")
        if parent.drive != file.drive and file.is_folder:
            message = "Moving folders into shared drives is not supported."
            raise refused(403, "teamDrivesFolderMoveInNotSupported", message)
        return parent

    def delete_file(self, call):
        file = self.look_up(call)
        if file.parent is None and file.is_mine:
            raise may_not(file)
        self.need(file, "canDelete")
        self.store.delete(file)
        return Reply(204)

    def empty_trash(self, call):
        drive_id = call.parameters.get("driveId")
        if drive_id is not None and drive_id not in self.store.drives:
            raise refused(404, "notFound", f"Shared drive not found: {drive_id}", "driveId")
        for file in list(self.store.files.values()):
            # One in a folder that was trashed too is gone already.
            if file.trashed_time is not None and file.drive == drive_id and file.id in self.store.files:
                self.store.delete(file)
        return Reply(204)

    def export_file(self, call):
        file = self.look_up(call)
        if not file.is_document:
            raise refused(403, "fileNotExportable", "Export only supports Docs Editors files.")
        mime = call.parameters["mimeType"]
        if mime not in EXPORTS.get(file.mime, ()):
            raise refused(400, "badRequest", "The requested conversion is not supported.", "convertTo")
        self.check_download(call, file)
        if len(file.head.content.data) > EXPORT_LIMIT:
            raise refused(403, "exportSizeLimitExceeded", "This file is too large to be exported.")
        self.exports += 1
        data = file.head.content.data + f"\n{mime}, export {self.exports}\n".encode()
        return Reply(200, {"Content-Type": mime}, data)

    def reply_file(self, call, file):
        return Reply(body=render_file(self.store, file, call.mask))

    # Changes

    def get_start_page_token(self, call):
        feed = self.store.feeds[self.drive_of(call)]
        return Reply(body=select(call.mask, {"kind": "drive#startPageToken", "startPageToken": str(feed.next)}))

    def list_changes(self, call):
        drive_id = self.drive_of(call)
        includes_all = self.includes_all_drives(call)
        if drive_id is not None and not includes_all:
            message = "includeItemsFromAllDrives has to be true for the changes of a shared drive"
            raise refused(403, "teamDrivesRequired", message, "includeItemsFromAllDrives")
        feed = self.store.feeds[drive_id]
        token = call.parameters["pageToken"]
        if not feed.is_token(token):
            raise refused(400, "invalid", "Invalid Value", "pageToken")
        size = self.page_size(call, 100)
        mask = below(call.mask, "changes") if asks(call.mask, "changes") else {}
        changes = []
        body = {"kind": "drive#changeList"}
        for number, *change in feed.since(int(token)):
            if len(changes) == size:
                body["nextPageToken"] = str(number)
                break
            rendered = self.render_change(call, drive_id, includes_all, mask, *change)
            if rendered is not None:
                changes.append(rendered)
        else:
            body["newStartPageToken"] = str(feed.next)
        if self.reorders:
            changes += changes[::3]
            self.random.shuffle(changes)
        # Every change was cut down already.
        return Reply(body=select(call.mask, body) | ({"changes": changes} if asks(call.mask, "changes") else {}))

    def render_change(self, call, drive_id, includes_all, mask, kind, changed_id, time_ms):
        """A change as this call may see it; None if it may not."""
        store = self.store
        change = {"type": kind, "changeType": kind, "time": rfc3339(time_ms), "removed": False}
        if kind == "drive":
            if not includes_all or call.is_set("restrictToMyDrive"):
                return None
            drive = render_drive(store.drives[changed_id])
            change |= {"kind": "drive#change", "driveId": changed_id, "teamDriveId": changed_id, "drive": drive}
            return select(mask, change)
        file = store.files.get(changed_id)
        drive = file.drive if file else store.gone[changed_id]
        if drive_id is not None:
            is_gone = file is None or drive != drive_id
        elif drive is not None and (not includes_all or call.is_set("restrictToMyDrive")):
            if changed_id not in store.left_my_drive:
                return None
            is_gone = True
        else:
            is_gone = file is None
        if is_gone and not call.parameters.get("includeRemoved", True):
            return None
        if file is not None and not file.is_mine and call.is_set("restrictToMyDrive"):
            return None
        change |= {"kind": "drive#change", "fileId": changed_id, "removed": is_gone}
        rendered = select(mask, change)
        if not is_gone and asks(mask, "file"):
            rendered["file"] = render_file(self.store, file, below(mask, "file"))
        return rendered

    # Revisions

    def revision_of(self, call, file):
        for revision in file.revisions:
            if call.variables["revisionId"] in (revision.id, "head" if revision is file.head else None):
                return revision
        raise refused(404, "notFound", f"Revision not found: {call.variables['revisionId']}.", "revisionId")

    def list_revisions(self, call):
        file = self.look_up(call)
        if file.is_folder or file.target is not None:
            raise refused(403, "revisionsNotSupported", "The file does not support revisions.")
        token = call.parameters.get("pageToken", "0")
        if not token.isdecimal():
            raise refused(400, "invalid", "Invalid Value", "pageToken")
        start, size = int(token), self.page_size(call, 200)
        page = file.revisions[start : start + size]
        body = {"kind": "drive#revisionList", "revisions": [render_revision(file, each) for each in page]}
        if start + size < len(file.revisions):
            body["nextPageToken"] = str(start + size)
        return Reply(body=select(call.mask, body))

    def get_revision(self, call):
        file = self.look_up(call)
        revision = self.revision_of(call, file)
        if call.parameters.get("alt") != "media":
            return Reply(body=select(call.mask, render_revision(file, revision)))
        if file.is_google_type:
            message = "Only files with binary content can be downloaded. Use Export with Docs Editors files."
            raise refused(403, "fileNotDownloadable", message, "alt")
        self.check_download(call, file)
        return media(call.request, revision.content.data, revision.mime)

    def update_revision(self, call):
        file = self.look_up(call)
        revision = self.revision_of(call, file)
        if call.written.get("keepForever") and sum(each.keep_forever for each in file.revisions) >= PINNED_REVISIONS:
            raise refused(403, "keepForeverLimitExceeded", f"Only {PINNED_REVISIONS} revisions can be kept forever.")
        revision.keep_forever = call.written.get("keepForever", revision.keep_forever)
        self.store.touch(file)
        return Reply(body=select(call.mask, render_revision(file, revision)))

    # The rest

    def get_drive(self, call):
        drive = self.store.drives.get(call.variables["driveId"])
        if drive is None:
            raise refused(404, "notFound", f"Shared drive not found: {call.variables['driveId']}", "driveId")
        return Reply(body=select(call.mask, render_drive(drive)))

    def list_drives(self, call):
        if call.is_set("useDomainAdminAccess") or "q" in call.parameters:
            raise refused(400, "badRequest", "Only an administrator of a domain may search so", "useDomainAdminAccess")
        drives = list(self.store.drives.values())
        token = call.parameters.get("pageToken", "0")
        if not token.isdecimal():
            raise refused(400, "invalid", "Invalid Value", "pageToken")
        start, size = int(token), self.page_size(call, 10)
        body = {"kind": "drive#driveList", "drives": [render_drive(drive) for drive in drives[start : start + size]]}
        if start + size < len(drives):
            body["nextPageToken"] = str(start + size)
        return Reply(body=select(call.mask, body))

    def get_about(self, call):
        used = str(self.used_bytes())
        trashed = (file for file in self.store.files.values() if file.drive is None and file.revisions)
        in_trash = sum(len(file.head.content.data) for file in trashed if self.store.is_trashed(file))
        quota = {"usage": used, "usageInDrive": used, "usageInDriveTrash": str(in_trash)}
        if self.quota is not None:
            quota["limit"] = str(self.quota)
        about = {
            "kind": "drive#about",
            "user": USER,
            "storageQuota": quota,
            "maxUploadSize": "5242880000000",
            "appInstalled": False,
            "canCreateDrives": True,
            "exportFormats": EXPORTS,
            "importFormats": {formats[0]: [kind] for kind, formats in EXPORTS.items()},
            "maxImportSizes": {kind: "10485760" for kind in EXPORTS},
        }
        return Reply(body=select(call.mask, about))


def may_not(file):
    message = f"The user does not have sufficient permissions for file {file.id}."
    return refused(403, "insufficientFilePermissions", message)


def natural(name):
    return [(1, int(part)) if part.isdigit() else (0, part) for part in re.split(r"([0-9]+)", name.casefold())]


SORT_KEYS = {
    "createdTime": lambda file: file.created,
    "folder": lambda file: not file.is_folder,
    "modifiedTime": lambda file: file.modified,
    "name": lambda file: file.name.casefold(),
    "name_natural": lambda file: natural(file.name),
    "recency": lambda file: max(file.created, file.modified),
}


def sort(files, order):
    """Sorts by `orderBy`."""
    # Sorting keeps what was sorted before where the key is the same: the first key is the last to sort by.
    for part in reversed([part.split() for part in order.split(",") if part.strip()]):
        if part[0] not in SORT_KEYS or part[1:] not in ([], ["desc"]):
            raise refused(400, "invalid", "Invalid Value", "orderBy")
        files.sort(key=SORT_KEYS[part[0]], reverse=len(part) == 2)


if __name__ == "__main__":
    serve(GoogleDrive(), int(sys.argv[1]))
