"""Signs requests as botocore does: reads them as JSON from standard input, prints the header of each."""
import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

headers = []
for case in json.load(sys.stdin):
    time = datetime.datetime.fromtimestamp(case["time"], datetime.timezone.utc)

    class Fixed(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return time.replace(tzinfo=None)

        @classmethod
        def now(cls, tz=None):
            return time

    botocore.auth.datetime = type("module", (), {"datetime": Fixed, "timezone": datetime.timezone})
    if hasattr(botocore.auth, "get_current_datetime"):
        botocore.auth.get_current_datetime = lambda *a, **k: time.replace(tzinfo=None)
    signer = botocore.auth.S3SigV4Auth if case["service"] == "s3" else botocore.auth.SigV4Auth
    request = AWSRequest(case["method"], case["url"], headers=dict(case["headers"]), data=case["body"].encode())
    request.context["payload_signing_enabled"] = True
    request.context["client_config"] = type("C", (), {"s3": {"payload_signing_enabled": True}})()
    signer(Credentials(case["key"], case["secret"], case.get("token")), case["service"], case["region"]).add_auth(request)
    headers.append(request.headers["Authorization"])
json.dump(headers, sys.stdout)
