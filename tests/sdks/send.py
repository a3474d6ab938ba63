"""Sends every call of calls.json, and more tracks than fit in a batch, by one SDK for Python. An event's id is the
SDK's name, the call and a number."""

import json
import os
import pathlib
import sys
from datetime import datetime

import rudderstack.analytics.client
import segment.analytics.client

sdk, host = sys.argv[1:]
failed = []
options = {"host": host, "on_error": lambda error, _: failed.append(error), "max_retries": 5}
client = {
    "segment-python": lambda: segment.analytics.client.Client("key", gzip=False, **options),
    "segment-python-gzip": lambda: segment.analytics.client.Client("key", gzip=True, **options),
    "rudder-python": lambda: rudderstack.analytics.client.Client("key", **options),
}[sdk]()

NAMES = {"userId": "user_id", "anonymousId": "anonymous_id", "groupId": "group_id", "previousId": "previous_id"}


def send(call, number):
    fields = {NAMES.get(name, name): value for name, value in call.items() if name not in ("call", "stored")}
    if "timestamp" in fields:
        fields["timestamp"] = datetime.fromisoformat(fields["timestamp"].replace("Z", "+00:00"))
    getattr(client, call["call"])(message_id=f"{sdk}-{call['call']}-{number}", **fields)


calls = json.loads(pathlib.Path(__file__).with_name("calls.json").read_text(encoding="utf-8"))
for call in calls:
    send(call, 0)
for number in range(1, int(os.environ["MANY"]) + 1):
    send(next(call for call in calls if call["call"] == "track"), number)
client.flush()
client.join()
if failed:
    sys.exit(f"{sdk}: {failed[0]}")
