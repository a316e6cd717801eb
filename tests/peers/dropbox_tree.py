"""The files and folders of the fake of Dropbox, with the journal of what changed.

Names are kept as they were written, and found whatever their case. The journal holds one event for each name that
something came to or went from, so that to tell what changed since some point costs what changed, however much there is.
"""

import base64
import collections
import copy
import hashlib
import itertools
import os
import re
import time
import unicodedata

HOME_ID = "1001"
BLOCK = 4 << 20
MOST_CHARACTERS = 255
# How a folder can be shared by another account.
SHARED_KINDS = ("read_only", "no_access", "traverse_only")
# Junk of operating systems, and what Dropbox's own client keeps for itself.
DISALLOWED_NAMES = {"desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr"}


class LookupProblem(ValueError):
    """What is wrong with the item that a request is about: the tags of a `LookupError` of Dropbox."""


class WriteProblem(ValueError):
    """Why something can't be written: the tags of a `WriteError` of Dropbox."""


def content_hash(data):
    """The SHA-256 of the SHA-256s of each 4 MiB."""
    blocks = (data[start:start + BLOCK] for start in range(0, len(data), BLOCK))
    return hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()


def key_of(name):
    """Names with the same key are one name."""
    return unicodedata.normalize("NFC", name.lower())


# A node that went from its folder, under which name, and when.
Gone = collections.namedtuple("Gone", "node name when")


class Revision:
    """What a file contained for a while, and where it was."""

    __slots__ = ("rev", "data", "hash", "client_modified", "server_modified", "slot")

    def __init__(self, rev, data, hash, client_modified, server_modified, slot):
        self.rev = rev
        self.data = data
        self.hash = hash
        self.client_modified = client_modified
        self.server_modified = server_modified
        self.slot = slot


class Node:
    """A file or folder. One that was deleted has no parent, but what was in it still has."""

    __slots__ = ("id", "name", "parent", "children", "gone", "revisions", "kind", "stale_name")

    def __init__(self, id, name, is_folder):
        self.id = id
        self.name = name
        self.parent = None
        self.children = {} if is_folder else None
        # For each name what went from it.
        self.gone = {} if is_folder else None
        self.revisions = None if is_folder else []
        # None if it is nothing special.
        self.kind = None
        # The name that still stands in the displayed paths of what is in this folder.
        self.stale_name = None

    @property
    def is_folder(self):
        return self.children is not None

    @property
    def revision(self):
        return self.revisions[-1]

    def ancestors(self):
        """This node, its folder, the folder of that, and so on."""
        node = self
        while node is not None:
            yield node
            node = node.parent

    def is_below(self, folder):
        return any(node is folder for node in self.ancestors())

    def find_kind(self, *kinds):
        """The nearest node, from this one upwards, that is special in one of these ways."""
        return next((node for node in self.ancestors() if node.kind in kinds), None)

    def subtree(self):
        """This node and all in it, folders before what is in them."""
        yield self
        for child in list((self.children or {}).values()):
            yield from child.subtree()


class Place:
    """A name in a folder; the folders above it that aren't there yet are those of `missing`."""

    def __init__(self, folder, missing, name):
        self.folder = folder
        self.missing = missing
        self.name = name

    @property
    def key(self):
        return key_of(self.name)

    @property
    def node(self):
        return None if self.missing else self.folder.children.get(self.key)


class Event:
    """Something came to a name, or went from it."""

    __slots__ = ("folder", "name", "went")

    def __init__(self, folder, name, went):
        self.folder = folder
        self.name = name
        # None if something came, else what went: "file" or "folder".
        self.went = went

    @property
    def slot(self):
        return self.folder.id, key_of(self.name)


class Cursor:
    """How far somebody has read a listing (`rest`, from `at` on) and then the journal (from `seq` on)."""

    def __init__(self, view, folder, path, arg, rest, seq):
        self.view = view
        self.folder = folder
        # Where the folder was: a cursor is for a path.
        self.path = path
        self.arg = arg
        self.rest = rest
        self.at = 0
        self.seq = seq

    def moved(self, at, seq):
        other = copy.copy(self)
        other.at, other.seq = at, seq
        if at == len(other.rest):
            other.at, other.rest = 0, []
        return other


