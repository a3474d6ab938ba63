"""Drives the Step Functions endpoint with boto3: every call, its answer, its errors."""

import datetime
import json
import time

import boto3
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/clients"
sfn = boto3.client("stepfunctions")


def machine(states, start):
    return json.dumps({"QueryLanguage": "JSONata", "StartAt": start, "States": states})


PASS = machine({"A": {"Type": "Pass", "Output": "{% {'n': $states.input.n + 1} %}", "End": True}}, "A")
WAIT = machine({"W": {"Type": "Wait", "Seconds": 600, "End": True}}, "W")


def create(name, definition=PASS, **more):
    made = sfn.create_state_machine(name=name, definition=definition, roleArn=ROLE, **more)
    assert isinstance(made["creationDate"], datetime.datetime), made
    return made["stateMachineArn"]


def fails(code, call, **arguments):
    """The text of the error that a call must fail with."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, error
        return error.response["Error"]["Message"]
    raise AssertionError(answer)


def ended(execution):
    while True:
        described = sfn.describe_execution(executionArn=execution)
        if described["status"] != "RUNNING":
            return described
        time.sleep(0.05)


def machines():
    arn = create("boto", tags=[{"key": "a", "value": "1"}])
    assert sfn.describe_state_machine(stateMachineArn=arn)["definition"] == PASS
    assert create("boto") == arn
    fails("StateMachineAlreadyExists", sfn.create_state_machine, name="boto", definition=WAIT, roleArn=ROLE)
    sfn.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    sfn.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert sfn.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]
    updated = sfn.update_state_machine(stateMachineArn=arn, definition=WAIT)
    assert sfn.describe_state_machine(stateMachineArn=arn)["revisionId"] == updated["revisionId"]
    others = [create(f"boto-{n}") for n in range(5)]
    pages = sfn.get_paginator("list_state_machines").paginate(PaginationConfig={"PageSize": 2})
    listed = [found["stateMachineArn"] for page in pages for found in page["stateMachines"]]
    assert set(listed) >= {arn, *others} and len(listed) == len(set(listed)), listed
    for each in [arn, *others]:
        sfn.delete_state_machine(stateMachineArn=each)
    message = fails("StateMachineDoesNotExist", sfn.describe_state_machine, stateMachineArn=arn)
    assert message == f"State Machine Does Not Exist: '{arn}'", message
    try:
        sfn.describe_state_machine(stateMachineArn=arn)
    except sfn.exceptions.StateMachineDoesNotExist:
        pass
    result = sfn.validate_state_machine_definition(definition="{}")
    assert result["result"] == "FAIL" and result["diagnostics"][0]["code"] == "SCHEMA_VALIDATION_FAILED"
    fails("InvalidDefinition", sfn.create_state_machine, name="bad", definition="{}", roleArn=ROLE)


def executions():
    arn = create("runs")
    started = sfn.start_execution(stateMachineArn=arn, name="one", input='{"n": 1}')
    described = ended(started["executionArn"])
    assert described["status"] == "SUCCEEDED" and json.loads(described["output"]) == {"n": 2}, described
    assert described["startDate"] == started["startDate"]
    fails("ExecutionAlreadyExists", sfn.start_execution, stateMachineArn=arn, name="one", input="{}")
    pages = sfn.get_paginator("get_execution_history").paginate(
        executionArn=started["executionArn"], PaginationConfig={"PageSize": 2}
    )
    events = [event["type"] for page in pages for event in page["events"]]
    assert events == ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"], events
    for n in range(5):
        sfn.start_execution(stateMachineArn=arn, input=json.dumps({"n": n}))
    pages = sfn.get_paginator("list_executions").paginate(
        stateMachineArn=arn, PaginationConfig={"PageSize": 2}
    )
    assert len([each for page in pages for each in page["executions"]]) == 6
    waits = create("waits", WAIT)
    waiting = sfn.start_execution(stateMachineArn=waits, name="w")["executionArn"]
    assert sfn.start_execution(stateMachineArn=waits, name="w")["executionArn"] == waiting
    fails("ExecutionNotRedrivable", sfn.redrive_execution, executionArn=waiting)
    sfn.stop_execution(executionArn=waiting, error="Enough", cause="seen")
    described = ended(waiting)
    assert (described["status"], described["error"], described["cause"]) == ("ABORTED", "Enough", "seen")
    sfn.redrive_execution(executionArn=waiting)
    assert sfn.describe_execution(executionArn=waiting)["redriveCount"] == 1
    found = sfn.describe_state_machine_for_execution(executionArn=waiting)
    assert found["stateMachineArn"] == waits and found["definition"] == WAIT
    sfn.delete_state_machine(stateMachineArn=waits)


def express():
    arn = create("express", type="EXPRESS")
    ran = sfn.start_sync_execution(stateMachineArn=arn, input='{"n": 41}')
    assert ran["status"] == "SUCCEEDED" and json.loads(ran["output"]) == {"n": 42}, ran
    assert sfn.start_execution(stateMachineArn=arn, input='{"n": 1}')["executionArn"]
    fails("StateMachineTypeNotSupported", sfn.list_executions, stateMachineArn=arn)


def tasks():
    activity = sfn.create_activity(name="boto-work")["activityArn"]
    assert sfn.describe_activity(activityArn=activity)["name"] == "boto-work"
    pages = sfn.get_paginator("list_activities").paginate()
    assert activity in [each["activityArn"] for page in pages for each in page["activities"]]
    arn = create("works", machine({"T": {"Type": "Task", "Resource": activity, "End": True}}, "T"))
    good = sfn.start_execution(stateMachineArn=arn, input='{"n": 1}')["executionArn"]
    task = sfn.get_activity_task(activityArn=activity, workerName="boto")
    assert json.loads(task["input"]) == {"n": 1}, task
    sfn.send_task_heartbeat(taskToken=task["taskToken"])
    sfn.send_task_success(taskToken=task["taskToken"], output='"done"')
    assert ended(good)["output"] == '"done"'
    message = fails("TaskTimedOut", sfn.send_task_success, taskToken=task["taskToken"], output="1")
    assert message == "Task Timed Out: 'Provided task does not exist anymore'", message
    fails("InvalidToken", sfn.send_task_heartbeat, taskToken="none")
    bad = sfn.start_execution(stateMachineArn=arn)["executionArn"]
    task = sfn.get_activity_task(activityArn=activity)
    sfn.send_task_failure(taskToken=task["taskToken"], error="Broken", cause="it fell")
    assert (ended(bad)["error"], ended(bad)["cause"]) == ("Broken", "it fell")
    sfn.delete_activity(activityArn=activity)
    fails("ActivityDoesNotExist", sfn.describe_activity, activityArn=activity)


def callbacks():
    """A task that waits for its token, which it passes to an execution that it starts."""
    told = create("told", machine({"A": {"Type": "Pass", "End": True}}, "A"))
    start = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.waitForTaskToken",
        "Arguments": {"StateMachineArn": told, "Input": {"token": "{% $states.context.Task.Token %}"}},
        "End": True,
    }
    waiting = sfn.start_execution(stateMachineArn=create("waiting", machine({"T": start}, "T")))
    while not (found := sfn.list_executions(stateMachineArn=told)["executions"]):
        time.sleep(0.05)
    token = json.loads(sfn.describe_execution(executionArn=found[0]["executionArn"])["input"])["token"]
    assert sfn.describe_execution(executionArn=waiting["executionArn"])["status"] == "RUNNING"
    sfn.send_task_success(taskToken=token, output='{"called": "back"}')
    assert json.loads(ended(waiting["executionArn"])["output"]) == {"called": "back"}


def map_runs():
    one = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}
    one["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    each = {"Type": "Map", "Items": [1, 2, 3], "MaxConcurrency": 1, "ItemProcessor": one, "End": True}
    arn = create("maps", machine({"M": each}, "M"))
    execution = sfn.start_execution(stateMachineArn=arn)["executionArn"]
    while not (found := sfn.list_map_runs(executionArn=execution)["mapRuns"]):
        time.sleep(0.05)
    run = found[0]["mapRunArn"]
    sfn.update_map_run(mapRunArn=run, maxConcurrency=2, toleratedFailurePercentage=10.5)
    described = sfn.describe_map_run(mapRunArn=run)
    assert described["maxConcurrency"] == 2 and described["toleratedFailurePercentage"] == 10.5, described
    assert described["itemCounts"]["total"] == 3 and described["status"] == "RUNNING", described
    sfn.stop_execution(executionArn=execution)
    assert sfn.describe_map_run(mapRunArn=run)["status"] == "ABORTED"


def tests():
    task = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f"}, "End": True}
    passing = json.dumps({"Type": "Pass", "InputPath": "$.a", "ResultPath": "$.b", "Next": "After"})
    seen = sfn.test_state(definition=passing, input='{"a": 1}', inspectionLevel="DEBUG")
    assert seen["status"] == "SUCCEEDED" and seen["nextState"] == "After", seen
    assert json.loads(seen["output"]) == {"a": 1, "b": 1}, seen
    assert seen["inspectionData"]["afterInputPath"] == "1", seen
    mocked = sfn.test_state(definition=json.dumps(task), mock={"result": '{"StatusCode": 200, "Payload": {"ok": true}}'})
    assert json.loads(mocked["output"])["Payload"] == {"ok": True}, mocked
    retried = sfn.test_state(
        definition=json.dumps(task | {"Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2}]}),
        mock={"errorOutput": {"error": "Lambda.ServiceException", "cause": "busy"}},
        stateConfiguration={"retrierRetryCount": 1},
        inspectionLevel="DEBUG",
    )
    assert retried["status"] == "RETRIABLE" and retried["error"] == "Lambda.ServiceException", retried
    details = retried["inspectionData"]["errorDetails"]
    assert details == {"retryIndex": 0, "retryBackoffIntervalSeconds": 4}, details
    named = sfn.test_state(definition=PASS, stateName="A", input='{"n": 1}')
    assert json.loads(named["output"]) == {"n": 2}, named
    message = fails("ValidationException", sfn.test_state, definition=json.dumps(task), mock={"result": '{"StatusCode": "200"}'})
    assert message == "Mock result schema validation error: Field 'StatusCode' must be a number", message
    fails("InvalidDefinition", sfn.test_state, definition="{}")
    fails("InvalidExecutionInput", sfn.test_state, definition=passing, input="{")


def others():
    arn = create("versions")
    fails("UnknownOperationException", sfn.list_state_machine_versions, stateMachineArn=arn)


if __name__ == "__main__":
    for test in [machines, executions, express, tasks, callbacks, map_runs, tests, others]:
        test()
        print(f"boto3: {test.__name__}: ok")
