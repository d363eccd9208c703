"""Translates SAM templates to plain CloudFormation, offline, and prints each as JSON on a line."""

import json
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

REGION = "eu-west-1"


class Session:
    """The translator asks only for the region's partition."""

    region_name = REGION


def main(path):
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file)
    # What `sam build` and `sam package` put in place of the local paths.
    functions = [template.get("Globals", {}).get("Function", {})]
    functions += [resource.get("Properties", {}) for resource in template["Resources"].values()]
    for properties in functions:
        if "CodeUri" in properties:
            properties["CodeUri"] = "s3://bucket/code.zip"
    plain = Translator({}, Parser(), boto_session=Session()).translate(sam_template=template, parameter_values={})
    print(json.dumps(plain))


for template in sys.argv[1:]:
    main(template)
