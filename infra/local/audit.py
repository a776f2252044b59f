"""Seals and verifies the audit log by calling the functions that do it, so that the canonical form exists once.

On AWS it needs leave to describe the stack's resources and to invoke the two functions."""

import datetime
import json

from console import Failure, say


def seal(client, stack_name):
    """`client`: makes a boto3 client of a service."""
    _invoke(client, stack_name, "SealAuditFunction", {})
    say("every day of the audit log that is over and settled is sealed")


def verify(client, stack_name, first, last):
    """`first`, `last`: UTC days, YYYY-MM-DD, or None for the first and last day that were sealed."""
    for name, day in (("FROM", first), ("TO", last)):
        try:
            datetime.date.fromisoformat(day or "2027-01-31")
        except ValueError:
            raise Failure(f"{name}={day} is not a date like 2027-01-31") from None
    days = events = 0
    while True:
        answer = _invoke(client, stack_name, "VerifyAuditFunction", {"from": first, "to": last})
        for checked in answer["days"]:
            say(f"{checked['day']}  {checked['events']:>9} events  as sealed")
            days += 1
            events += checked["events"]
        if broken := answer.get("broken"):
            shard = "" if broken["shard"] is None else f", shard {broken['shard']}"
            raise Failure(f"{broken['day']}{shard}: BROKEN: {broken['why']}")
        first = answer.get("next")
        if first is None:
            break
    say(f"{days} days, {events} events: as they were sealed" if days else "no day was sealed yet")


def _invoke(client, stack_name, logical_id, payload):
    found = client("cloudformation").describe_stack_resource(StackName=stack_name, LogicalResourceId=logical_id)
    name = found["StackResourceDetail"]["PhysicalResourceId"]
    answer = client("lambda").invoke(FunctionName=name, Payload=json.dumps(payload).encode())
    said = json.loads(answer["Payload"].read() or b"null")
    if answer.get("FunctionError"):
        raise Failure(f"{logical_id}: {said.get('errorMessage', 'failed')}")
    return said
