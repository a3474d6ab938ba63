"""Sends the batches of tests/records/cases to the stack AWS_SAM_STACK_NAME, and compares the states that their
executions entered, as Step Functions tells them, and the output of the machine; of events also what is in
quarantine. Usage: paths.py API"""

import json
import os
import pathlib
import sys
import time
import urllib.request

import boto3

CASES = pathlib.Path(__file__).parent.parent / "records" / "cases"
STACK = os.environ["AWS_SAM_STACK_NAME"]
RUN = f"p{time.time_ns():x}"
RECEIVED_AT = "2026-11-21T08:00:00Z"


def sent(api, batch):
    """The answer to a batch that is POSTed."""
    if "text" in batch:
        body = batch["text"]
    else:
        body = json.dumps(batch["records"] * batch.get("times", 1))
    headers = {"content-type": batch.get("type", "application/json")}
    request = urllib.request.Request(f"{api}/records{batch.get('query', '')}", body.encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202, answer.status
        return json.load(answer)


def consumed(machines, events):
    """The execution of one request's events, as ConsumeEvents would start it, and the request's id."""
    request = f"01KAKZ{time.time_ns():020}"
    lines = []
    for index, event in enumerate(events):
        given = event.get("messageId") if isinstance(event, dict) else None
        arrival = {"id": request, "index": index, "messageId": given or f"{request}-{index}", "via": "events"}
        arrival["receivedAt"] = RECEIVED_AT
        lines.append(json.dumps({"index": index, "arrival": arrival, "record": event}) + "\n")
    batch = {"batchId": request, "tenant": "default", "provider": "events", "kind": "event", "receivedAt": RECEIVED_AT}
    given = json.dumps({"batch": batch, "records": {"count": len(lines), "lines": "".join(lines)}})
    machine = outputs()["RecordsStateMachineArn"]
    return machines.start_execution(stateMachineArn=machine, name=request, input=given)["executionArn"], request


def outputs():
    stack = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def quarantined(api, request):
    """By index, what is in quarantine of a request: the kind of trouble, and each fault."""
    with urllib.request.urlopen(f"{api}/quarantine?batch={request}&all=true", timeout=60) as answer:
        entries = json.load(answer)["entries"]
    fault = lambda fault: [fault["pointer"], fault["rule"]]
    return {str(one["index"]): (one["errorType"], sorted(map(fault, one["faults"]))) for one in entries}


def ended(machines, arn):
    for _ in range(600):
        execution = machines.describe_execution(executionArn=arn)
        if execution["status"] != "RUNNING":
            return execution
        time.sleep(0.05)
    raise AssertionError(f"{arn} does not end")


def path(machines, arn):
    pages = machines.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = (event.get("stateEnteredEventDetails") for page in pages for event in page["events"])
    return [event["name"] for event in events if event]


def check(machines, api, batch):
    request = None
    if "events" in batch:
        arn, request = consumed(machines, batch["events"])
    else:
        arn = sent(api, batch)["executionArn"]
    execution = ended(machines, arn)
    output = json.loads(execution.get("output", "{}"))
    outcomes = {name: count for name, count in output.get("outcomes", {}).items() if count}
    got = execution["status"], path(machines, arn), outcomes
    wanted = batch.get("status", "SUCCEEDED"), batch["path"], batch["outcomes"]
    if request:
        # What a destination did not take is no part of the way: it comes later, from the destination's lane.
        of_the_way = lambda entries: {index: one for index, one in entries.items() if one[0] != "delivery"}
        got += (of_the_way(quarantined(api, request)),)
        kept = batch.get("quarantine", {}).items()
        wanted += (of_the_way({index: (one["errorType"], sorted(one["faults"])) for index, one in kept}),)
    assert got == wanted, f"\n     got {got}\n  wanted {wanted}"


def main(api):
    machines = boto3.client("stepfunctions")
    skipped = json.loads(pathlib.Path(os.environ["CRMFLOW_SKIPPED"]).read_text()) if "CRMFLOW_SKIPPED" in os.environ else {}
    played = 0
    for file in sorted(CASES.glob("*.json")):
        for case in json.loads(file.read_text().replace("{run}", RUN)):
            if case["name"] in skipped or any(batch.get("upload") for batch in case["batches"]):
                continue
            for batch in case["batches"]:
                try:
                    check(machines, api, batch)
                except AssertionError as error:
                    sys.exit(f"{file.name}: {case['name']}: {error}")
                played += 1
    print(f"{played} batches took the way that their cases say")


main(sys.argv[1].removesuffix("/records"))
