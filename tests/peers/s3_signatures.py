"""s3_signatures.py: signs requests as the official clients do, to compare with.

Reads a line of JSON for each: {"scheme": aws, aws2, oss4, oss1 or cos, "key", "secret", "region", "time", "method", "bucket", "object",
"query": [[name, value]], "headers": {name: value}}. The headers have names in lower case, and no signature. Prints what stands
in Authorization.
"""

import datetime
import json
import sys
import types
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import qcloud_cos.cos_auth
from alibabacloud_oss_v2.credentials import Credentials
from alibabacloud_oss_v2.signer import SignerV1, SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext

NOW = 0


def query_of(it):
    return "&".join(f"{urllib.parse.quote(name, safe='')}={urllib.parse.quote(value, safe='')}" for name, value in it["query"])


def path_of(it):
    return urllib.parse.quote(f"/{it['bucket']}/{it['object']}", safe="/~")


def oss(it, signer):
    url = f"https://host{path_of(it)}?{query_of(it)}"
    request = HttpRequest(it["method"], url, headers=dict(it["headers"]))
    time = datetime.datetime.fromtimestamp(it["time"], datetime.timezone.utc)
    context = SigningContext(
        product="oss",
        region=it["region"],
        bucket=it["bucket"],
        key=it["object"],
        request=request,
        credentials=Credentials(it["key"], it["secret"]),
        signing_time=time,
    )
    signer.sign(context)
    return request.headers["Authorization"]


def cos(it):
    keys = types.SimpleNamespace(_secret_id=it["key"], _secret_key=it["secret"], _anonymous=False, _sign_params=True, _sign_host=True)
    auth = qcloud_cos.cos_auth.CosS3Auth(keys, it["object"], dict(it["query"]))
    request = types.SimpleNamespace(method=it["method"], headers=dict(it["headers"]), url="")
    return auth(request).headers["Authorization"]


def aws(it):
    credentials = botocore.credentials.Credentials(it["key"], it["secret"])
    signer = botocore.auth.S3SigV4Auth(credentials, "s3", it["region"])
    headers = dict(it["headers"])
    url = f"https://{headers['host']}{path_of(it)}?{query_of(it)}"
    request = botocore.awsrequest.AWSRequest(it["method"], url, headers=headers)
    request.context["payload_signing_enabled"] = False
    request.context["timestamp"] = datetime.datetime.fromtimestamp(it["time"], datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    return request.headers["Authorization"]


def aws2(it):
    signer = botocore.auth.HmacV1Auth(botocore.credentials.Credentials(it["key"], it["secret"]))
    signer._get_date = lambda: it["headers"]["date"]
    query = "&".join(pair.removesuffix("=") for pair in query_of(it).split("&"))
    request = botocore.awsrequest.AWSRequest(it["method"], f"https://host{path_of(it)}?{query}", headers=dict(it["headers"]))
    text = signer.canonical_string(it["method"], urllib.parse.urlsplit(request.url), request.headers)
    return f"AWS {it['key']}:{signer.sign_string(text)}"


SCHEMES = {"aws": aws, "aws2": aws2, "cos": cos, "oss1": lambda it: oss(it, SignerV1()), "oss4": lambda it: oss(it, SignerV4())}

# Its operations have no rules for objects that end; the service and its older client, oss2, have.
SignerV1._subresource_key_set |= {"lifecycle"}
qcloud_cos.cos_auth.time = types.SimpleNamespace(time=lambda: NOW)
for line in sys.stdin:
    asked = json.loads(line)
    NOW = asked["time"]
    print(SCHEMES[asked["scheme"]](asked))
