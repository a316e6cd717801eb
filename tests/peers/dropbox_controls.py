"""How a test acts on the fake of Dropbox as its owner does on the web page, and how it makes it awkward.

Each is a POST to `/_control/NAME` with these fields as JSON. Paths are those of the root namespace: the user's home, or
the space of a team while the user is in one, in which the home is /Tester. What makes an item answers its entry.

- `put` {"path", "text" or "base64", "mtime"?: seconds}, `make_folder` {"path"}: in the place of what is there;
  `move` {"path", "to"}: over what is there, or to the same name in another case; `delete` {"path"}.
- `many` {"folder", "folders", "files_each"}: that many folders with that many files each.
- `special` {"path", "kind"}: "paper" and "symlink" make such a file; "read_only", "no_access" and "traverse_only" a
  shared folder, of the folder that is there if there is one.
- `tree` {"path"?}: all below, each path with null for a folder, {"hash", "size", "id", "rev", "mtime"} for a file.
  `content` {"id"}: {"base64"} of a file's bytes.
- `order` {"order"}: whether a move is told "delete-first" or "add-first". `page` {"size"}: the most entries at once.
- `reset`: all cursors end. `drop_sessions`: all upload sessions end.
- `root` {"team", "stale"?}: whether the user is in a team with a space of its own; "stale": that gets a new ID.
- `backoff` {"seconds"}: what a longpoll asks for; who doesn't wait is refused.
- `quota` {"bytes"}: how much there is room for (null: any amount). `most_moved` {"count"}: how many items at once.
- `case_renames` {"ignored"}: whether a move to the same name in another case is answered as if it had been done; else
  it is refused.
- `busy` {"match", "times"?, "seconds"?, "reason"?}: a fault, as of `fake_service.py`, with Dropbox's answer 429.
"""

from base64 import b64decode, b64encode

from dropbox_tree import SHARED_KINDS, Place

CONTENTS = {"paper": b"<p>A paper.</p>", "symlink": b"/somewhere/else"}


class Controls:
    def __init__(self, service):
        self.service = service
        self.tree = service.tree

    def all(self):
        """Each control by its name."""
        names = (
            "put make_folder move delete many special tree content order page reset drop_sessions root backoff quota "
            "most_moved case_renames busy"
        )
        return {name: getattr(self, f"do_{name}") for name in names.split()}

    def place(self, path):
        return self.tree.place(path, self.tree.root, is_owner=True)

    def free_place(self, path):
        place = self.place(path)
        if place.node is not None:
            self.tree.remove(place.node)
        return place

    def entry(self, node):
        return self.service.entry(node, self.tree.root)

    def do_put(self, path, text=None, base64=None, mtime=None):
        data = b64decode(base64) if text is None else text.encode()
        place = self.place(path)
        if place.node is not None and (place.node.is_folder or place.node.kind is not None):
            self.tree.remove(place.node)
        return self.entry(self.tree.write(place, data, client_modified=mtime))

    def do_make_folder(self, path):
        return self.entry(self.tree.make_folder(self.free_place(path)))

    def do_move(self, path, to):
        node = self.tree.lookup(path, self.tree.root)
        place = self.place(to)
        if place.node is node:
            self.tree.rename_case(node, place.name)
        elif place.folder.is_below(node) or place.node is not None and node.is_below(place.node):
            raise ValueError("one of both places is in the other")
        else:
            self.tree.move(node, self.free_place(to))
        return self.entry(node)

    def do_delete(self, path):
        self.tree.remove(self.tree.lookup(path, self.tree.root))

    def do_many(self, folder, folders, files_each):
        for number in range(folders):
            place = self.place(f"{folder}/folder-{number}")
            parent = place.node or self.tree.make_folder(place)
            for each in range(files_each):
                self.tree.write(Place(parent, [], f"file-{each}"), b"%d of %d\n" % (each, number))

    def do_special(self, path, kind):
        if kind in SHARED_KINDS:
            place = self.place(path)
            node = place.node or self.tree.make_folder(place)
        else:
            data = CONTENTS[kind]
            node = self.tree.write(self.free_place(path), data)
        self.tree.mark(node, kind)
        return self.entry(node)

    def do_tree(self, path=""):
        top = self.tree.lookup(path, self.tree.root)
        found = {}
        folders = [(top, path)]
        while folders:
            folder, above = folders.pop()
            for node in folder.children.values():
                here = f"{above}/{node.name}"
                if node.is_folder:
                    found[here] = None
                    folders.append((node, here))
                    continue
                last = node.revision
                found[here] = {
                    "hash": last.hash,
                    "size": len(last.data),
                    "id": node.id,
                    "rev": last.rev,
                    "mtime": last.client_modified,
                }
        return found

    def do_content(self, id):
        return {"base64": b64encode(self.tree.lookup(id, self.tree.root).revision.data).decode()}

    def do_order(self, order):
        self.tree.adds_first = {"delete-first": False, "add-first": True}[order]

    def do_page(self, size):
        self.service.page = size

    def do_reset(self):
        self.service.cursors.update(dict.fromkeys(self.service.cursors))

    def do_drop_sessions(self):
        self.service.sessions.clear()

    def do_root(self, team, stale=False):
        if team != self.tree.in_team or stale:
            self.tree.join_team(team)
            # The space of a team is another one than before, and its cursors are for that.
            for token, cursor in self.service.cursors.items():
                if cursor is not None and cursor.view is self.tree.team_root:
                    self.service.cursors[token] = None
        return self.service.root_info()

    def do_backoff(self, seconds):
        self.service.backoff = seconds
        self.service.next_longpoll = 0

    def do_quota(self, bytes):
        self.tree.quota = bytes

    def do_most_moved(self, count):
        self.tree.most_moved = count

    def do_case_renames(self, ignored):
        self.tree.ignores_case_renames = ignored

    def do_busy(self, match, times=1, seconds=1, reason="too_many_requests"):
        reply = self.service.busy(reason, seconds).reply
        fault = {"match": match, "times": times, "status": reply.status}
        self.service.controls["fault"](**fault, headers=reply.headers, body=reply.body.decode())
