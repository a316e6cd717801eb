"""How a test acts on the fake Google Drive as another person in the browser would, and how it makes it awkward.

Each is a POST to `/_control/NAME` with these fields as JSON. A path starts at the root of My Drive, or of the shared
drive whose id is given as "drive"; `%2F` stands for a slash in a name. Of several files of one name a path means the
eldest that isn't in the trash. What makes a file answers {"id": ...}; folders on the way are made. WHICH is "path" or
"id".

- `put` {"path" or "folder" (an id) and "name", "text" or "base64", "mtime"?, "mime"?}: makes a file, or a new revision.
- `twin` {"path", "text" or "base64"}: another file of that name in that folder.
- `make_folder` {"path"}; `document` {"path", "kind": document, spreadsheet, presentation, drawing or form, "text"?,
  "size"?}: makes or edits one; `shortcut` {"path", "target": path or id}.
- `shared` {"name", "text"}: a file of another person, shared with this one, in no folder.
- `move` {WHICH, "to": path}: renames, moves, or both; `trash`, `delete` {WHICH}; `untrash` {"id"}.
- `touch` {WHICH}: only the version grows, as it does now and then without anybody's doing.
- `mark` {WHICH, "denied": [capabilities], "abusive": bool}.
- `many` {"folder", "folders": n, "files_each": m}: fills quickly. `shared_drive` {"name"}: makes one.
- `tree` {"path"}: what isn't in the trash, by path from there on: null for a folder, {"id", "md5", "size", "mtime",
  "mime"} for others; a twin stands at `path#id`. `content` {WHICH}: {"base64"} of its bytes.
- `page` {"size"}: no page is longer (null: as asked); `reorder` {"on"}: the changes of a page come in any order, and
  some twice; `incomplete` {"on"}: searches say that they are incomplete.
- `forget_tokens`: the page tokens made so far are invalid; `drop_sessions` {"status"?: 404 or 410}: so are uploads that
  have begun; `store_less` {"bytes"}: of the next part of an upload only so many bytes are kept.
- `quota` {"limit"}: how many bytes there is room for (null: any number).
"""

import base64

from google_drive_store import FOLDER, GOOGLE_TYPES, SHORTCUT, Content, milliseconds, now, rfc3339


