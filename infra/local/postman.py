"""The Postman collection, run by Newman against a stack: what a person would click through, with every body looked at."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import tools
from console import Failure, say, step
from settings import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "tests" / "postman"))

import build as collection  # noqa: E402

COLLECTION, ENVIRONMENT = collection.COLLECTION, collection.ENVIRONMENT


def run(settings, variables):
    """Fails with the assertions that did not hold."""
    for path, text in collection.files().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            raise Failure(f"{path.name} is not what tests/postman says: run `make collection`")
    program, node = _newman(settings.tools)
    step("running the Postman collection")
    given = {
        "apiUrl": variables["API_URL"], "webhookUrl": variables["WEBHOOK_URL"], "sandboxUrl": variables["SANDBOX_URL"],
        "opsUsername": variables["OPS_USERNAME"], "opsPassword": variables["OPS_PASSWORD"],
    }
    with tempfile.TemporaryDirectory(prefix="newman-") as scratch:
        report = Path(scratch) / "report.json"
        environment = json.loads(ENVIRONMENT.read_text(encoding="utf-8"))
        for value in environment["values"]:
            value["value"] = given[value["key"]]
        filled = Path(scratch) / "environment.json"
        filled.write_text(json.dumps(environment), encoding="utf-8")
        command = [
            str(program), "run", str(COLLECTION), "--environment", str(filled), "--reporters", "json",
            "--reporter-json-export", str(report), "--timeout-request", "60000", "--color", "off",
        ]
        env = os.environ | {"PATH": node, "NO_PROXY": "*", "no_proxy": "*", "HOME": scratch}
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        if not report.exists():
            raise Failure(f"Newman made no report\n{done.stdout[-3000:]}")
        run_ = json.loads(report.read_text(encoding="utf-8"))["run"]
    failures = [f"{failure['source'].get('name', '?')}: {failure['error']['message']}" for failure in run_["failures"]]
    requests, assertions = run_["stats"]["requests"], run_["stats"]["assertions"]
    say(f"Postman: {requests['total']} requests, {assertions['total']} assertions, {len(failures)} failed")
    wanted = _requests(json.loads(COLLECTION.read_text(encoding="utf-8")))
    if failures or done.returncode != 0:
        raise Failure("the Postman collection failed:\n  " + "\n  ".join(failures))
    if requests["total"] < wanted:
        raise Failure(f"only {requests['total']} of {wanted} requests were made")


def _requests(item):
    return sum(_requests(child) for child in item["item"]) if "item" in item else 1


def _newman(directory):
    """Newman, and the PATH that has Node.js."""
    home, path = tools.node_packages(directory, "newman")
    return home / "node_modules" / ".bin" / "newman", path
