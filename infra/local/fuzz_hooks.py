"""What schemathesis is told about this API (loaded by it, never by us): real ids in paths, time that stays where it is,
what the emulator leaves to API Gateway, and a stricter idea of a server error than its own."""

import atexit
import json
import os
import re
from collections import Counter
from pathlib import Path

import schemathesis

POOL = json.loads(os.environ["FUZZ_POOL"])
ULID = "_[0-7][0-9A-HJKMNP-TV-Z]{25}$"
STATUSES, CODES, CALLED, WORDED = Counter(), Counter(), set(), Counter()
# Answers of the emulator where AWS would use the template's gateway responses: our words for them.
GATEWAY_RESPONSES = {
    "Unauthorized": (401, "Unauthorized", "unauthorized"),
    "Missing Authentication Token": (404, "Not found", "not_found"),
    "Forbidden": (403, "Forbidden", "forbidden"),
    "User is not authorized to access this resource": (403, "Forbidden", "forbidden"),
    "User is not authorized to access this resource with an explicit deny in an identity-based policy": (
        403, "Forbidden", "forbidden",
    ),
}


def _pick(kind, seed):
    """One of the known ids of a kind; the same for the same seed, so that a failure can be repeated."""
    known = POOL.get(kind) or []
    return known[sum(seed.encode()) % len(known)] if known else None


@schemathesis.hook
def before_call(context, case, kwargs):
    """Every other well-formed id becomes one that is there; ids in bodies too. Runs stay in the present: the clock never
    goes back, so one run as of the year 9000 would be the end of the stack."""
    parameters = case.path_parameters if isinstance(case.path_parameters, dict) else {}
    for name, value in list(parameters.items()):
        if not isinstance(value, str) or sum(value.encode()) % 2:
            continue
        prefix = value.split("_", 1)[0]
        kind = {"orderId": "order", "token": None}.get(name, prefix)
        if kind == "order" or (kind in POOL and (kind == "inv" or re.fullmatch(prefix + ULID, value))):
            known = _pick(kind, value)
            if known:
                case.path_parameters[name] = known
    body = case.body
    if isinstance(body, dict):
        if isinstance(body.get("asOf"), str):
            body["asOf"] = POOL["now"]
        for field, kind in (("paymentMethodId", "mth"), ("onboardingRequestId", "req"), ("planCode", "plan")):
            value = body.get(field)
            if isinstance(value, str) and not sum(value.encode()) % 2:
                body[field] = _pick(kind, value) or value


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code in (401, 403, 404):
        try:
            words = json.loads(response.content)
            message = words.get("message", words.get("Message"))
        except (ValueError, AttributeError):
            message = None
        if message in GATEWAY_RESPONSES:
            status, title, code = GATEWAY_RESPONSES[message]
            WORDED["calls"] += 1
            problem = {"type": "about:blank", "title": title, "status": status, "code": code, "requestId": "emulator"}
            response.status_code = status
            response.content = json.dumps(problem).encode()
            response.headers["content-type"] = ["application/problem+json"]
    STATUSES[response.status_code] += 1
    CALLED.add(case.operation.label)
    if response.status_code >= 400:
        CODES[_code(response)] += 1


def _code(response):
    """The problem's code; a refusal that is a page for people has none."""
    if any("text/html" in value for value in response.headers.get("content-type", [])):
        return "(a page)"
    try:
        return json.loads(response.content).get("code", "?")
    except (ValueError, AttributeError):
        return "?"


@schemathesis.check
def no_server_error(ctx, response, case):
    """A paused gateway is an answer; any other 5xx is ours to repair, the documented ones included."""
    assert response.status_code < 500 or _code(response) == "gateway_paused", f"server error {response.status_code}"


@schemathesis.check
def tells_no_secret(ctx, response, case):
    """No answer shows an internal text or a credential of a gateway."""
    text = response.content.decode(errors="replace")
    for word in ("panicked", "aws_sdk", "ConditionalCheck", "sk_test_", "test_sk_", "billingKey", "ciphertext"):
        assert word not in text, f"an answer says {word}"


@atexit.register
def _report():
    report = {"statuses": STATUSES, "codes": CODES, "operations": sorted(CALLED), "worded": WORDED["calls"]}
    if STATUSES:
        Path(os.environ["FUZZ_REPORT"]).write_text(json.dumps(report), encoding="utf-8")
