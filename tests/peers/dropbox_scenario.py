"""dropbox_scenario.py URL: Dropbox's own Python client on the fake of Dropbox, by way of tls_front.py.

The client finds the fake by the proxy in its environment; URL is for the controls. It reads replies by the types of
Dropbox's description of its API. Any difference from what Dropbox answers ends the scenario with a failure; if there is
none, it prints nothing.
"""

import contextlib
import datetime
import json
import random
import sys
import threading
import urllib.error
import urllib.request

import dropbox
from dropbox import common, files
from dropbox.content_hash import content_hash
from dropbox.exceptions import ApiError, AuthError, BadInputError, PathRootError, RateLimitError

url = sys.argv[1]
MIB = 1 << 20
BLOCK = 4 * MIB


def client(**options):
    return dropbox.Dropbox(oauth2_refresh_token="tester-refresh", app_key="tester-client", **options)


def control(what, **fields):
    # Not through the proxy, which is for TLS only.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/_control/{what}", json.dumps(fields).encode()) as reply:
        return json.load(reply)


def fails(call, *arguments, **named):
    """The error of the route that a call ends with."""
    try:
        call(*arguments, **named)
    except ApiError as error:
        return error.error
    raise AssertionError(f"{call.__name__}{arguments} was not refused")


def raises(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"{call.__name__}{arguments} was not refused")


def listing(result):
    """Kind and path of each entry of a page."""
    kinds = {files.FileMetadata: "file", files.FolderMetadata: "folder", files.DeletedMetadata: "deleted"}
    return [(kinds[type(entry)], entry.path_display) for entry in result.entries]


def account(box):
    root = box.users_get_current_account().root_info
    assert isinstance(root, common.UserRootInfo) and root.root_namespace_id == root.home_namespace_id
    usage = box.users_get_space_usage()
    assert usage.used == 0 and usage.allocation.get_individual().allocated > 0


def files_and_folders(box):
    modified = datetime.datetime(2020, 2, 3, 4, 5, 6)
    data = bytes(range(256)) * 20_000
    first = box.files_upload(data, "/Föö/Bär.bin", client_modified=modified, strict_conflict=True)
    assert first.content_hash == content_hash(data) and first.size == len(data)
    assert first.client_modified.replace(tzinfo=None) == modified
    assert first.path_lower == "/föö/bär.bin" and first.name == "Bär.bin"
    assert box.files_get_metadata("/FÖÖ/BÄR.BIN").id == first.id

    # A revision that isn't the last one isn't replaced.
    mode = files.WriteMode.update(first.rev)
    second = box.files_upload(b"second", "/föö/bär.bin", mode=mode, strict_conflict=True)
    assert second.id == first.id and second.rev != first.rev and second.name == "Bär.bin"
    stale = fails(box.files_upload, b"3", first.id, mode=mode, strict_conflict=True)
    assert stale.get_path().reason.get_conflict().is_file()
    taken = fails(box.files_upload, b"3", "/föö/bär.bin", mode=files.WriteMode.add)
    assert taken.get_path().reason.get_conflict().is_file()
    assert fails(box.files_upload, b"", "/föö").get_path().reason.get_conflict().is_folder()
    assert fails(box.files_upload, b"", "/föö/bär.bin/x").get_path().reason.get_conflict().is_file_ancestor()
    assert fails(box.files_upload, b"", "/Thumbs.db").get_path().reason.is_disallowed_name()
    assert fails(box.files_upload, b"", "/x ").get_path().reason.is_malformed_path()
    assert fails(box.files_upload, b"x", "/y", content_hash="0" * 64).is_content_hash_mismatch()

    metadata, reply = box.files_download(f"rev:{first.rev}")
    assert metadata.rev == first.rev and reply.content == data
    metadata, reply = box.files_download(second.id)
    assert metadata.rev == second.rev and reply.content == b"second"
    assert fails(box.files_download, "/föö").get_path().is_not_file()
    assert fails(box.files_download, "/none").get_path().is_not_found()

    revisions = box.files_list_revisions(first.path_lower)
    assert [entry.rev for entry in revisions.entries] == [second.rev, first.rev] and not revisions.is_deleted
    assert fails(box.files_delete_v2, first.id, parent_rev=first.rev).get_path_write().get_conflict().is_file()
    deleted = box.files_delete_v2(first.id, parent_rev=second.rev).metadata
    assert deleted.rev == second.rev
    assert box.files_list_revisions(first.path_lower).is_deleted
    gone = box.files_get_metadata(first.path_lower, include_deleted=True)
    assert isinstance(gone, files.DeletedMetadata) and gone.name == "Bär.bin"
    mode = files.WriteMode.update(second.rev)
    late = fails(box.files_upload, b"4", first.path_lower, mode=mode, strict_conflict=True)
    assert late.get_path().reason.get_conflict().is_file()
    back = box.files_restore(first.path_lower, first.rev)
    assert back.content_hash == first.content_hash and back.id == first.id

    folder = box.files_create_folder_v2("/Föö/sub").metadata
    assert fails(box.files_create_folder_v2, "/föö/SUB").get_path().get_conflict().is_folder()
    assert fails(box.files_move_v2, "/föö", "/föö/sub/x").is_cant_move_folder_into_itself()
    assert fails(box.files_move_v2, "/föö/sub", "/Föö/Bär.bin").get_to().get_conflict().is_file()
    assert fails(box.files_move_v2, "/föö/sub", "/Föö/Sub").get_to().get_conflict().is_folder()
    assert fails(box.files_move_v2, "/none", "/x").get_from_lookup().is_not_found()
    moved = box.files_move_v2("/föö/sub", "/elsewhere/sub").metadata
    assert moved.id == folder.id and moved.path_display == "/elsewhere/sub"
    copy = box.files_copy_v2("/föö", "/twin").metadata
    assert copy.id != box.files_get_metadata("/föö").id
    assert box.files_get_metadata("/twin/bär.bin").content_hash == first.content_hash
    launch = box.files_delete_batch([files.DeleteArg("/twin"), files.DeleteArg("/none")])
    assert box.files_delete_batch_check(launch.get_async_job_id()).is_in_progress()
    done = box.files_delete_batch_check(launch.get_async_job_id()).get_complete().entries
    assert done[0].is_success() and done[1].get_failure().get_path_lookup().is_not_found()


