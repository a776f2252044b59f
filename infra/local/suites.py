"""Test runs that need running programs: the end-to-end suite on a stack of its own, Stripe's SDK against the sandbox,
and SAM's linter. Each cleans up after itself, whatever happens."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tools
from console import Failure, say, step
from processes import Daemon, free_ports
from settings import CHECKOUT, HERE, REGION, Settings

SDK_CHECK = CHECKOUT / "tests" / "gateway-sandbox" / "sdk" / "check_stripe_sdk.py"


def end_to_end(up, down, enforce_iam, names):
    """A fresh stack on free ports, the suite against it, and everything stopped again. The logs stay if it failed."""
    parent = CHECKOUT / ".local"
    parent.mkdir(exist_ok=True)
    emulator_port, sandbox_port, openid_port = free_ports(3)
    settings = Settings(
        home=Path(tempfile.mkdtemp(prefix="e2e-", dir=parent)), stage="e2e",
        emulator_port=emulator_port, sandbox_port=sandbox_port, enforce_iam=enforce_iam, openid_port=openid_port,
    )
    passed = False
    try:
        variables = up(settings, with_journey=False, for_tests=True)
        logs = {f"{name.upper()}_LOG": str(settings.home / f"{name}.log") for name in ("emulator", "sandbox")}
        variables |= {"RESTART_EMULATOR": restart_command(settings), "OIDC_URL": settings.openid_url} | logs
        step("running the end-to-end suite" + (" with roles enforced" if enforce_iam else ""))
        # One after the other: they share a clock and compare whole tables.
        tools.cargo("test", "--workspace", "--test", "e2e", "--", "--test-threads=1", *names, env=settings.tool_env() | variables)
        if not names:
            # Last, because it leaves rows behind: the store's own suite on the tables the template made.
            step("running the store's conformance suite on the deployed tables")
            conformance = settings.tool_env() | variables | {"CONFORMANCE": "stack"}
            tools.cargo("test", "--workspace", "--test", "it", "--", "deployed_stack", env=conformance)
        if enforce_iam:
            step("comparing policies granted with policies used" if not names else "looking for calls that were refused")
            import cloud
            import policies

            policies.compare(lambda service: cloud.aws(settings, service), settings.stack_name, settings.home / policies.RECORD, whole=not names)
        passed = True
    finally:
        down(settings)
        if passed:
            shutil.rmtree(settings.home, ignore_errors=True)
        else:
            say(f"logs of the stack: {settings.home}")


def api(settings, variables):
    """The contract as strangers' programs see it: the Postman collection, then a short fuzz of what it left there."""
    import fuzz
    import postman

    postman.run(settings, variables)
    fuzz.fuzz(settings, variables, fuzz.SHORT)


def on_a_stack(up, down, run):
    """`run(settings, variables)` on a fresh stack with the sample journey's businesses, stopped again afterwards. Of its
    own, because it closes months, pauses gateways and moves time as it likes."""
    parent = CHECKOUT / ".local"
    parent.mkdir(exist_ok=True)
    emulator_port, sandbox_port = free_ports(2)
    home = Path(tempfile.mkdtemp(prefix="api-", dir=parent))
    settings = Settings(home=home, stage="api", emulator_port=emulator_port, sandbox_port=sandbox_port)
    passed = False
    try:
        run(settings, up(settings, with_journey=True, for_tests=True))
        passed = True
    finally:
        down(settings)
        if passed:
            shutil.rmtree(settings.home, ignore_errors=True)
        else:
            say(f"logs of the stack: {settings.home}")


def restart_command(settings):
    """What a test runs to stop the emulator and start it again on what it saved. Paths of a checkout hold no blanks."""
    command = [sys.executable, str(HERE / "stack.py"), "restart-emulator", str(settings.home), settings.stage]
    command += [str(settings.emulator_port), str(settings.sandbox_port)]
    return " ".join(command + (["--auth"] if settings.enforce_iam else []))


def stripe_sdk(directory):
    """Stripe's official Python SDK as a client nobody here wrote."""
    python = tools.environment(directory / "sdkvenv", HERE / "requirements-sdk.txt") / "bin" / "python"
    tools.build(for_tests=True)
    with tempfile.TemporaryDirectory(prefix="sdk-") as scratch:
        [port] = free_ports(1)
        sandbox = Daemon("sandbox", Path(scratch), port)
        program = tools.target_directory() / "debug" / "gateway-sandbox"
        url = f"http://127.0.0.1:{port}"
        import cloud

        try:
            sandbox.start(
                [str(program), "--port", str(port)], {"PATH": "/usr/bin:/bin"}, "",
                lambda: cloud.answers(f"{url}/__sandbox/health"),
            )
            step("Stripe's SDK against the sandbox")
            env = os.environ | {"SANDBOX_URL": url}
            verifier = tools.target_directory() / "debug" / "verify_webhook"
            command = [str(python), str(SDK_CHECK), url, "--own-endpoint", "--verifier", str(verifier)]
            done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, check=False)
        finally:
            sandbox.stop()
    if done.returncode != 0:
        raise Failure("Stripe's SDK and the sandbox disagree (see above)")


def validate_template(sam, settings):
    command = [str(sam), "validate", "--lint", "--template-file", "template.yaml", "--region", REGION]
    tools.run(command, "sam validate --lint", env=settings.tool_env())
    say("template.yaml: valid, no lint findings")
