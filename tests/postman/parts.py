"""What requests of the collection are made of: one function per kind of thing, so that `journeys.py` reads like a list."""

import json

API = "/api/v1"


def request(name, method, path, body=None, *, token=None, key=None, headers=None, base="apiUrl", raw=None, kind="application/json", first=(), tests=()):
    """One request. `token` and `key` name variables; `first` runs before it, `tests` hold its answer."""
    head = dict(headers or {})
    if key:
        head["Idempotency-Key"] = "{{run}}-" + key
    auth = {"type": "noauth"}
    if token:
        auth = {"type": "bearer", "bearer": [{"key": "token", "value": "{{" + token + "}}", "type": "string"}]}
    made = {"method": method, "header": [], "url": "{{" + base + "}}" + path, "auth": auth}
    if body is not None or raw is not None:
        head["Content-Type"] = kind
        made["body"] = {"mode": "raw", "raw": raw if raw is not None else json.dumps(body, ensure_ascii=False, indent=2)}
    made["header"] = [{"key": name, "value": value} for name, value in head.items()]
    scripts = [("prerequest", first), ("test", tests)]
    events = [{"listen": listen, "script": {"type": "text/javascript", "exec": list(lines)}} for listen, lines in scripts if lines]
    return {"name": name, "request": made, "event": events}


def get(name, path, **more):
    return request(name, "GET", path, **more)


def post(name, path, body=None, **more):
    return request(name, "POST", path, body, **more)


def folder(name, items):
    return {"name": name, "item": items}


def answers(status, name, *lines):
    """The answer has this status and, as `body`, what the lines say."""
    reads = [] if status == 304 else ["const body = pm.response.json();"]
    return _test(name, f"pm.response.to.have.status({status});", *reads, *lines)


def silent(status, name, *lines):
    """The answer has this status and no body."""
    return _test(name, f"pm.response.to.have.status({status});", "pm.expect(pm.response.text()).to.equal('');", *lines)


def page(name, *lines):
    """An answer that is no JSON."""
    return _test(name, "pm.response.to.have.status(200);", *lines)


def refused(status, code, *lines, field=None):
    """A problem with this status and stable code, about this field. Its form is held for every answer, by `COMMON`."""
    about = [f"pm.expect(body.errors.map((error) => error.field)).to.include('{field}');"] if field else []
    return answers(status, f"refused: {status} {code}", f"pm.expect(body.code).to.equal('{code}');", *about, *lines)


def until(condition, status, name, *lines):
    """What another function writes is asked for again, for at most half a minute, until `condition` of `body` holds."""
    again = [
        f"const ready = pm.response.code === {status} && ((body) => {condition})(pm.response.json());",
        "const tries = Number(pm.collectionVariables.get('tries'));",
        "pm.collectionVariables.set('tries', ready || tries >= 100 ? 0 : tries + 1);",
        "if (!ready && tries < 100) {",
        "    setTimeout(() => pm.execution.setNextRequest(pm.info.requestId), 300);",
        "} else {",
    ]
    return [*again, *("    " + line for line in answers(status, name, *lines)), "}"]


def _test(name, *lines):
    return [f"pm.test({json.dumps(name, ensure_ascii=False)}, () => {{", *("    " + line for line in lines), "});"]


def keep(variable, expression):
    """Remembers a value for later requests."""
    return f"pm.collectionVariables.set('{variable}', {expression});"


def same(what, variable):
    return f"pm.expect({what}).to.equal(pm.collectionVariables.get('{variable}'));"


def has(what, **fields):
    return f"pm.expect({what}).to.include({json.dumps(fields, ensure_ascii=False)});"


# Held for every answer of ours. The emulator words its own refusals (401 and 403 without a code); AWS uses the template's.
COMMON = [
    "const type = pm.response.headers.get('Content-Type') || '';",
    "const ours = !pm.request.url.toString().includes('__sandbox');",
    "const emulator = [401, 403].includes(pm.response.code) && !pm.response.text().includes('\"code\"');",
    "if (ours && !emulator) {",
    "    pm.test('safe in a browser, and named', () => {",
    "        pm.expect(pm.response.headers.get('X-Content-Type-Options')).to.equal('nosniff');",
    "        pm.expect(pm.response.headers.get('Content-Security-Policy')).to.include(\"frame-ancestors 'none'\");",
    "        pm.expect(pm.response.headers.get('Strict-Transport-Security')).to.include('max-age=');",
    "        pm.expect(pm.response.headers.get('X-Request-Id')).to.be.a('string').and.not.empty;",
    "    });",
    "}",
    "if (ours && !emulator && pm.response.code >= 400 && !type.includes('text/html')) {",
    "    pm.test('a problem document', () => {",
    "        pm.expect(type).to.include('application/problem+json');",
    "        const problem = pm.response.json();",
    "        pm.expect(problem).to.include({ type: 'about:blank', status: pm.response.code });",
    "        pm.expect(problem.requestId).to.equal(pm.response.headers.get('X-Request-Id'));",
    "    });",
    "}",
]