def upload_sessions(box):
    data = bytes(range(251)) * 60_000
    parts = [data[start:start + 5 * MIB] for start in range(0, len(data), 5 * MIB)]
    session = box.files_upload_session_start(parts[0]).session_id
    offset = len(parts[0])
    early = fails(box.files_upload_session_append_v2, parts[1], files.UploadSessionCursor(session, offset + 1))
    assert early.get_incorrect_offset().correct_offset == offset
    box.files_upload_session_append_v2(parts[1], files.UploadSessionCursor(session, offset))
    offset += len(parts[1])
    commit = files.CommitInfo("/session.bin", mode=files.WriteMode.add, strict_conflict=True)
    again = fails(box.files_upload_session_finish, b"", files.UploadSessionCursor(session, 7), commit)
    assert again.get_lookup_failed().get_incorrect_offset().correct_offset == offset
    entry = box.files_upload_session_finish(parts[2], files.UploadSessionCursor(session, offset), commit)
    assert entry.content_hash == content_hash(data)

    closed = box.files_upload_session_start(b"closed", close=True).session_id
    cursor = files.UploadSessionCursor(closed, 6)
    assert fails(box.files_upload_session_append_v2, b"x", cursor).is_closed()
    open_one = files.UploadSessionCursor(box.files_upload_session_start(b"").session_id, 0)
    entries = [
        files.UploadSessionFinishArg(cursor, files.CommitInfo("/batch")),
        files.UploadSessionFinishArg(cursor, files.CommitInfo("/batch again")),
        files.UploadSessionFinishArg(open_one, files.CommitInfo("/open")),
    ]
    results = box.files_upload_session_finish_batch_v2(entries).entries
    assert results[0].get_success().path_display == "/batch"
    assert results[1].get_failure().get_lookup_failed().is_not_found()
    assert results[2].get_failure().get_lookup_failed().is_not_closed()

    parallel = box.files_upload_session_start(b"", session_type=files.UploadSessionType.concurrent).session_id
    rest = data[BLOCK:BLOCK + 5]
    assert fails(
        box.files_upload_session_append_v2, rest, files.UploadSessionCursor(parallel, BLOCK)
    ).is_concurrent_session_invalid_data_size()
    box.files_upload_session_append_v2(rest, files.UploadSessionCursor(parallel, BLOCK), close=True)
    end = files.UploadSessionCursor(parallel, BLOCK + 5)
    missing = fails(box.files_upload_session_finish, b"", end, files.CommitInfo("/parallel"))
    assert missing.is_concurrent_session_missing_data()
    box.files_upload_session_append_v2(data[:BLOCK], files.UploadSessionCursor(parallel, 0))
    entry = box.files_upload_session_finish(b"", end, files.CommitInfo("/parallel"))
    assert entry.content_hash == content_hash(data[:BLOCK + 5])

    # Content that couldn't be saved waits in a session.
    refused = fails(box.files_upload, b"kept", "/parallel", strict_conflict=True).get_path()
    cursor = files.UploadSessionCursor(refused.upload_session_id, 4)
    assert box.files_upload_session_finish(b"", cursor, files.CommitInfo("/kept")).size == 4
    lost = box.files_upload_session_start(b"lost").session_id
    control("drop_sessions")
    assert fails(box.files_upload_session_append_v2, b"", files.UploadSessionCursor(lost, 4)).is_not_found()


