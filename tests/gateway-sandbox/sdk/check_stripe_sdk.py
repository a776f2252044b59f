#!/usr/bin/env python3
"""Drives the sandbox with Stripe's official Python SDK: if their client is content, the wire is Stripe's.

usage: check_stripe_sdk.py BASE_URL [--venv DIR] [--install] [--own-endpoint] [--verifier PROGRAM]
                           [--event FILE --signature HEADER --webhook-secret SECRET]

Webhook signatures: the published vector is always checked; a delivered event is checked if it is handed over (its exact
bytes in FILE and its Stripe-Signature header), or if --own-endpoint lets this program register an endpoint of its own. The
sandbox delivers to one endpoint only, so --own-endpoint is for a sandbox that nobody else listens to.

With --verifier, PROGRAM (tests/bin/verify_webhook.rs: what our webhook function verifies with) is handed events that the
SDK signed, and must take what the SDK takes and refuse what it refuses.

The SDK (stripe==16.1.0) is taken from the virtual environment DIR (or $STRIPE_SDK_VENV); with --install the environment
is made and filled first. Without either, the interpreter that runs this must have it. Prints one line per check, then
"N passed, M failed"; exits 1 if anything failed and 2 if it could not start. Besides the API it calls nothing but the
sandbox's ledger (to count effects).
"""

import argparse
import http.server
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
import uuid

SDK = "stripe==16.1.0"
API_VERSION = "2026-10-28.endive"
WAIT = 20  # seconds for a webhook


def enter_venv(directory, install):
    """Runs this program again inside the environment, once."""
    python = os.path.join(directory, "bin", "python")
    if install and not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    if install:
        subprocess.run([python, "-m", "pip", "install", "--quiet", SDK], check=True)
    if not os.path.exists(python):
        sys.exit(f"no virtual environment at {directory} (use --install)")
    if os.path.abspath(sys.prefix) != os.path.abspath(directory):
        os.execv(python, [python, *sys.argv])


class Checks:
    """Counts and prints."""

    def __init__(self):
        self.passed = self.failed = 0

    def that(self, what, holds, seen=None):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        print(("ok    " if holds else "FAIL  ") + what + ("" if holds else f" - saw {seen!r}"))

    def raises(self, what, kind, work):
        """The error of the expected class, or None (counted as a failure)."""
        try:
            answer = work()
        except kind as error:
            self.that(what, True)
            return error
        except Exception as error:  # a wrong class of error is a finding, not a crash
            self.that(what, False, error)
            return None
        self.that(what, False, answer)
        return None


class Receiver:
    """A webhook endpoint on a free port: keeps the exact bytes and the signature header."""

    def __init__(self):
        posts = self.posts = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                posts.put((body, self.headers.get("stripe-signature")))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def first(self, kind, about):
        """The first event of this type about this object."""
        while True:
            body, signature = self.posts.get(timeout=WAIT)
            event = json.loads(body)
            if event["type"] == kind and event["data"]["object"]["id"] == about:
                return body, signature


def ledger(base, order):
    with urllib.request.urlopen(f"{base}/__sandbox/ledger", timeout=WAIT) as answer:
        entries = json.load(answer)["entries"]
    return [(entry["kind"], entry["amount"]) for entry in entries if entry["orderId"] == order]


def save_card(client, checks, alias):
    """A customer with a card saved through a SetupIntent."""
    customer = client.v1.customers.create(params={"name": "SDK check", "metadata": {"tenant": "ten_sdk"}})
    checks.that("create a customer", customer.id.startswith("cus_"), customer)
    automatic = {"enabled": True, "allow_redirects": "never"}
    setup = client.v1.setup_intents.create(
        params={"customer": customer.id, "usage": "off_session", "automatic_payment_methods": automatic}
    )
    checks.that("create a SetupIntent", setup.status == "requires_payment_method", setup)
    setup = client.v1.setup_intents.confirm(setup.id, params={"payment_method": alias})
    real = setup.status == "succeeded" and str(setup.payment_method) != alias
    checks.that(f"confirm it with {alias}", real, setup)
    saved = client.v1.customers.payment_methods.list(customer.id, params={"type": "card"})
    checks.that("the card is the customer's", [it.id for it in saved.data] == [setup.payment_method], saved)
    return customer.id, setup.payment_method


def charge_params(customer, method, order, amount):
    return {
        "amount": amount,
        "currency": "krw",
        "customer": customer,
        "payment_method": method,
        "off_session": True,
        "confirm": True,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "metadata": {"order_id": order},
    }


