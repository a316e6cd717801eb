"""What is in the fake Google Drive: files, their revisions, shared drives, and the feeds that tell of changes.

One person uses it. Each file has one id for life, one parent (or none, if it is only shared with this person), and a
name that others in its folder may have too. Everything is found by index, so that many files cost no more than few.
"""

import bisect
import datetime
import hashlib
import secrets
import time

FOLDER = "application/vnd.google-apps.folder"
SHORTCUT = "application/vnd.google-apps.shortcut"
GOOGLE_TYPES = "application/vnd.google-apps."

# Google keeps as many revisions of a file, besides those that are to be kept forever.
KEPT_REVISIONS = 100

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def now():
    return time.time_ns() // 1_000_000


def milliseconds(text):
    """A time in RFC 3339 as milliseconds since 1970; what is finer is dropped."""
    text = text.upper().replace("Z", "+00:00")
    whole, zone = text[:19], text[-6:]
    fraction = text[20:-6] if text[19] == "." else ""
    moment = datetime.datetime.fromisoformat(whole + zone)
    return (moment - EPOCH) // datetime.timedelta(seconds=1) * 1000 + int(fraction[:3].ljust(3, "0"))


def rfc3339(time_ms):
    moment = EPOCH + datetime.timedelta(milliseconds=time_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03}Z"


def new_id():
    return "1" + secrets.token_urlsafe(24)


class Content:
    """Bytes with their hashes."""

    __slots__ = ("data", "md5", "sha1", "sha256")

    def __init__(self, data):
        self.data = data
        self.md5 = hashlib.md5(data).hexdigest()
        self.sha1 = hashlib.sha1(data).hexdigest()
        self.sha256 = hashlib.sha256(data).hexdigest()


class Revision:
    __slots__ = ("id", "content", "mime", "modified", "keep_forever", "name")

    def __init__(self, content, file, keep_forever):
        self.id = "0B" + secrets.token_urlsafe(36)
        self.content = content
        self.mime = file.mime
        self.modified = file.modified
        self.keep_forever = keep_forever
        self.name = file.name


class File:
    __slots__ = (
        "id",
        "name",
        "mime",
        "parent",
        "drive",
        "created",
        "modified",
        "version",
        "trashed_time",
        "revisions",
        "target",
        "written",
        "denied",
        "is_abusive",
        "is_mine",
        "shared_time",
    )

    def __init__(self, file_id, name, mime, parent, drive):
        self.id = file_id
        self.name = name
        self.mime = mime
        self.parent = parent
        self.drive = drive
        self.created = self.modified = now()
        self.version = 0
        self.trashed_time = None  # of its own, not of a folder around it
        self.revisions = []
        self.target = None  # of a shortcut
        self.written = {}  # fields that programs write, and nothing depends on
        self.denied = set()  # capabilities that it lacks
        self.is_abusive = False
        self.is_mine = True
        self.shared_time = None

    @property
    def is_folder(self):
        return self.mime == FOLDER

    @property
    def is_google_type(self):
        """Folders, shortcuts, documents: all that has no bytes to download."""
        return self.mime.startswith(GOOGLE_TYPES)

    @property
    def is_document(self):
        return self.is_google_type and self.mime not in (FOLDER, SHORTCUT)

    @property
    def head(self):
        return self.revisions[-1]


class Drive:
    """A shared drive. The id is that of its root folder, too."""

    def __init__(self, drive_id, name):
        self.id = drive_id
        self.name = name
        self.created = now()


class Feed:
    """The changes of a user or a shared drive, of each file only the last one; their numbers are the page tokens."""

    def __init__(self, start):
        self.entries = []  # number, kind, id, time
        self.last = {}
        self.next = self.oldest = start

    def note(self, kind, changed_id):
        self.entries.append((self.next, kind, changed_id, now()))
        self.last[changed_id] = self.next
        self.next += 1

    def forget_tokens(self):
        self.next += 1000
        self.oldest = self.next

    def is_token(self, text):
        return text.isascii() and text.isdigit() and self.oldest <= int(text) <= self.next

    def since(self, token):
        """The changes from this number on."""
        for index in range(bisect.bisect_left(self.entries, (token,)), len(self.entries)):
            number, kind, changed_id, time_ms = self.entries[index]
            if self.last[changed_id] == number:
                yield number, kind, changed_id, time_ms


