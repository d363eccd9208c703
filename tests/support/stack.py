"""Deploys a translated template into MiniStack, as CloudFormation does, and prints the stack's outputs and resources.

Usage: stack.py PORT create|update BOOTSTRAP < TEMPLATE, stack.py PORT delete. The template is CloudFormation as JSON, whose functions
have their code at s3://bucket/code.zip. Parameters are the defaults.
"""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import boto3

NAME = "coalmine"
BUCKET = "bucket"
# What the emulator's CloudFormation cannot make, and nothing else of the stack needs.
LACKING = set()


def client(service, port):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def upload(port, bootstrap):
    """Under a name of its own: code at the same place is the same code to CloudFormation."""
    package = Path(__file__).with_name("package.py")
    zipped = base64.b64decode(subprocess.run([sys.executable, package, bootstrap], check=True, capture_output=True).stdout)
    s3 = client("s3", port)
    s3.create_bucket(Bucket=BUCKET)
    key = f"{len(s3.list_objects_v2(Bucket=BUCKET).get('Contents', []))}.zip"
    s3.upload_fileobj(io.BytesIO(zipped), BUCKET, key)
    return key


def fitted(template, port, key):
    resources = {name: one for name, one in template["Resources"].items() if one["Type"] not in LACKING}
    for resource in resources.values():
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Code"] = {"S3Bucket": BUCKET, "S3Key": key}
            variables = resource["Properties"]["Environment"]["Variables"]
            variables["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
            # Nobody listens there: whoever asks CodeDeploy is told so at once.
            variables["AWS_ENDPOINT_URL_CODEDEPLOY"] = sys.argv[4] if len(sys.argv) > 4 else "http://127.0.0.1:1"
    return {**template, "Resources": resources}


def main(port, action, bootstrap=None, *_):
    cloudformation = client("cloudformation", port)
    if action == "delete":
        cloudformation.delete_stack(StackName=NAME)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=NAME, WaiterConfig={"Delay": 1})
        return
    body = json.dumps(fitted(json.load(sys.stdin), port, upload(port, bootstrap)))
    act = cloudformation.create_stack if action == "create" else cloudformation.update_stack
    act(StackName=NAME, TemplateBody=body, Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"])
    waiter = cloudformation.get_waiter(f"stack_{action}_complete")
    try:
        waiter.wait(StackName=NAME, WaiterConfig={"Delay": 1})
    except Exception as error:
        events = cloudformation.describe_stack_events(StackName=NAME)["StackEvents"]
        reasons = [f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}" for event in events if "ResourceStatusReason" in event]
        sys.exit(f"{error}\n" + "\n".join(reasons))
    outputs = cloudformation.describe_stacks(StackName=NAME)["Stacks"][0].get("Outputs", [])
    resources = cloudformation.describe_stack_resources(StackName=NAME)["StackResources"]
    print(
        json.dumps(
            {
                "outputs": {output["OutputKey"]: output["OutputValue"] for output in outputs},
                "resources": {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources},
            }
        )
    )


main(*sys.argv[1:])