def feed(box):
    control("put", path="/feed/a", text="a")
    control("put", path="/feed/in/b", text="b")
    control("page", size=2)
    page = box.files_list_folder("/feed", recursive=True)
    assert page.has_more
    rest = box.files_list_folder_continue(page.cursor)
    assert not rest.has_more
    ids = {entry.path_display: entry.id for entry in page.entries + rest.entries}
    assert list(ids) == ["/feed", "/feed/a", "/feed/in", "/feed/in/b"]
    control("page", size=2000)
    cursor = rest.cursor

    def changes():
        nonlocal cursor
        result = box.files_list_folder_continue(cursor)
        assert not result.has_more
        cursor = result.cursor
        return result

    assert listing(changes()) == []
    control("move", path="/feed/in", to="/feed/out")
    moved = changes()
    assert listing(moved) == [("deleted", "/feed/in"), ("folder", "/feed/out"), ("file", "/feed/out/b")]
    assert [entry.id for entry in moved.entries[1:]] == [ids["/feed/in"], ids["/feed/in/b"]]
    control("order", order="add-first")
    control("move", path="/feed/out", to="/feed/in")
    assert listing(changes()) == [("folder", "/feed/in"), ("file", "/feed/in/b"), ("deleted", "/feed/out")]
    control("order", order="delete-first")
    control("move", path="/feed/in", to="/feed/IN")
    assert listing(changes()) == []
    assert box.files_get_metadata("/feed/in").name == "IN"
    # Only the last component of a path is sure to have the right case.
    assert box.files_get_metadata("/feed/in/b").path_display == "/feed/in/b"
    control("delete", path="/feed/in")
    assert listing(changes()) == [("deleted", "/feed/IN")]
    control("put", path="/feed/in/c", text="c")
    control("delete", path="/feed/in")
    control("make_folder", path="/feed/in")
    assert listing(changes()) == [("deleted", "/feed/in"), ("folder", "/feed/in")]
    control("put", path="/feed/in", text="a file now")
    assert listing(changes()) == [("file", "/feed/in")]
    control("make_folder", path="/feed/in")
    assert listing(changes()) == [("folder", "/feed/in")]
    control("put", path="/elsewhere/x", text="x")
    assert listing(changes()) == []

    timer = threading.Timer(0.5, control, ["put"], {"path": "/feed/new", "text": "n"})
    timer.start()
    assert box.files_list_folder_longpoll(cursor, timeout=480).changes
    timer.join()
    assert listing(changes()) == [("file", "/feed/new")]
    latest = box.files_list_folder_get_latest_cursor("/feed", recursive=True).cursor
    assert listing(box.files_list_folder_continue(latest)) == []

    assert "cursor" in raises(BadInputError, box.files_list_folder_continue, "none").message
    control("delete", path="/feed")
    assert fails(box.files_list_folder_continue, cursor).get_path().is_not_found()
    control("reset")
    assert fails(box.files_list_folder_continue, cursor).is_reset()
    assert fails(box.files_list_folder_longpoll, cursor).is_reset()
    assert fails(box.files_list_folder, "/none").get_path().is_not_found()
    assert fails(box.files_list_folder, "/session.bin").get_path().is_not_folder()


def replay(box):
    """What is told of random changes, applied as Dropbox says, has to give what is there."""
    chance = random.Random(4)
    known = {}
    cursor = box.files_list_folder("/replay", recursive=True).cursor

    def some_path():
        return "/replay/" + "/".join(chance.choice("aBcd") for _ in range(chance.randint(1, 3)))

    def change():
        kind, path = chance.choice(["put", "put", "make_folder", "move", "move", "delete"]), some_path()
        fields = {"put": {"text": str(chance.random())}, "move": {"to": some_path()}}.get(kind, {})
        control("order", order=chance.choice(["delete-first", "add-first"]))
        # What can't be done is no change.
        with contextlib.suppress(urllib.error.HTTPError):
            control(kind, path=path, **fields)

    def apply(entry):
        path = entry.path_lower
        if not isinstance(entry, files.FolderMetadata):
            for below in [each for each in known if each.startswith(f"{path}/")]:
                del known[below]
        if isinstance(entry, files.DeletedMetadata):
            known.pop(path, None)
        else:
            known[path] = getattr(entry, "content_hash", None)

    for _ in range(30):
        for _ in range(chance.randint(1, 6)):
            change()
        control("page", size=chance.choice([1, 3, 2000]))
        has_more = True
        while has_more:
            result = box.files_list_folder_continue(cursor)
            cursor, has_more = result.cursor, result.has_more
            for entry in result.entries:
                apply(entry)
        tree = {path: item and item["hash"] for path, item in control("tree", path="/replay").items()}
        assert {path.lower(): item for path, item in tree.items()} == known, (tree, known)
    control("page", size=2000)
    control("order", order="delete-first")