class Store:
    """All of it. What the methods are told to do they do: whether it is allowed is asked elsewhere."""

    def __init__(self):
        self.files = {}
        self.children = {}  # of each folder, by id
        self.names = {}  # the files of each folder and name, without regard to case, by id
        self.drives = {}
        self.feeds = {None: Feed(1_000)}
        self.left_my_drive = set()
        self.gone = {}  # the drive of each file that is deleted
        self.reserved_ids = set()
        self.root = File("0A" + secrets.token_urlsafe(12) + "Uk9PVA", "My Drive", FOLDER, None, None)
        self._add(self.root)

    def add_drive(self, name):
        drive = Drive("0A" + secrets.token_urlsafe(12) + "Uk9PVA", name)
        self.drives[drive.id] = drive
        # Far apart, so that a token of one feed is none of another.
        self.feeds[drive.id] = Feed(1_000 + 10_000_000 * len(self.drives))
        self._add(File(drive.id, "Drive", FOLDER, None, drive.id))
        for feed in (None, drive.id):
            self.feeds[feed].note("drive", drive.id)
        return drive

    def resolve(self, file_id):
        """An id that may be the alias of the root."""
        return self.root.id if file_id == "root" else file_id

    def is_trashed(self, file):
        while file is not None:
            if file.trashed_time is not None:
                return True
            file = self.files.get(file.parent)
        return False

    def is_below(self, file, folder):
        """Whether it is that folder or anywhere in it."""
        while file is not None:
            if file is folder:
                return True
            file = self.files.get(file.parent)
        return False

    def named(self, folder_id, name):
        """The files in a folder that have this name, the eldest first; those with other letter case too."""
        return list(self.names.get((folder_id, name.casefold()), {}).values())

    def candidates(self, condition):
        """All files that can meet a condition, and more."""
        if condition.folders is None:
            return list(self.files.values())
        folders = dict.fromkeys(condition.folders)
        if condition.name is not None:
            return [file for folder in folders for file in self.named(folder, condition.name)]
        return [file for folder in folders for file in self.children.get(folder, {}).values()]

    def create(self, name, mime, parent, file_id=None):
        """A new file without content; `parent` is None for one that is only shared."""
        file_id = file_id or new_id()
        self.reserved_ids.discard(file_id)
        file = File(file_id, name, mime, parent and parent.id, parent and parent.drive)
        self._add(file)
        return file

    def touch(self, file):
        """Takes note that something of it changed."""
        file.version += 1
        self.feeds[None].note("file", file.id)
        if file.drive is not None:
            self.feeds[file.drive].note("file", file.id)

    def add_revision(self, file, content, keep_forever=False):
        file.revisions.append(Revision(content, file, keep_forever))
        unpinned = [revision for revision in file.revisions[:-1] if not revision.keep_forever]
        if len(unpinned) >= KEPT_REVISIONS:
            file.revisions.remove(unpinned[0])

    def move(self, file, name, parent):
        """Gives a file another name and parent."""
        self._drop_from_folder(file)
        file.name = name
        file.parent = parent.id
        self._put_in_folder(file)
        if file.drive != parent.drive:
            for each in self._with_all_below(file):
                left = each.drive
                each.drive = parent.drive
                if left is None:
                    self.left_my_drive.add(each.id)
                else:
                    self.feeds[left].note("file", each.id)

    def delete(self, file):
        """Deletes it and all below it; of the latter the feed tells after it."""
        deleted = self._with_all_below(file)
        for each in reversed(deleted):
            self._drop_from_folder(each)
            del self.files[each.id]
            self.children.pop(each.id, None)
        for each in deleted:
            self.gone[each.id] = each.drive
            self.touch(each)

    def _with_all_below(self, file):
        found = [file]
        for each in found:
            found.extend(self.children.get(each.id, {}).values())
        return found

    def _add(self, file):
        self.files[file.id] = file
        if file.is_folder:
            self.children[file.id] = {}
        self._put_in_folder(file)

    def _put_in_folder(self, file):
        if file.parent is not None:
            self.children[file.parent][file.id] = file
            self.names.setdefault((file.parent, file.name.casefold()), {})[file.id] = file

    def _drop_from_folder(self, file):
        if file.parent is not None:
            self.children[file.parent].pop(file.id, None)
            key = file.parent, file.name.casefold()
            self.names[key].pop(file.id, None)
            if not self.names[key]:
                del self.names[key]
