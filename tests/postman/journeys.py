"""A business at each gateway: it applies, pays, is refunded, renewed, cancelled; and one whose first card has no money."""

from parts import API, answers, folder, get, has, keep, page, post, refused, request, same, until

OPS = "opsToken"
FORM = {
    "businessName": "Postman 학원", "businessNumber": "120-81-47521", "category": "academy",
    "contact": {"name": "김하나", "email": "owner@example.kr", "phone": "010-1234-5678"},
    "planCode": "starter", "addonCodes": ["sms"],
    "consents": {"terms": True, "privacy": True, "recurring": True},
}
SOMEBODY = "7d0c1f8e-2a4b-4c3d-9e5f-6a7b8c9d0e1f"
# A card of each gateway's sandbox.
GOOD = {"toss": "approved", "stripe": "pm_card_visa"}
WITHOUT_MONEY = {"toss": "insufficient_funds", "stripe": "pm_card_chargeCustomerFail"}


class Business:
    """Names of one business's variables: `v("request")` in addresses and bodies, `name("request")` in scripts."""

    def __init__(self, gateway, kind=""):
        self.gateway, self.prefix = gateway, gateway + kind
        self.subscription = f"{API}/billing/subscriptions/{self.v('subscription')}"
        self.token = self.name("token")

    def name(self, what):
        return f"{self.prefix}_{what}"

    def v(self, what):
        return "{{" + self.name(what) + "}}"


def journey(gateway):
    b = Business(gateway)
    items = [*_applies(b), *_registers(b), *_is_approved(b), *_is_refunded(b), *_has_an_invoice(b), *_is_renewed(b), *_cancels(b)]
    return folder(f"{gateway.capitalize()}: the whole journey", items)


def _applies(b):
    path, key = f"{API}/onboarding/requests", b.name("apply")
    return [
        post("Apply", path, FORM, key=key, tests=answers(
            201, "received", has("body", status="SUBMITTED", nextAction="REGISTER_CARD"), "pm.expect(body.id).to.match(/^req_/);",
            "pm.expect(body.tenantId).to.equal(body.id.replace('req_', 'ten_'));", keep(b.name("request"), "body.id"),
            keep(b.name("tenant"), "body.tenantId"), keep(b.token, "body.applicationToken"),
            keep(b.name("customer"), "body.customerKey"))),
        post("Apply again under the same key", path, FORM, key=key, tests=answers(
            201, "the same application", same("body.id", b.name("request")))),
        post("Another application under the same key", path, FORM | {"planCode": "premium"}, key=key,
             tests=refused(422, "idempotency_key_reused")),
        get("The applicant reads the application", f"{path}/{b.v('request')}", token=b.token, tests=answers(
            200, "as it was written", has("body", status="SUBMITTED", businessName="Postman 학원", planCode="starter"))),
        post("Approve without a card", f"{path}/{b.v('request')}/decision", {"status": "APPROVED"}, token=OPS,
             tests=refused(409, "payment_method_missing")),
        post("Reject without saying why", f"{path}/{b.v('request')}/decision", {"status": "REJECTED"}, token=OPS,
             tests=refused(422, "note_required", field="note")),
    ]


def _window(b, card, name="The customer enters a card (sandbox)"):
    """The gateway's own window, played by the sandbox. What it gives is kept as `<gateway>_card`."""
    if b.gateway == "toss":
        body = {"customerKey": b.v("customer"), "card": card}
        return post(name, "/__sandbox/toss/auth-keys", body, base="sandboxUrl",
                    tests=answers(200, "the window gave a key", keep(b.name("card"), "body.authKey")))
    body = {"setupIntent": b.v("card"), "paymentMethod": card}
    return post(name, "/__sandbox/stripe/confirm-setup", body, base="sandboxUrl",
                tests=page("the window is confirmed"))


def _registration(b):
    if b.gateway == "toss":
        return {"gateway": "toss", "authKey": b.v("card"), "customerKey": b.v("customer"), "holderName": "김하나"}
    return {"gateway": "stripe", "setupIntentId": b.v("card"), "holderName": "김하나"}


