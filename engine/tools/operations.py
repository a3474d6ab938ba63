#!/usr/bin/env python3
"""Writes engine/src/services/operations.zz: the operations of AWS's services, and the shapes of their answers.

    pip install --no-deps --target names botocore==1.44.8
    pip install --no-deps --target answers botocore==1.41.5
    python3 engine/tools/operations.py names answers engine/src/services/operations.zz
    python3 engine/tools/operations.py names answers          # prints the table

The newer models name the services and operations. The shapes of the answers come from the models of November 2025:
against those AWS checks mocks, as far as that is recorded. Shapes that they lack come from the newer models. The facts
(names of services, operations and fields, types, enumerations, ranges, required fields) are from AWS's published API
models, which botocore contains. The table omits their texts and patterns.

The table is text, compressed with zlib. Each service has a block: a line `@name name ...` with all its names in a
task's ARN, then one line per operation, with its name and the shape of its answer:

    s text   b3 text of 3 characters at least   o boolean   i1:10 whole number of a range   n number   a any JSON
    <A|B> one of these texts   [T list   {T map   (Field=T !Field=T) structure, `!` before a required field, `=s` left out
    j object with unchecked members   ^1 the structure that encloses the current one   ^0 the current one

The depth of a shape depends on how likely a state machine calls the service: CORE has all levels, USED two levels with
enumerations, NAMED no shape, and any other service its top-level fields.
"""

import gzip
import json
import pathlib
import re
import sys
import zlib

CORE = "lambda stepfunctions sqs sns dynamodb s3 events kms secretsmanager"
USED = """
account acm apigateway apigatewayv2 appconfig appconfigdata application-autoscaling athena autoscaling backup batch
bedrock-agent-runtime bedrock-runtime ce cloudformation cloudtrail cloudwatch codebuild codepipeline cognito-identity
cognito-idp comprehend databrew datasync dynamodbstreams ecr ecs efs eks elbv2 emr emr-containers emr-serverless
firehose iam identitystore kinesis logs mq organizations pipes polly rds-data redshift-data rekognition
resourcegroupstaggingapi route53 s3control sagemaker-runtime scheduler servicediscovery ses sesv2 signer ssm sso-admin
sts textract timestream-query timestream-write transcribe transfer translate xray
"""

# Services without shapes: large ones that a state machine hardly calls.
NAMED = """
amplifyuibuilder bedrock-agentcore-control chime-sdk-identity chime-sdk-media-pipelines chime-sdk-meetings
chime-sdk-messaging chime-sdk-voice cleanrooms cleanroomsml cloudsearch clouddirectory connect connectcampaignsv2
connectcases customer-profiles datazone deadline gamelift gameliftstreams greengrassv2 groundstation iotfleetwise
iotsitewise iottwinmaker iotwireless ivs ivs-realtime kinesisvideo lexv2-models lightsail marketplace-catalog
mediaconnect medialive mediapackagev2 mediatailor mturk odb omics partnercentral-account partnercentral-benefits
partnercentral-channel partnercentral-selling pcs qapps qbusiness qconnect quicksight simspaceweaver socialmessaging
wellarchitected wickr wisdom workdocs workmail workspaces workspaces-web
"""

# Services that AWS has retired and the models no longer name. The engine accepts any operation of them.
RETIRED = """
alexaforbusiness applicationcostprofiler backupstorage chime cloudhsm codestar elasticinference elastictranscoder
evidently finspace finspacedata gamesparks honeycode importexport iot1clickdevices iot1clickprojects iotanalytics
iotevents ioteventsdata iotfleethub iotroborunner iotthingsgraph lexmodelbuilding lexruntime lookoutequipment
lookoutmetrics lookoutvision machinelearning macie mediastore mediastoredata migrationhubstrategy mobile
mobileanalytics nimble opsworks opsworkscm panorama privatenetworks qldb qldbsession robomaker simspaceweaver sms tnb
workdocs worklink workmailmessageflow
"""

