"""Gives the deployed APIs the one route of each, which the emulator does not read out of the template.
Prints the address of POST /records there, and that of the REST API for SDKs. Usage: routes.py STACK"""

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

    gateway = boto3.client("apigateway")
    api, region = ids["SegmentApi"], gateway.meta.region_name
    resources = gateway.get_resources(restApiId=api)["items"]
    route = {"resourceId": next(resource["id"] for resource in resources if resource["path"] == "/{call+}")}
    route |= {"restApiId": api, "httpMethod": "ANY"}
    gateway.put_method(**route, authorizationType="NONE")
    uri = f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function['Configuration']['FunctionArn']}/invocations"
    gateway.put_integration(**route, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    gateway.create_deployment(restApiId=api, stageName="v1")
    print(f"{gateway.meta.endpoint_url}/_aws/execute-api/{api}")


main(sys.argv[1])