class Tree:
    """All namespaces of the account. Paths are those of a view: the folder that is its root."""

    def __init__(self):
        self.counter = itertools.count(1)
        self.nodes = {}
        self.revisions = {}
        self.journal = []
        # Of each slot the last event of a kind: "came", "went", or "folder went".
        self.last_events = {}
        self.team_root = self.new_node("", True)
        self.home = self.new_node("Tester", True)
        self._attach(self.home, self.team_root)
        self.root_ids = itertools.count(2001)
        self.root_id = None
        self.join_team(False)
        # None for as much as anyone wants.
        self.quota = None
        self.most_moved = 10_000
        self.adds_first = False
        self.ignores_case_renames = False

    # Finding things

    def path(self, node, view):
        """The displayed path of a node."""
        names = [node.name]
        for folder in itertools.takewhile(lambda each: each is not view, node.parent.ancestors()):
            names.append(folder.stale_name or folder.name)
        return "".join(f"/{name}" for name in reversed(names))

    def path_lower(self, node, view):
        folders = itertools.takewhile(lambda each: each is not view, node.ancestors())
        return "".join(f"/{key_of(name)}" for name in reversed([folder.name for folder in folders]))

    def lookup_revision(self, path, view):
        """The node of a path, ID or revision, and its revision, None for a folder."""
        if not path.startswith("rev:"):
            node = self.lookup(path, view)
            return node, None if node.is_folder else node.revision
        node, revision = self.revisions.get(path[len("rev:"):], (None, None))
        # That of a file that was deleted can still be read.
        if node is None or node.is_below(self.team_root) and not node.is_below(view):
            raise LookupProblem("not_found")
        return node, revision

    def lookup(self, path, view):
        """The node of a path or ID."""
        base, names = self._split(path, view, LookupProblem)
        for name in names:
            child = base.children.get(key_of(name)) if base.is_folder else None
            if child is None:
                raise LookupProblem("not_found")
            base = child
        # Whoever may not see it isn't told that it is there.
        if base is not view and base.parent is not None and base.parent.find_kind("no_access"):
            raise LookupProblem("not_found")
        return base

    def lookup_gone(self, path, view):
        """The folder in which something was at a path where there is nothing now, and what was there last."""
        folder, names = self._split(path, view, LookupProblem)
        gone = None
        for name in names:
            above = folder if gone is None else gone.node
            if not above.is_folder:
                raise LookupProblem("not_found")
            child = above.children.get(key_of(name))
            if child is not None:
                # What is in a folder that went is there still, but went with it.
                gone = gone and Gone(child, child.name, gone.when)
                folder = above if gone else child
            elif key_of(name) in above.gone:
                folder, gone = above, above.gone[key_of(name)][-1]
            else:
                raise LookupProblem("not_found")
        if gone is None:
            raise LookupProblem("not_found")
        return folder, gone

    def place(self, path, view, is_owner=False):
        """The place of a path that is written to; its owner may write where the user may not."""
        base, names = self._split(path, view, WriteProblem)
        if not names:
            if base.parent is None or base is view:
                raise WriteProblem("malformed_path")
            return Place(base.parent, [], base.name)
        *folders, name = names
        missing = []
        for each in folders:
            child = None if missing else base.children.get(key_of(each)) if base.is_folder else None
            if child is None:
                missing.append(each)
            else:
                base = child
        if not base.is_folder:
            raise WriteProblem("conflict", "file_ancestor")
        for each in [*missing, name]:
            if key_of(each) in DISALLOWED_NAMES:
                raise WriteProblem("disallowed_name")
        if not is_owner:
            self.check_writable(base)
        return Place(base, missing, name)

    def _split(self, path, view, problem):
        """Where a path starts, and the names that follow."""
        # A write has no other word for an ID or namespace that isn't there.
        unknown = problem("not_found" if problem is LookupProblem else "malformed_path")
        base, rest = view, path
        if path.startswith("id:"):
            id, slash, rest = path.partition("/")
            rest = slash + rest
            base = self.nodes.get(id)
            if base is None or base.parent is None or not base.is_below(view):
                raise unknown
        elif path.startswith("ns:"):
            namespace, slash, rest = path[len("ns:"):].partition("/")
            rest = slash + rest
            base = self.namespaces().get(namespace)
            if base is None:
                raise unknown
        if problem is LookupProblem and rest.startswith("//"):
            # rclone relies on it.
            rest = rest[1:]
        if rest == "":
            return base, []
        names = [unicodedata.normalize("NFC", name) for name in rest[1:].split("/")]
        for name in names:
            if name in ("", ".", "..") or name.endswith(" ") or re.search("[\\\\\0\x7f\ud800-\udfff]", name):
                raise problem("malformed_path")
            if len(name) > MOST_CHARACTERS:
                raise problem("malformed_path")
        return base, names

    def check_writable(self, folder):
        """Raises if the user may not change what is in a folder; what is at the top of a team's space is for admins."""
        if folder is self.team_root or folder.find_kind(*SHARED_KINDS):
            raise WriteProblem("no_write_permission")

    def join_team(self, joins):
        """Puts the account into a team with a space of its own, or takes it out; the ID of the space is always new."""
        self.in_team = joins
        self.root_id = str(next(self.root_ids)) if joins else HOME_ID

    @property
    def root(self):
        return self.team_root if self.in_team else self.home

    def namespaces(self):
        """The root folder of each namespace that the account may see."""
        return {HOME_ID: self.home, self.root_id: self.root}

    def free_place(self, place, suffix):
        """A free place beside one that is taken: its name with a suffix, which takes a number if it has "{}"."""
        stem, extension = os.path.splitext(place.name)
        for number in itertools.count(1):
            other = Place(place.folder, [], stem + suffix.format(number) + extension)
            if other.node is None:
                return other
            if "{}" not in suffix:
                suffix += " ({})"

    # Changing things, as any client of Dropbox does

    def new_node(self, name, is_folder):
        digest = hashlib.sha256(b"%d" % next(self.counter)).digest()
        node = Node("id:" + base64.urlsafe_b64encode(digest)[:22].decode(), name, is_folder)
        self.nodes[node.id] = node
        return node

    def make_folder(self, place):
        """A new folder, with those above it."""
        return self._add(self.new_node(place.name, True), place)

    def write(self, place, data, hash=None, client_modified=None):
        """A new file at a free place, or a new revision of the file that is there."""
        node = place.node
        if node is None:
            node = self.new_node(place.name, False)
            self._revise(node, data, hash or content_hash(data), client_modified, slot=None)
            return self._add(node, place)
        self._revise(node, data, hash or content_hash(data), client_modified, (node.parent.id, place.key))
        self._log(node.parent, node.name, None)
        return node

    def remove(self, node):
        self._detach(node)

    def bring_back(self, node, place):
        """A node that was deleted, at the place where it was."""
        node.name = place.name
        self._add(node, place)

    def move(self, node, place):
        """To a free place. Everything in it is told of anew, under the same IDs."""
        came_from = node.parent, node.name
        self._detach(node, log=not self.adds_first)
        node.name, node.stale_name = place.name, None
        self._add(node, place)
        for each in node.subtree():
            if not each.is_folder:
                last = each.revision
                self._revise(each, last.data, last.hash, last.client_modified, (each.parent.id, key_of(each.name)))
        if self.adds_first:
            self._log(*came_from, "folder" if node.is_folder else "file")

    def rename_case(self, node, name):
        """What clients other than apps can do. Nobody is told, and what is in a folder shows its old name."""
        node.stale_name = node.stale_name or node.name
        node.name = name

    def copy(self, node, place):
        """To a free place, under new IDs."""
        twin = self._copy(node)
        twin.name = place.name
        return self._add(twin, place)

    def mark(self, node, kind):
        """Makes it special."""
        node.kind = kind
        self._log(node.parent, node.name, None)

    def used(self):
        return sum(len(node.revision.data) for node in self.team_root.subtree() if not node.is_folder)

    def _copy(self, node):
        twin = self.new_node(node.name, node.is_folder)
        if not node.is_folder:
            # A folder isn't shared with those with whom the first one is.
            twin.kind = node.kind
            last = node.revision
            self._revise(twin, last.data, last.hash, last.client_modified, slot=None)
        for child in list((node.children or {}).values()):
            inner = self._copy(child)
            inner.parent = twin
            twin.children[key_of(inner.name)] = inner
        return twin

    def _revise(self, node, data, hash, client_modified, slot):
        now = int(time.time())
        # Revisions and IDs share the counter, so that no revision is ever met again.
        rev = f"{0x5f0000000000000 + next(self.counter):016x}"
        revision = Revision(rev, data, hash, now if client_modified is None else client_modified, now, slot)
        node.revisions.append(revision)
        self.revisions[rev] = node, revision

    def _add(self, node, place):
        """Puts a node that is nowhere at a free place, with the folders that are missing there."""
        folder = place.folder
        for name in place.missing:
            above = folder.children.get(key_of(name))
            if above is None:
                above = self.new_node(name, True)
                self._attach(above, folder)
            folder = above
        self._attach(node, folder)
        return node

    def _attach(self, node, folder):
        node.parent = folder
        folder.children[key_of(node.name)] = node
        for each in node.subtree():
            if not each.is_folder and each.revision.slot is None:
                each.revision.slot = each.parent.id, key_of(each.name)
            self._log(each.parent, each.name, None)

    def _detach(self, node, log=True):
        folder = node.parent
        del folder.children[key_of(node.name)]
        folder.gone.setdefault(key_of(node.name), []).append(Gone(node, node.name, int(time.time())))
        node.parent = None
        if log:
            self._log(folder, node.name, "folder" if node.is_folder else "file")

    # The journal

    def _log(self, folder, name, went):
        event = Event(folder, name, went)
        slot = event.slot
        seq = len(self.journal)
        self.journal.append(event)
        self.last_events[slot, "went" if went else "came"] = seq
        if went == "folder":
            self.last_events[slot, "folder went"] = seq

    def list(self, view, folder, arg):
        """A cursor at the start of a listing."""
        if arg["recursive"]:
            # The folder itself is listed too, unless it is the root.
            rest = [node for node in folder.subtree() if node is not view]
        else:
            rest = list(folder.children.values())
        if arg["include_deleted"]:
            for each in folder.subtree() if arg["recursive"] else [folder]:
                rest += [Event(each, went[-1].name, "file") for went in (each.gone or {}).values()]
        return Cursor(view, folder, self.path_lower(folder, view), arg, rest, len(self.journal))

    def latest(self, view, folder, arg):
        """A cursor at the end of the journal."""
        return Cursor(view, folder, self.path_lower(folder, view), arg, [], len(self.journal))

    def is_lost(self, cursor):
        """Whether the folder of a cursor isn't there any more."""
        folder, view = cursor.folder, cursor.view
        return not folder.is_below(view) or self.path_lower(folder, view) != cursor.path

    def advance(self, cursor, count):
        """Up to `count` of the items that follow (nodes, or events of what went), and a cursor after them."""
        items = []
        if cursor.rest:
            at = cursor.at
            while at < len(cursor.rest) and len(items) < count:
                item = cursor.rest[at]
                at += 1
                if self._is_listed(item, cursor):
                    items.append(item)
            return items, cursor.moved(at, cursor.seq)
        seq = cursor.seq
        while seq < len(self.journal) and len(items) < count:
            item = self._item_of(seq, cursor)
            seq += 1
            if item is not None:
                items.append(item)
        return items, cursor.moved(0, seq)

    def has_more(self, cursor):
        """Whether there may be something after it."""
        seqs = range(cursor.seq, len(self.journal))
        return bool(cursor.rest) or any(self._item_of(seq, cursor) is not None for seq in seqs)

    def _is_listed(self, item, cursor):
        """Whether something that was there when the listing began still has to be told."""
        if isinstance(item, Event):
            return item.slot[1] not in item.folder.children and self._is_seen(item.folder, cursor)
        return item.parent is not None and self._is_shown(item, cursor)

    def _item_of(self, seq, cursor):
        """What has to be told of an event: nothing if the name has an event later, or if nobody may see it."""
        event = self.journal[seq]
        slot = event.slot
        node = event.folder.children.get(slot[1])
        if event.went is None:
            is_last = self.last_events[slot, "came"] == seq
            return node if node is not None and is_last and self._is_shown(node, cursor) else None
        if node is None:
            is_last = self.last_events[slot, "went"] == seq
        else:
            # To tell of a new folder only would leave what was in the old one.
            is_last = node.is_folder and self.last_events.get((slot, "folder went")) == seq
        return event if is_last and self._is_seen(event.folder, cursor) else None

    def _is_shown(self, node, cursor):
        if node is cursor.folder:
            return node is not cursor.view and cursor.arg["recursive"]
        if node.kind == "paper" and not cursor.arg["include_non_downloadable_files"]:
            return False
        return self._is_seen(node.parent, cursor)

    def _is_seen(self, folder, cursor):
        """Whether what is in a folder is told of."""
        if not cursor.arg["recursive"]:
            return folder is cursor.folder
        return folder.is_below(cursor.folder) and folder.find_kind("no_access") is None
