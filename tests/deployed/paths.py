"""Sends the batches of tests/cases to the stack AWS_SAM_STACK_NAME, and compares the states that their
executions entered, as Step Functions tells them, and the output of the machine. Usage: paths.py API"""

import json
import os
import pathlib
import sys
import time
import urllib.request

import boto3

CASES = pathlib.Path(__file__).parent.parent / "cases"
RUN = f"p{time.time_ns():x}"


def sent(api, batch):
    """The answer to a batch that is POSTed."""
    if "text" in batch:
        body = batch["text"]
    else:
        body = json.dumps(batch["records"] * batch.get("times", 1))
    headers = {"content-type": batch.get("type", "application/json")}
    request = urllib.request.Request(f"{api}/records", body.encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202, answer.status
        return json.load(answer)


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
    arn = sent(api, batch)["executionArn"]
    execution = ended(machines, arn)
    output = json.loads(execution.get("output", "{}"))
    outcomes = {name: count for name, count in output.get("outcomes", {}).items() if count}
    got = execution["status"], path(machines, arn), outcomes
    wanted = batch.get("status", "SUCCEEDED"), batch["path"], batch["outcomes"]
    assert got == wanted, f"\n     got {got}\n  wanted {wanted}"


def main(api):
    # A stack's name says that it is meant: this writes to it.
    assert os.environ["AWS_SAM_STACK_NAME"]
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
