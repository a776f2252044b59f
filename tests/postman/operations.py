"""Before the journeys: what is on sale, and logging in. After them: what operators do, and what is refused to everybody."""

from journeys import FORM, OPS
from parts import API, answers, folder, get, has, keep, post, refused, silent

NOT_THERE = "sub_01ARZ3NDEKTSV4RRFFQ69G5FAV"


def start():
    login = f"{API}/auth/login"
    return folder("Start", [
        get("The document", f"{API}/openapi.json", tests=answers(
            200, "OpenAPI 3.1", "pm.expect(body.openapi).to.match(/^3\\.1\\./);",
            "pm.expect(Object.keys(body.paths)).to.include('/api/v1/plans');", keep("run", "String(Date.now())"),
            keep("etag", "pm.response.headers.get('ETag')"))),
        get("The document, known already", f"{API}/openapi.json", headers={"If-None-Match": "{{etag}}"}, tests=answers(
            304, "not sent twice", "pm.expect(pm.response.text()).to.equal('');")),
        get("Plans", f"{API}/plans", tests=answers(
            200, "three plans on sale", "const prices = body.plans.map((plan) => [plan.code, plan.price.amount]);",
            "pm.expect(prices).to.deep.include.members([['starter', 33000], ['standard', 77000], ['premium', 165000]]);")),
        post("Log in with a wrong password", login, {"username": "{{opsUsername}}", "password": "not it"},
             tests=refused(401, "invalid_credentials")),
        post("Log in", login, {"username": "{{opsUsername}}", "password": "{{opsPassword}}"}, tests=answers(
            200, "a token and a cookie", has("body", role="OPS_ADMIN"),
            "pm.expect(Date.parse(body.expiresAt)).to.be.above(Date.now());",
            "pm.expect(pm.response.headers.get('Set-Cookie')).to.include('__Host-session=').and.include('HttpOnly');",
            keep(OPS, "body.token"))),
    ])


