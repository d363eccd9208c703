"""Checks what an API of AWS was asked and what it answered against the service's own model, which comes with botocore.

For the JSON protocols. An exchange is a line of standard input; what is wrong with it is a line of output, a list:

    {"service": "codedeploy", "target": "CodeDeploy_20141006.GetDeployment", "contentType": "application/x-amz-json-1.1",
     "request": {}, "status": 200, "answer": {}}

Or, of a service of whatever protocol, the members of what an operation is asked:

    {"service": "lambda", "operation": "UpdateAlias", "request": {}}

Ends with standard input.
"""

import functools
import json
import re
import sys

from botocore.loaders import Loader
from botocore.model import OperationNotFoundError, ServiceModel

# What every service may answer, and no model lists.
COMMON_ERRORS = {
    400: {"AccessDeniedException", "ThrottlingException", "ValidationException", "UnrecognizedClientException"},
    500: {"InternalFailure"},
    503: {"ServiceUnavailable"},
}
SCALARS = {
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    # In the JSON protocols the seconds since 1970.
    "timestamp": (int, float),
    "string": (str,),
    "blob": (str,),
}


@functools.cache
def model(service):
    return ServiceModel(Loader().load_service_model(service, "service-2"))


class Checking:
    def __init__(self, takes_null):
        # Services answer null for what is absent; clients leave it out.
        self.takes_null = takes_null
        self.problems = []

    def wrong(self, path, what):
        self.problems.append(f"{path}: {what}")

    def value(self, value, shape, path):
        if getattr(shape, "is_document_type", False):
            return
        if value is None:
            if not self.takes_null:
                self.wrong(path, "null")
            return
        check = {"structure": self.structure, "list": self.list, "map": self.map}.get(shape.type_name, self.scalar)
        check(value, shape, path)

    def structure(self, value, shape, path):
        if not isinstance(value, dict):
            return self.wrong(path, f"{value!r} is no object")
        members = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        for name in value.keys() - members.keys():
            self.wrong(path, f"there is no member {name} of {shape.name}")
        for name in shape.required_members:
            if value.get(name) is None:
                self.wrong(path, f"the required member {name} is missing")
        for name in sorted(value.keys() & members.keys()):
            self.value(value[name], members[name], f"{path}.{name}")

    def list(self, value, shape, path):
        if not isinstance(value, list):
            return self.wrong(path, f"{value!r} is no list")
        self.within(len(value), shape, path, "items")
        for place, item in enumerate(value):
            self.value(item, shape.member, f"{path}[{place}]")

    def map(self, value, shape, path):
        if not isinstance(value, dict):
            return self.wrong(path, f"{value!r} is no map")
        for key, item in value.items():
            self.scalar(key, shape.key, f"{path} key")
            self.value(item, shape.value, f"{path}.{key}")

    def scalar(self, value, shape, path):
        wanted = SCALARS[shape.type_name]
        if not isinstance(value, wanted) or isinstance(value, bool) != (wanted == (bool,)):
            return self.wrong(path, f"{value!r} is no {shape.type_name}")
        if shape.type_name != "string":
            if wanted != (bool,):
                self.within(value, shape, path, "")
            return
        self.within(len(value), shape, path, "characters")
        if shape.enum and value not in shape.enum:
            self.wrong(path, f"{value!r} is none of {', '.join(shape.enum)}")
        pattern = shape.metadata.get("pattern", "")
        # Of what Java understands and Python does not, nothing is checked.
        if pattern and "\\p" not in pattern and not re.fullmatch(pattern, value):
            self.wrong(path, f"{value!r} does not match {pattern}")

    def within(self, size, shape, path, unit):
        limits = shape.metadata
        if not limits.get("min", size) <= size <= limits.get("max", size):
            self.wrong(path, f"{size} {unit} where {limits.get('min')} to {limits.get('max')} are allowed")


def refusal(answer, status, operation):
    """What is wrong with an error."""
    kind = str(answer.get("__type", "")).split("#")[-1] if isinstance(answer, dict) else ""
    known = {shape.name: shape for shape in operation.error_shapes}
    if kind in COMMON_ERRORS.get(status, ()):
        return []
    if kind not in known:
        return [f"answer: {operation.name} does not fail with {kind!r} and status {status}"]
    shape = known[kind]
    checking = Checking(takes_null=True)
    # Many models leave out the message that every error has.
    extra = {"__type"} | ({"message"} if "message" not in shape.members else set())
    checking.structure({name: value for name, value in answer.items() if name not in extra}, shape, "answer")
    server = shape.metadata.get("fault") or shape.metadata.get("error", {}).get("httpStatusCode", 400) >= 500
    if status != shape.metadata.get("error", {}).get("httpStatusCode", 500 if server else 400):
        checking.wrong("answer", f"{kind} with status {status}")
    return checking.problems


def input_problems(exchange):
    asked = Checking(takes_null=False)
    operation = model(exchange["service"]).operation_model(exchange["operation"])
    asked.structure(exchange["request"], operation.input_shape, "request")
    return [f"{operation.name}: {problem}" for problem in asked.problems]


def problems(exchange):
    if "operation" in exchange:
        return input_problems(exchange)
    service = model(exchange["service"])
    prefix, _, name = exchange["target"].rpartition(".")
    wanted_type = f"application/x-amz-json-{service.metadata['jsonVersion']}"
    found = []
    if prefix != service.metadata["targetPrefix"]:
        found.append(f"target: {prefix} where {service.metadata['targetPrefix']} is expected")
    if exchange["contentType"] != wanted_type:
        found.append(f"content type: {exchange['contentType']} where {wanted_type} is expected")
    try:
        operation = service.operation_model(name)
    except OperationNotFoundError:
        return [*found, f"{exchange['service']} has no operation {name}"]
    asked, answered = Checking(takes_null=False), Checking(takes_null=True)
    asked.structure(exchange["request"], operation.input_shape, "request")
    # An answer that nobody got is none.
    if exchange["status"] == 200 and operation.output_shape:
        answered.structure(exchange["answer"], operation.output_shape, "answer")
    elif exchange["status"] >= 400:
        answered.problems = refusal(exchange["answer"], exchange["status"], operation)
    return [f"{name}: {problem}" for problem in found + asked.problems + answered.problems]


for line in sys.stdin:
    print(json.dumps(problems(json.loads(line))), flush=True)
