"""B12: the start of a Python function with the usual libraries, up to its first request for work."""

import http.client
import os

import boto3
import jsonschema
import pydantic


class Contact(pydantic.BaseModel):
    name: str
    email: str
    optIn: bool
    interests: list[str] | None = None


VALIDATOR = jsonschema.Draft202012Validator(Contact.model_json_schema())
DYNAMODB = boto3.client("dynamodb")

runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
runtime.request("GET", "/2018-06-01/runtime/invocation/next")
runtime.getresponse()
