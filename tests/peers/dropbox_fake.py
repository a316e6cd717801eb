"""dropbox_fake.py PORT: a strict fake of Dropbox on the loopback address, its files in memory.

It serves the paths of all of Dropbox's hosts: /2/... of api, content and notify, and /oauth2/.... What requests may
contain is checked against Dropbox's own description of its API (dropbox_api.py); how the fake behaves comes from that
and from Dropbox's documentation. Where neither says what Dropbox does, it does what is least convenient for a client: a
file that was moved has a new `rev`, and content that is there already isn't written again, so its time stays.

How a test steers it: dropbox_controls.py, besides what fake_service.py has.
"""

import calendar
import contextlib
import json
import re
import secrets
import sys
import time

import dropbox_api
import fake_service
from dropbox_controls import Controls
from dropbox_sessions import Session, SessionProblem
from dropbox_tree import HOME_ID, SHARED_KINDS, LookupProblem, Node, Tree, WriteProblem, content_hash, key_of

SCOPES = [
    "account_info.read",
    "files.content.read",
    "files.content.write",
    "files.metadata.read",
    "files.metadata.write",
    "sharing.read",
    "sharing.write",
]
TOKEN_LIFETIME = 14400
ACCOUNT_ID = "dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc"
MEMBER_ID = "dbmid:AAHhy7WsR0x-u4ZCqiDl5Fz5zvuL3kmspwU"
TEAM_ID = "dbtid:AAFdgehTzw7WlXhZJsbGCLePe8RvQGYDr-I"

MOST_BYTES_AT_ONCE = 150 << 20
MOST_BYTES = (1 << 41) - (1 << 22)
MOST_ENTRIES = 2000
PLENTY = 2 << 40
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

RPC_CONTENT_TYPES = ["application/json", "application/json; charset=utf-8", "text/plain; charset=dropbox-cors-hack"]
UPLOAD_CONTENT_TYPES = ["application/octet-stream", "text/plain; charset=dropbox-cors-hack"]
# Fields that have an effect on Dropbox but none here, with the values that ask for nothing.
UNSUPPORTED = {
    "include_has_explicit_shared_members": False,
    "include_media_info": False,
    "include_mounted_folders": True,
    "include_property_groups": None,
    "include_restorable_info": False,
    "property_groups": None,
    "shared_link": None,
}

JSON = {"Content-Type": "application/json"}
EXPORTS = {"html": "html", "markdown": "md"}


def refused(status, error, summary=None, **headers):
    """A refusal with this error."""
    body = json.dumps({"error_summary": summary or dropbox_api.summary(error), "error": error})
    return fake_service.Refused(status, {**JSON, **headers}, body)


def as_time(seconds):
    return time.strftime(TIME_FORMAT, time.gmtime(seconds))


class Call:
    """One request for a route."""

    def __init__(self, route, request):
        self.route = route
        self.request = request
        # The folder that paths are below.
        self.view = None

    def malformed(self, reason):
        """A refusal of what Dropbox doesn't understand."""
        text = f'Error in call to API function "{self.route}": {reason}'
        return fake_service.Refused(400, {"Content-Type": "text/plain; charset=utf-8"}, text)

    def failed(self, *tags):
        """The refusal with an error of this route."""
        return refused(409, dropbox_api.union(dropbox_api.ROUTES[self.route]["error"], *tags))

    @contextlib.contextmanager
    def problems(self, lookup=None, write=None):
        """Answers problems with these tags of the route's error."""
        try:
            yield
        except LookupProblem as problem:
            raise self.failed(lookup, *problem.args) from None
        except WriteProblem as problem:
            raise self.failed(write, *problem.args) from None


