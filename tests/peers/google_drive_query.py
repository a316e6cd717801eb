"""The search language of `files.list`: the parameter `q`, as the guide "Search query terms and operators" describes it.

Of the terms those that programs use which keep files the same; the rest is refused, as Google refuses what it doesn't
know.
"""

import re

from google_api import TIME, refused
from google_drive_store import milliseconds

TOKEN = re.compile(r"\s*('(?:[^'\\]|\\['\\])*'|[A-Za-z]+|<=|>=|!=|=|<|>|\(|\))")

COMPARISONS = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def not_found(file_id):
    return refused(404, "notFound", f"File not found: {file_id}.", "fileId")


class Condition:
    """Whether a file is meant; and, where the query tells, in which folders it has to be and what its name is."""

    def __init__(self, meets, folders=None, name=None):
        self.meets = meets
        self.folders = folders
        self.name = name

    def __and__(self, other):
        folders = other.folders if self.folders is None else self.folders
        name = other.name if self.name is None else self.name
        return Condition(lambda file: self.meets(file) and other.meets(file), folders, name)

    def __or__(self, other):
        both = self.folders is not None and other.folders is not None
        folders = self.folders + other.folders if both else None
        return Condition(lambda file: self.meets(file) or other.meets(file), folders)

    def __invert__(self):
        return Condition(lambda file: not self.meets(file))


ALL = Condition(lambda file: True)


class Query:
    """Reads one query. `store` tells what is in the trash, and which folder `root` stands for."""

    def __init__(self, text, store):
        self.store = store
        self.tokens = []
        place = 0
        while text[place:].strip():
            token = TOKEN.match(text, place)
            if token is None:
                raise self._wrong()
            self.tokens.append(token[1])
            place = token.end()

    def condition(self):
        if not self.tokens:
            return ALL
        condition = self._either()
        if self.tokens:
            raise self._wrong()
        return condition

    def _either(self):
        condition = self._both()
        while self._take_if("or"):
            condition = condition | self._both()
        return condition

    def _both(self):
        condition = self._negation()
        while self._take_if("and"):
            condition = condition & self._negation()
        return condition

    def _negation(self):
        if self._take_if("not"):
            return ~self._negation()
        if self._take_if("("):
            condition = self._either()
            if not self._take_if(")"):
                raise self._wrong()
            return condition
        return self._term()

    def _term(self):
        first = self._take()
        if first.startswith("'"):
            if self._take() != "in":
                raise self._wrong()
            return self._membership(self._text(first), self._take())
        if first == "sharedWithMe" and (not self.tokens or self.tokens[0] in ("and", "or", ")")):
            return self._truth(first, "=", "true")
        operator, value = self._take(), self._take()
        if first in ("trashed", "starred", "sharedWithMe"):
            return self._truth(first, operator, value)
        if first == "name":
            return self._name(operator, self._text(value))
        if first == "mimeType":
            return self._mime_type(operator, self._text(value))
        if first in ("modifiedTime", "createdTime"):
            return self._time(first, operator, self._text(value))
        raise self._wrong()

    def _membership(self, member, collection):
        if collection == "parents":
            folder = self.store.resolve(member)
            if folder not in self.store.files:
                raise not_found("")
            return Condition(lambda file: file.parent == folder, folders=[folder])
        if collection == "owners" and member == "me":
            return Condition(lambda file: file.is_mine)
        raise self._wrong()

    def _truth(self, name, operator, value):
        if operator not in ("=", "!=") or value not in ("true", "false"):
            raise self._wrong()
        wanted = (value == "true") == (operator == "=")
        if name == "trashed":
            return Condition(lambda file: self.store.is_trashed(file) == wanted)
        if name == "starred":
            return Condition(lambda file: file.written.get("starred", False) == wanted)
        return Condition(lambda file: (file.shared_time is not None) == wanted)

    def _name(self, operator, value):
        # Google compares names without regard to case.
        value = value.casefold()
        if operator == "=":
            return Condition(lambda file: file.name.casefold() == value, name=value)
        if operator == "!=":
            return Condition(lambda file: file.name.casefold() != value)
        if operator == "contains":
            # It looks at the starts of words only.
            start = re.compile(r"(?<!\w)" + re.escape(value))
            return Condition(lambda file: start.search(file.name.casefold()) is not None)
        raise self._wrong()

    def _mime_type(self, operator, value):
        if operator == "contains":
            return Condition(lambda file: file.mime.startswith(value))
        if operator not in ("=", "!="):
            raise self._wrong()
        compare = COMPARISONS[operator]
        return Condition(lambda file: compare(file.mime, value))

    def _time(self, name, operator, value):
        if not TIME.fullmatch(value):
            value += "Z"
        if operator not in COMPARISONS or not TIME.fullmatch(value):
            raise self._wrong()
        compare, time = COMPARISONS[operator], milliseconds(value)
        attribute = {"modifiedTime": "modified", "createdTime": "created"}[name]
        return Condition(lambda file: compare(getattr(file, attribute), time))

    def _text(self, token):
        if not token.startswith("'"):
            raise self._wrong()
        return re.sub(r"\\(.)", r"\1", token[1:-1])

    def _take(self):
        if not self.tokens:
            raise self._wrong()
        return self.tokens.pop(0)

    def _take_if(self, token):
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    @staticmethod
    def _wrong():
        return refused(400, "invalid", "Invalid Value", "q")
