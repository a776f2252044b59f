"""The sample journey over HTTP, once per gateway: apply, card, approval, first payment, a renewal, a declined card,
recovery. Prints what happens and stops at the first thing that is not as it should be.

It may run again on a stack that has already travelled in time: the clock never goes back, so every billing run here is
placed after both the due instant and the sandbox's own clock.
"""

import time
from datetime import datetime, timedelta, timezone

from client import Http, run_billing
from console import Failure, say

GATEWAYS = ("toss", "stripe")
WAIT_SECONDS = 30
PLAN, ADDON = "standard", "sms"


class Journey:
    """One business on its way through one gateway. `ops`: API client of an operator; `stripe`: the gateway's wire."""

    def __init__(self, gateway, api_url, sandbox, ops, stripe):
        self.gateway = gateway
        self.public = Http(api_url)
        self.sandbox = sandbox
        self.ops = ops
        self.stripe = stripe
        self.card = {}  # how the sandbox knows the registered card
        self.ulid = ""

    def run(self):
        say(f"\n  {self.gateway.upper()}")
        self.apply()
        self.register_card()
        self.approve()
        self.renew()
        self.decline()
        self.recover()
        self.audit()

    def apply(self):
        plans = self.public.get("/api/v1/plans")["plans"]
        say("  1. plans: " + ", ".join(f"{plan['name']} {won(plan['price']['amount'])}" for plan in plans))
        plan = next(plan for plan in plans if plan["code"] == PLAN)
        addon = next(addon for addon in plan["addons"] if addon["code"] == ADDON)
        self.amount = plan["price"]["amount"] + addon["price"]["amount"]
        self.application = self.public.post("/api/v1/onboarding/requests", {
            "businessName": f"Garden Academy ({self.gateway})",
            "contact": {"name": "Kim Mindgarden", "email": "owner@example.com", "phone": "010-1234-5678"},
            "planCode": PLAN,
            "addonCodes": [ADDON],
            "consents": {"terms": True, "privacy": True, "recurring": True},
        })
        self.applicant = Http(self.public.base, self.application["applicationToken"])
        expect(self.application["status"], "SUBMITTED", "status of the application")
        say(f"  2. applied for {plan['name']} + {addon['name']}, {won(self.amount)} a month: {self.application['id']}")

    def register_card(self):
        setup = self.applicant.post("/api/v1/billing/payment-methods/setup", {"gateway": self.gateway})
        if self.gateway == "toss":
            key = setup["customerKey"]
            window = self.sandbox.post("/__sandbox/toss/auth-keys", {"customerKey": key, "card": "approved"})
            body = {"gateway": "toss", "authKey": window["authKey"], "customerKey": key}
            self.card = {"customerKey": key}
        else:
            intent = setup["clientSecret"].split("_secret_")[0]
            self.sandbox.post("/__sandbox/stripe/confirm-setup", {"setupIntent": intent, "paymentMethod": "pm_card_visa"})
            body = {"gateway": "stripe", "setupIntentId": intent}
            self.card = {"paymentMethod": self.stripe.get(f"/v1/setup_intents/{intent}")["payment_method"]}
        method = self.applicant.post("/api/v1/billing/payment-methods", body)
        expect(method["status"], "ACTIVE", "status of the payment method")
        say(f"  3. card registered in the gateway's window: {method.get('brand') or 'card'} ...{method.get('last4') or ''}")

    def approve(self):
        path = f"/api/v1/onboarding/requests/{self.application['id']}"
        self.ops.post(f"{path}/decision", {"status": "APPROVED"}, expect=(200, 202))
        say("  4. approved by an operator")
        identity = wait_for(lambda: self.ops.get(path).get("subscriptionId"), "a subscription")
        self.path = f"/api/v1/billing/subscriptions/{identity}"
        self.ulid = identity.split("_", 1)[1]
        self.await_status("ACTIVE")
        paid = self.expect_cycle(0, "PAID")
        say(f"  5. first payment {won(paid['total'])} (supply {won(paid['supply'])} + VAT {won(paid['vat'])}), ACTIVE")

    def renew(self):
        at = self.bill()
        paid = self.expect_cycle(1, "PAID")
        period = paid["period"]
        say(f"  6. one month later ({at[:10]}): renewed for {won(paid['total'])}, {period['start']} to {period['end']}")

    def decline(self):
        self.sandbox.post("/__sandbox/behaviour", {**self.card, "card": self.failing_card()})
        at = self.bill()
        self.expect_cycle(2, "OPEN")
        dunning = self.ops.get(self.path).get("dunning")
        if not dunning:
            raise Failure("the card was declined, but the subscription shows no dunning")
        say(f"  7. next month ({at[:10]}): declined ({dunning['lastDecline']['code']}), next try {dunning.get('nextRetryAt', 'none')}")

    def failing_card(self):
        return "insufficient_funds" if self.gateway == "toss" else "pm_card_chargeDeclinedInsufficientFunds"

    def recover(self):
        working = "approved" if self.gateway == "toss" else "pm_card_visa"
        self.sandbox.post("/__sandbox/behaviour", {**self.card, "card": working})
        self.ops.post(f"{self.path}/retry", {}, expect=(200, 202))
        self.await_status("ACTIVE")
        wait_for(lambda: self.cycle(2)["status"] == "PAID", "cycle 2 to be paid")
        if self.ops.get(self.path).get("dunning"):
            raise Failure("cycle 2 is paid, but the dunning case is still open")
        say(f"  8. retried with the card working again: {won(self.cycle(2)['total'])} paid, dunning closed")

    def audit(self):
        """The gateway's own ledger is the judge: one capture per paid cycle, of its amount, and none besides."""
        paid = {cycle["index"]: cycle["total"] for cycle in self.cycles() if cycle["status"] == "PAID"}
        entries = self.sandbox.get("/__sandbox/ledger")["entries"]
        mine = [e for e in entries if e["kind"] == "capture" and (e.get("orderId") or "").startswith(self.ulid)]
        taken = sorted((int(entry["orderId"].split("-")[1]), entry["amount"]) for entry in mine)
        expect(taken, sorted(paid.items()), "captures in the gateway's ledger")
        say(f"  9. gateway ledger: {len(taken)} paid cycles, exactly one capture each, {won(sum(a for _, a in taken))} in all")

    def bill(self):
        """A billing run some hours after the next charge is due, but never before the sandbox's clock."""
        due = instant(self.ops.get(self.path)["nextBillingAt"]) + timedelta(hours=3)
        clock = instant(self.sandbox.get("/__sandbox/clock")["now"]) + timedelta(minutes=1)
        as_of = max(due, clock).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        run_billing(self.ops, as_of, progress=False)
        return as_of

    def cycles(self):
        return self.ops.get(f"{self.path}/cycles")["items"]

    def cycle(self, index):
        for cycle in self.cycles():
            if (cycle["index"], cycle["seq"]) == (index, 0):
                return cycle
        raise Failure(f"{self.path} has no cycle {index}")

    def expect_cycle(self, index, status):
        cycle = self.cycle(index)
        expect(cycle["status"], status, f"status of cycle {index}")
        expect(cycle["total"], self.amount, f"total of cycle {index}")
        return cycle

    def await_status(self, status):
        wait_for(lambda: self.ops.get(self.path)["status"] == status, f"the subscription to be {status}")


def travel(api_url, sandbox_url, ops_token, stripe_key):
    """Runs the journey for both gateways."""
    sandbox, ops = Http(sandbox_url), Http(api_url, ops_token)
    say("\nSample journey")
    for gateway in GATEWAYS:
        Journey(gateway, api_url, sandbox, ops, Http(sandbox_url, stripe_key)).run()


def won(amount):
    return f"₩{amount:,}"


def instant(text):
    """RFC 3339 to a datetime; Python before 3.11 knows neither Z nor nanoseconds."""
    seconds, _, _ = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(seconds.removesuffix("+00:00") + "+00:00")


def expect(actual, wanted, what):
    if actual != wanted:
        raise Failure(f"{what}: expected {wanted}, found {actual}")


def wait_for(condition, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {WAIT_SECONDS} s for {what}")
        time.sleep(0.2)
