"""Rights granted against rights used: what the emulator saw each function do while it enforced their roles, compared
with the policies it deployed. A right nobody used is taken out of template.yaml, or a test is missing."""

import json
from collections import defaultdict

from console import Failure, say

RECORD = "calls.jsonl"  # in the stack's home; the emulator appends each call it has not seen yet

# What SAM attaches by itself, because AWS polls queues and streams and writes logs in the function's name.
OF_AWS = ("AWSLambdaBasicExecutionRole", "AWSLambdaSQSQueueExecutionRole", "AWSLambdaDynamoDBExecutionRole")


def compare(client, stack_name, record, whole):
    """`client(service)` makes clients of the stack's cloud. Raises when a call was refused or, after the `whole` suite, a
    right was not used."""
    granted, roles, problems = _granted(client, stack_name)
    used, refused = _used(record, roles)
    problems += [f"{name}: {action} on {_short(resource)} was refused" for name, action, resource in sorted(refused)]
    unused = [(name, action, resource) for name in granted for action, resource in granted[name] - used[name]]
    if whole:
        problems += [f"{name}: {action} on {_short(resource)} was never used" for name, action, resource in sorted(unused)]
    rights = sum(len(granted[name]) for name in granted)
    say(f"policies: {len(granted)} functions, {rights} rights granted, {rights - len(unused)} used, {len(problems)} differences")
    if problems:
        raise Failure("policies granted and policies used differ:\n  " + "\n  ".join(problems))


def _short(resource):
    return resource.split(":", 5)[-1]


def _granted(client, stack_name):
    """Rights by function, read from the roles as deployed; functions by role; and what is wrong with other roles."""
    resources, iam = _resources(client, stack_name), client("iam")
    functions = {r["LogicalResourceId"] for r in resources if r["ResourceType"] == "AWS::Lambda::Function"}
    granted, roles, problems = {}, {}, []
    for resource in (r for r in resources if r["ResourceType"] == "AWS::IAM::Role"):
        logical, physical = resource["LogicalResourceId"], resource["PhysicalResourceId"]
        rights = _rights(iam, physical)
        attached = iam.list_attached_role_policies(RoleName=physical)["AttachedPolicies"]
        strange = [policy["PolicyName"] for policy in attached if policy["PolicyName"] not in OF_AWS]
        problems += [f"{logical}: managed policy {name}" for name in strange]
        function = logical.removesuffix("Role")
        if function in functions:
            granted[function], roles[physical] = rights, function
        elif {action for action, _ in rights} != {"lambda:InvokeFunction"}:
            problems.append(f"{logical} belongs to no function and to no schedule")
    return granted, roles, problems


def _resources(client, stack_name):
    pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
    return [resource for page in pages for resource in page["StackResourceSummaries"]]


def _rights(iam, role):
    rights = set()
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in _list(document["Statement"]):
            pairs = ((action, resource) for action in _list(statement["Action"]) for resource in _list(statement["Resource"]))
            rights.update(pairs)
    return rights


def _list(value):
    return value if isinstance(value, list) else [value]


def _used(record, roles):
    """Calls by function, and those that were refused."""
    used, refused = defaultdict(set), set()
    for line in record.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        role = call["principal"].partition(":assumed-role/")[2].partition("/")[0]
        if role not in roles:
            continue
        if call["allowed"]:
            used[roles[role]].add((call["action"], call["resource"]))
        else:
            refused.add((roles[role], call["action"], call["resource"]))
    return used, refused