def longpoll_with_backoff():
    box = client(max_retries_on_rate_limit=0)
    cursor = box.files_list_folder("").cursor
    control("put", path="/backoff", text="")
    control("backoff", seconds=60)
    answer = box.files_list_folder_longpoll(cursor)
    assert answer.changes and answer.backoff == 60
    assert raises(RateLimitError, box.files_list_folder_longpoll, cursor).backoff > 0
    control("backoff", seconds=0)
    control("busy", match="POST /2/files/upload", reason="too_many_write_operations", seconds=7)
    limit = raises(RateLimitError, box.files_upload, b"", "/busy")
    assert limit.error.reason.is_too_many_write_operations() and limit.backoff == 7


def special_items(box):
    control("special", path="/special/doc.paper", kind="paper")
    control("special", path="/special/link", kind="symlink")
    control("special", path="/special/read", kind="read_only")
    control("put", path="/special/read/only", text="r")
    control("special", path="/special/none", kind="no_access")
    control("put", path="/special/none/hidden", text="h")
    entries = {entry.name: entry for entry in box.files_list_folder("/special", recursive=True).entries}
    assert sorted(entries) == ["doc.paper", "link", "none", "only", "read", "special"]
    paper = entries["doc.paper"]
    assert not paper.is_downloadable and paper.content_hash is None and "markdown" in paper.export_info.export_options
    assert fails(box.files_download, paper.id).is_unsupported_file()
    exported, reply = box.files_export(paper.id, "markdown")
    assert exported.export_metadata.size == len(reply.content) and exported.file_metadata.id == paper.id
    assert entries["link"].symlink_info.target
    assert entries["none"].sharing_info.no_access and entries["read"].sharing_info.read_only
    assert entries["only"].sharing_info.read_only
    assert fails(box.files_upload, b"", "/special/read/x").get_path().reason.is_no_write_permission()
    assert fails(box.files_delete_v2, "/special/read/only").get_path_write().is_no_write_permission()
    control("quota", bytes=0)
    assert fails(box.files_upload, b"more", "/more").get_path().reason.is_insufficient_space()
    control("quota", bytes=None)
    control("most_moved", count=1)
    assert fails(box.files_move_v2, "/special", "/other").is_too_many_files()
    control("most_moved", count=10_000)
    control("case_renames", ignored=True)
    assert box.files_move_v2("/special", "/SPECIAL").metadata.path_display == "/special"


def team_space(box):
    control("root", team=True)
    root = box.users_get_current_account().root_info
    assert isinstance(root, common.TeamRootInfo) and root.home_path == "/Tester"
    team = box.with_path_root(common.PathRoot.root(root.root_namespace_id))
    assert listing(team.files_list_folder("")) == [("folder", "/Tester")]
    assert team.files_get_metadata("/tester/kept").id == box.files_get_metadata("/kept").id
    assert fails(team.files_create_folder_v2, "/top").get_path().is_no_write_permission()
    elsewhere = box.with_path_root(common.PathRoot.namespace_id("77"))
    assert raises(PathRootError, elsewhere.files_list_folder, "").error.is_no_permission()
    cursor = team.files_list_folder("", recursive=True).cursor
    newer = control("root", team=True, stale=True)["root_namespace_id"]
    stale = raises(PathRootError, team.files_list_folder, "").error.get_invalid_root()
    assert isinstance(stale, common.TeamRootInfo) and stale.root_namespace_id == newer
    team = box.with_path_root(common.PathRoot.root(newer))
    assert fails(team.files_list_folder_continue, cursor).is_reset()
    control("root", team=False)


def sign_in(box):
    control("expire")
    box.users_get_space_usage()
    control("revoke")
    assert raises(AuthError, client().users_get_space_usage)
    control("grant")
    fresh = client()
    fresh.auth_token_revoke()
    assert raises(AuthError, fresh.users_get_space_usage).error.is_invalid_access_token()
    control("grant")


with client() as tester:
    account(tester)
    files_and_folders(tester)
    upload_sessions(tester)
    feed(tester)
    control("make_folder", path="/replay")
    replay(tester)
    longpoll_with_backoff()
    special_items(tester)
    team_space(tester)
    sign_in(tester)
