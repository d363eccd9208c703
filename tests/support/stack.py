"""Deploys a translated template into MiniStack, as CloudFormation does, and prints the stack's outputs and resources.

Usage: stack.py PORT create|update|delete BOOTSTRAP CODEDEPLOY < TEMPLATE. The template is CloudFormation as JSON; its parameters have their
defaults. CODEDEPLOY is the endpoint of the service that the emulator lacks.
"""

import base64
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3

NAME = "coalmine"
BUCKET = "bucket"
# Types that MiniStack refuses.
LACKING = ["AWS::CloudFormation::Macro"]


def client(service, port):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def upload(port, bootstrap):
    """Under a name of its own, and with another digest each time: to CloudFormation and Lambda it is another build."""
    package = Path(__file__).with_name("package.py")
    zipped = base64.b64decode(subprocess.run([sys.executable, package, bootstrap], check=True, capture_output=True).stdout)
    s3 = client("s3", port)
    s3.create_bucket(Bucket=BUCKET)
    number = s3.list_objects_v2(Bucket=BUCKET).get("KeyCount", 0)
    archive = io.BytesIO(zipped)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("build", str(number))
    archive.seek(0)
    s3.upload_fileobj(archive, BUCKET, f"{number}.zip")
    return f"{number}.zip"


def fitted(template, port, code_deploy, key):
    """With what `sam package` puts in, and with where the services are, without what the emulator has no idea of."""
    lacking = [name for name, resource in template["Resources"].items() if resource["Type"] in LACKING]
    for name in lacking:
        del template["Resources"][name]
    template["Outputs"] = {key: output for key, output in template["Outputs"].items() if output["Value"].get("Ref") not in lacking}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Code"] = {"S3Bucket": BUCKET, "S3Key": key}
            variables = resource["Properties"]["Environment"]["Variables"]
            variables["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
            variables["AWS_ENDPOINT_URL_CODEDEPLOY"] = code_deploy
    return template


def main(port, action, bootstrap, code_deploy):
    cloudformation = client("cloudformation", port)
    if action == "delete":
        cloudformation.delete_stack(StackName=NAME)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=NAME, WaiterConfig={"Delay": 1})
        return
    body = json.dumps(fitted(json.load(sys.stdin), port, code_deploy, upload(port, bootstrap)))
    act = cloudformation.create_stack if action == "create" else cloudformation.update_stack
    act(StackName=NAME, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
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
