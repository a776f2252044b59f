"""Starts MiniStack with the two settings that make a warm call take 4 ms instead of 90, and, where roles are enforced,
with a record of who called what.

1. Its Runtime API answers in two writes; with Nagle's algorithm on, the second one waits for the client's delayed
   acknowledgement (40 ms).
2. After each invocation it waits up to 50 ms for a first log line.

Both reach into names MiniStack does not promise, so they are checked: after a version bump that moved them the stack
refuses to start and says so, instead of being twenty times slower for reasons nobody remembers. So does the record,
which stands around the one function that decides whether a call is allowed (policies.py reads it).
"""

import inspect
import json
import os
import socketserver
import sys
from email.utils import parseaddr

from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime

LOG_WAITS = {"first_line_wait": 0.003, "idle_confirm": 0.002, "hard_cap": 0.100}  # seconds
# What AWS asks for when messages are sent, deleted or hidden ten at a time; MiniStack asks for the call's own name.
BATCH = "MessageBatch"


def sender_is_a_resource():
    """AWS asks whether the identity in From may be used; MiniStack asks for a mail from anybody."""
    known = iam_actions._ses_v2_resource_arn

    def of_mail(method, path, body, region, account_id):
        if (method, path) != ("POST", "/v2/email/outbound-emails"):
            return known(method, path, body, region, account_id)
        address = parseaddr(str(json.loads(body or b"{}").get("FromEmailAddress", "")))[1]
        return f"arn:aws:ses:{region}:{account_id}:identity/{address}" if address else "*"

    iam_actions._ses_v2_resource_arn = of_mail


DECIDES = ["access_key_id", "iam_action", "service", "region", "resource_arn", "service_context"]


def record_calls(path):
    """Appends each combination of caller, action and resource to a file, the first time it is seen."""
    decide, seen, told = iam_evaluator.enforce, set(), set()
    if list(inspect.signature(decide).parameters) != DECIDES or not hasattr(iam_evaluator, "resolve_caller_identity"):
        sys.exit("emulator.py: the record of calls no longer fits this MiniStack; look at it again")
    # One line a write, so that a killed emulator leaves whole lines.
    sink = open(path, "a", encoding="utf-8", buffering=1)

    def recorded(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
        if service == "sqs" and iam_action.endswith(BATCH):
            iam_action = iam_action.removesuffix("Batch")
        refusal = decide(access_key_id, iam_action, service, region, resource_arn, service_context)
        call = (access_key_id, iam_action, resource_arn, refusal is None)
        if call not in seen:
            seen.add(call)
            caller = (iam_evaluator.resolve_caller_identity(access_key_id or "") or {}).get("userArn", "")
            line = {"principal": caller, "action": iam_action, "resource": resource_arn, "allowed": refusal is None}
            # A function has many credentials, one a process.
            text = json.dumps(line)
            if text not in told:
                told.add(text)
                print(text, file=sink)
        return refusal

    iam_evaluator.enforce = recorded


def main():
    drain = lambda_runtime.Worker._drain_stderr_bounded
    known = [name for name in inspect.signature(drain).parameters if name != "self"]
    if known != list(LOG_WAITS) or not hasattr(socketserver.StreamRequestHandler, "disable_nagle_algorithm"):
        sys.exit("emulator.py: the two speed settings no longer fit this MiniStack; look at them again")
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
    drain.__defaults__ = tuple(LOG_WAITS.values())
    sender_is_a_resource()
    if path := os.environ.get("RECORD_CALLS"):
        record_calls(path)
    app.main()


if __name__ == "__main__":
    main()
