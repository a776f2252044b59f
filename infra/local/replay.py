"""Sends the events of a day on again: the rows of the audit log, handed to the forwarder as its stream would hand them.

The forwarder decides what goes where, and consumers know by an event's id what they have done, so replaying a day twice
changes nothing. On AWS it needs leave to read `<stage>-ops_audit_log` and to invoke the forwarder."""

import base64
import datetime
import json

from console import Failure, say

SHARDS = 4  # partitions of a day, as in shared/src/store/schema.rs
BATCH = 100


class _Images(json.JSONEncoder):
    def default(self, value):
        return base64.b64encode(value).decode() if isinstance(value, bytes) else super().default(value)


def replay(client, stage, stack_name, day):
    """`client`: makes a boto3 client of a service. `day`: a UTC day, YYYY-MM-DD."""
    try:
        datetime.date.fromisoformat(day)
    except ValueError:
        raise Failure(f"DAY={day} is not a date like 2027-01-31") from None
    forwarder = client("cloudformation").describe_stack_resource(StackName=stack_name, LogicalResourceId="EventForwarderFunction")
    name = forwarder["StackResourceDetail"]["PhysicalResourceId"]
    sent = 0
    for rows in _pages(client("dynamodb"), f"{stage}-ops_audit_log", day):
        _hand_on(client("lambda"), name, rows)
        sent += len(rows)
    say(f"{sent} events of {day} handed to the forwarder")


def _pages(dynamodb, table, day):
    for shard in range(SHARDS):
        key = {":pk": {"S": f"{day}#{shard}"}}
        pages = dynamodb.get_paginator("query").paginate(
            TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues=key, ConsistentRead=True
        )
        for page in pages:
            items = page["Items"]
            yield from (items[at : at + BATCH] for at in range(0, len(items), BATCH))


def _hand_on(function, name, rows):
    records = [
        {
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {"SequenceNumber": str(at), "Keys": {k: row[k] for k in ("pk", "sk")}, "NewImage": row},
        }
        for at, row in enumerate(rows)
    ]
    payload = json.dumps({"Records": records}, cls=_Images).encode()
    answer = function.invoke(FunctionName=name, Payload=payload)
    said = json.loads(answer["Payload"].read() or b"{}")
    if answer.get("FunctionError") or said.get("batchItemFailures") != []:
        raise Failure("the forwarder could not send everything on; run it again")
