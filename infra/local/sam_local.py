"""What `sam local` needs to run functions in containers against the stack of `make up`: a copy of the template that
declares the endpoint, because only declared variables are handed on, and the values the deployed functions have.

Whether containers then work was never seen on the machine this was written on: it had no container engine."""

import json
from dataclasses import replace
from urllib.parse import urlsplit

import cloud
from console import Failure, say
from settings import CHECKOUT

TEMPLATE = CHECKOUT / ".sam-local.yaml"  # beside template.yaml, so that its paths stay right
VARIABLES = CHECKOUT / ".sam-local.json"
GLOBALS = "        STAGE: !Ref Stage\n"  # the first of the variables all functions have


def write(endpoint, stack_name, settings):
    """`endpoint`: of the emulator, whose deployed functions say which value each variable has."""
    text = (CHECKOUT / "template.yaml").read_text(encoding="utf-8")
    if text.count(GLOBALS) != 1:
        raise Failure("template.yaml no longer begins its variables with STAGE: look at sam_local.py")
    TEMPLATE.write_text(text.replace(GLOBALS, GLOBALS + f"        AWS_ENDPOINT_URL: {endpoint}\n"), encoding="utf-8")
    settings = replace(settings, emulator_port=urlsplit(endpoint).port)
    values = dict(_functions(settings, stack_name))
    VARIABLES.write_text(json.dumps(values, indent=2), encoding="utf-8")
    say(f"{TEMPLATE.name} and {VARIABLES.name} written for {len(values)} functions of {stack_name}")


def _functions(settings, stack_name):
    """Logical id and variables of each function."""
    pages = cloud.aws(settings, "cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
    known = {r["PhysicalResourceId"]: r["LogicalResourceId"] for page in pages for r in page["StackResourceSummaries"]}
    for page in cloud.aws(settings, "lambda").get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            if logical := known.get(function["FunctionName"]):
                yield logical, function.get("Environment", {}).get("Variables", {})
