"""Runs tests/cases/*.json against the deployed stack AWS_SAM_STACK_NAME. Usage: cases.py [TEXT-IN-A-NAME...]"""

import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import boto3
from botocore.config import Config

CASES = pathlib.Path(__file__).parent.parent / "cases"
# What the emulator cannot do, by machine.
SKIPPED = {"Batch": "the emulator has no Distributed Map in JSONata"}


class Stack:
    def __init__(self, name):
        stack = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.emulator = os.environ.get("AWS_ENDPOINT_URL")
        self.api = self.outputs["APIEndpoint"].removesuffix("/records")
        if self.emulator:
            self.api = f"{self.emulator}/_aws/execute-api/{self.api.split('//')[1].split('.')[0]}"
        self.machines = boto3.client("stepfunctions", config=Config(inject_host_prefix=False))
        self.table = boto3.resource("dynamodb").Table(self.outputs["OptInsTableName"])

    def call(self, method, path, body=None, **headers):
        headers = {"content-type": "application/json"} | headers
        request = urllib.request.Request(self.api + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ended(self, arn):
        for _ in range(300):
            execution = self.machines.describe_execution(executionArn=arn)
            if execution["status"] != "RUNNING":
                return execution
            time.sleep(0.1)
        raise AssertionError(f"{arn} does not end")

    def path(self, arn):
        pages = self.machines.get_paginator("get_execution_history").paginate(executionArn=arn)
        events = (event for page in pages for event in page["events"])
        return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]


def check(what, got, wanted):
    assert got == wanted, f"{what}\n     got {json.dumps(got, default=str)}\n  wanted {json.dumps(wanted)}"


def body(batch):
    if "text" in batch:
        return batch["text"].encode()
    return json.dumps(batch["records"] * batch.get("times", 1)).encode()


def row(found):
    wanted = ("outcome", "duplicateOf", "conflictsWith")
    return {name: found[name] for name in wanted if name in found}


def play(batch, stack):
    headers = {"content-type": batch.get("type", "application/json")}
    status, answer = stack.call("POST", "/records", body(batch), **headers)
    check("status", (status, answer if status != 202 else None), (202, None))
    execution = stack.ended(answer["executionArn"])
    check("path", stack.path(answer["executionArn"]), batch["path"])
    id = answer["batchId"]
    status, ended = stack.call("GET", f"/batches/{id}")
    check("outcomes", {name: count for name, count in ended["outcomes"].items() if count}, batch["outcomes"])
    check("status", ended["status"], batch.get("status", "SUCCEEDED"))
    check("status of the execution", execution["status"], ended["status"])
    for index, wanted in batch.get("rows", {}).items():
        check(f"row {index}", row(stack.call("GET", f"/batches/{id}/records/{index}")[1]), wanted)
    entries = stack.call("GET", f"/quarantine?batch={id}&all=true")[1]["entries"]
    found = {
        str(entry["index"]): (entry["errorType"], sorted([fault["pointer"], fault["rule"]] for fault in entry["faults"]))
        for entry in entries
    }
    wanted = batch.get("quarantine", {})
    check("quarantine", found, {i: (entry["errorType"], sorted(entry["faults"])) for i, entry in wanted.items()})


def contact(email, stack):
    status, found = stack.call("GET", "/contacts/" + urllib.parse.quote(email, safe=""))
    if status != 200:
        return status
    kept = {name: found[name] for name in ("email", "name", "optIn", "interests", "extra") if name in found}
    return kept | {"history": len(found["history"])}


def run(case, stack):
    for batch in case["batches"]:
        play(batch, stack)
    for wanted in case.get("contacts", []):
        if "extra" in wanted:
            wanted = wanted | {"extra": json.loads(wanted["extra"])}
        check("contact", contact(wanted["email"], stack), wanted)
    for email in case.get("unknown", []):
        check("unknown contact", contact(email, stack), 404)


def skipped(case, stack):
    machines = ("Batch" if "IsUpload" in batch["path"] else "Records" for batch in case["batches"])
    return next((SKIPPED[machine] for machine in machines if stack.emulator and machine in SKIPPED), None)


def main(names):
    stack = Stack(os.environ["AWS_SAM_STACK_NAME"])
    # So that every run has addresses of its own: a case depends on nothing that is stored.
    token = f"{time.time_ns():x}"
    failed = 0
    for file in sorted(CASES.glob("*.json")):
        for case in json.loads(file.read_text().replace("{run}", token)):
            if names and not any(name in case["name"] for name in names):
                continue
            if why := skipped(case, stack):
                print(f"skipped {case['name']}: {why}")
                continue
            try:
                run(case, stack)
                print(f"ok      {case['name']}")
            except AssertionError as error:
                failed += 1
                print(f"FAILED  {case['name']}: {error}")
    return failed


sys.exit(main(sys.argv[1:]))
