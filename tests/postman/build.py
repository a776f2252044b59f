#!/usr/bin/env python3
"""Writes the Postman collection and its environment (`make collection`). Change what is said here, never the JSON."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import journeys  # noqa: E402
import operations  # noqa: E402
from parts import COMMON  # noqa: E402

COLLECTION = HERE / "mindgarden-billing.postman_collection.json"
ENVIRONMENT = HERE / "local.postman_environment.json"
ABOUT = (
    "The whole journey at both gateways, operations and refusals, against a local stack (`make test-postman`). Folders run in "
    "order: the first one logs in, the last one out. Made by tests/postman/build.py."
)
SECRET = "opsPassword"


def collection():
    folders = [operations.start()]
    folders += [journeys.journey(gateway) for gateway in ("toss", "stripe")]
    folders += [journeys.declined(gateway) for gateway in ("toss", "stripe")]
    folders += [operations.operations(), operations.strangers(), operations.errors(), operations.leave()]
    for folder in folders:
        for item in folder["item"]:
            # The log-in's cookie would speak for those who bring no token.
            item["protocolProfileBehavior"] = {"disableCookies": True}
    schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    return {
        "info": {"name": "MindGarden Billing", "description": ABOUT, "schema": schema},
        "item": folders,
        "event": [{"listen": "test", "script": {"type": "text/javascript", "exec": COMMON}}],
        "variable": [{"key": "tries", "value": "0"}],
    }


def environment():
    names = ("apiUrl", "webhookUrl", "sandboxUrl", "opsUsername", SECRET)
    values = [{"key": name, "value": "", "type": "secret" if name == SECRET else "default", "enabled": True} for name in names]
    return {"name": "Local stack", "values": values, "_postman_variable_scope": "environment"}


def files():
    """What belongs in each file."""
    made = {COLLECTION: collection(), ENVIRONMENT: environment()}
    return {path: json.dumps(value, ensure_ascii=False, indent=1) + "\n" for path, value in made.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
