"""dropbox_api_make.py SPEC_FOLDER REVISION: writes dropbox_api.json, the types that the fake of Dropbox works with.

SPEC_FOLDER is a checkout of the public repository dropbox/dropbox-api-spec at REVISION, in which Dropbox describes its
API in the language Stone; PyPI's package stone, which comes with Dropbox's SDK, reads it.
"""

import json
import pathlib
import sys

from stone.frontend.frontend import specs_to_ir
from stone.ir import data_types as stone

# The routes that the fake serves: namespace, name and version.
ROUTES = [
    ("auth", "token/revoke", 1),
    ("files", "copy", 2),
    ("files", "create_folder", 2),
    ("files", "delete", 2),
    ("files", "delete_batch", 1),
    ("files", "delete_batch/check", 1),
    ("files", "download", 1),
    ("files", "export", 1),
    ("files", "get_metadata", 1),
    ("files", "list_folder", 1),
    ("files", "list_folder/continue", 1),
    ("files", "list_folder/get_latest_cursor", 1),
    ("files", "list_folder/longpoll", 1),
    ("files", "list_revisions", 1),
    ("files", "move", 2),
    ("files", "restore", 1),
    ("files", "upload", 1),
    ("files", "upload_session/append", 2),
    ("files", "upload_session/finish", 1),
    ("files", "upload_session/finish_batch", 2),
    ("files", "upload_session/start", 1),
    ("users", "get_current_account", 1),
    ("users", "get_space_usage", 1),
]
# Types outside of the routes: what stands in a header, and the errors that every route may answer.
FURTHER_TYPES = [
    ("auth", "AuthError"),
    ("auth", "RateLimitError"),
    ("common", "PathRoot"),
    ("common", "PathRootError"),
]


def without_none(**fields):
    return {name: value for name, value in fields.items() if value is not None}


class Types:
    """Collects the named types that what it is shown refers to."""

    def __init__(self):
        self.named = {}

    def describe(self, it):
        """A type in JSON: the name of a named one, else what it is made of."""
        if isinstance(it, stone.Alias):
            return self.describe(it.data_type)
        if isinstance(it, stone.Nullable):
            return {"is": "optional", "of": self.describe(it.data_type)}
        if isinstance(it, stone.List):
            bounds = without_none(min=it.min_items, max=it.max_items)
            return {"is": "list", "of": self.describe(it.data_type), **bounds}
        if isinstance(it, stone.String):
            return {"is": "string", **without_none(pattern=it.pattern, min=it.min_length, max=it.max_length)}
        if isinstance(it, stone.Timestamp):
            return {"is": "timestamp", "format": it.format}
        if isinstance(it, (stone.Int32, stone.Int64, stone.UInt32, stone.UInt64)):
            low = it.minimum if it.min_value is None else it.min_value
            high = it.maximum if it.max_value is None else it.max_value
            return {"is": "integer", "min": low, "max": high}
        if isinstance(it, stone.Float64):
            return {"is": "number"}
        if isinstance(it, stone.Boolean):
            return {"is": "boolean"}
        if isinstance(it, stone.Void):
            return {"is": "void"}
        return self.refer(it)

    def refer(self, it):
        name = f"{it.namespace.name}.{it.name}"
        if name not in self.named:
            self.named[name] = None  # it may refer to itself
            self.named[name] = self.describe_union(it) if isinstance(it, stone.Union) else self.describe_struct(it)
        return name

    def describe_union(self, it):
        # The tag for all that isn't known yet is never sent.
        tags = {each.name: self.describe(each.data_type) for each in it.all_fields if not each.catch_all}
        return {"is": "union", "tags": tags}

    def describe_struct(self, it):
        if it.has_enumerated_subtypes():
            tags = {each.name: self.describe(each.data_type) for each in it.get_enumerated_subtypes()}
            return {"is": "subtypes", "tags": tags}
        fields = {}
        for each in it.all_fields:
            fields[each.name] = {"type": self.describe(each.data_type)}
            if each.has_default:
                default = each.default
                fields[each.name]["default"] = default.tag_name if isinstance(default, stone.TagRef) else default
        return {"is": "struct", "fields": fields}


def main(folder, revision):
    specs = [(str(path), path.read_text()) for path in sorted(pathlib.Path(folder).glob("*.stone"))]
    namespaces = specs_to_ir(specs).namespaces
    types = Types()
    routes = {}
    for namespace, name, version in ROUTES:
        route = namespaces[namespace].routes_by_name[name].at_version[version]
        routes[f"{namespace}/{name}" + (f"_v{version}" if version > 1 else "")] = without_none(
            style=route.attrs["style"],
            host=route.attrs["host"],
            auth=route.attrs["auth"],
            scope=route.attrs.get("scope"),
            arg=types.describe(route.arg_data_type),
            result=types.describe(route.result_data_type),
            error=types.describe(route.error_data_type),
        )
    for namespace, name in FURTHER_TYPES:
        types.refer(namespaces[namespace].data_type_by_name[name])

    # A line for each route and type.
    parts = [("routes", routes), ("types", dict(sorted(types.named.items())))]
    lines = ["{", f'"source": "https://github.com/dropbox/dropbox-api-spec at {revision}",']
    for title, items in parts:
        lines.append(f'"{title}": {{')
        lines.append(",\n".join(f"{json.dumps(name)}: {json.dumps(item)}" for name, item in items.items()))
        lines.append("}," if title == "routes" else "}")
    lines.append("}")
    pathlib.Path(__file__).with_name("dropbox_api.json").write_text("\n".join(lines) + "\n")


main(*sys.argv[1:])