class Controls:
    def __init__(self, service):
        self.service = service
        self.store = service.store

    def all(self):
        """Each control by its name."""
        names = (
            "put twin make_folder document shortcut shared move trash untrash delete touch mark many shared_drive tree "
            "content page reorder incomplete forget_tokens drop_sessions store_less quota"
        )
        return {name: getattr(self, name) for name in names.split()}

    def root(self, drive):
        return self.store.root if drive is None else self.store.files[drive]

    def child(self, folder, name):
        """The eldest of this name that isn't in the trash, or None."""
        found = (file for file in self.store.named(folder.id, name) if file.name == name and file.trashed_time is None)
        return next(found, None)

    def find(self, path=None, id=None, drive=None):
        if id is not None:
            return self.store.files[id]
        file = self.root(drive)
        for name in segments(path):
            file = self.child(file, name)
            if file is None:
                raise LookupError(f"nothing at {path}")
        return file

    def place(self, path, drive):
        """The folder and the name that a path means; makes the folder."""
        *folders, name = segments(path)
        parent = self.root(drive)
        for folder in folders:
            parent = self.child(parent, folder) or self.create(folder, FOLDER, parent)
        return parent, name

    def create(self, name, mime, parent, content=None):
        file = self.store.create(name, mime, parent)
        if content is not None:
            self.store.add_revision(file, content)
        self.store.touch(file)
        return file

    def write(self, file, content, mtime=None):
        file.modified = now() if mtime is None else milliseconds(mtime)
        self.store.add_revision(file, content)
        self.store.touch(file)

    def put(self, path=None, folder=None, name=None, text=None, base64=None, mtime=None, mime=None, drive=None):
        if path is not None:
            parent, name = self.place(path, drive)
        else:
            parent = self.store.files[folder]
        file = self.child(parent, name) or self.store.create(name, mime or "application/octet-stream", parent)
        self.write(file, content_of(text, base64), mtime)
        return {"id": file.id}

    def twin(self, path, text=None, base64=None, drive=None):
        parent, name = self.place(path, drive)
        return {"id": self.create(name, "application/octet-stream", parent, content_of(text, base64)).id}

    def make_folder(self, path, drive=None):
        parent, name = self.place(path, drive)
        return {"id": (self.child(parent, name) or self.create(name, FOLDER, parent)).id}

    def document(self, path, kind="document", text="", size=0, drive=None):
        parent, name = self.place(path, drive)
        file = self.child(parent, name) or self.store.create(name, GOOGLE_TYPES + kind, parent)
        self.write(file, Content(text.encode().ljust(size)))
        return {"id": file.id}

    def shortcut(self, path, target, drive=None):
        target_id = target if target in self.store.files else self.find(path=target).id
        parent, name = self.place(path, drive)
        file = self.create(name, SHORTCUT, parent)
        file.target = target_id
        return {"id": file.id}

    def shared(self, name, text=None, base64=None):
        file = self.store.create(name, "application/octet-stream", None)
        file.is_mine, file.shared_time = False, now()
        self.write(file, content_of(text, base64))
        return {"id": file.id}

    def move(self, to, path=None, id=None, drive=None):
        file = self.find(path, id, drive)
        parent, name = self.place(to, drive)
        if self.store.is_below(parent, file):
            raise ValueError("a folder can't be moved into itself")
        self.store.move(file, name, parent)
        self.store.touch(file)
        return {"id": file.id}

    def trash(self, path=None, id=None, drive=None):
        file = self.find(path, id, drive)
        file.trashed_time = now()
        self.store.touch(file)

    def untrash(self, id):
        file = self.find(id=id)
        file.trashed_time = None
        self.store.touch(file)

    def delete(self, path=None, id=None, drive=None):
        self.store.delete(self.find(path, id, drive))

    def touch(self, path=None, id=None, drive=None):
        self.store.touch(self.find(path, id, drive))

    def mark(self, path=None, id=None, drive=None, denied=(), abusive=False):
        file = self.find(path, id, drive)
        file.denied, file.is_abusive = set(denied), abusive
        self.store.touch(file)

    def many(self, folder, folders, files_each, drive=None):
        parent, name = self.place(folder, drive)
        top = self.child(parent, name) or self.create(name, FOLDER, parent)
        for folder_number in range(folders):
            below = self.create(f"folder-{folder_number:05}", FOLDER, top)
            for number in range(files_each):
                content = Content(f"{folder_number} {number}".encode())
                self.create(f"file-{number:05}.txt", "text/plain", below, content)
        return {"id": top.id}

    def shared_drive(self, name):
        return {"id": self.store.add_drive(name).id}

    def tree(self, path="/", drive=None):
        found = {}
        waiting = [("", self.find(path, drive=drive))]
        for start, folder in waiting:
            for file in self.store.children[folder.id].values():
                if file.trashed_time is not None:
                    continue
                place = f"{start}/{file.name.replace('/', '%2F')}"
                place = f"{place}#{file.id}" if place in found else place
                found[place] = None if file.is_folder else describe(file)
                if file.is_folder:
                    waiting.append((place, file))
        return found

    def content(self, path=None, id=None, drive=None):
        return {"base64": base64.b64encode(self.find(path, id, drive).head.content.data).decode()}

    def page(self, size):
        self.service.page_limit = size

    def reorder(self, on):
        self.service.reorders = on

    def incomplete(self, on):
        self.service.search_is_incomplete = on

    def forget_tokens(self):
        self.service.searches.clear()
        for feed in self.store.feeds.values():
            feed.forget_tokens()

    def drop_sessions(self, status=404):
        self.service.uploads.sessions.clear()
        self.service.uploads.lost_session_status = status

    def store_less(self, bytes):
        self.service.uploads.partly_stored.append(bytes)

    def quota(self, limit):
        self.service.quota = limit


def segments(path):
    return [name.replace("%2F", "/") for name in path.split("/") if name]


def content_of(text, encoded):
    return Content(text.encode() if encoded is None else base64.b64decode(encoded))


def describe(file):
    content = None if file.is_google_type else file.head.content
    return {
        "id": file.id,
        "md5": content and content.md5,
        "size": content and len(content.data),
        "mtime": rfc3339(file.modified),
        "mime": file.mime,
    }
