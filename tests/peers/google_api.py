"""What Google's own description of one of its APIs says about a request: the discovery document of the official client.

A request has to fit it: method and path, the parameters with their types, the fields of the body with theirs. A reply
is cut down to what `fields` asks for. The shape of errors and their reasons are those that Google documents ("Resolve
errors" in the guides of the Drive API, "HTTP status and error codes" of Cloud Storage) and that client programs report.
"""

import functools
import importlib.resources
import json
import re

from fake_service import Refused, Reply

def refused(code, reason, message, location=None, location_type="parameter", headers=None):
    """An error in Google's shape."""
    error = {"domain": "global", "reason": reason, "message": message}
    if location is not None:
        error |= {"locationType": location_type, "location": location}
    return Refused(code, headers, {"error": {"code": code, "message": message, "errors": [error]}})


class Method:
    """A method of the API."""

    def __init__(self, document, description, default_fields):
        self.id = description["id"]
        self.parameters = document["parameters"] | description.get("parameters", {})
        self.required = [name for name, each in self.parameters.items() if each.get("required")]
        self.request = description.get("request", {}).get("$ref")
        self.response = description.get("response", {}).get("$ref")
        self.scopes = set(description.get("scopes", ()))
        self.gives_media = description.get("supportsMediaDownload", False)
        # Without `fields` a reply has these only.
        self.default_fields = default_fields.get(self.id, default_fields.get(self.response, "*"))


