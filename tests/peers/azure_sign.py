"""Microsoft's own SDK signs, to compare with and to sign in by.

azure_sign.py sas ACCOUNT KEY CONTAINER PERMISSIONS: prints a shared access signature for the container.
azure_sign.py requests ACCOUNT KEY: reads requests, one a line in JSON, and prints the Authorization of each.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy


def sas(account, key, container, permissions):
    ends = datetime.now(timezone.utc) + timedelta(hours=9)
    allowed = ContainerSasPermissions.from_string(permissions)
    print(generate_container_sas(account, container, account_key=key, permission=allowed, expiry=ends))


def requests(account, key):
    policy = SharedKeyCredentialPolicy(account, key)
    for line in sys.stdin:
        asked = json.loads(line)
        request = HttpRequest(asked["method"], asked["url"], headers=asked["headers"])
        policy.on_request(PipelineRequest(request, SimpleNamespace(transport=None)))
        print(request.headers["Authorization"])


{"sas": sas, "requests": requests}[sys.argv[1]](*sys.argv[2:])
