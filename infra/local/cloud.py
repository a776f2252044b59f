"""The emulated cloud: emulator up, template.yaml itself deployed, secrets and plans seeded, sandbox connected."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone

import boto3
from botocore.exceptions import ClientError

import policies
import tools
from client import Http
from console import Failure, step
from processes import Daemon
from rotate import MADE_BY_US
from settings import ARTIFACTS, CHECKOUT, HERE, MAIL_FROM, REGION

NEVER_LIVED = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")  # a first deploy that failed: nothing to keep
DEPLOYED = "deployed-fingerprint"  # kept in the emulator, so that it is lost together with what it describes


@dataclass(frozen=True)
class Addresses:
    """Bases that end before /api/v1, path style so that any client can resolve them."""

    api: str
    webhook: str


def aws(settings, service):
    return boto3.client(
        service, endpoint_url=settings.emulator_url, region_name=REGION,
        aws_access_key_id="test", aws_secret_access_key="test",
    )


def emulator(settings):
    return Daemon("emulator", settings.home, settings.emulator_port)


def sandbox(settings):
    return Daemon("sandbox", settings.home, settings.sandbox_port)


def start_emulator(settings, python):
    """Nothing of the developer's shell gets in: functions inherit the emulator's environment, and a stray variable
    could make a function work that template.yaml does not equip."""
    home = settings.home
    scratch = home / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    env = settings.aws_env() | {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(scratch),
        "GATEWAY_PORT": str(settings.emulator_port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(settings.state / "emulator"),
        "AUTH": "true" if settings.enforce_iam else "false",
    }
    if settings.enforce_iam:
        env["RECORD_CALLS"] = str(home / policies.RECORD)
    daemon = emulator(settings)
    sources = [tools.digest(HERE / "emulator.py"), tools.digest(HERE / "requirements.txt"), json.dumps(env)]
    identity = hashlib.sha256("".join(sources).encode()).hexdigest()
    if daemon.runs(identity):
        return step(f"emulator runs already on {settings.emulator_url}")
    daemon.stop()
    shutil.rmtree(scratch, ignore_errors=True)  # code of functions of an earlier life
    scratch.mkdir()
    daemon.start([str(python), str(HERE / "emulator.py")], env, identity, lambda: answers(settings.emulator_url + "/_ministack/health"))
    step(f"emulator up on {settings.emulator_url}")


def answers(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def deploy(settings, sam):
    """`sam deploy` of template.yaml, unless exactly this template, these parameters and these binaries are there."""
    fingerprint = _fingerprint(settings)
    stack = _stack(settings)
    if fingerprint == _deployed(settings) and stack.get("Outputs"):
        return step("deployed already, nothing changed")
    if stack.get("StackStatus") in NEVER_LIVED:
        aws(settings, "cloudformation").delete_stack(StackName=settings.stack_name)
    step("deploying template.yaml")
    try:
        aws(settings, "s3").create_bucket(Bucket=ARTIFACTS, CreateBucketConfiguration={"LocationConstraint": REGION})
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
    log, started = settings.home / "deploy.log", datetime.now(timezone.utc)
    command = [
        str(sam), "deploy", "--config-env", "local", "--template-file", "template.yaml", "--no-progressbar",
        "--stack-name", settings.stack_name, "--s3-bucket", ARTIFACTS,
        "--parameter-overrides", *(f"{name}={value}" for name, value in settings.parameters().items()),
    ]
    with open(log, "wb") as sink:
        done = subprocess.run(
            command, cwd=CHECKOUT, env=settings.tool_env(), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, check=False
        )
    if done.returncode != 0:
        raise Failure(f"deploy failed: {_refused(settings, started) or _complaint(log)} (all of it: {log})")
    aws(settings, "ssm").put_parameter(Name=f"/{settings.stage}/{DEPLOYED}", Value=fingerprint, Type="String", Overwrite=True)
    step("deployed")


def _fingerprint(settings):
    names = tools.function_names()
    parts = [tools.digest(CHECKOUT / "template.yaml"), json.dumps(settings.parameters())]
    parts += [tools.digest(CHECKOUT / "target" / "lambda" / name / "bootstrap") for name in names]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _deployed(settings):
    try:
        return aws(settings, "ssm").get_parameter(Name=f"/{settings.stage}/{DEPLOYED}")["Parameter"]["Value"]
    except ClientError:
        return None


def _stack(settings):
    try:
        return aws(settings, "cloudformation").describe_stacks(StackName=settings.stack_name)["Stacks"][0]
    except ClientError:
        return {}


def _refused(settings, since):
    """The first resource that could not be made, and why."""
    try:
        events = aws(settings, "cloudformation").describe_stack_events(StackName=settings.stack_name)["StackEvents"]
    except ClientError:
        return None
    failed = [e for e in events if e["Timestamp"] >= since and e["ResourceStatus"].endswith("_FAILED")]
    first = min(failed, key=lambda event: event["Timestamp"], default=None)
    return first and f"{first['LogicalResourceId']}: {first.get('ResourceStatusReason', 'no reason given')}"


def _complaint(log):
    """The line of SAM's output that says why; the last one if none looks like it."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"Error|FAILED|Failed|Unsupported|Invalid", line)]
    return (telling or lines or ["no output"])[-1]


