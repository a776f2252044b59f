"""Property fuzzing of the deployed API: schemathesis makes requests from openapi.json, as each role, and holds every
answer against it: no server error, no undocumented status, type, header or field, and nothing accepted that the document
forbids."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import identity
import tools
from client import Http
from console import Failure, say, step
from settings import CHECKOUT, HERE

CHECKS = (
    "no_server_error,tells_no_secret,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,negative_data_rejection"
)
SEED = "20270131"
LEAVING = "/api/v1/auth/logout"


@dataclass(frozen=True)
class Effort:
    """How hard to try. `cases` is per operation and role; `roles` are tried one after the other; `least` is how many calls
    must come to a function of ours: what the authorizer turned away shows that it does, and nothing about the document."""

    cases: int
    roles: tuple
    phases: str
    least: int


SHORT = Effort(cases=6, roles=("OPS_ADMIN", "tenant"), phases="examples,fuzzing", least=300)
LONG = Effort(
    cases=30, roles=("OPS_ADMIN", "OPS_FINANCE", "OPS_VIEWER", "tenant", "applicant"), phases="examples,coverage,fuzzing",
    least=5000,
)


def fuzz(settings, variables, effort):
    """Fuzzes a running stack; fails with what schemathesis found."""
    program = tools.environment(settings.tools / "fuzzvenv", HERE / "requirements-fuzz.txt") / "bin" / "schemathesis"
    key = identity.local_secrets(settings.home / "secrets.json")["auth/jwt"]
    admin = identity.mint(key, "OPS_ADMIN", variables["OPS_USERNAME"])
    pool = known_ids(Http(variables["API_URL"], admin))
    tokens = {role: identity.mint(key, role, variables["OPS_USERNAME"], pool["tenant"], pool["applicant"]) for role in effort.roles}
    total, turned_away, statuses, codes, called = 0, 0, {}, {}, set()
    failed = []
    # Leaving ends the token's session, so it is tried apart, with a token of its own.
    leaver = identity.mint(key, "OPS_ADMIN", variables["OPS_USERNAME"])
    api = ["--url", variables["API_URL"], "--exclude-tag", "webhooks", "-H"]
    passes = [(role, [*api, f"Authorization: Bearer {token}", "--exclude-path", LEAVING]) for role, token in tokens.items()]
    passes.append(("one who leaves", [*api, f"Authorization: Bearer {leaver}", "--include-path", LEAVING]))
    passes.append(("a gateway", ["--url", variables["WEBHOOK_URL"], "--include-tag", "webhooks"]))
    for role, where in passes:
        step(f"fuzzing as {role}")
        passed, report = _run(program, where, pool, effort)
        if not passed:
            failed.append(role)
        total += sum(report["statuses"].values())
        turned_away += report["worded"]
        called |= set(report["operations"])
        for into, counts in ((statuses, report["statuses"]), (codes, report["codes"])):
            for name, count in counts.items():
                into[name] = into.get(name, 0) + count
    reached = total - turned_away
    say(f"fuzzed: {total} calls of {len(called)} operations, {reached} of them answered by a function, the others turned away "
        "before one; by status " + _counts(statuses))
    say("problems: " + _counts(codes))
    if failed:
        raise Failure(f"the API and openapi.json disagree, as {', '.join(failed)} (see above)")
    documented = _operations()
    if called != documented:
        raise Failure(f"never called: {', '.join(sorted(documented - called))}")
    if reached < effort.least:
        raise Failure(f"only {reached} calls came to a function, {effort.least} are wanted")


def _counts(counts):
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1]))


def _operations():
    document = json.loads((CHECKOUT / "openapi.json").read_text(encoding="utf-8"))
    methods = {"get", "post", "put", "patch", "delete"}
    return {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item if method in methods}


def _run(program, where, pool, effort):
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        report = Path(scratch) / "report.json"
        env = os.environ | {
            "SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": str(HERE), "FUZZ_POOL": json.dumps(pool), "FUZZ_REPORT": str(report),
            "NO_PROXY": "*", "no_proxy": "*", "HYPOTHESIS_STORAGE_DIRECTORY": scratch,
        }
        command = [
            str(program), "--config-file", str(HERE / "fuzz.toml"), "run", str(CHECKOUT / "openapi.json"), *where,
            "--checks", CHECKS, "--phases", effort.phases, "--max-examples", str(effort.cases), "--seed", SEED,
            # One worker: the same seed makes the same calls, and Python 3.11 may not parse in several threads at once.
            "--workers", "1", "--continue-on-failure", "--request-timeout", "60", "--no-color", "--warnings", "off",
            "--suppress-health-check", "all", "--generation-database", "none",
        ]
        done = subprocess.run(
            command, cwd=scratch, env=env, stdin=subprocess.DEVNULL, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        if done.returncode != 0:
            say(done.stdout)
        if not report.exists():
            raise Failure(f"schemathesis made no call\n{done.stdout[-3000:]}")
        return done.returncode == 0, json.loads(report.read_text(encoding="utf-8"))


def known_ids(ops):
    """Ids of what is on the stack, by kind, so that half of the requests are about something."""
    pool = {kind: [] for kind in ("req", "sub", "mth", "inv", "run", "rf", "order", "plan")}
    applicants = []
    for status in ("SUBMITTED", "IN_REVIEW", "APPROVED", "REJECTED"):
        for application in ops.get(f"/api/v1/onboarding/requests?limit=20&status={status}")["items"]:
            pool["req"].append(application["id"])
            if status == "SUBMITTED":
                applicants.append(application["id"])
    tenants = []
    for subscription in ops.get("/api/v1/billing/subscriptions?limit=10&status=ACTIVE")["items"]:
        identity_, tenant = subscription["id"], subscription["tenantId"]
        tenants.append(tenant)
        pool["sub"].append(identity_)
        pool["mth"].append(subscription["paymentMethodId"])
        for cycle in ops.get(f"/api/v1/billing/subscriptions/{identity_}/cycles")["items"]:
            pool["order"] += [attempt["orderId"] for attempt in cycle["attempts"]]
            pool["rf"] += [refund["id"] for refund in cycle["refunds"]]
        pool["inv"] += [invoice["id"] for invoice in ops.get(f"/api/v1/billing/invoices?limit=5&tenantId={tenant}")["items"]]
    pool["run"] = [run["id"] for run in ops.get("/api/v1/ops/runs?limit=10")["items"]]
    pool["plan"] = [plan["code"] for plan in ops.get("/api/v1/plans")["plans"]]
    if not tenants:
        raise Failure("nothing to fuzz with: the stack has no active subscription")
    if not applicants:
        applicants = [apply(ops)]
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return pool | {"tenant": tenants[0], "applicant": applicants[-1], "now": now}


def apply(ops):
    """An application, so that there is an applicant."""
    form = {
        "businessName": "Fuzz Academy", "planCode": "starter",
        "contact": {"name": "Kim Fuzz", "email": "fuzz@example.com", "phone": "010-1234-5678"},
        "consents": {"terms": True, "privacy": True, "recurring": True},
    }
    return ops.post("/api/v1/onboarding/requests", form)["id"]