class Api:
    """The description in this document, ready to check requests with.

    - `default_fields`: what a reply has that isn't asked for fields, by method or by what it is of; all where nothing is said.
    - `ignored`: parameters of uploads that the API takes no notice of.
    """

    def __init__(self, name, default_fields=None, ignored=()):
        self.default_fields = default_fields or {}
        self.ignored = set(ignored)
        documents = importlib.resources.files("googleapiclient.discovery_cache.documents")
        document = json.loads(documents.joinpath(name).read_text())
        self.schemas = document["schemas"]
        self.scopes = list(document["auth"]["oauth2"]["scopes"])
        self.routes = {}
        self._add_routes(document, document)
        for routes in self.routes.values():
            # What is spelt out goes before what stands for any id.
            routes.sort(key=lambda route: sum(segment.startswith("{") for segment in route[0]))

    def _add_routes(self, document, resource):
        for description in resource.get("methods", {}).values():
            method = Method(document, description, self.default_fields)
            paths = [("/" + document["servicePath"] + description["path"], False)]
            if description.get("useMediaDownloadService"):
                paths.append(("/download/" + document["servicePath"] + description["path"], False))
            if "mediaUpload" in description:
                # The guides have uploads in parts start there too, not at the address that stands beside it.
                paths.append((description["mediaUpload"]["protocols"]["simple"]["path"], True))
            for path, is_upload in paths:
                segments = path.split("/")
                routes = self.routes.setdefault((description["httpMethod"], len(segments)), [])
                routes.append((segments, method, is_upload))
        for below in resource.get("resources", {}).values():
            self._add_routes(document, below)

    def find(self, http_method, path):
        """The method, the variables of its path, and whether it is its upload address."""
        given = path.split("/")
        for segments, method, is_upload in self.routes.get((http_method, len(given)), ()):
            variables = {}
            for segment, value in zip(segments, given):
                if segment.startswith("{") and value:
                    variables[segment[1:-1]] = value
                elif segment != value:
                    break
            else:
                return method, variables, is_upload
        raise refused(404, "notFound", f"{http_method} {path} is no method of this API")

    def check_query(self, method, query, is_upload):
        """The parameters, each of its type."""
        values = {}
        for name, text in query:
            if is_upload and name in self.ignored:
                continue
            description = method.parameters.get(name)
            if description is None or description["location"] != "query":
                message = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
                raise refused(400, "badRequest", message, name)
            if name in values:
                raise refused(400, "invalidParameter", f"Parameter {name} stands there twice", name)
            values[name] = self._check_parameter(name, text, description)
        for name in method.required:
            if method.parameters[name]["location"] == "query" and not values.get(name):
                raise refused(400, "required", f"Required parameter: {name}", name)
        return values

    @staticmethod
    def _check_parameter(name, text, description):
        kind = description["type"]
        wrong = refused(400, "invalidParameter", f"Invalid value '{text}' for {kind} parameter {name}", name)
        if kind == "boolean":
            # Google's own client for Python begins them with a capital.
            if text.lower() not in ("true", "false"):
                raise wrong
            return text.lower() == "true"
        if kind == "integer":
            if not re.fullmatch(r"-?[0-9]{1,10}", text):
                raise wrong
            if not int(description.get("minimum", text)) <= int(text) <= int(description.get("maximum", text)):
                raise wrong
            return int(text)
        if text not in description.get("enum", [text]):
            raise wrong
        return text

    def read_body(self, method, content_type, body):
        """The body of a request, or its first part, as JSON."""
        # Google's own client for Go writes null where it has nothing to say.
        if body.strip() in (b"", b"null"):
            return {}
        if method.request is None:
            raise refused(400, "badRequest", f"{method.id} takes no body")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            message = f"Content-Type '{content_type}' isn't application/json"
            raise refused(400, "badRequest", message, "Content-Type", "header")
        try:
            written = json.loads(body)
        except ValueError:
            raise refused(400, "parseError", "Parse Error") from None
        self.check_body({"$ref": method.request}, written)
        return written

    def check_body(self, schema, value, place=""):
        """Whether the body of a request, or a part of it, may be written so."""
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"]]
        kind = schema.get("type", "any")
        if not self._fits(kind, schema.get("format"), value):
            message = f"Invalid value at '{place}' ({schema.get('format', kind)}): {value!r}"
            raise refused(400, "badRequest", message, place)
        if kind == "array":
            for each in value:
                self.check_body(schema["items"], each, place)
        if kind == "object":
            for name, each in value.items():
                self._check_field(schema, name, each, f"{place}.{name}".lstrip("."))

    def _check_field(self, schema, name, value, place):
        if "properties" not in schema:
            # Keys are free, and null takes one away.
            if value is not None:
                self.check_body(schema["additionalProperties"], value, place)
            return
        field = schema["properties"].get(name)
        if field is None:
            message = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
            raise refused(400, "badRequest", message, place)
        if field.get("readOnly") or re.match(r"(Deprecated: )?Output only", field.get("description", "")):
            message = f"The resource body includes fields which are not directly writable: {place}."
            raise refused(403, "fieldNotWritable", message, place)
        self.check_body(field, value, place)

    @staticmethod
    def _fits(kind, form, value):
        if form in ("int64", "uint64"):
            # Google's own client for Python writes some as numbers.
            return isinstance(value, (str, int)) and re.fullmatch(r"-?[0-9]{1,20}", str(value))
        if form in ("date-time", "google-datetime"):
            return isinstance(value, str) and TIME.fullmatch(value)
        types = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "array": list, "object": dict}
        if kind in ("integer", "number") and isinstance(value, bool):
            return False
        return kind == "any" or isinstance(value, types[kind])

    @functools.lru_cache(maxsize=1000)
    def mask(self, schema_name, fields):
        """What `fields` asks for: the names, each with what is asked for below it, or None for all of it."""
        tokens = re.findall(r"[A-Za-z0-9_$.-]+|\*|.", fields)
        return self._parse_mask({"$ref": schema_name}, tokens, top=True)

    def _parse_mask(self, schema, tokens, top=False):
        mask = {}
        while tokens:
            self._parse_selection(schema, tokens, mask)
            separator = tokens.pop(0) if tokens else None
            if separator == ")" and not top or separator is None and top:
                return mask
            if separator != ",":
                raise self._bad_mask(separator)
        if not top:
            raise self._bad_mask("(")
        return mask

    def _parse_selection(self, schema, tokens, mask):
        name = tokens.pop(0)
        below = self._schema_below(schema, name)
        follower = tokens[0] if tokens else None
        if follower not in ("/", "("):
            mask[name] = None
            return
        tokens.pop(0)
        inner = mask.setdefault(name, {})
        if follower == "(":
            found = self._parse_mask(below, tokens)
        else:
            found = {}
            if not tokens:
                raise self._bad_mask("/")
            self._parse_selection(below, tokens, found)
        if inner is not None:
            inner.update(found)

    def _schema_below(self, schema, name):
        while "$ref" in schema or "items" in schema:
            schema = self.schemas[schema["$ref"]] if "$ref" in schema else schema["items"]
        if name == "*":
            return schema
        below = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
        if below is None:
            raise self._bad_mask(name)
        return below

    @staticmethod
    def _bad_mask(selection):
        return refused(400, "invalidParameter", f"Invalid field selection {selection}", "fields")


TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def below(mask, name):
    """What a mask asks for below a name it has; None for all."""
    if mask is None:
        return None
    return mask[name] if name in mask else mask["*"]


def asks(mask, name):
    return mask is None or name in mask or "*" in mask


def select(mask, value):
    """What a mask asks for of a value."""
    if mask is None:
        return value
    if isinstance(value, list):
        return [select(mask, each) for each in value]
    if isinstance(value, dict):
        return {name: select(below(mask, name), each) for name, each in value.items() if asks(mask, name)}
    return value


def media(request, data, mime, more=None):
    """A download, or the range of it that is asked for."""
    headers = {"Content-Type": mime, "Accept-Ranges": "bytes"} | (more or {})
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if wanted is None or wanted[1] == wanted[2] == "":
        return Reply(200, headers, data)
    if wanted[1] == "":
        first, after = max(0, len(data) - int(wanted[2])), len(data)
    else:
        first = int(wanted[1])
        after = min(len(data), int(wanted[2]) + 1) if wanted[2] else len(data)
    if first >= after:
        reason, message = "requestedRangeNotSatisfiable", "Request range not satisfiable"
        raise refused(416, reason, message, "Range", "header", headers={"Content-Range": f"bytes */{len(data)}"})
    return Reply(206, headers | {"Content-Range": f"bytes {first}-{after - 1}/{len(data)}"}, data[first:after])