SCALARS = {
    "string": "s", "timestamp": "s", "character": "s", "blob": "b", "boolean": "o",
    "integer": "i", "long": "i", "float": "n", "double": "n",
}


def compact(name):
    return re.sub("[^a-z0-9]", "", name.lower())


def names(folder, metadata):
    """The names of a service; those that it shares with others come last."""
    own = metadata["serviceId"]
    first = [own, re.sub(r"\bService\b", "", own), folder]
    last = [metadata.get("signingName", ""), metadata["endpointPrefix"]]
    return [compact(name) for name in first], [compact(name) for name in last]


def kind(name, shapes, depth, enums, above=()):
    """The shape in the table's notation."""
    shape = shapes[name]
    plain = SCALARS.get(shape["type"])
    if shape.get("document") or shape.get("eventstream"):
        return "a"
    if plain == "s" and enums and "enum" in shape:
        allowed = shape["enum"]
        return "s" if any(re.search(r"[<>|\n]", text) for text in allowed) else f"<{'|'.join(allowed)}>"
    if plain == "b":
        return f"b{shape['min']}" if shape.get("min") else "b"
    if plain in ("i", "n") and ("min" in shape or "max" in shape):
        return f"{plain}{shape.get('min', '')}:{shape.get('max', '')}"
    if plain:
        return plain
    if shape["type"] == "list":
        return "[" + kind(shape["member"]["shape"], shapes, depth, enums, above)
    if shape["type"] == "map":
        return "{" + kind(shape["value"]["shape"], shapes, depth, enums, above)
    if name in above:
        return f"^{above[::-1].index(name)}"
    if len(above) >= depth:
        return "j"
    above = (*above, name)
    required = shape.get("required", [])
    fields = (
        f"{'!' if field in required else ''}{field[:1].upper()}{field[1:]}"
        + f"={kind(member['shape'], shapes, depth, enums, above)}".removesuffix("=s")
        for field, member in shape["members"].items()
    )
    return f"({' '.join(fields)})"


def block(folder, model, answers):
    """One line per operation. Its shape comes from `answers` if that model has the operation."""
    depth, enums = (9, True) if folder in CORE.split() else (2, True) if folder in USED.split() else (1, False)
    for name, operation in sorted(model["operations"].items()):
        known = answers if answers and name in answers["operations"] else model
        answer = known["operations"][name].get("output")
        # The models append dates to some names, and SDKs do not.
        name = re.sub(r"\d{4}_\d{2}_\d{2}$", "", name)
        has_shape = answer and folder not in NAMED.split()
        yield name + (kind(answer["shape"], known["shapes"], depth, enums) if has_shape else "")


def read(place):
    """The models of an installed botocore, by their folders."""
    data = pathlib.Path(place) / "botocore" / "data"
    models = {}
    for folder in sorted(path.name for path in data.iterdir() if path.is_dir()):
        files = sorted(data.glob(f"{folder}/*/service-2.json.gz"))
        models[folder] = json.loads(gzip.decompress(files[-1].read_bytes()))
    return models


def main():
    models, answers = read(sys.argv[1]), read(sys.argv[2])
    first = {folder: names(folder, model["metadata"])[0] for folder, model in models.items()}
    taken = {name for own in first.values() for name in own}
    lines = []
    for folder, model in models.items():
        more = [name for name in names(folder, model["metadata"])[1] if name and name not in taken]
        taken.update(more)
        lines.append("@" + " ".join(dict.fromkeys(first[folder] + more)))
        lines.extend(block(folder, model, answers.get(folder)))
    lines.extend(f"@{name}\n*" for name in RETIRED.split() if name not in taken)
    text = "\n".join(lines) + "\n"
    if len(sys.argv) > 3:
        pathlib.Path(sys.argv[3]).write_bytes(zlib.compress(text.encode(), 9))
    else:
        print(text, end="")


main()
