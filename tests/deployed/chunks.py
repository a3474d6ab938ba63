"""Plays the part of the batch machine's Distributed Map, which the emulator does not have: what was cut goes
through the deployed express machine chunk by chunk, and is added up by the deployed SummarizeBatch.
Usage: chunks.py API"""

import gzip
import json
import os
import pathlib
import sys
import time
import urllib.request

import boto3
from botocore.config import Config

CASES = pathlib.Path(__file__).parent.parent / "records" / "cases"
STACK = os.environ["AWS_SAM_STACK_NAME"]
RUN = f"c{time.time_ns():x}"


def called(method, address, body, media="application/json"):
    request = urllib.request.Request(address, body, {"content-type": media}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def sent(api, batch):
    """The id of a batch that is uploaded or POSTed."""
    body = (batch.get("text") or json.dumps(batch["records"] * batch.get("times", 1))).encode()
    if not batch.get("upload"):
        return called("POST", f"{api}/records", body, batch.get("type", "application/json"))["batchId"]
    opened = called("POST", f"{api}/uploads", b"")
    called("PUT", opened["uploadUrl"], gzip.compress(body), "application/octet-stream")
    return opened["batchId"]


class Stack:
    def __init__(self):
        stack = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.machines = boto3.client("stepfunctions", config=Config(inject_host_prefix=False))
        self.functions = boto3.client("lambda")
        self.objects = boto3.resource("s3").Bucket(self.outputs["DataBucketName"])

    def cut(self, batch_id):
        """The batch and the manifest that its execution had before its map."""
        machine = self.outputs["BatchStateMachineArn"]
        for _ in range(600):
            for execution in self.machines.list_executions(stateMachineArn=machine)["executions"]:
                arn = execution["executionArn"]
                found = self.machines.describe_execution(executionArn=arn)
                # The map fails here, and is tried again for minutes: what comes before it is enough.
                given = batch_id in found["input"] and self.given(arn, json.loads(found["input"]))
                if given:
                    return given
            time.sleep(0.05)
        raise AssertionError(f"no execution of batch {batch_id} comes to its map")

    def given(self, arn, start):
        if "manifest" in start:
            return start["batch"], start["manifest"]
        events = self.machines.get_execution_history(executionArn=arn)["events"]
        outputs = (event[detail] for event in events for detail in event if detail.endswith("SucceededEventDetails"))
        cut = next(outputs, None)
        if cut is None:
            return None
        cut = json.loads(cut["output"])
        return cut["batch"], cut["manifest"]

    def run(self, batch, manifest):
        """What the functions say became of the batch."""
        for line in self.objects.Object(manifest).get()["Body"].read().splitlines():
            chunk = json.loads(line)
            given = {"batch": batch | {"chunk": chunk["chunk"]}, "records": chunk["records"]}
            run = self.machines.start_sync_execution(
                stateMachineArn=self.outputs["RecordsExpressStateMachineArn"], input=json.dumps(given)
            )
            assert run["status"] == "SUCCEEDED", run
        payload = json.dumps({"batch": batch, "manifest": manifest})
        ended = self.functions.invoke(FunctionName=f"{STACK}-SummarizeBatch", Payload=payload)
        return json.load(ended["Payload"])


def main(api):
    stack = Stack()
    for case in json.loads((CASES / "large.json").read_text().replace("{run}", RUN)):
        for batch in case["batches"]:
            if "RunChunks" not in batch["path"]:
                continue
            summary = stack.run(*stack.cut(sent(api, batch)))
            outcomes = {name: count for name, count in summary["outcomes"].items() if count}
            if outcomes != batch["outcomes"]:
                sys.exit(f"{case['name']}\n     got {outcomes}\n  wanted {batch['outcomes']}")
            print(f"{summary['received']} records went through the functions in chunks")


main(sys.argv[1].removesuffix("/records"))
