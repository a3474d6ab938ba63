"""Gives the deployed HTTP API its one route, which the emulator does not read out of the template.
Prints the address of POST /records there. Usage: routes.py STACK"""

import sys

import boto3


def main(stack):
    resources = boto3.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    function = boto3.client("lambda").get_function(FunctionName=ids["ApiFunction"])
    gateway = boto3.client("apigatewayv2")
    api = ids["HttpApi"]
    for route in gateway.get_routes(ApiId=api)["Items"]:
        gateway.delete_route(ApiId=api, RouteId=route["RouteId"])
    integration = gateway.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=function["Configuration"]["FunctionArn"],
        PayloadFormatVersion="2.0",
    )
    gateway.create_route(
        ApiId=api, RouteKey="$default", Target=f"integrations/{integration['IntegrationId']}"
    )
    print(f"{gateway.meta.endpoint_url}/_aws/execute-api/{api}/records")


main(sys.argv[1])