def _opens(b):
    given = {
        "toss": same("body.customerKey", "toss_customer"),
        "stripe": keep(b.name("card"), "body.clientSecret.split('_secret_')[0]"),
    }
    return post("Open the card window", f"{API}/billing/payment-methods/setup", {"gateway": b.gateway}, token=b.token, tests=answers(
        201, "what the browser needs", has("body", gateway=b.gateway),
        "pm.expect(body.clientKey).to.be.a('string').and.not.empty;", given[b.gateway]))


def _registers(b):
    path = f"{API}/billing/payment-methods"
    wrong = {
        "toss": ("Register somebody else's card", _registration(b) | {"customerKey": SOMEBODY}, "customer_key_mismatch", "customerKey"),
        "stripe": ("Register without what the window gave", {"gateway": "stripe"}, "missing_field", "setupIntentId"),
    }
    name, body, code, field = wrong[b.gateway]
    order = {
        "onboardingRequestId": b.v("request"), "planCode": "starter", "addonCodes": ["sms"], "paymentMethodId": b.v("method"),
    }
    return [
        _opens(b),
        _window(b, GOOD[b.gateway]),
        post(name, path, body, token=b.token, tests=refused(422, code, field=field)),
        post("Register the card", path, _registration(b), token=b.token, key=b.name("register"), tests=answers(
            201, "registered, masked", has("body", gateway=b.gateway, status="ACTIVE", holderName="김하나"),
            "pm.expect(body.last4).to.match(/^[0-9*]{4}$/);",
            "pm.expect(JSON.stringify(body)).to.not.match(/billingKey|pm_[A-Za-z0-9]|[0-9]{13}/);",
            keep(b.name("method"), "body.id"))),
        post("Create the subscription", f"{API}/billing/subscriptions", order, token=b.token, tests=answers(
            201, "waits for approval", has("body", status="PENDING_ACTIVATION", amount=44000, currency="KRW"),
            "pm.expect(body.plan).to.deep.equal({ code: 'starter', version: 1 });", keep(b.name("subscription"), "body.id"))),
    ]


def _is_approved(b):
    ledger = [
        f"const ulid = pm.collectionVariables.get('{b.name('subscription')}').slice(4);",
        "const mine = (entry) => entry.kind === 'capture' && (entry.orderId || '').startsWith(ulid);",
        "pm.expect(body.entries.filter(mine).map((entry) => entry.amount)).to.deep.equal([44000]);",
    ]
    return [
        post("Activate before approval", f"{b.subscription}/activate", {}, token=OPS, tests=refused(409, "not_approved")),
        post("Approve", f"{API}/onboarding/requests/{b.v('request')}/decision", {"status": "APPROVED"}, token=OPS, tests=answers(
            200, "approved and paid", has("body", status="APPROVED", nextAction="NONE"),
            same("body.subscriptionId", b.name("subscription")), has("body.decision", status="APPROVED"))),
        post("Approve twice", f"{API}/onboarding/requests/{b.v('request')}/decision", {"status": "APPROVED"}, token=OPS,
             tests=refused(409, "already_decided")),
        get("The subscription is active", b.subscription, token=OPS, tests=answers(
            200, "active, next charge named", has("body", status="ACTIVE", amount=44000, currency="KRW", parked=False),
            "pm.expect(body.currentPeriod.end > body.currentPeriod.start).to.equal(true);",
            "pm.expect(Date.parse(body.nextBillingAt)).to.be.above(Date.parse(body.currentPeriod.start));",
            keep(b.name("renewal"), "new Date(Date.parse(body.nextBillingAt) + 12 * 3600 * 1000).toISOString()"))),
        get("The applicant's token has ended", b.subscription, token=b.token, tests=refused(401, "unauthorized")),
        post("Activate again", f"{b.subscription}/activate", {}, token=OPS, tests=answers(
            200, "the same answer", has("body", status="ACTIVE"))),
        post("Retry with nothing owed", f"{b.subscription}/retry", {}, token=OPS, tests=answers(
            200, "paid already", has("body", status="ACTIVE"))),
        get("One cycle, one attempt", f"{b.subscription}/cycles", token=OPS, tests=answers(
            200, "paid once", "pm.expect(body.items).to.have.lengthOf(1);", "const [cycle] = body.items;",
            has("cycle", index=0, seq=0, status="PAID", supply=40000, vat=4000, total=44000, refunded=0),
            "pm.expect(cycle.lines.map((line) => line.amount)).to.deep.equal([33000, 11000]);",
            "pm.expect(cycle.attempts).to.have.lengthOf(1);", has("cycle.attempts[0]", n=1, gateway=b.gateway, outcome="SUCCEEDED"),
            keep(b.name("order"), "cycle.attempts[0].orderId"))),
        get("The gateway's ledger agrees (sandbox)", "/__sandbox/ledger", base="sandboxUrl",
            tests=answers(200, "one capture of this amount", *ledger)),
        post("Look the attempt up", f"{API}/ops/attempts/{b.v('order')}/resolve", {}, token=OPS, tests=answers(
            200, "settled already", has("body", status="PAID", outcome="SUCCEEDED", index=0),
            same("body.subscriptionId", b.name("subscription")))),
    ]


