"""What one would write for a start: asks a table, with boto3."""
import json
import os
import urllib.request

import boto3

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
dynamodb = boto3.client("dynamodb")


def handler(_event):
    condition = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "active"}}}
    queries = range(int(os.environ["QUERIES"]))
    return sum(dynamodb.query(TableName="rollouts", **condition)["Count"] for _ in queries)


# Lambda's own runtime client does more than this.
while True:
    with urllib.request.urlopen(f"{API}/next") as event:
        request, payload = event.headers["Lambda-Runtime-Aws-Request-Id"], json.load(event)
    answer = json.dumps(handler(payload)).encode()
    urllib.request.urlopen(urllib.request.Request(f"{API}/{request}/response", answer)).close()