def operations():
    ops, pause = f"{API}/ops", f"{API}/ops/gateways/toss"
    return folder("Operations", [
        get("Applications", f"{API}/onboarding/requests?status=APPROVED&limit=2", token=OPS, tests=answers(
            200, "a page of approved ones", "pm.expect(body.items).to.have.lengthOf(2);",
            "pm.expect(body.items.map((item) => item.status)).to.deep.equal(['APPROVED', 'APPROVED']);",
            "pm.expect(body.nextCursor).to.be.a('string').and.not.empty;", keep("next", "body.nextCursor"))),
        get("The next page of them", f"{API}/onboarding/requests?status=APPROVED&limit=2&cursor={{{{next}}}}", token=OPS,
            tests=answers(200, "others", "pm.expect(body.items).to.not.be.empty;")),
        get("Subscriptions", f"{API}/billing/subscriptions?status=CANCELLED&limit=100", token=OPS, tests=answers(
            200, "the cancelled ones", "pm.expect(body.items.map((item) => item.id)).to.include(pm.collectionVariables.get('toss_subscription'));")),
        get("Gateways", f"{ops}/gateways", token=OPS, tests=answers(
            200, "both", "pm.expect(body.items.map((item) => item.gateway)).to.have.members(['toss', 'stripe']);")),
        post("Pause a gateway without a reason", f"{pause}/pause", {}, token=OPS, tests=refused(422, "missing_field", field="reason")),
        post("Pause a gateway", f"{pause}/pause", {"reason": "drill"}, token=OPS, tests=answers(
            200, "paused, with the reason", has("body", gateway="toss", status="PAUSED"), has("body.pause", reason="drill"))),
        post("Tell who has to pay", f"{pause}/guides", {"limit": 5}, token=OPS, tests=answers(
            200, "told", has("body", gateway="toss"), "pm.expect(body.items).to.have.lengthOf(body.told);")),
        post("Resume it", f"{pause}/resume", {"reason": "drill over"}, token=OPS, tests=answers(
            200, "flows", "pm.expect(body).to.deep.equal({ gateway: 'toss', status: 'FLOWS' });")),
        post("Tell when payments flow", f"{pause}/guides", {}, token=OPS, tests=refused(409, "gateway_not_paused")),
        post("Start a run", f"{ops}/runs", {}, token=OPS, key="run", tests=answers(
            202, "started", "pm.expect(body.forecast).to.have.keys(['count', 'amount']);", keep("runId", "body.id"))),
        post("Approve a run that is not held", f"{ops}/runs/{{{{runId}}}}/approve", {}, token=OPS, tests=refused(409, "run_not_held")),
        get("Runs", f"{ops}/runs?limit=100", token=OPS, tests=answers(
            200, "the run is listed", "pm.expect(body.items.map((run) => run.id)).to.include(pm.collectionVariables.get('runId'));")),
        get("Dead letters", f"{ops}/failed-charges", token=OPS, tests=answers(
            200, "a list", has("body", queue="failed-charges"), "pm.expect(body.items).to.be.an('array');")),
        post("Send none of them back", f"{ops}/failed-charges/redrive", {"queue": "failed-charges", "max": 1}, token=OPS,
             tests=answers(200, "what was sent", has("body", queue="failed-charges"))),
        get("The ledger without a month", f"{ops}/ledger", token=OPS, tests=refused(422, "required", field="month")),
        get("The ledger of a month", f"{ops}/ledger?month=2020-01", token=OPS, tests=answers(
            200, "balanced", has("body", month="2020-01", balanced=True, tied=True))),
        post("Close a month that is not over", f"{ops}/months/9999-11/close", {}, token=OPS, tests=refused(409, "month_not_over")),
        post("Close a month with a field nobody knows", f"{ops}/months/2020-01/close", {"x": 1}, token=OPS,
             tests=refused(422, "unknown_field", field="x")),
        post("Close a month long ago", f"{ops}/months/2020-01/close", {}, token=OPS, tests=answers(
            200, "closed", has("body", month="2020-01", entries=0))),
        get("Figures", f"{ops}/metrics", token=OPS, tests=answers(
            200, "of thirty days", "pm.expect(body.mrr).to.be.an('array');", "pm.expect(body.charges).to.be.at.least(body.captured);")),
        get("Figures of too many days", f"{ops}/metrics?from=2020-01-01&to=2027-01-01", token=OPS,
            tests=refused(422, "out_of_range", field="from")),
        get("What happened to a gateway", f"{ops}/audit?subject=gateway%23toss&limit=2", token=OPS, tests=answers(
            200, "the pause and its end", "pm.expect(body.items.map((event) => event.type)).to.deep.equal(['gateway.resumed', 'gateway.paused']);",
            has("body.items[1]", reason="drill"))),
        get("What happened, about nothing", f"{ops}/audit", token=OPS, tests=refused(422, "required", field="subject")),
        get("What a gateway settled", f"{ops}/settlements?gateway=stripe&day=2020-01-01", token=OPS, tests=answers(
            200, "nothing on that day", has("body", gateway="stripe", day="2020-01-01"), "pm.expect(body.rows).to.deep.equal([]);")),
        get("What a gateway settled, some day", f"{ops}/settlements?gateway=stripe&day=20200101", token=OPS,
            tests=refused(422, "invalid_value", field="day")),
    ])


def strangers():
    """What somebody without a token may ask for, and what operators see of it."""
    demo, link = f"{API}/demo-requests", f"{API}/onboarding/requests/{{{{toss_request}}}}/token"
    form = {"name": "김하나", "email": "owner@example.kr", "message": "{{run}}"}
    return folder("Strangers", [
        post("Ask to be shown the product", demo, form, key="demo", tests=silent(202, "heard")),
        post("Ask again under the same key", demo, form, key="demo", tests=silent(202, "heard already")),
        post("Ask without an address", demo, {"name": "김하나"}, tests=refused(422, "missing_field", field="email")),
        get("Those who asked", f"{API}/ops/demo-requests?limit=100", token=OPS, tests=answers(
            200, "it is there once",
            "const asked = body.items.filter((item) => item.message === pm.collectionVariables.get('run'));",
            "pm.expect(asked).to.have.lengthOf(1);", has("asked[0]", email="owner@example.kr"))),
        post("Have the link mailed again", link, {"email": "owner@example.kr"}, tests=silent(202, "heard")),
        post("Have it mailed somewhere else", link, {"email": "else@example.kr"}, tests=silent(202, "heard, and not told whether")),
    ])