def check_charges(stripe, client, checks, base):
    customer, method = save_card(client, checks, "pm_card_visa")
    order, key = f"sdk-{uuid.uuid4().hex}", uuid.uuid4().hex
    params = {**charge_params(customer, method, order, 33000), "expand": ["latest_charge.balance_transaction"]}
    intent = client.v1.payment_intents.create(params=params, options={"idempotency_key": key})
    checks.that("charge off-session", intent.status == "succeeded" and intent.amount_received == 33000, intent)
    fee = intent.latest_charge.balance_transaction.fee
    checks.that("expanded charge carries its fee", fee == 1188, fee)
    replay = client.v1.payment_intents.create(params=params, options={"idempotency_key": key})
    replayed = replay.last_response.headers.get("idempotent-replayed") == "true"
    checks.that("the same key replays the same intent", replay.id == intent.id and replayed, replay)
    checks.raises(
        "the same key with another amount is refused",
        stripe.IdempotencyError,
        lambda: client.v1.payment_intents.create(
            params={**params, "amount": 34000}, options={"idempotency_key": key}
        ),
    )
    checks.that("one capture in the ledger", ledger(base, order) == [("capture", 33000)], ledger(base, order))
    listed = client.v1.payment_intents.list(params={"customer": customer})
    checks.that("the list finds it", [it.id for it in listed.data] == [intent.id], listed)
    checks.raises(
        "payment_method_types is refused",
        stripe.InvalidRequestError,
        lambda: client.v1.payment_intents.create(params={**params, "payment_method_types": ["card"]}),
    )
    return intent, order, key


def check_declines(stripe, client, checks, base):
    customer, method = save_card(client, checks, "pm_card_chargeCustomerFail")
    order = f"sdk-{uuid.uuid4().hex}"
    error = checks.raises(
        "a declined charge is a CardError",
        stripe.CardError,
        lambda: client.v1.payment_intents.create(params=charge_params(customer, method, order, 5500)),
    )
    if error is not None:
        intent = error.error.payment_intent
        shape = (error.http_status, error.code, error.error.decline_code, intent.status, intent.payment_method)
        expected = (402, "card_declined", "generic_decline", "requires_payment_method", None)
        checks.that("with its intent inside", shape == expected, shape)
        found = client.v1.payment_intents.retrieve(intent.id)
        checks.that("which exists", found.last_payment_error.code == "card_declined", found)
    checks.that("one decline in the ledger", ledger(base, order) == [("decline", 5500)], ledger(base, order))
    checks.raises(
        "a plain decline card cannot be saved",
        stripe.CardError,
        lambda: client.v1.payment_methods.attach(
            "pm_card_visa_chargeDeclinedInsufficientFunds", params={"customer": customer}
        ),
    )


def check_refunds(stripe, client, checks, base, intent, order):
    refund = client.v1.refunds.create(params={"payment_intent": intent.id, "amount": 3000})
    checks.that("refund a part", (refund.status, refund.amount) == ("succeeded", 3000), refund)
    error = checks.raises(
        "an over-refund is refused",
        stripe.InvalidRequestError,
        lambda: client.v1.refunds.create(params={"payment_intent": intent.id, "amount": 30001}),
    )
    checks.that("naming the amount", error is not None and error.param == "amount", error)
    expected = [("capture", 33000), ("refund", 3000)]
    checks.that("ledger holds both", ledger(base, order) == expected, ledger(base, order))


def check_event(stripe, checks, body, signature, secret):
    """The SDK takes a delivered event, and refuses it changed or under another secret."""
    event = stripe.Webhook.construct_event(body, signature, secret)
    checks.that("the SDK verifies a delivered event", event.id == json.loads(body)["id"], event)
    wrong = stripe.SignatureVerificationError
    checks.raises(
        "but not with another secret", wrong, lambda: stripe.Webhook.construct_event(body, signature, "whsec_other")
    )
    checks.raises(
        "nor with a changed body", wrong, lambda: stripe.Webhook.construct_event(body + b" ", signature, secret)
    )
    return event


def check_vector(stripe, checks):
    payload = '{"id":"evt_test_1","object":"event","type":"payment_intent.succeeded"}'
    header = "t=1767225600,v1=4ce0a350824dd6416bf546d8a6c56304bb305ed2e205299dc3dc24654cc4e6d9"
    known = stripe.WebhookSignature.verify_header(payload, header, "whsec_sandbox_0001", tolerance=None)
    checks.that("the SDK verifies the published vector", known is True, known)


def sdk_signed(stripe, body, secrets, at):
    """The header Stripe's own code makes: one signature per secret."""
    signatures = [stripe.WebhookSignature._compute_signature(f"{at}.{body}", secret) for secret in secrets]
    return ",".join([f"t={at}", *(f"v1={signature}" for signature in signatures)])


