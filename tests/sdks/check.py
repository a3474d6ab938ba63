"""Looks at what is stored of every event that an SDK sent: its fields, and that it came once."""

import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

sdk, host = sys.argv[1:]
calls = json.loads(pathlib.Path(__file__).with_name("calls.json").read_text(encoding="utf-8"))
until = time.monotonic() + 60


def shown(event):
    """What became of an event, once something did."""
    while True:
        try:
            with urllib.request.urlopen(f"{host}/events/{event}", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 404 or time.monotonic() > until:
                raise SystemExit(f"{event}: {error.code} {error.read().decode()}")
            time.sleep(0.05)


def check(call, number):
    name = f"{sdk}-{call['call']}-{number}"
    view = shown(name)
    event = view["event"]
    assert view["outcome"] == "routed" and view["via"] == "segment" and event["messageId"] == name, view
    assert "conflicts" not in view, view
    # RudderStack's SDK for Python has the traits of a person in the context alone.
    event.setdefault("traits", event.get("context", {}).get("traits"))
    for field, value in call["stored"].items():
        if field == "extra":
            assert value.items() <= event["extra"].items(), (name, event)
        else:
            assert event[field] == value, (name, field, event)
    assert ("anonymousId" in call) == ("anonymousId" in event) or "node" in sdk, (name, event)
    at = datetime.fromisoformat(event["timestamp"][:19]).replace(tzinfo=timezone.utc)
    said = call.get("timestamp")
    expected = datetime.fromisoformat(said[:19]).replace(tzinfo=timezone.utc) if said else datetime.now(timezone.utc)
    assert abs(at - expected) < timedelta(minutes=5), (name, event["timestamp"])


many = int(os.environ["MANY"])
for call in calls:
    check(call, 0)
    for number in range(1, many + 1) if call["call"] == "track" else ():
        check(call, number)
print(f"{sdk}: {len(calls) + many} events")