def leave():
    login = f"{API}/auth"
    weak = {"currentPassword": "{{opsPassword}}", "newPassword": "short"}
    return folder("Leave", [
        post("A password too weak", f"{login}/password", weak, token=OPS, tests=refused(422, "weak_password", field="newPassword")),
        post("Log out", f"{login}/logout", {}, token=OPS, tests=silent(
            204, "the cookie is taken back", "pm.expect(pm.response.headers.get('Set-Cookie')).to.include('Max-Age=0');")),
        get("The token is over", f"{API}/ops/runs", token=OPS, tests=[
            "pm.test('refused from now on', () => pm.expect(pm.response.code).to.be.oneOf([401, 403]));"]),
    ])


def errors():
    path, hook = f"{API}/onboarding/requests", f"{API}/billing/payments/webhook"
    without_name = {name: value for name, value in FORM.items() if name != "businessName"}
    withheld = FORM["consents"] | {"recurring": False}
    # Put together when it runs: no file of ours holds a card number.
    card = [keep("card", "['4242', '4242', '4242', '4242'].join(' ')")]
    return folder("Errors", [
        post("Not JSON", path, raw="{", tests=refused(400, "invalid_json")),
        post("Not application/json", path, raw="businessName=x", kind="text/plain", tests=refused(415, "unsupported_media_type")),
        post("Too large", path, raw='{"note":"{{long}}"}', first=[keep("long", "'x'.repeat(70000)")], tests=refused(413, "body_too_large")),
        post("A field is missing", path, without_name, tests=refused(422, "missing_field", field="businessName")),
        post("A field nobody knows", path, FORM | {"surprise": 1}, tests=refused(422, "unknown_field", field="surprise")),
        post("A plan nobody sells", path, FORM | {"planCode": "gold"}, tests=refused(422, "unknown_plan", field="planCode")),
        post("A consent withheld", path, FORM | {"consents": withheld}, tests=refused(422, "consent_required", field="consents.recurring")),
        post("A card number in a note", path, FORM | {"note": "{{card}}"}, first=card, tests=refused(
            422, "card_number_refused", "pm.expect(pm.response.text()).to.not.include('4242');", field="note")),
        get("Nobody lists runs", f"{API}/ops/runs", tests=["pm.test('a token is wanted', () => pm.response.to.have.status(401));"]),
        get("Not a token", f"{API}/ops/runs", token="run", tests=["pm.test('a token is wanted', () => pm.response.to.have.status(401));"]),
        get("A subscription that is not there", f"{API}/billing/subscriptions/{NOT_THERE}", token=OPS, tests=refused(404, "not_found")),
        get("An id that is none", f"{API}/billing/subscriptions/7", token=OPS, tests=refused(404, "not_found")),
        get("A page too long", f"{API}/ops/runs?limit=101", token=OPS, tests=refused(422, "invalid_value", field="limit")),
        get("A list narrowed by nothing", f"{API}/ops/runs?limit=", token=OPS, tests=refused(422, "invalid_value", field="limit")),
        get("A cursor of nothing", f"{API}/ops/runs?cursor=abc", token=OPS, tests=refused(422, "invalid_value", field="cursor")),
        post("A gateway we do not use", f"{API}/ops/gateways/paypal/pause", {"reason": "x"}, token=OPS, tests=refused(404, "not_found")),
        get("A guide without a link", f"{API}/billing/guides/x", tests=[
            "pm.test('nothing here', () => pm.response.to.have.status(404));"]),
        post("An event nobody signed", f"{hook}/stripe", {"id": "evt_1"}, base="webhookUrl", headers={"Stripe-Signature": "t=1,v1=00"},
             tests=refused(400, "bad_signature")),
        post("An event of nobody", f"{hook}/paypal", {"id": "1"}, base="webhookUrl", tests=refused(404, "not_found")),
    ])