def _is_refunded(b):
    path, key, part = f"{b.subscription}/cycles/0/refunds", b.name("refund"), {"amount": 11000, "reason": "service was down"}
    return [
        post("Refund a part", path, part, token=OPS, key=key, tests=answers(
            201, "given back", has("body", status="SUCCEEDED", amount=11000, supply=10000, vat=1000, currency="KRW", origin="OURS"),
            keep(b.name("refund"), "body.id"))),
        post("The same refund under the same key", path, part, token=OPS, key=key, tests=answers(
            201, "the same refund", same("body.id", b.name("refund")))),
        post("Another refund under the same key", path, part | {"amount": 12000}, token=OPS, key=key,
             tests=refused(422, "idempotency_key_reused")),
        post("Refund more than is left", path, {"amount": 33001, "reason": "x"}, token=OPS,
             tests=refused(409, "more_than_left", "pm.expect(body.left).to.equal(33000);")),
        post("Refund nothing", path, {"amount": 0, "reason": "x"}, token=OPS, tests=refused(422, "invalid_amount", field="amount")),
        post("Approve one's own refund", f"{path}/{b.v('refund')}/approve", {"approve": True}, token=OPS,
             tests=refused(403, "second_person_required")),
    ]


def _has_an_invoice(b):
    path = f"{API}/billing/invoices"
    one = f"{path}/{b.v('invoice')}"
    return [
        get("The invoice appears", f"{path}?tenantId={b.v('tenant')}", token=OPS, tests=until(
            "body.items.length > 0", 200, "one invoice", "pm.expect(body.items).to.have.lengthOf(1);",
            has("body.items[0]", supply=40000, vat=4000, total=44000, currency="KRW"),
            "pm.expect(body.items[0].number).to.match(/^MG-[0-9]{4}-[0-9]{6}$/);", keep(b.name("invoice"), "body.items[0].id"))),
        get("Read the invoice", one, token=OPS, headers={"Accept": "application/json"}, tests=until(
            "body.refunds.length > 0", 200, "lines, payment and credit note", same("body.subscriptionId", b.name("subscription")),
            has("body.buyer", name="Postman 학원"), has("body.payment", gateway=b.gateway, rail="CARD"),
            "pm.expect(body.lines.map((line) => line.amount)).to.deep.equal([33000, 11000]);", has("body", refunded=11000),
            has("body.refunds[0]", total=11000, vat=1000, supply=10000))),
        get("Print the invoice", one, token=OPS, headers={"Accept": "text/html"}, tests=page(
            "a page that runs nothing", "pm.expect(pm.response.headers.get('Content-Type')).to.include('text/html');",
            "pm.expect(pm.response.headers.get('Content-Security-Policy')).to.include(\"default-src 'none'\");",
            "pm.expect(pm.response.text()).to.include('Postman 학원').and.include('44,000');")),
        get("Explain the invoice", f"{one}/explain", token=OPS, tests=answers(
            200, "computed anew, and the same", has("body", matches=True),
            "pm.expect(body.steps.every((step) => step.matches)).to.equal(true);",
            "pm.expect(body.steps.find((step) => step.name === 'vat').result).to.equal(4000);")),
        post("Issue the tax document", f"{one}/issue", {}, token=OPS, tests=answers(
            200, "the card slip is the document", has("body", kind="CARD_SLIP", status="NOT_REQUIRED"))),
    ]


