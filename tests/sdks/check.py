"""Looks at what is stored of every event that an SDK sent, and that the destination got each once."""

import collections
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

sdk, host = sys.argv[1:3]
received = pathlib.Path(sys.argv[3])
calls = json.loads(pathlib.Path(__file__).with_name("calls.json").read_text(encoding="utf-8"))
until = time.monotonic() + 60


def shown(event):
    """What became of an event, once something did: until then it is not known, and then it is stored."""
    while True:
        try:
            with urllib.request.urlopen(f"{host}/events/{event}", timeout=10) as answer:
                view = json.load(answer)
            if view["outcome"] != "stored" or time.monotonic() > until:
                return view
        except urllib.error.HTTPError as error:
            if error.code != 404 or time.monotonic() > until:
                raise SystemExit(f"{event}: {error.code} {error.read().decode()}")
        time.sleep(0.05)


def name_of(call, number):
    return f"{sdk}-{call['call']}-{number}"


def check(call, number):
    name = name_of(call, number)
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


def delivered():
    """How often the destination of SDKs got each event."""
    lines = received.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = (json.loads(line) for line in lines if line.endswith("\n"))
    return collections.Counter(request["webhookId"] for request in whole if request["path"] == "/analytics-1/sdks")


many = int(os.environ["MANY"])
numbered = [(call, number) for call in calls for number in range(many + 1 if call["call"] == "track" else 1)]
for call, number in numbered:
    check(call, number)
names = [name_of(call, number) for call, number in numbered]
while any(name not in delivered() for name in names) and time.monotonic() < until:
    time.sleep(0.2)
counts = delivered()
assert all(counts[name] == 1 for name in names), {name: counts[name] for name in names if counts[name] != 1}
print(f"{sdk}: {len(names)} events")
