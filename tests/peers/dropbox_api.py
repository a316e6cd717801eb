"""The routes and types of Dropbox's API, and a check of JSON against them.

They stand in dropbox_api.json, which dropbox_api_make.py made of Dropbox's own description (which revision, it says).
"""

import contextlib
import datetime
import json
import pathlib
import re

_model = json.loads(pathlib.Path(__file__).with_name("dropbox_api.json").read_text())
ROUTES = _model["routes"]
_TYPES = _model["types"]

# Of a long list only the start is checked: what follows is made by the same code.
CHECKED_ITEMS = 20


class Mismatch(ValueError):
    """What isn't as the types say, in the words that Dropbox has for it."""


def checked_argument(route, value):
    """The argument of a route, with the defaults filled in; raises `Mismatch`."""
    return _check(ROUTES[route]["arg"], value, None)


def check_result(route, value):
    """Raises `Mismatch` if a route doesn't answer this."""
    _check(ROUTES[route]["result"], value, CHECKED_ITEMS)


def checked(type_name, value):
    """A value of a named type, with the defaults filled in; raises `Mismatch`."""
    return _check(type_name, value, None)


def union(kind, *tags):
    """A value of a union, as nested tags: `union("files.WriteError", "conflict", "file")`.

    After the last tag its value may follow: the fields of a structure, or what else the tag carries.
    """
    if isinstance(kind, str):
        kind = _TYPES[kind]
    tag, *rest = tags
    inner = kind["tags"][tag]
    definition = _TYPES[inner] if isinstance(inner, str) else inner
    if not rest:
        value = {".tag": tag}
    elif definition["is"] == "union" and isinstance(rest[0], str):
        value = {".tag": tag, tag: union(definition, *rest)}
    elif definition["is"] == "struct":
        value = {".tag": tag, **rest[0]}
    else:
        value = {".tag": tag, tag: rest[0]}
    _check_union(kind, value, None)
    return value


def summary(value):
    """The tags of an error, one after the other; the dots at the end keep anyone from matching it."""
    tags = []
    while isinstance(value, dict) and ".tag" in value:
        tags.append(value[".tag"])
        value = value.get(value[".tag"], value.get("reason"))
    return "/".join(tags) + "/..."


def _check(kind, value, limit):
    if isinstance(kind, str):
        kind = _TYPES[kind]
    return _CHECKS[kind["is"]](kind, value, limit)


@contextlib.contextmanager
def _within(name):
    """Puts the name of a field in front of what is wrong with its value."""
    try:
        yield
    except Mismatch as mismatch:
        separator = "." if re.match(r"[a-z_.]+: ", str(mismatch)) else ": "
        raise Mismatch(f"{name}{separator}{mismatch}") from None


def _expect(kind, name, value):
    # To Python, true is a number.
    if not isinstance(value, kind) or kind is int and isinstance(value, bool):
        raise Mismatch(f"{value!r} expected to be {name}, got {_NAMES[type(value)]}")


def _check_void(_, value, __):
    if value is not None:
        raise Mismatch("expected null, got value")


def _check_boolean(_, value, __):
    _expect(bool, "a boolean", value)
    return value


def _check_number(_, value, __):
    _expect(float, "a number", value)
    return value


def _check_integer(kind, value, _):
    _expect(int, "an integer", value)
    if not kind["min"] <= value <= kind["max"]:
        raise Mismatch(f"{value} is not within range [{kind['min']}, {kind['max']}]")
    return value


def _check_string(kind, value, _):
    _expect(str, "a string", value)
    if len(value) < kind.get("min", 0):
        raise Mismatch(f"{value!r} expected to be at least {kind['min']} characters, got {len(value)}")
    if len(value) > kind.get("max", len(value)):
        raise Mismatch(f"{value!r} expected to be at most {kind['max']} characters, got {len(value)}")
    if "pattern" in kind and not re.fullmatch(kind["pattern"], value):
        raise Mismatch(f"{value!r} did not match pattern {kind['pattern']!r}")
    return value


def _check_timestamp(kind, value, _):
    _expect(str, "a timestamp", value)
    try:
        moment = datetime.datetime.strptime(value, kind["format"])
    except ValueError:
        moment = None
    # Python takes a month of one digit as well.
    if moment is None or len(value) != len("2015-05-12T15:50:38Z"):
        raise Mismatch(f"time data {value!r} does not match format {kind['format']!r}")
    return value


def _check_optional(kind, value, limit):
    return None if value is None else _check(kind["of"], value, limit)


def _check_list(kind, value, limit):
    _expect(list, "a list", value)
    if len(value) < kind.get("min", 0):
        raise Mismatch(f"list must have at least {kind['min']} items, got {len(value)}")
    if len(value) > kind.get("max", len(value)):
        raise Mismatch(f"list must have at most {kind['max']} items, got {len(value)}")
    return [_check(kind["of"], item, limit) for item in value[:limit]]


def _check_struct(kind, value, limit):
    _expect(dict, "an object", value)
    for name in value:
        if name not in kind["fields"]:
            raise Mismatch(f"unknown field {name!r}")
    result = {}
    for name, field in kind["fields"].items():
        if name in value:
            with _within(name):
                result[name] = _check(field["type"], value[name], limit)
        elif "default" in field:
            # The default of a union is the name of its tag.
            result[name] = _check(field["type"], field["default"], limit)
        elif isinstance(field["type"], dict) and field["type"]["is"] == "optional":
            result[name] = None
        else:
            raise Mismatch(f"missing required field {name!r}")
    return result


def _check_tag(kind, value):
    _expect(dict, "an object", value)
    if ".tag" not in value:
        raise Mismatch("missing '.tag' key")
    tag = value[".tag"]
    if not isinstance(tag, str) or tag not in kind["tags"]:
        raise Mismatch(f"unknown tag {tag!r}")
    return tag, {name: inner for name, inner in value.items() if name != ".tag"}


def _check_subtypes(kind, value, limit):
    tag, fields = _check_tag(kind, value)
    return {".tag": tag, **_check(kind["tags"][tag], fields, limit)}


def _check_union(kind, value, limit):
    """A tag alone may stand there as a string."""
    tag, fields = _check_tag(kind, {".tag": value} if isinstance(value, str) else value)
    inner = kind["tags"][tag]
    definition = _TYPES[inner] if isinstance(inner, str) else inner
    if definition["is"] == "struct":
        return {".tag": tag, **_check_struct(definition, fields, limit)}
    for name in fields:
        if name != tag or definition["is"] == "void":
            raise Mismatch(f"unexpected key {name!r}")
    if definition["is"] == "void":
        return {".tag": tag}
    if tag not in fields and definition["is"] != "optional":
        raise Mismatch(f"missing {tag!r} key")
    with _within(tag):
        return {".tag": tag, tag: _check(inner, fields.get(tag), limit)}


_NAMES = {
    bool: "boolean",
    dict: "object",
    float: "float",
    int: "integer",
    list: "list",
    str: "string",
    type(None): "null",
}
_CHECKS = {
    "boolean": _check_boolean,
    "integer": _check_integer,
    "list": _check_list,
    "number": _check_number,
    "optional": _check_optional,
    "string": _check_string,
    "struct": _check_struct,
    "subtypes": _check_subtypes,
    "timestamp": _check_timestamp,
    "union": _check_union,
    "void": _check_void,
}
