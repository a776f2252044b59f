"""Rotates the data key: a new version of the secret, and every stored card re-encrypted under it by the function that
does it, so that the cipher exists once.

Secrets Manager keeps two versions. A new key therefore puts the one before the previous out of reach, and is made only
after a pass over all cards found none that still needs it, and not before the current one is old enough to be known
everywhere. An interrupted rotation is finished by running it again. On AWS it needs leave to describe the stack's
resources, to invoke the function, and to read the description of and put values into `<stage>/data-key`."""

import json
import secrets
import time
from datetime import datetime, timezone

from console import Failure, say, step

MADE_BY_US = "k-"  # how ids of keys made here begin
KNOWN_SECONDS = 360  # shared/src/secrets/cache.rs: after this nobody seals with the key before
HEARD_SECONDS = 60  # and this long the function may go on with what it read before


def rotate(client, stage, stack_name, lost=0, wait=KNOWN_SECONDS):
    """`client`: makes a boto3 client of a service. `lost`: cards known not to open, which no key brings back. `wait`: seconds
    between the new key and the last pass."""
    manager, name = client("secretsmanager"), f"{stage}/data-key"
    found = client("cloudformation").describe_stack_resource(StackName=stack_name, LogicalResourceId="RotateKeysFunction")
    function = found["StackResourceDetail"]["PhysicalResourceId"]
    step("looking for cards under an older key")
    first = _pass(client("lambda"), function)
    if first["left"] > lost:
        raise Failure(f"{first['left']} cards do not open or do not read (log of rotate_keys): repair them, or, if they are lost "
                      f"under any key, say LOST={first['left']}")
    if first["resealed"]:
        say(f"{first['resealed']} of {first['seen']} cards were under an older key; an earlier rotation is finished, run it again for a new key")
        return
    young = wait - (datetime.now(timezone.utc) - _made(manager, name)).total_seconds()
    if young > 0:
        raise Failure(f"the current data key is not known everywhere yet: try again in {int(young) + 1} s")
    kid = f"{MADE_BY_US}{datetime.now(timezone.utc):%Y%m%d-%H%M%S}"
    manager.put_secret_value(SecretId=name, SecretString=json.dumps({"kid": kid, "key": secrets.token_hex(32)}))
    step(f"data key {kid} made; re-encrypting")
    done = _pass(client("lambda"), function, kid)
    step(f"{done['resealed']} of {done['seen']} cards re-encrypted")
    time.sleep(wait)
    last = _pass(client("lambda"), function, kid)
    if max(done["left"], last["left"]) > lost:
        raise Failure("some cards were left under the older key (log of rotate_keys); it still opens them, run it again")
    say(f"data key {kid}: {last['seen']} cards, {done['resealed'] + last['resealed']} re-encrypted; the key before opens none of them")


def _made(manager, name):
    versions = manager.list_secret_version_ids(SecretId=name)["Versions"]
    return next(version["CreatedDate"] for version in versions if "AWSCURRENT" in version.get("VersionStages", ()))


def _pass(functions, name, kid=None):
    """One pass over all cards. With `kid`: from when the function knows that key."""
    deadline = time.monotonic() + HEARD_SECONDS
    total = {"seen": 0, "resealed": 0, "left": 0}
    place = None
    while True:
        said = _invoke(functions, name, {"place": place} if place else {})
        if kid not in (None, said["kid"]):
            if time.monotonic() > deadline:
                raise Failure(f"rotate_keys goes on with key {said['kid']}; run it again")
            time.sleep(2)
            continue
        for count in total:
            total[count] += said[count]
        place = said.get("next")
        if place is None:
            return total


def _invoke(functions, name, payload):
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(payload).encode())
    said = json.loads(answer["Payload"].read() or b"null")
    if answer.get("FunctionError"):
        raise Failure(f"rotate_keys: {said.get('errorMessage', 'failed')}")
    return said
