"""Holds documents against JSON Schemas: a list of {"name", "schema", "documents"} on standard input.

jsonschema comes with aws-sam-translator. A schema that takes anything would hold for everything, so each document is also tried without each
of its required fields.
"""

import json
import sys

from jsonschema import Draft202012Validator

wrong = []
for case in json.load(sys.stdin):
    name, schema = case["name"], case["schema"]
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    if not case["documents"]:
        wrong.append(f"{name}: no document")
    if not schema.get("required"):
        wrong.append(f"{name}: the schema requires nothing")
    for document in case["documents"]:
        for error in validator.iter_errors(document):
            wrong.append(f"{name}: {error.json_path}: {error.message[:300]}")
        for field in schema.get("required", []):
            less = {key: value for key, value in document.items() if key != field}
            if validator.is_valid(less):
                wrong.append(f"{name}: holds without {field}")
sys.exit("\n".join(wrong) or 0)
