"""moto_server.py PORT USER PASSWORD: moto's S3 server on the loopback address, which checks signatures against this one key."""

import json
import sys
import threading

from moto import server, settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.s3.responses import S3Response

port, user, password = sys.argv[1:]

# Moto makes up keys, so ours is put in by hand.
iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
iam.create_user("us-east-1", "peer")
iam.put_user_policy(
    "peer",
    "all",
    json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}),
)
key = iam.create_access_key("peer")
key.access_key_id, key.secret_access_key = user, password

# Moto looks whether the condition holds and then stores; the service does both at once.
lock, put_object = threading.Lock(), S3Response.put_object


def put_at_once(self):
    with lock:
        return put_object(self)


S3Response.put_object = put_at_once

settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
server.main(["-H", "127.0.0.1", "-p", port])
