"""azure_put.py ACCOUNT_URL KEY CONTAINER BLOBS: makes blobs by Microsoft's SDK.

BLOBS is a list in JSON of a name, the content in Base64, and a key of the metadata that is to be true, or nothing.
"""

import base64
import json
import sys

from azure.storage.blob import ContainerClient

url, key, container, blobs = sys.argv[1:]
account = url.rsplit("/", 1)[1]
client = ContainerClient(url, container, credential={"account_name": account, "account_key": key})
for name, content, true in json.loads(blobs):
    client.upload_blob(name, base64.b64decode(content), metadata={true: "true"} if true else None)
