"""Sends events through the deployed stack AWS_SAM_STACK_NAME: from the API to the queue, through the flow, to
destinations at a sink, and what the tables say of it. Usage: events.py API SINK SEGMENT"""

import contextlib
import gzip
import json
import os
import pathlib
import random
import signal
import sys
import time
import urllib.error
import urllib.request
from decimal import Decimal

import boto3

STACK = os.environ["AWS_SAM_STACK_NAME"]
RUN = f"e{time.time_ns():x}"
PATIENCE = 120


def called(method, address, body=None, headers=None):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = headers or {"content-type": "application/json"}
    request = urllib.request.Request(address, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text else None


def until(what, look):
    """The first answer of `look` that is true."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


def equal(got, wanted):
    assert got == wanted, f"\n     got {got}\n  wanted {wanted}"


class Stack:
    def __init__(self, api, sink, segment):
        self.api, self.sink, self.segment = api, sink, segment
        cloud = boto3.client("cloudformation")
        stack = cloud.describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        tables = boto3.resource("dynamodb")
        self.responses = tables.Table(self.outputs["ResponsesTableName"])
        self.destinations = tables.Table(self.outputs["DestinationsTableName"])
        self.objects = boto3.resource("s3").Bucket(self.outputs["DataBucketName"])
        self.queues = boto3.client("sqs")
        self.functions = boto3.client("lambda")

    def destination(self, name, path, **more):
        """Makes a destination that is an endpoint of the sink; its name."""
        name = f"{name}-{RUN}"
        body = {"destinationName": name, "url": self.sink + path, "type": "analytics", "headers": ""} | more
        status, answer = called("POST", f"{self.api}/destinations", body)
        equal((status, answer["Destination created status"]), (200, "success"))
        return name

    def tracked(self, event, **more):
        """The id of an event that is accepted."""
        body = {"userId": f"ann-{RUN}", "event": event, "timestamp": "2026-11-21T07:59:58Z", "metadata": {}} | more
        status, answer = called("POST", f"{self.api}/track", body)
        equal((status, list(answer)), (200, ["messageId"]))
        return answer["messageId"], body

    def response(self, message_id):
        """The row of an event in the seed's table."""
        found = self.responses.get_item(
            Key={"partition": f"default/{message_id}", "sort": "response"}, ConsistentRead=True
        )
        return found.get("Item")

    def ended(self, message_id, wanted):
        """The row of an event, once its destinations are as wanted."""

        def look():
            found = self.response(message_id)
            return found if found and found["destinations"] == wanted else None

        try:
            return until(f"destinations {wanted} of event {message_id}", look)
        except AssertionError as error:
            raise AssertionError(f"{error}; they are {self.response(message_id)}") from None

    def delivery(self, message_id, destination):
        """What was tried of an event."""
        status, answer = called("GET", f"{self.api}/events/{message_id}")
        equal(status, 200)
        return next(one for one in answer["deliveries"] if one["destination"] == destination)

    def behave(self, endpoint, **how):
        method = "PUT" if how else "DELETE"
        status, _ = called(method, f"{self.sink}/_sink/{endpoint}", how or None)
        assert status in (200, 204), status

    def received(self, message_id):
        """The requests that the sink got for an event."""
        _, answer = called("GET", f"{self.sink}/_sink/received?limit=100000")
        return [one for one in answer["received"] if one["webhookId"] == message_id]

    def waiting(self, output):
        """How many messages a queue holds."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.queues.get_queue_attributes(QueueUrl=self.outputs[output], AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def mapping(self, name):
        """The event source mapping of a function."""
        found = self.functions.list_event_source_mappings(FunctionName=f"{STACK}-{name}")
        (mapping,) = found["EventSourceMappings"]
        return mapping


def every_destination_gets_the_event(stack):
    named = {"filter": f"userId = 'ann-{RUN}' and event = 'every'"}
    headers = {"x-secret": f"secret-{RUN}"}
    analytics = stack.destination("analytics", "/analytics-1", headers=headers, **named)
    comms = stack.destination("comms", "/comms", type="CDP", **named)
    stack.destination("others", "/analytics-2", events=["another"])

    item = stack.destinations.get_item(Key={"partition": "default", "sort": analytics})["Item"]
    shown = {name: item[name] for name in ("destinationName", "headers", "Type", "Url")}
    url = f"{stack.sink}/analytics-1"
    equal(shown, {"destinationName": analytics, "headers": headers, "Type": "analytics", "Url": url})

    message_id, sent = stack.tracked("every", metadata={"preferredChannel": "email", "nested": {"a": [1, None, "ä"]}})
    row = stack.ended(message_id, {analytics: True, comms: True})
    equal((row["responseId"], row["responseBody"]), (message_id, sent))

    requests = sorted(stack.received(message_id), key=lambda one: one["path"])
    equal([one["path"] for one in requests], ["/analytics-1", "/comms/email"])
    equal([json.loads(one["body"]) for one in requests], [sent, sent])
    equal(requests[0]["headers"]["x-secret"], headers["x-secret"])
    delivery = stack.delivery(message_id, analytics)
    equal((delivery["status"], len(delivery["attempts"])), ("delivered", 1))


def what_fails_is_tried_again(stack):
    flaky = stack.destination("flaky", "/analytics-2", events=["flaky"], retryDelays=[1, 1, 1])
    stack.behave("analytics-2", status=503, times=2)
    message_id, _ = stack.tracked("flaky")
    stack.ended(message_id, {flaky: True})
    equal([one["status"] for one in stack.received(message_id)], [503, 503, 200])
    attempts = stack.delivery(message_id, flaky)["attempts"]
    equal([attempt["status"] for attempt in attempts], [503, 503, 200])


def what_failed_for_good_is_in_quarantine(stack):
    gone = stack.destination("gone", "/analytics-2", events=["gone"])
    stack.behave("analytics-2", status=422)
    message_id, sent = stack.tracked("gone")

    def failed():
        _, answer = called("GET", f"{stack.api}/deliveries?destination={gone}&status=failed")
        return [one for one in answer["deliveries"] if one["messageId"] == message_id]

    (delivery,) = until("a delivery that failed", failed)
    equal(delivery["reason"], "http_422")
    stack.behave("analytics-2")
    equal(stack.response(message_id)["destinations"], {gone: False})
    equal(len(stack.received(message_id)), 1)
    kept = stack.objects.objects.filter(Prefix="quarantine/default/track/delivery/")
    packed = [one.get()["Body"].read() for one in kept]
    entries = [json.loads(line) for one in packed for line in gzip.decompress(one).splitlines()]
    equal([entry["record"] for entry in entries if entry["record"]["event"] == "gone"], [sent])

    again = {"destination": gone, "error": "422"}
    status, counted = called("POST", f"{stack.api}/deliveries/replay", again | {"dryRun": True})
    equal((status, counted), (200, {"matched": 1, "replayed": 0, "more": False}))
    status, replayed = called("POST", f"{stack.api}/deliveries/replay", again)
    equal((status, replayed), (202, {"matched": 1, "replayed": 1, "more": False}))
    stack.ended(message_id, {gone: True})
    equal([one["status"] for one in stack.received(message_id)], [422, 200])


def segments_format_is_taken(stack):
    taken = stack.destination("segment", "/analytics-1", events=["Order Completed", "identify"])
    order = {"type": "track", "userId": f"ann-{RUN}", "event": "Order Completed", "properties": {"total": 1.50}}
    one, two = ({"messageId": f"{RUN}-{number}", "timestamp": "2026-11-21T08:00:00Z"} for number in (1, 2))
    bad = {"type": "track", "messageId": f"{RUN}-3"}
    batch = {"batch": [order | one, order | two, bad], "sentAt": "2026-11-21T08:00:01Z", "writeKey": "key"}
    # The second time nothing of it is new.
    for _ in range(2):
        equal(called("POST", f"{stack.api}/v1/batch", batch), (200, {"success": True}))
    packed = gzip.compress(json.dumps(order | {"messageId": f"{RUN}-4"}).encode())
    named = {"content-encoding": "gzip", "content-type": "application/octet-stream"}
    equal(called("POST", f"{stack.api}/v1/track", packed, named), (200, {"success": True}))
    for number in (1, 2, 4):
        row = stack.ended(f"{RUN}-{number}", {taken: True})
        equal(row["responseBody"]["properties"], {"total": Decimal("1.5")})
    until("an empty queue", lambda: stack.waiting("EventsQueueUrl") == 0)
    equal([len(stack.received(f"{RUN}-{number}")) for number in (1, 2, 3, 4)], [1, 1, 0, 1])
    status, shown = called("GET", f"{stack.api}/events/{RUN}-3")
    equal((status, shown["outcome"]), (200, "invalid"))


def what_sdks_pack_and_call_json_is_taken(stack):
    taken = stack.destination("packed", "/analytics-1", events=[f"packed {RUN}"])
    event = {"type": "track", "userId": f"ann-{RUN}", "event": f"packed {RUN}", "messageId": f"{RUN}-packed"}
    body = gzip.compress(json.dumps({"batch": [event | {"properties": {"name": "ä"}}]}).encode())
    named = {"content-encoding": "gzip", "content-type": "application/json"}
    equal(called("POST", f"{stack.segment}/v1/batch", body, named), (200, {"success": True}))
    named = {"content-type": "application/json"}
    event = json.dumps(event | {"messageId": f"{RUN}-not-packed"}).encode()
    equal(called("POST", f"{stack.segment}/v1/track", event, named), (200, {"success": True}))
    for one in ("packed", "not-packed"):
        stack.ended(f"{RUN}-{one}", {taken: True})
    status, refused = called("POST", f"{stack.segment}/v1/batch", b"{", named)
    equal((status, refused["type"]), (400, "urn:crmflow:problem:bad-body"))
    equal(called("POST", f"{stack.segment}/v1/import", b"{}", named)[0], 404)


def a_destination_is_changed_tested_and_removed(stack):
    name = stack.destination("changed", "/analytics-1", events=["changed"])
    body = {"url": f"{stack.sink}/analytics-2", "type": "analytics", "events": ["changed"], "secret": True}
    status, answer = called("PUT", f"{stack.api}/destinations/{name}", body)
    equal((status, answer["secrets"], answer["secret"][:6]), (200, 1, "whsec_"))
    status, answer = called("POST", f"{stack.api}/destinations/{name}/test")
    equal((status, answer["delivered"], answer["status"]), (200, True, 200))
    message_id, _ = stack.tracked("changed")
    stack.ended(message_id, {name: True})
    (request,) = stack.received(message_id)
    equal((request["path"], request["headers"]["webhook-signature"][:3]), ("/analytics-2", "v1,"))
    equal(called("DELETE", f"{stack.api}/destinations/{name}")[0], 204)
    equal(called("GET", f"{stack.api}/destinations/{name}")[0], 404)
    equal(called("GET", f"{stack.api}/events/{'m' * 3000}")[0], 404)


def a_destination_that_refuses_is_paused_and_goes_on(stack):
    named = {"filter": f"metadata.destination = 'refuses-{RUN}'", "events": ["crmflow destination paused"]}
    told = stack.destination("told", "/analytics-1", **named)
    refuses = stack.destination("refuses", "/analytics-2", events=["refused"])
    stack.behave("analytics-2", status=401)
    # One that is refused would fail alone: these are all that it is sent.
    message_ids = [stack.tracked("refused")[0] for _ in range(12)]

    def paused():
        _, answer = called("GET", f"{stack.api}/destinations/{refuses}")
        return answer if answer["state"] == "paused" else None

    equal(until("a destination that is paused", paused)["reason"], "http_401")
    delivered = f"{stack.api}/deliveries?destination={told}&status=delivered"
    until("somebody who is told", lambda: called("GET", delivered)[1]["deliveries"])
    stack.behave("analytics-2")
    body = {"url": f"{stack.sink}/analytics-2", "type": "analytics", "events": ["refused"], "state": "active"}
    equal(called("PUT", f"{stack.api}/destinations/{refuses}", body)[0], 200)
    for message_id in message_ids:
        stack.ended(message_id, {refuses: True})
        equal(stack.received(message_id)[-1]["status"], 200)


def every_users_events_arrive_in_order_through_failures(stack):
    ordered = stack.destination("ordered", "/analytics-2", events=[f"ordered {RUN}"], ordering="user", retryDelays=[1] * 16)
    users = [f"user-{number}-{RUN}" for number in range(20)]
    sent = [(user, f"{user}-{number:02}") for number in range(20) for user in users]
    event = {"event": f"ordered {RUN}", "timestamp": "2026-11-21T08:00:00Z"}
    called("DELETE", f"{stack.sink}/_sink/received")
    stack.behave("analytics-2", status=503, share=0.05)
    # A request with the next event of each user, and the one behind it: the queue may give them out in any order.
    for first in range(0, len(sent), len(users)):
        body = [event | {"userId": user, "messageId": one} for user, one in sent[first : first + len(users)]]
        status, answer = called("POST", f"{stack.api}/events", body)
        equal((status, answer["messageIds"]), (202, [one["messageId"] for one in body]))
    for _, one in sent:
        stack.ended(one, {ordered: True})
    stack.behave("analytics-2")
    _, answer = called("GET", f"{stack.sink}/_sink/received?endpoint=analytics-2&limit=100000")
    taken = [one["webhookId"] for one in answer["received"] if one["status"] == 200]
    failed = [one["webhookId"] for one in answer["received"] if one["status"] == 503]
    assert len(failed) >= 15, failed
    equal(sorted(taken), sorted(one for _, one in sent))
    for user in users:
        equal([one for one in taken if one.startswith(user)], [one for whose, one in sent if whose == user])


def an_address_that_is_not_allowed_is_not_called(stack):
    inside = stack.destination("inside", "/analytics-1", events=[f"inside {RUN}"], retryDelays=[1])
    function = f"{STACK}-DeliverEvents"
    before = stack.functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]

    def allow(addresses):
        variables = before | {"ALLOWED_DESTINATIONS": addresses}
        stack.functions.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
        stack.functions.get_waiter("function_updated_v2").wait(FunctionName=function)

    allow("")
    message_id, _ = stack.tracked(f"inside {RUN}")
    failed = f"{stack.api}/deliveries?destination={inside}&status=failed"
    (delivery,) = until("a delivery that failed", lambda: called("GET", failed)[1]["deliveries"])
    equal((delivery["messageId"], delivery["reason"]), (message_id, "blocked"))
    equal([attempt["error"] for attempt in delivery["attempts"]], ["blocked", "blocked"])
    equal(stack.received(message_id), [])
    allow(before["ALLOWED_DESTINATIONS"])
    status, _ = called("POST", f"{stack.api}/deliveries/replay", {"destination": inside, "error": "blocked"})
    equal(status, 202)
    stack.ended(message_id, {inside: True})


def functions():
    """The processes of functions that this emulator has."""
    where = f"AWS_ENDPOINT_URL={os.environ['AWS_ENDPOINT_URL']}".encode()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program = (folder / "cmdline").read_bytes().split(b"\0")[0]
            if program.endswith(b"/bootstrap") and where in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def functions_that_are_killed_lose_nothing(stack):
    named = {"events": [f"killed {RUN}"], "retryDelays": [1] * 16}
    one = stack.destination("one", "/analytics-1/killed", **named)
    other = stack.destination("other", "/comms/killed", ordering="user", **named)
    mappings = [stack.mapping(name) for name in ("ConsumeEvents", "DeliverEvents")]
    queues = [mapping["EventSourceArn"].rpartition(":")[2] for mapping in mappings]
    queues = [stack.queues.get_queue_url(QueueName=name)["QueueUrl"] for name in queues]
    names = {"AttributeNames": ["VisibilityTimeout"]}
    hidden = [stack.queues.get_queue_attributes(QueueUrl=queue, **names)["Attributes"] for queue in queues]
    for queue in queues:
        # So that the next try is soon, and not in six or twelve minutes.
        stack.queues.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "15"})
    ids, kills = [], 0
    event = {"event": f"killed {RUN}", "timestamp": "2026-11-21T08:00:00Z"}
    for number in range(100):
        users = {f"{RUN}-killed-{user}-{number}": f"user-{user}-{RUN}" for user in range(5)}
        body = [event | {"messageId": message_id, "userId": user} for message_id, user in users.items()]
        if called("POST", f"{stack.api}/events", body)[0] == 202:
            ids += users
        for process in random.sample(found := list(functions()), min(2, len(found))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                kills += 1
        time.sleep(random.uniform(0, 0.2))
    assert kills >= 100 and len(ids) >= 250, (kills, ids)
    for message_id in ids:
        stack.ended(message_id, {one: True, other: True})
    _, answer = called("GET", f"{stack.sink}/_sink/received?limit=100000")
    for path in ("/analytics-1/killed", "/comms/killed"):
        taken = {request["webhookId"] for request in answer["received"] if request["path"] == path}
        assert taken >= set(ids), set(ids) - taken
    for queue, attributes in zip(queues, hidden):
        stack.queues.set_queue_attributes(QueueUrl=queue, Attributes=attributes)


def a_paused_consumer_stops_delivery_and_not_intake(stack):
    later = stack.destination("later", "/analytics-1", events=["later"])
    mapping = stack.mapping("ConsumeEvents")["UUID"]
    stack.functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    message_id, _ = stack.tracked("later")
    until("a message that waits", lambda: stack.waiting("EventsQueueUrl") == 1)
    equal(stack.response(message_id), None)
    stack.functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    stack.ended(message_id, {later: True})
    until("an empty queue", lambda: stack.waiting("EventsQueueUrl") == 0)


def what_cannot_be_read_ends_in_the_dead_letter_queue(stack):
    beside = stack.destination("beside", "/analytics-1", events=["beside"])
    queue = stack.outputs["EventsQueueUrl"]
    hidden = stack.queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    before = stack.waiting("EventsDeadLettersUrl")
    # So that the next try is now, and not in six minutes.
    stack.queues.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    stack.queues.send_message(QueueUrl=queue, MessageBody='{"no": "events"}')
    message_id, _ = stack.tracked("beside")
    stack.ended(message_id, {beside: True})
    until("a dead letter", lambda: stack.waiting("EventsDeadLettersUrl") == before + 1)
    equal(stack.waiting("EventsQueueUrl"), 0)
    equal(len(stack.received(message_id)), 1)
    stack.queues.set_queue_attributes(QueueUrl=queue, Attributes=hidden)


CASES = [
    every_destination_gets_the_event,
    what_fails_is_tried_again,
    what_failed_for_good_is_in_quarantine,
    segments_format_is_taken,
    what_sdks_pack_and_call_json_is_taken,
    a_destination_is_changed_tested_and_removed,
    a_destination_that_refuses_is_paused_and_goes_on,
    every_users_events_arrive_in_order_through_failures,
    an_address_that_is_not_allowed_is_not_called,
    functions_that_are_killed_lose_nothing,
    a_paused_consumer_stops_delivery_and_not_intake,
    what_cannot_be_read_ends_in_the_dead_letter_queue,
]


def main(api, sink, segment):
    stack = Stack(api, sink, segment)
    for case in CASES:
        try:
            case(stack)
        except AssertionError as error:
            sys.exit(f"{case.__name__}: {error}")
    print(f"{len(CASES)} cases of events went through the queue to their destinations")


main(sys.argv[1].removesuffix("/records"), *sys.argv[2:])
