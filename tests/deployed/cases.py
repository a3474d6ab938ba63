"""Runs tests/cases/*.json against the deployed stack AWS_SAM_STACK_NAME. Usage: cases.py [NAME...]"""

import json
import os
import pathlib
import sys
import time
import urllib.error
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


def run(case, stack):
    body = json.dumps(case["request"]["body"]).encode()
    status, answer = stack.call("POST", "/records", body)
    check("status", (status, answer if status != 202 else None), (202, None))
    execution = stack.ended(answer["executionArn"])
    check("path", stack.path(answer["executionArn"]), case["path"])
    status, batch = stack.call("GET", f"/batches/{answer['batchId']}")
    outcomes = {name: count for name, count in batch["outcomes"].items() if count}
    check("outcomes", outcomes, case["outcomes"])
    check("status", batch["status"], execution["status"])


def main(names):
    stack = Stack(os.environ["AWS_SAM_STACK_NAME"])
    failed = 0
    for file in sorted(CASES.glob("*.json")):
        case = json.loads(file.read_text())
        if names and case["name"] not in names:
            continue
        try:
            run(case, stack)
            print(f"ok      {case['name']}")
        except AssertionError as error:
            failed += 1
            print(f"FAILED  {case['name']}: {error}")
    return failed


sys.exit(main(sys.argv[1:]))
