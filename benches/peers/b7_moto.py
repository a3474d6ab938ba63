"""B7 by moto, in this process: starts the executions, then waits for their ends."""

import json
import os
import sys
import time

os.environ.update(AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none", AWS_DEFAULT_REGION="us-east-1")

import boto3
import moto
from moto import mock_aws

case = json.load(open(sys.argv[1]))
executions, states = int(sys.argv[2]), int(sys.argv[3])

with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
    client = boto3.client("stepfunctions")
    machine = client.create_state_machine(
        name="b7", definition=json.dumps(case["definition"]), roleArn="arn:aws:iam::123456789012:role/none"
    )["stateMachineArn"]
    began = time.perf_counter()
    started = [
        client.start_execution(stateMachineArn=machine, name=f"run-{n}", input=json.dumps(case["input"]))
        for n in range(executions)
    ]
    for execution in started:
        while (ended := client.describe_execution(executionArn=execution["executionArn"]))["status"] == "RUNNING":
            time.sleep(0.001)
        assert ended["status"] == "SUCCEEDED", ended["status"]
    seconds = time.perf_counter() - began
    print(json.dumps({"version": moto.__version__, "seconds": seconds, "transitions": executions * states}))