def addresses(settings):
    """Read again after every deploy: the emulator gives an API a new id whenever its definition changes."""
    outputs = {output["OutputKey"]: output["OutputValue"] for output in _stack(settings).get("Outputs", [])}
    if "ApiId" not in outputs or "WebhookUrl" not in outputs:
        raise Failure("the deployed stack has no ApiId and WebhookUrl outputs")
    url_id = outputs["WebhookUrl"].split("//")[1].split(".")[0]
    return Addresses(
        api=f"{settings.emulator_url}/_aws/execute-api/{outputs['ApiId']}/{settings.stage}",
        webhook=f"{settings.emulator_url}/_aws/lambda-url/{url_id}",
    )


def seed_secrets(settings, secrets):
    """Puts our values where functions read them, and only where they differ: each put is a rotation."""
    manager = aws(settings, "secretsmanager")
    for name in (name for name in secrets if not name.startswith("ops-")):
        path, value = f"{settings.stage}/{name}", json.dumps(secrets[name])
        try:
            present = manager.get_secret_value(SecretId=path).get("SecretString")
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            present = None
        if name == "data-key" and present and json.loads(present)["kid"].startswith(MADE_BY_US):
            continue  # `make rotate-keys` made it since; ours may open nothing any more
        if present != value:
            manager.put_secret_value(SecretId=path, SecretString=value)


def seed_mail(settings):
    """The sender's identity, which the emulator verifies by itself."""
    try:
        aws(settings, "sesv2").create_email_identity(EmailIdentity=MAIL_FROM)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise


def seed_plans(settings, built):
    """The store module owns the shape of a plan's row, so its own program writes it. Existing versions stay."""
    env = os.environ | settings.aws_env() | {"STAGE": settings.stage}
    tools.run([str(built / "seed_plans"), str(HERE / "plans.json")], "seeding plans", env=env)


def start_sandbox(settings, built, webhook_base, stripe_secret):
    """The two gateways. Runs from a copy, because the next build replaces the program."""
    program = settings.home / "bin" / "gateway-sandbox"
    tools.install(built / "gateway-sandbox", program)
    hooks = {gateway: f"{webhook_base}/api/v1/billing/payments/webhook/{gateway}" for gateway in ("toss", "stripe")}
    daemon = sandbox(settings)
    identity = tools.digest(program)
    if not daemon.runs(identity):
        daemon.stop()
        settings.state.mkdir(parents=True, exist_ok=True)
        command = [
            str(program), "--port", str(settings.sandbox_port), "--state", str(settings.state / "sandbox.json"),
            "--toss-webhook", hooks["toss"], "--stripe-webhook", hooks["stripe"], "--stripe-webhook-secret", stripe_secret,
        ]
        env = {"PATH": "/usr/bin:/bin", "HOME": str(settings.home), "RUST_LOG": "info"}
        daemon.start(command, env, identity, lambda: answers(settings.sandbox_url + "/__sandbox/health"))
        return step(f"gateway sandbox up on {settings.sandbox_url}")
    control = Http(settings.sandbox_url)
    for gateway, url in hooks.items():  # the address may have changed with the deploy
        body = {"gateway": gateway, "url": url} | ({"secret": stripe_secret} if gateway == "stripe" else {})
        control.post("/__sandbox/webhook-endpoints", body)
    return step(f"gateway sandbox runs already on {settings.sandbox_url}")