class Dropbox(fake_service.Service):
    def __init__(self):
        sign_in = fake_service.SignIn(
            SCOPES,
            offline={"token_access_type": "offline"},
            expires_in=TOKEN_LIFETIME,
            default_scopes=SCOPES,
            parameters=["disable_signup", "force_reapprove", "include_granted_scopes", "locale"],
            needs_redirect=False,
            needs_secret=False,
            token_fields={"uid": "12345", "account_id": ACCOUNT_ID},
        )
        super().__init__(sign_in)
        self.tree = Tree()
        self.cursors = {}
        self.sessions = {}
        self.jobs = {}
        self.page = MOST_ENTRIES
        self.backoff = 0
        self.next_longpoll = 0
        self.controls |= Controls(self).all()

    # Requests

    def answer(self, request):
        try:
            if request.path == "/oauth2/authorize" and request.method == "GET":
                return self.sign_in.authorize(request)
            if request.path == "/oauth2/token":
                return self.sign_in.token(request)
            reply = self.answer_call(request)
        except fake_service.Refused as refusal:
            reply = refusal.reply
        reply.headers["X-Dropbox-Request-Id"] = secrets.token_hex(16)
        return reply

    def answer_call(self, request):
        route = request.path.removeprefix("/2/")
        call = Call(route, request)
        if request.path == route or route not in dropbox_api.ROUTES:
            raise fake_service.Refused(400, {"Content-Type": "text/plain"}, f'Unknown API function: "{route}"')
        if request.method != "POST":
            raise fake_service.Refused(405, {"Allow": "POST"})
        if request.query:
            raise call.malformed(f"unknown URL parameter {request.query[0][0]!r}")
        self.check_access(call)
        arg = self.read_argument(call)
        result = getattr(self, route.replace("/", "_"))(call, arg)
        if route != "files/list_folder/longpoll":
            # For all that wait for changes.
            self.state.notify_all()
        if isinstance(result, fake_service.Reply):
            return result
        dropbox_api.check_result(route, result)
        return fake_service.Reply(200, JSON, json.dumps(result))

    def control(self, what, arguments):
        result = super().control(what, arguments)
        self.state.notify_all()
        return result

    def busy(self, reason, seconds):
        """The refusal of one request too many."""
        error = {"reason": dropbox_api.union("auth.RateLimitReason", reason), "retry_after": seconds}
        dropbox_api.checked("auth.RateLimitError", error)
        return refused(429, error, f"{reason}/...", **{"Retry-After": str(seconds)})

    def check_access(self, call):
        route = dropbox_api.ROUTES[call.route]
        headers = call.request.headers
        authorization = headers.get("Authorization")
        if route["auth"] == "noauth":
            if authorization is not None:
                reason = "Your request includes an Authorization header, but this function does not use it."
                raise call.malformed(reason)
            return
        if authorization is None:
            raise call.malformed('Must provide HTTP header "Authorization" or URL parameter "authorization".')
        kind, _, token = authorization.partition(" ")
        if kind != "Bearer" or not token:
            raise call.malformed(
                f'Invalid authorization value in HTTP header "Authorization": {authorization!r}.  Expecting "Bearer ".'
            )
        try:
            scopes = self.sign_in.check(token)
        except KeyError:
            raise refused(401, dropbox_api.union("auth.AuthError", "invalid_access_token")) from None
        except TimeoutError:
            raise refused(401, dropbox_api.union("auth.AuthError", "expired_access_token")) from None
        needed = route.get("scope")
        if needed is not None and needed not in scopes:
            raise refused(401, dropbox_api.union("auth.AuthError", "missing_scope", {"required_scope": needed}))
        self.check_member(call)
        call.view = self.read_path_root(call)

    def check_member(self, call):
        """The user whom a team's app acts for, if it says."""
        member = call.request.headers.get("Dropbox-API-Select-User")
        if member is not None and not self.tree.in_team:
            raise call.malformed('Unexpected HTTP header "Dropbox-API-Select-User": the token is no team\'s.')
        if member not in (None, MEMBER_ID):
            raise refused(401, dropbox_api.union("auth.AuthError", "invalid_select_user"))

    def read_path_root(self, call):
        header = call.request.headers.get("Dropbox-API-Path-Root")
        if header is None:
            return self.tree.home
        root = self.parse(call, 'HTTP header "Dropbox-API-Path-Root"', header, "common.PathRoot")
        if root[".tag"] == "home":
            return self.tree.home
        namespace = root[root[".tag"]]
        if root[".tag"] == "root" and namespace != self.tree.root_id:
            raise refused(422, dropbox_api.union("common.PathRootError", "invalid_root", self.root_info()))
        if namespace not in self.tree.namespaces():
            raise refused(422, dropbox_api.union("common.PathRootError", "no_permission"))
        return self.tree.namespaces()[namespace]

    def read_argument(self, call):
        request, route = call.request, dropbox_api.ROUTES[call.route]
        header, content_type = request.headers.get("Dropbox-API-Arg"), request.headers.get("Content-Type")
        if route["style"] == "rpc":
            where = "request body"
            if header is not None:
                raise call.malformed('Unexpected HTTP header "Dropbox-API-Arg".')
            if content_type is None and not request.body and route["arg"] == {"is": "void"}:
                return None
            allowed, text = RPC_CONTENT_TYPES, request.body
        else:
            where = 'HTTP header "Dropbox-API-Arg"'
            if header is None:
                raise call.malformed(f'Must provide {where} or URL parameter "arg".')
            allowed, text = UPLOAD_CONTENT_TYPES, header
            if route["style"] == "download" and request.body:
                raise call.malformed("The request body is supposed to be empty, but isn't...")
        is_download = route["style"] == "download"
        if (content_type or "").lower() not in allowed and not (is_download and content_type is None):
            expected = ", ".join(f'"{each}"' for each in allowed)
            raise call.malformed(f'Bad HTTP "Content-Type" header: "{content_type}".  Expecting one of {expected}.')
        arg = self.parse(call, where, text, route["arg"])
        for name, value in UNSUPPORTED.items():
            if arg is not None and arg.get(name, value) != value:
                raise call.malformed(f"{where}: {name}: this fake has no {name}")
        return arg

    @staticmethod
    def parse(call, where, text, kind):
        """A value of this type out of JSON."""
        try:
            if isinstance(text, str) and not text.isascii():
                raise ValueError
            value = json.loads(text)
        except ValueError:
            raise call.malformed(f"{where}: could not decode input as JSON") from None
        try:
            return dropbox_api.checked(kind, value)
        except dropbox_api.Mismatch as mismatch:
            raise call.malformed(f"{where}: {mismatch}") from None

    # What stands in replies

    def entry(self, node, view, revision=None):
        """A file or folder, of a file the latest revision or this one."""
        entry = {".tag": "folder" if node.is_folder else "file", "name": node.name, "id": node.id}
        if node.is_below(view):
            entry |= {"path_lower": self.tree.path_lower(node, view), "path_display": self.tree.path(node, view)}
        shared = node.find_kind(*SHARED_KINDS)
        if node.is_folder:
            if shared is not None:
                own = "shared_folder_id" if shared is node else "parent_shared_folder_id"
                kinds = {kind: shared.kind == kind for kind in ("traverse_only", "no_access")}
                entry["sharing_info"] = {"read_only": shared.kind == "read_only", own: self.share_id(shared), **kinds}
            return entry
        revision = revision or node.revision
        entry |= {
            "client_modified": as_time(revision.client_modified),
            "server_modified": as_time(revision.server_modified),
            "rev": revision.rev,
            "size": len(revision.data),
            "is_downloadable": node.kind != "paper",
        }
        if node.kind == "paper":
            entry["export_info"] = {"export_as": "html", "export_options": list(EXPORTS)}
        else:
            entry["content_hash"] = revision.hash
        if node.kind == "symlink":
            entry["symlink_info"] = {"target": revision.data.decode()}
        if shared is not None:
            entry["sharing_info"] = {
                "read_only": shared.kind == "read_only",
                "parent_shared_folder_id": self.share_id(shared),
            }
        return entry

    def untagged(self, *args):
        """The same where only one of both kinds can stand."""
        entry = self.entry(*args)
        del entry[".tag"]
        return entry

    def deleted(self, folder, name, view):
        above = ("", "") if folder is view else (self.tree.path_lower(folder, view), self.tree.path(folder, view))
        return {
            ".tag": "deleted",
            "name": name,
            "path_lower": f"{above[0]}/{key_of(name)}",
            "path_display": f"{above[1]}/{name}",
        }

    @staticmethod
    def share_id(folder):
        return str(int.from_bytes(folder.id.encode()[-4:], "big"))

    def root_info(self):
        info = {"root_namespace_id": self.tree.root_id, "home_namespace_id": HOME_ID}
        if self.tree.in_team:
            return {".tag": "team", **info, "home_path": self.tree.path(self.tree.home, self.tree.root)}
        return {".tag": "user", **info}

    # Account

    def auth_token_revoke(self, _, __):
        self.sign_in.revoke_all()

    def users_get_current_account(self, _, __):
        account = {
            "account_id": ACCOUNT_ID,
            "name": {
                "given_name": "Tess",
                "surname": "Tester",
                "familiar_name": "Tess",
                "display_name": "Tess Tester",
                "abbreviated_name": "TT",
            },
            "email": "tester@example.com",
            "email_verified": True,
            "disabled": False,
            "country": "DE",
            "locale": "en",
            "referral_link": "https://db.tt/ZITNuhtI",
            "is_paired": False,
            "account_type": {".tag": "business" if self.tree.in_team else "basic"},
            "root_info": self.root_info(),
        }
        if self.tree.in_team:
            policies = {
                "shared_folder_member_policy": "team",
                "shared_folder_join_policy": "from_anyone",
                "shared_link_create_policy": "team_only",
                "group_creation_policy": "admins_only",
                "shared_folder_link_restriction_policy": "anyone",
                "enforce_link_password_policy": "optional",
                "default_link_expiration_days_policy": "none",
                "shared_link_default_permissions_policy": "default",
            }
            account["team_member_id"] = MEMBER_ID
            account["team"] = {
                "id": TEAM_ID,
                "name": "Testers",
                "sharing_policies": {name: {".tag": tag} for name, tag in policies.items()},
                "office_addin_policy": {".tag": "disabled"},
                "top_level_content_policy": {".tag": "admin_only"},
            }
        return account

    def users_get_space_usage(self, _, __):
        used = self.tree.used()
        allocated = PLENTY if self.tree.quota is None else self.tree.quota
        if not self.tree.in_team:
            return {"used": used, "allocation": {".tag": "individual", "allocated": allocated}}
        allocation = {
            ".tag": "team",
            "used": used,
            "allocated": allocated,
            "user_within_team_space_allocated": 0,
            "user_within_team_space_limit_type": {".tag": "off"},
            "user_within_team_space_used_cached": used,
        }
        return {"used": used, "allocation": allocation}

    # Listing

    def files_list_folder(self, call, arg):
        return self.next_page(self.tree.list(call.view, self.listed_folder(call, arg), arg))

    def files_list_folder_continue(self, call, arg):
        cursor = self.find_cursor(call, arg["cursor"])
        if cursor.view is not call.view:
            raise call.failed("reset")
        if self.tree.is_lost(cursor):
            raise call.failed("path", "not_found")
        return self.next_page(cursor)

    def files_list_folder_get_latest_cursor(self, call, arg):
        return {"cursor": self.new_cursor(self.tree.latest(call.view, self.listed_folder(call, arg), arg))}

    def files_list_folder_longpoll(self, call, arg):
        now = time.time()
        if now < self.next_longpoll:
            raise self.busy("too_many_requests", int(self.next_longpoll - now) + 1)
        end = now + arg["timeout"]
        while True:
            cursor = self.find_cursor(call, arg["cursor"])
            changes = self.tree.is_lost(cursor) or self.tree.has_more(cursor)
            left = end - time.time()
            if changes or left <= 0:
                break
            self.state.wait(left)
        if not self.backoff:
            return {"changes": changes}
        self.next_longpoll = time.time() + self.backoff
        return {"changes": changes, "backoff": self.backoff}

    def listed_folder(self, call, arg):
        if arg["path"] == "/":
            raise call.malformed('request body: path: Specify the root folder as an empty string rather than as "/".')
        with call.problems(lookup="path"):
            folder = self.tree.lookup(arg["path"], call.view)
        if not folder.is_folder:
            raise call.failed("path", "not_folder")
        return folder

    def next_page(self, cursor):
        items, after = self.tree.advance(cursor, min(self.page, cursor.arg["limit"] or self.page))
        entries = []
        for item in items:
            if isinstance(item, Node):
                entries.append(self.entry(item, cursor.view))
            else:
                entries.append(self.deleted(item.folder, item.name, cursor.view))
        return {"entries": entries, "cursor": self.new_cursor(after), "has_more": self.tree.has_more(after)}

    def new_cursor(self, cursor):
        token = "AA" + secrets.token_urlsafe(48)
        self.cursors[token] = cursor
        return token

    def find_cursor(self, call, token):
        if token not in self.cursors:
            raise call.malformed(f'Invalid "cursor" parameter: {token!r}')
        if self.cursors[token] is None:
            raise call.failed("reset")
        return self.cursors[token]

    # Reading

    def files_get_metadata(self, call, arg):
        with call.problems(lookup="path"):
            try:
                node, revision = self.tree.lookup_revision(arg["path"], call.view)
            except LookupProblem:
                if not arg["include_deleted"]:
                    raise
                folder, gone = self.tree.lookup_gone(arg["path"], call.view)
                return self.deleted(folder, gone.name, call.view)
        if node is call.view:
            raise call.malformed("request body: path: The root folder is unsupported.")
        return self.entry(node, call.view, revision)

    def files_download(self, call, arg):
        if arg["rev"] is not None:
            raise call.malformed('HTTP header "Dropbox-API-Arg": rev: deprecated, and this fake has none')
        with call.problems(lookup="path"):
            node, revision = self.tree.lookup_revision(arg["path"], call.view)
        if node.is_folder:
            raise call.failed("path", "not_file")
        if node.kind == "paper":
            raise call.failed("unsupported_file")
        entry = self.untagged(node, call.view, revision)
        headers = {"ETag": f'W/"{revision.rev}"', "Accept-Ranges": "bytes"}
        return self.content(call, entry, revision.data, headers)

    def files_export(self, call, arg):
        with call.problems(lookup="path"):
            node = self.tree.lookup(arg["path"], call.view)
        if node.is_folder:
            raise call.failed("path", "not_file")
        if node.kind != "paper":
            raise call.failed("non_exportable")
        extension = EXPORTS.get(arg["export_format"] or "html")
        if extension is None:
            raise call.failed("invalid_export_format")
        data = node.revision.data
        exported = {"name": f"{node.name.removesuffix('.paper')}.{extension}", "size": len(data)}
        exported |= {"export_hash": content_hash(data), "paper_revision": len(node.revisions)}
        result = {"export_metadata": exported, "file_metadata": self.untagged(node, call.view)}
        return self.content(call, result, data, {})

    @staticmethod
    def content(call, result, data, headers):
        dropbox_api.check_result(call.route, result)
        headers |= {"Content-Type": "application/octet-stream", "Dropbox-API-Result": json.dumps(result)}
        wanted = call.request.headers.get("Range")
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
        if span is None or span[1] == span[2] == "" or not headers.get("Accept-Ranges"):
            return fake_service.Reply(200, headers, data)
        if span[1] == "":
            start, end = max(len(data) - int(span[2]), 0), len(data)
        else:
            start, end = int(span[1]), min(int(span[2]) + 1, len(data)) if span[2] else len(data)
        if start >= end:
            raise fake_service.Refused(416, {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        return fake_service.Reply(206, headers, data[start:end])

    def files_list_revisions(self, call, arg):
        mode, before = arg["mode"][".tag"], arg["before_rev"]
        if before is not None and mode == "id":
            raise call.failed("before_rev_not_supported")
        gone = None
        with call.problems(lookup="path"):
            try:
                node = self.tree.lookup(arg["path"], call.view)
                slot = node.parent and (node.parent.id, key_of(node.name))
            except LookupProblem:
                folder, gone = self.tree.lookup_gone(arg["path"], call.view)
                node, slot = gone.node, (folder.id, key_of(gone.name))
        if node.is_folder:
            raise call.failed("path", "not_file")
        if mode == "path":
            found = [each for each in self.tree.revisions.values() if each[1].slot == slot]
        else:
            found = [(node, each) for each in node.revisions]
        found.reverse()
        if before is not None:
            revs = [revision.rev for _, revision in found]
            if before not in revs:
                raise call.failed("invalid_before_rev")
            found = found[revs.index(before) + 1:]
        result = {
            "is_deleted": gone is not None,
            "entries": [self.untagged(each, call.view, revision) for each, revision in found[:arg["limit"]]],
            "has_more": len(found) > arg["limit"],
        }
        if gone is not None:
            result["server_deleted"] = as_time(gone.when)
        return result

    # Writing

    def commit(self, view, commit, data):
        """Writes a file if that is what was asked for; raises `WriteProblem`."""
        place = self.tree.place(commit["path"], view)
        node, digest, mode = place.node, content_hash(data), commit["mode"]
        suffix = " ({})"
        if node is None:
            conflict = "file" if mode[".tag"] == "update" and commit["strict_conflict"] else None
        elif node.is_folder:
            conflict = "folder"
        else:
            is_meant = mode[".tag"] == "overwrite" or mode.get("update") == node.revision.rev
            # What is no plain file is never replaced by one.
            conflict = None if is_meant and node.kind is None else "file"
            is_there = node.kind is None and node.revision.hash == digest
            if is_there and (is_meant or not commit["strict_conflict"]):
                return node
            if mode[".tag"] == "update":
                suffix = " (conflicted copy)"
        if conflict is not None:
            if not commit["autorename"]:
                raise WriteProblem("conflict", conflict)
            place = self.tree.free_place(place, suffix)
        self.check_space(len(data))
        modified = commit["client_modified"]
        seconds = None if modified is None else calendar.timegm(time.strptime(modified, TIME_FORMAT))
        return self.tree.write(place, bytes(data), digest, seconds)

    def check_space(self, more):
        if self.tree.quota is not None and self.tree.used() + more > self.tree.quota:
            raise WriteProblem("insufficient_space")

    @staticmethod
    def check_body(call, content_hash_of_body):
        body = call.request.body
        if len(body) > MOST_BYTES_AT_ONCE:
            raise call.failed("payload_too_large")
        if content_hash_of_body is not None and content_hash_of_body != content_hash(body):
            raise call.failed("content_hash_mismatch")
        return body

    def files_upload(self, call, arg):
        data = self.check_body(call, arg["content_hash"])
        try:
            node = self.commit(call.view, arg, data)
        except WriteProblem as problem:
            # What was sent isn't lost: a session has it.
            session, session_id = self.new_session(is_concurrent=False)
            session.append(data, 0, close=False)
            reason = dropbox_api.union("files.WriteError", *problem.args)
            raise call.failed("path", {"reason": reason, "upload_session_id": session_id}) from None
        return self.untagged(node, call.view)

    def new_session(self, is_concurrent):
        session_id = "pid_upload_session:" + secrets.token_urlsafe(36)
        self.sessions[session_id] = Session(is_concurrent)
        return self.sessions[session_id], session_id

    def find_session(self, cursor):
        if cursor["session_id"] not in self.sessions:
            raise SessionProblem("not_found")
        return self.sessions[cursor["session_id"]]

    def files_upload_session_start(self, call, arg):
        data = self.check_body(call, arg["content_hash"])
        is_concurrent = arg["session_type"] == {".tag": "concurrent"}
        if is_concurrent and data:
            raise call.failed("concurrent_session_data_not_allowed")
        if is_concurrent and arg["close"]:
            raise call.failed("concurrent_session_close_not_allowed")
        session, session_id = self.new_session(is_concurrent)
        if not is_concurrent:
            session.append(data, 0, arg["close"])
        return {"session_id": session_id}

    def files_upload_session_append_v2(self, call, arg):
        data = self.check_body(call, arg["content_hash"])
        try:
            session, offset = self.find_session(arg["cursor"]), arg["cursor"]["offset"]
            if offset + len(data) > MOST_BYTES:
                raise SessionProblem("too_large")
            session.append(data, offset, arg["close"])
        except SessionProblem as problem:
            raise call.failed(*problem.args) from None

    def files_upload_session_finish(self, call, arg):
        data = self.check_body(call, arg["content_hash"])
        try:
            node = self.finish(call.view, arg, data)
        except SessionProblem as problem:
            raise call.failed(*problem.args) from None
        except WriteProblem as problem:
            raise call.failed("path", *problem.args) from None
        return self.untagged(node, call.view)

    def finish(self, view, arg, data):
        """Makes a file of a session; raises `SessionProblem` with the tags of an `UploadSessionFinishError`."""
        try:
            session = self.find_session(arg["cursor"])
            if not session.is_concurrent:
                session.expect(arg["cursor"]["offset"])
                if data:
                    session.append(data, arg["cursor"]["offset"], close=False)
        except SessionProblem as problem:
            raise SessionProblem("lookup_failed", *problem.args) from None
        if session.is_concurrent:
            if data:
                raise SessionProblem("concurrent_session_data_not_allowed")
            if not session.is_closed:
                raise SessionProblem("concurrent_session_not_closed")
            if session.size != arg["cursor"]["offset"] or not session.join():
                raise SessionProblem("concurrent_session_missing_data")
        node = self.commit(view, arg["commit"], session.data)
        del self.sessions[arg["cursor"]["session_id"]]
        return node

    def files_upload_session_finish_batch_v2(self, call, arg):
        return {"entries": [self.finish_entry(call, entry) for entry in arg["entries"]]}

    def finish_entry(self, call, entry):
        try:
            if not self.find_session(entry["cursor"]).is_closed:
                raise SessionProblem("lookup_failed", "not_closed")
            node = self.finish(call.view, entry, b"")
            return {".tag": "success", **self.untagged(node, call.view)}
        except SessionProblem as problem:
            tags = problem.args if problem.args != ("not_found",) else ("lookup_failed", "not_found")
        except WriteProblem as problem:
            tags = "path", *problem.args
        return {".tag": "failure", "failure": dropbox_api.union("files.UploadSessionFinishError", *tags)}

    def files_create_folder_v2(self, call, arg):
        with call.problems(write="path"):
            place = self.tree.place(arg["path"], call.view)
            if place.node is not None:
                if not arg["autorename"]:
                    raise WriteProblem("conflict", "folder" if place.node.is_folder else "file")
                place = self.tree.free_place(place, " ({})")
        return {"metadata": self.untagged(self.tree.make_folder(place), call.view)}

    def files_move_v2(self, call, arg):
        node, place = self.relocation(call, arg)
        with call.problems(write="from_write"):
            self.tree.check_writable(node.parent)
        if place.node is node:
            if place.name != node.name and self.tree.ignores_case_renames:
                return {"metadata": self.entry(node, call.view)}
            raise call.failed("to", "conflict", "folder" if node.is_folder else "file")
        place = self.free_target(call, arg, place)
        self.tree.move(node, place)
        return {"metadata": self.entry(node, call.view)}

    def files_copy_v2(self, call, arg):
        node, place = self.relocation(call, arg)
        place = self.free_target(call, arg, place)
        size = sum(len(each.revision.data) for each in node.subtree() if not each.is_folder)
        try:
            self.check_space(size)
        except WriteProblem:
            raise call.failed("insufficient_quota") from None
        return {"metadata": self.entry(self.tree.copy(node, place), call.view)}

    def relocation(self, call, arg):
        """What is to be moved or copied, and whereto."""
        with call.problems(lookup="from_lookup"):
            node = self.tree.lookup(arg["from_path"], call.view)
            if node in (call.view, self.tree.home, self.tree.team_root):
                raise LookupProblem("malformed_path")
        with call.problems(write="to"):
            place = self.tree.place(arg["to_path"], call.view)
        if place.folder.is_below(node):
            raise call.failed("cant_move_folder_into_itself")
        if sum(1 for _ in node.subtree()) > self.tree.most_moved:
            raise call.failed("too_many_files")
        return node, place

    def free_target(self, call, arg, place):
        if place.node is None:
            return place
        if not arg["autorename"]:
            raise call.failed("to", "conflict", "folder" if place.node.is_folder else "file")
        return self.tree.free_place(place, " ({})")

    def files_delete_v2(self, call, arg):
        with call.problems(lookup="path_lookup", write="path_write"):
            return {"metadata": self.delete(call.view, arg)}

    def delete(self, view, arg):
        """Deletes an item, and gives what it was; raises `LookupProblem` or `WriteProblem`."""
        node = self.tree.lookup(arg["path"], view)
        if node is view or node is self.tree.team_root:
            raise LookupProblem("malformed_path")
        self.tree.check_writable(node.parent)
        if arg["parent_rev"] is not None:
            if node.is_folder:
                raise LookupProblem("not_file")
            if arg["parent_rev"] != node.revision.rev:
                raise WriteProblem("conflict", "file")
        entry = self.entry(node, view)
        self.tree.remove(node)
        return entry

    def files_delete_batch(self, call, arg):
        entries = []
        for each in arg["entries"]:
            try:
                entries.append({".tag": "success", "metadata": self.delete(call.view, each)})
            except (LookupProblem, WriteProblem) as problem:
                tag = "path_lookup" if isinstance(problem, LookupProblem) else "path_write"
                error = dropbox_api.union("files.DeleteError", tag, *problem.args)
                entries.append({".tag": "failure", "failure": error})
        job = "dbjid:" + secrets.token_urlsafe(24)
        # Who asks for the first time is told to wait.
        self.jobs[job] = [{".tag": "complete", "entries": entries}, {".tag": "in_progress"}]
        return {".tag": "async_job_id", "async_job_id": job}

    def files_delete_batch_check(self, call, arg):
        states = self.jobs.get(arg["async_job_id"])
        if states is None:
            raise call.failed("invalid_async_job_id")
        return states.pop() if len(states) > 1 else states[0]

    def files_restore(self, call, arg):
        with call.problems(write="path_write"):
            place = self.tree.place(arg["path"], call.view)
            if place.node is not None and place.node.is_folder:
                raise WriteProblem("conflict", "folder")
        if arg["rev"] not in self.tree.revisions:
            raise call.failed("invalid_revision")
        node, revision = self.tree.revisions[arg["rev"]]
        if revision.slot != (place.folder.id, place.key):
            raise call.failed("invalid_revision")
        if place.node is None and node.parent is None:
            self.tree.bring_back(node, place)
        node = self.tree.write(place, revision.data, revision.hash, revision.client_modified)
        return self.untagged(node, call.view)


if __name__ == "__main__":
    fake_service.serve(Dropbox(), int(sys.argv[1]))
