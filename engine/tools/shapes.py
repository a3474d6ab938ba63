#!/usr/bin/env python3
"""Writes engine/src/test_state/shapes.json: what the answers of some AWS operations look like.

    pip install botocore==1.41.5
    python3 engine/tools/shapes.py > engine/src/test_state/shapes.json

The facts (names of fields, their types, enumerations, ranges, which are required) come from AWS's published API
models, which botocore carries: those of November 2025, when AWS began
to hold mocks against them. An operation is in the table because a state machine on one machine is likely to
call it; add a name below and run the script again. Texts and patterns of the models are left out.
"""

import json

import botocore.session

# Service in a task's ARN -> (service in the models, operations).
OPERATIONS = {
    "lambda": ("lambda", "Invoke GetFunction GetFunctionConfiguration GetAlias ListFunctions ListVersionsByFunction "
               "GetFunctionConcurrency GetPolicy UpdateFunctionConfiguration UpdateFunctionCode PublishVersion"),
    "sfn": ("stepfunctions", "StartExecution StartSyncExecution StopExecution DescribeExecution DescribeStateMachine "
            "ListExecutions ListStateMachines GetExecutionHistory ListMapRuns DescribeMapRun SendTaskSuccess "
            "SendTaskFailure SendTaskHeartbeat RedriveExecution"),
    "sqs": ("sqs", "SendMessage SendMessageBatch ReceiveMessage DeleteMessage DeleteMessageBatch GetQueueUrl "
            "GetQueueAttributes ListQueues CreateQueue PurgeQueue"),
    "sns": ("sns", "Publish PublishBatch CreateTopic Subscribe ListTopics GetTopicAttributes"),
    "dynamodb": ("dynamodb", "GetItem PutItem UpdateItem DeleteItem Query Scan BatchGetItem BatchWriteItem "
                 "TransactGetItems TransactWriteItems ExecuteStatement DescribeTable ListTables"),
    "s3": ("s3", "GetObject PutObject HeadObject DeleteObject DeleteObjects CopyObject ListObjects ListObjectsV2 "
           "ListBuckets GetObjectTagging GetObjectAttributes HeadBucket CreateBucket"),
    "eventbridge": ("events", "PutEvents PutRule PutTargets DescribeRule ListRules ListEventBuses DescribeEventBus"),
}

SCALARS = {
    "string": "string", "timestamp": "string", "blob": "string", "character": "string",
    "integer": "integer", "long": "integer", "float": "number", "double": "number", "boolean": "boolean",
}


def named(service, shape, shapes):
    """The name a shape goes by in the table; the shape and all below it are added to `shapes`."""
    plain = SCALARS.get(shape.type_name)
    if plain is None and shape.type_name not in ("structure", "list", "map"):
        return "any"
    if getattr(shape, "is_document_type", False):
        return "any"
    facts = {}
    if plain == "string" and getattr(shape, "enum", None):
        facts = {"enum": list(shape.enum)}
    if plain in ("integer", "number"):
        facts = {key: shape.metadata[key] for key in ("min", "max") if key in shape.metadata}
    if plain and not facts:
        return plain
    name = f"{service}.{shape.name}"
    if name in shapes:
        return name
    shapes[name] = entry = {"type": plain or shape.type_name, **facts}
    if shape.type_name == "structure":
        entry["fields"] = {capital(key): named(service, member, shapes) for key, member in shape.members.items()}
        if shape.required_members:
            entry["required"] = [capital(key) for key in shape.required_members]
    elif shape.type_name == "list":
        entry["of"] = named(service, shape.member, shapes)
    elif shape.type_name == "map":
        entry["of"] = named(service, shape.value, shapes)
    return name


def capital(name):
    """Step Functions writes every field with a capital letter."""
    return name[:1].upper() + name[1:]


def main():
    session = botocore.session.get_session()
    operations, shapes = {}, {}
    for service, (model_name, names) in OPERATIONS.items():
        model = session.get_service_model(model_name)
        for name in names.split():
            output = model.operation_model(name).output_shape
            shape = named(service, output, shapes) if output else "any"
            operations[f"{service}:{name[0].lower()}{name[1:]}"] = shape
    line = lambda value: json.dumps(value, separators=(",", ":"))
    entries = lambda table: ",\n".join(f"{line(key)}:{line(table[key])}" for key in sorted(table))
    print('{"operations":{\n' + entries(operations) + '\n},\n"shapes":{\n' + entries(shapes) + "\n}}")


main()