def check_verifier(stripe, checks, program):
    """Events signed by the SDK, before our verifier and before the SDK itself: both must say the same."""
    old, new, now = "whsec_" + "a" * 32, "whsec_" + "b" * 32, int(time.time())
    event = {"id": "evt_sdk", "object": "event", "type": "payment_intent.succeeded", "data": {"object": {"name": "봄날 \"1\""}}}
    plain, pretty = json.dumps(event), json.dumps(event, indent=2, ensure_ascii=False)
    good, rolling = sdk_signed(stripe, plain, [new], now), sdk_signed(stripe, pretty, [old, new], now)
    last_week = sdk_signed(stripe, plain, [new], now - 7 * 86400)
    cases = [
        ("signed now", plain, good, [new], True),
        ("written in another way and signed so", pretty, rolling, [new], True),
        ("signed with both secrets of a roll, the old one known", pretty, rolling, [old], True),
        ("signed with the new secret, both known", plain, good, [new, old], True),
        ("299 seconds old", plain, sdk_signed(stripe, plain, [new], now - 299), [new], True),
        ("a week old", plain, last_week, [new], False),
        ("signed with another secret", plain, good, [old], False),
        ("changed after it was signed", plain.replace("evt_sdk", "evt_sdx"), good, [new], False),
        ("written again after it was signed", pretty, good, [new], False),
        ("given a newer time than was signed", plain, good.replace(f"t={now}", f"t={now + 1}"), [new], False),
        ("of a scheme for tests", plain, good.replace("v1=", "v0="), [new], False),
    ]
    lines = [json.dumps({"body": b, "header": h, "secrets": s, "now": now}) for _, b, h, s, _ in cases]
    done = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, timeout=WAIT, check=False)
    verdicts = done.stdout.splitlines()
    checks.that("our verifier answers every case", len(verdicts) == len(cases), done.stdout)
    for (what, body, header, secrets, taken), verdict in zip(cases, verdicts):
        expected = "accepted payment_intent.succeeded" if taken else "refused"
        checks.that(f"our verifier, {what}: {expected.split()[0]}", verdict == expected, verdict)
        checks.that(f"the SDK agrees, {what}", any(sdk_takes(stripe, body, header, it) for it in secrets) == taken)


def sdk_takes(stripe, body, header, secret):
    try:
        return stripe.WebhookSignature.verify_header(body, header, secret, tolerance=300)
    except stripe.SignatureVerificationError:
        return False


def main():
    parser = argparse.ArgumentParser(description="Check the sandbox with Stripe's official SDK.")
    parser.add_argument("base")
    parser.add_argument("--venv", default=os.environ.get("STRIPE_SDK_VENV"))
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--own-endpoint", action="store_true")
    parser.add_argument("--verifier")
    parser.add_argument("--event")
    parser.add_argument("--signature")
    parser.add_argument("--webhook-secret")
    options = parser.parse_args()
    if len([it for it in (options.event, options.signature, options.webhook_secret) if it]) not in (0, 3):
        parser.error("--event, --signature and --webhook-secret go together")
    if options.venv:
        enter_venv(options.venv, options.install)
    try:
        import stripe
    except ImportError:
        print(f"the SDK is not here: pip install {SDK}, or pass --venv DIR --install", file=sys.stderr)
        return 2
    base = options.base.rstrip("/")
    client = stripe.StripeClient(
        "sk_test_sandbox_sdk", base_addresses={"api": base}, stripe_version=API_VERSION, max_network_retries=0
    )
    checks, receiver = Checks(), Receiver() if options.own_endpoint else None
    if receiver:
        params = {"url": receiver.url, "enabled_events": ["*"], "api_version": API_VERSION}
        hook = client.v1.webhook_endpoints.create(params=params)
        checks.that("create a webhook endpoint", hook.secret.startswith("whsec_"), hook)
    intent, order, key = check_charges(stripe, client, checks, base)
    check_declines(stripe, client, checks, base)
    check_refunds(stripe, client, checks, base, intent, order)
    check_vector(stripe, checks)
    if options.verifier:
        check_verifier(stripe, checks, options.verifier)
    if receiver:
        body, signature = receiver.first("payment_intent.succeeded", intent.id)
        event = check_event(stripe, checks, body, signature, hook.secret)
        checks.that("which echoes our idempotency key", event.request.idempotency_key == key, event.request)
    if options.event:
        with open(options.event, "rb") as handed:
            check_event(stripe, checks, handed.read(), options.signature, options.webhook_secret)
    live = "_".join(["sk", "live", "never"])
    locked = stripe.StripeClient(live, base_addresses={"api": base}, max_network_retries=0)
    checks.raises("a live key is refused", stripe.AuthenticationError, lambda: locked.v1.customers.list())
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
