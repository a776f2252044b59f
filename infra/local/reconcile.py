"""Reconciles one day now, as the schedule does for the last seven: invokes the stage's own function and prints how it went.

Safe to run at any time and any number of times. On AWS it needs leave to invoke the function."""

import datetime
import json

from console import Failure, say


def reconcile(client, stack_name, day):
    """`client`: makes a boto3 client of a service. `day`: a Seoul day that is over, YYYY-MM-DD."""
    try:
        datetime.date.fromisoformat(day)
    except ValueError:
        raise Failure(f"DAY={day} is not a date like 2027-01-31") from None
    function = client("cloudformation").describe_stack_resource(StackName=stack_name, LogicalResourceId="ReconcileFunction")
    name = function["StackResourceDetail"]["PhysicalResourceId"]
    answer = client("lambda").invoke(FunctionName=name, Payload=json.dumps({"day": day}).encode())
    said = json.loads(answer["Payload"].read() or b"{}")
    if answer.get("FunctionError"):
        raise Failure(f"reconciliation failed: {said.get('errorMessage', 'see its log')}")
    for one in said["passes"]:
        say(f"{one['gateway']:7} {one['day']} {one['outcome'].lower()}: {one['rows']} rows, {one['changed']} new or changed")
    if not said["complete"]:
        raise Failure("not all of it could be read; run it again")
