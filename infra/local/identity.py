"""Who may do what on the local stack: its secrets, made once and kept, and bearer tokens signed with them."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import string
import time

from client import Http
from console import Failure
from settings import write_private

OPS_ROLES = ("OPS_ADMIN", "OPS_FINANCE", "OPS_VIEWER")
TOKEN_SECONDS = 3600
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID = f"[{CROCKFORD}]{{26}}"
_LETTERS = string.ascii_letters + string.digits


def _random(length):
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def local_secrets(path):
    """The stack's secrets by their name below the stage. Made at random the first time, then kept: the data key
    opens what the stack has stored. Gateway keys have the shape of test keys and work at the sandbox only."""
    if path.exists():
        made = json.loads(path.read_text(encoding="utf-8"))
        if "ops-temporary-password" not in made:  # of a time when the temporary password was the only one
            made |= {"ops-temporary-password": made["ops-password"], "ops-password": _random(24)}
            write_private(path, json.dumps(made, indent=2))
        return made
    from argon2 import PasswordHasher  # lives in the stack's virtual environment

    temporary = _random(24)
    made = {
        "gateway/toss": {"clientKey": f"test_ck_{_random(32)}", "secretKey": f"test_sk_{_random(32)}"},
        "gateway/stripe": {"publishableKey": f"pk_test_{_random(48)}", "secretKey": f"sk_test_{_random(48)}"},
        "webhook/stripe": {"secret": f"whsec_{_random(32)}"},
        "auth/jwt": {"kid": "local-1", "key": _random(64)},
        "auth/ops-admin": {
            "username": "ops",
            "passwordHash": PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(temporary),
        },
        "data-key": {"kid": "local-1", "key": secrets.token_hex(32)},
        # For people and scripts; never in Secrets Manager. The first log-in replaces one by the other.
        "ops-temporary-password": temporary,
        "ops-password": _random(24),
    }
    write_private(path, json.dumps(made, indent=2))
    return made


def first_log_in(api, secrets):
    """Gives the operator a password of their own, as a person would who has the temporary one. Done once per stack."""
    username, password, temporary = secrets["auth/ops-admin"]["username"], secrets["ops-password"], secrets["ops-temporary-password"]
    path = "/api/v1/auth/login"
    if "token" in Http(api).post(path, {"username": username, "password": password}, expect=(200, 401)):
        return
    session = Http(api).post(path, {"username": username, "password": temporary})
    change = {"currentPassword": temporary, "newPassword": password}
    Http(api, session["token"]).post("/api/v1/auth/password", change)
    time.sleep(1.1)  # sessions of this second and before are over, so a token signed in it would be too


def mint(key, role, username, tenant=None, application=None):
    """A bearer token like the ones our own log-in gives, for one hour. `key`: {"kid", "key"}."""
    now = int(time.time())
    claims = {"iss": "mindgarden-billing", "iat": now, "exp": now + TOKEN_SECONDS, "jti": _ulid(now)}
    if role in OPS_ROLES:
        # The operator who logs in is an admin; another role is somebody else's.
        name = username if role == "OPS_ADMIN" else role.lower().replace("_", "-")
        claims |= {"aud": "operators", "sub": name, "role": role}
    elif role.upper() == "TENANT":
        _expect("TENANT", tenant, "ten")
        claims |= {"aud": "tenants", "sub": tenant, "role": "TENANT", "tenantId": tenant}
    elif role.upper() == "APPLICANT":
        _expect("APPLICATION", application, "req")
        own = application.replace("req_", "ten_", 1)  # an application mints its tenant's id at once
        claims |= {"aud": "applicants", "sub": application, "role": "APPLICANT", "tenantId": own}
    else:
        raise Failure(f"ROLE={role} is none of {', '.join(OPS_ROLES)}, tenant, applicant")
    return sign({"alg": "HS256", "typ": "JWT", "kid": key["kid"]}, claims, key["key"])


def sign(header, claims, key):
    parts = [_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    signed = ".".join(parts)
    return f"{signed}.{_encode(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())}"


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _ulid(now):
    value = (now * 1000 << 80) | secrets.randbits(80)
    return "".join(CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def _expect(variable, value, prefix):
    if not re.fullmatch(f"{prefix}_{ULID}", value or ""):
        raise Failure(f"{variable}={value or ''} is not an id like {prefix}_ and 26 characters")
