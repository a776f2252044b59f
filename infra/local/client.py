"""A small JSON client for our API and the sandbox, and the billing run on top of it. Standard library only."""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from console import Failure

TIMEOUT_SECONDS = 60
RUN_SECONDS = 900  # longest a billing run may take on a laptop before we call it stuck


class Refused(Failure):
    """An answer other than the expected one. `status` and `problem` (the parsed body, or {}) tell why."""

    def __init__(self, what, status, text):
        self.status = status
        try:
            self.problem = json.loads(text)
        except ValueError:
            self.problem = {}
        super().__init__(f"{what} answered {status}: {text[:600]}")


class Http:
    """`base` plus path; every call says which statuses it expects."""

    def __init__(self, base, token=None):
        self.base = base
        self.token = token
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path, expect=(200,)):
        return self._call("GET", path, None, expect)

    def post(self, path, body, expect=(200, 201)):
        return self._call("POST", path, body, expect)

    def _call(self, method, path, body, expect):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode(errors="replace")
        except OSError as error:
            raise Failure(f"{method} {self.base}{path}: {error}") from None
        if status not in expect:
            raise Refused(f"{method} {path}", status, text)
        return json.loads(text) if text else {}


def run_billing(ops, as_of=None, progress=True):
    """Starts a run (`as_of`: RFC 3339 text) and waits until it is DRAINED. Returns it as GET /ops/runs shows it."""
    run = ops.post("/api/v1/ops/runs", {"asOf": as_of} if as_of else {}, expect=(200, 201, 202))
    deadline = time.monotonic() + RUN_SECONDS
    shown = None
    while True:
        now = _find_run(ops, run["id"])
        state = f"{now['status']} charged {now.get('charged', 0)} declined {now.get('declined', 0)} unknown {now.get('unknown', 0)}"
        if progress and state != shown:
            print(f"  {run['id']} {state}", file=sys.stderr, flush=True)
            shown = state
        if now["status"] == "DRAINED":
            return now
        if now["status"] == "HELD":
            raise Failure(f"run {run['id']} is HELD: its forecast jumped, an operator has to approve it")
        if time.monotonic() > deadline:
            raise Failure(f"run {run['id']} was not DRAINED within {RUN_SECONDS} s ({state})")
        time.sleep(0.3)


def _find_run(ops, run_id):
    """The newest page nearly always has it; older ones are read too, because many runs may have been started."""
    cursor = None
    while True:
        query = "?" + urllib.parse.urlencode({"cursor": cursor}) if cursor else ""
        page = ops.get(f"/api/v1/ops/runs{query}")
        for run in page["items"]:
            if run["id"] == run_id:
                return run
        cursor = page.get("nextCursor")
        if not cursor:
            raise Failure(f"run {run_id} is not in GET /api/v1/ops/runs")
