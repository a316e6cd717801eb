"""How bytes get to the fakes of Google's services: alone (`media`), with metadata (`multipart`), or in parts (`resumable`).

The parts come as the guides "Upload file data" of the Drive API and "Resumable uploads" of Cloud Storage have it. One
that was kept already may come again, as it does when a reply got lost; rclone relies on that.
"""

import base64
import re
import secrets

from fake_service import Reply
from google_api import refused

CHUNK_UNIT = 256 * 1024


class Session:
    """A resumable upload that isn't finished; or is, and has a reply then."""

    def __init__(self, call, mime, total):
        self.call = call
        self.mime = mime
        self.total = total
        self.data = bytearray()
        self.reply = None


class Uploads:
    """`run` carries out a call that has its content, or only checks it; `check_room` refuses too many bytes; `content` is
    what a call is given of the bytes."""

    def __init__(self, api, run, check_room, content=bytes):
        self.api = api
        self.run = run
        self.check_room = check_room
        self.content = content
        self.sessions = {}
        # What tests may change:
        self.lost_session_status = 404
        self.partly_stored = []

    def start(self, call):
        request = call.request
        kind = call.parameters.get("uploadType")
        if kind == "media":
            return self._finish(call, request.body, request.headers.get("Content-Type"))
        if kind == "multipart":
            return self._take_parts(call)
        if kind == "resumable":
            return self._start_session(call)
        raise refused(400, "badRequest", "uploadType has to be media, multipart or resumable", "uploadType")

    def go_on(self, request, upload_id):
        """A part of a resumable upload, or a question about it."""
        session = self.sessions.get(upload_id)
        if session is None:
            raise refused(self.lost_session_status, "notFound", "The upload session isn't there (any more).")
        if request.method == "DELETE":
            del self.sessions[upload_id]
            return Reply(499)
        if request.method not in ("PUT", "POST"):
            raise refused(400, "badRequest", "Parts of an upload are PUT")
        if session.reply is None:
            self._store_part(session, request)
            if session.total != len(session.data):
                headers = {"Range": f"bytes=0-{len(session.data) - 1}"} if session.data else {}
                # Google's own client for Go asks for another status, as 308 means something else by now.
                if request.headers.get("X-GUploader-No-308") == "yes":
                    return Reply(200, headers | {"X-HTTP-Status-Code-Override": "308"})
                return Reply(308, headers)
            session.call.last_part = request
            session.reply = self._finish(session.call, bytes(session.data), session.mime)
        return session.reply

    def cut_off(self, request, upload_id):
        """Of a part that broke off, the whole units stay."""
        session = self.sessions.get(upload_id)
        if session is not None and session.reply is None:
            first, _, _ = part_range(request)
            if first == len(session.data):
                session.data += request.body[: len(request.body) // CHUNK_UNIT * CHUNK_UNIT]

    def _finish(self, call, data, mime):
        call.mime, call.content = mime, self.content(data)
        return self.run(call)

    def _take_parts(self, call):
        wrong = refused(400, "badContent", "Malformed multipart body.")
        header = call.request.headers.get("Content-Type", "")
        boundary = re.fullmatch(r'multipart/related\s*;.*?boundary="?([^";]+)"?(;.*)?', header)
        if boundary is None:
            raise wrong
        delimiter = b"--" + boundary[1].encode()
        body = call.request.body
        # Google's own client for Python ends lines without a carriage return.
        newline = b"\r\n" if body.startswith(delimiter + b"\r\n") else b"\n"
        pieces = (newline + body).split(newline + delimiter)
        if len(pieces) != 4 or pieces[0] or not pieces[3].startswith(b"--"):
            raise wrong
        parts = []
        for piece in pieces[1:3]:
            head, found, data = piece.partition(newline * 2)
            lines = head.decode("latin-1").split(newline.decode())[1:]
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            encoding = fields.get("content-transfer-encoding", "binary")
            if not found or encoding not in ("binary", "base64"):
                raise wrong
            parts.append((fields.get("content-type", ""), base64.b64decode(data) if encoding == "base64" else data))
        (json_type, written), (mime, data) = parts
        call.written = self.api.read_body(call.method, json_type, written)
        return self._finish(call, data, mime)

    def _start_session(self, call):
        request = call.request
        call.written = self.api.read_body(call.method, request.headers.get("Content-Type", ""), request.body)
        length = request.headers.get("X-Upload-Content-Length")
        if length is not None and not length.isdecimal():
            raise refused(400, "badRequest", "Wrong length", "X-Upload-Content-Length", "header")
        total = None if length is None else int(length)
        self.run(call, only_check=True)
        self.check_room(total or 0)
        upload_id = secrets.token_urlsafe(60)
        self.sessions[upload_id] = Session(call, request.headers.get("X-Upload-Content-Type"), total)
        is_here = request.host.partition(":")[0] in ("127.0.0.1", "localhost")
        address = f"{'http' if is_here else 'https'}://{request.host}{request.target}&upload_id={upload_id}"
        return Reply(200, {"Location": address, "X-GUploader-UploadID": upload_id})

    def _store_part(self, session, request):
        first, after, total = part_range(request)
        if total is not None:
            if session.total not in (None, total):
                raise wrong_range(f"The upload has {session.total} bytes, not {total}")
            session.total = total
        if first is None:
            return
        if after - first != len(request.body) or session.total is not None and after > session.total:
            raise wrong_range("The part hasn't the length it tells")
        if after != session.total and len(request.body) % CHUNK_UNIT != 0:
            raise wrong_range(f"The length of a part that isn't the last has to be a multiple of {CHUNK_UNIT}")
        if first > len(session.data):
            raise wrong_range(f"A part has to start at {len(session.data)}, where the one before it ended")
        self.check_room(after)
        kept = self.partly_stored.pop() if self.partly_stored else len(request.body)
        # What is there already stays as it is.
        session.data += request.body[len(session.data) - first : kept]


def part_range(request):
    """Where a part starts and ends (None for a question about what is stored), and the whole length if it is told."""
    text = request.headers.get("Content-Range")
    if text is None:
        return 0, len(request.body), len(request.body)
    found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", text)
    if found is None or found[1] is None and request.body:
        raise wrong_range(f"Wrong range: {text}")
    total = None if found[3] == "*" else int(found[3])
    if found[1] is None:
        return None, None, total
    return int(found[1]), int(found[2]) + 1, total


def wrong_range(message):
    return refused(400, "badRequest", message, "Content-Range", "header")