def _is_renewed(b):
    return [
        post("A month later, a run", f"{API}/ops/runs", {"asOf": b.v("renewal")}, token=OPS, key=b.name("run"), tests=answers(
            202, "started", "pm.expect(body.id).to.match(/^run_/);")),
        get("It is renewed, once", f"{b.subscription}/cycles", token=OPS, tests=until(
            "body.items.length > 1", 200, "a second cycle, paid once",
            "pm.expect(body.items.map((cycle) => cycle.index).sort()).to.deep.equal([0, 1]);",
            "const renewed = body.items.find((cycle) => cycle.index === 1);", has("renewed", status="PAID", total=44000),
            "pm.expect(renewed.attempts.map((attempt) => attempt.outcome)).to.deep.equal(['SUCCEEDED']);")),
    ]


def _cancels(b):
    path = f"{b.subscription}/cancel"
    return [
        post("Cancel for some day", path, {"at": "SOMEDAY"}, token=OPS, tests=refused(422, "invalid_value", field="at")),
        post("Cancel for the end of the period", path, {"at": "PERIOD_END", "reason": "closing"}, token=OPS, tests=answers(
            200, "paid for until then", has("body", status="ACTIVE"), "pm.expect(body.cancelAt).to.be.a('string');",
            "pm.expect(body).to.not.have.property('nextBillingAt');")),
        post("Cancel now", path, {"at": "NOW"}, token=OPS, tests=answers(200, "ended", has("body", status="CANCELLED"))),
        post("Charge what has ended", f"{b.subscription}/retry", {}, token=OPS, tests=refused(409, "subscription_ended")),
        request("Change the card of what has ended", "PATCH", b.subscription, {"paymentMethodId": b.v("method")}, token=OPS,
                tests=refused(409, "subscription_ended")),
    ]


def declined(gateway):
    """The first card has no money: nothing is paid until a good one is registered, and then at once."""
    b = Business(gateway, "_declined")
    decision = f"{API}/onboarding/requests/{b.v('request')}/decision"
    methods = f"{API}/billing/payment-methods"

    def card(which, name, tests):
        window = [] if gateway == "toss" else [_opens(b)]
        return [*window, _window(b, which[gateway]), post(name, methods, _registration(b), token=b.token, tests=tests)]

    items = [
        post("Apply", f"{API}/onboarding/requests", FORM, tests=answers(
            201, "received", keep(b.name("request"), "body.id"), keep(b.token, "body.applicationToken"),
            keep(b.name("customer"), "body.customerKey"))),
        *card(WITHOUT_MONEY, "Register a card without money", answers(
            201, "registered: nothing is charged yet", has("body", status="ACTIVE"), "pm.expect(body).to.not.have.property('charge');")),
        post("Approve", decision, {"status": "APPROVED"}, token=OPS, tests=answers(
            200, "the first payment was declined", has("body", status="APPROVED", nextAction="SUPPLY_CARD"),
            keep(b.name("subscription"), "body.subscriptionId"))),
        get("Nothing is paid", b.subscription, token=OPS, tests=answers(
            200, "not active, the decline named", has("body", status="PENDING_ACTIVATION"),
            "pm.expect(body.firstDecline).to.be.a('string').and.not.empty;")),
        *card(GOOD, "Register a good card", answers(
            201, "charged at once", has("body", status="ACTIVE", charge="SUCCEEDED"),
            same("body.subscriptionId", b.name("subscription")))),
        get("The subscription is active", b.subscription, token=OPS, tests=answers(
            200, "active", has("body", status="ACTIVE"), "pm.expect(body).to.not.have.property('firstDecline');")),
        get("Two attempts, one capture", f"{b.subscription}/cycles", token=OPS, tests=answers(
            200, "declined, then paid", "const outcomes = body.items[0].attempts.map((attempt) => attempt.outcome);",
            "pm.expect(outcomes[0]).to.equal('DECLINED');",
            "pm.expect(outcomes.filter((outcome) => outcome === 'SUCCEEDED')).to.have.lengthOf(1);")),
    ]
    return folder(f"{gateway.capitalize()}: declined, then recovered", items)
