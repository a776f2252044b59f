#!/usr/bin/env python3
"""The local stack: the real template.yaml on an emulated cloud, the gateway sandbox, and the sample journey.

`make help` names the usual ways in; this program is what they call. Commands that talk to AWS run in the stack's own
virtual environment, so a bare `python3` is enough to start it.
"""

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import settings as stack_settings
import tools
from console import Failure, say, step
from processes import only_one


def in_environment(settings, make=False):
    """Goes on inside the stack's virtual environment. `make`: build it first if need be."""
    python = settings.tools / "venv" / "bin" / "python"
    if make:
        python = tools.stack_python(settings.tools)
    elif not python.exists():
        raise Failure("no local stack here: run `make up` first")
    if os.path.abspath(sys.prefix) != str(python.parent.parent):
        os.execv(python, [str(python), *sys.argv])


def up(settings, with_journey, for_tests=False):
    """Builds, starts and deploys everything; keeps whatever is there already. Returns the stack's variables."""
    import cloud
    import identity
    import openid

    settings.home.mkdir(parents=True, exist_ok=True)
    for daemon in _daemons(settings):
        daemon.need_port()
    sam = tools.sam(settings.tools)
    step("building (the first time takes minutes)")
    built = tools.build(for_tests)
    cloud.start_emulator(settings, tools.stack_python(settings.tools))
    openid.start(settings)
    cloud.deploy(settings, sam)
    secrets = identity.local_secrets(settings.home / "secrets.json")
    # Chat messages of a laptop stay on it; the address follows the sandbox's port.
    chat = {"chat/slack": {"url": f"{settings.sandbox_url}/__sandbox/slack"}}
    cloud.seed_secrets(settings, secrets | chat)
    cloud.seed_mail(settings)
    cloud.seed_plans(settings, built)
    step("secrets and plans seeded")
    where = cloud.addresses(settings)
    identity.first_log_in(where.api, secrets)
    stripe_secret = secrets["webhook/stripe"]["secret"]
    cloud.start_sandbox(settings, built, where.webhook, stripe_secret)
    variables = settings.aws_env() | {
        "API_URL": where.api,
        "WEBHOOK_URL": where.webhook,
        "SANDBOX_URL": settings.sandbox_url,
        "STAGE": settings.stage,
        "STACK_NAME": settings.stack_name,
        "STRIPE_WEBHOOK_SECRET": stripe_secret,
        "OPS_USERNAME": secrets["auth/ops-admin"]["username"],
        "OPS_PASSWORD": secrets["ops-password"],
        "EMULATOR_PID": str(cloud.emulator(settings).pid),
        "SANDBOX_PID": str(cloud.sandbox(settings).pid),
    }
    lines = "".join(f"{name}={value}\n" for name, value in variables.items())
    stack_settings.write_private(settings.env_file, lines)
    if with_journey:
        import journey

        key = secrets["gateway/stripe"]["secretKey"]
        token = identity.mint(secrets["auth/jwt"], "OPS_ADMIN", variables["OPS_USERNAME"])
        step("running the sample journey")
        journey.travel(where.api, settings.sandbox_url, token, key)
    return variables


def down(settings):
    """Stops the emulator before the sandbox, whose answers running functions may still wait for."""
    stopped = [daemon.name for daemon in _daemons(settings) if daemon.stop()]
    return stopped


def _daemons(settings):
    from processes import Daemon

    ports = {"emulator": settings.emulator_port, "sandbox": settings.sandbox_port}
    if settings.openid_port:
        ports["openid"] = settings.openid_port
    return [Daemon(name, settings.home, port) for name, port in ports.items()]


def command_up(settings, arguments):
    tools.prerequisites()
    in_environment(settings, make=True)
    with only_one(settings.home / "lock", "make up"):
        variables = up(settings, with_journey=not arguments.no_journey)
    say(f"""
The stack runs.
  API       {variables['API_URL']}/api/v1
  webhooks  {variables['WEBHOOK_URL']}/api/v1/billing/payments/webhook
  sandbox   {variables['SANDBOX_URL']}
  AWS       {variables['AWS_ENDPOINT_URL']} (stack {variables['STACK_NAME']})
  operator  {variables['OPS_USERNAME']}, password in .local/stack.env with all the rest
Next: make token ROLE=OPS_ADMIN · make run-billing AS_OF=... · make down""")


def command_down(settings, _arguments):
    with only_one(settings.home / "lock", "make up"):
        stopped = down(settings)
    say(f"stopped: {', '.join(stopped)}; data kept in .local" if stopped else "nothing was running")


def command_status(settings, _arguments):
    for daemon in _daemons(settings):
        say(f"{daemon.name:9} {f'runs (pid {daemon.pid}), port {daemon.port}' if daemon.pid else 'is down'}")
    if settings.env_file.exists():
        known = stack_settings.read_env_file(settings.env_file)
        say("".join(f"{name:9} {known[name]}\n" for name in ("API_URL", "WEBHOOK_URL", "SANDBOX_URL")).rstrip())


def _running(settings):
    """Variables of the stack that is up, and an operator's key to it: read from where the functions read it."""
    variables = stack_settings.read_env_file(settings.env_file)
    if not all(daemon.pid for daemon in _daemons(settings)):
        raise Failure("the local stack is down: run `make up` first")
    import cloud

    settings = replace(settings, emulator_port=urlsplit(variables["AWS_ENDPOINT_URL"]).port)
    secret = cloud.aws(settings, "secretsmanager").get_secret_value(SecretId=f"{variables['STAGE']}/auth/jwt")
    return variables, json.loads(secret["SecretString"])


def command_token(settings, arguments):
    in_environment(settings)
    import identity

    variables, key = _running(settings)
    say(identity.mint(key, arguments.role, variables["OPS_USERNAME"], arguments.tenant, arguments.application))


def _operator(variables, key):
    import client
    import identity

    return client.Http(variables["API_URL"], identity.mint(key, "OPS_ADMIN", variables["OPS_USERNAME"]))


def command_run_billing(settings, arguments):
    in_environment(settings)
    import client

    ops = _operator(*_running(settings))
    run = client.run_billing(ops, arguments.as_of)
    forecast = run.get("forecast") or {}
    say(f"run {run['id']} {run['status']}: forecast {forecast.get('count', 0)}, charged {run.get('charged', 0)}, "
        f"declined {run.get('declined', 0)}, unknown {run.get('unknown', 0)}")


def command_journey(settings, _arguments):
    in_environment(settings)
    import identity
    import journey

    variables, key = _running(settings)
    stripe = identity.local_secrets(settings.home / "secrets.json")["gateway/stripe"]["secretKey"]
    token = identity.mint(key, "OPS_ADMIN", variables["OPS_USERNAME"])
    journey.travel(variables["API_URL"], variables["SANDBOX_URL"], token, stripe)


def _stage(settings, stage):
    """A maker of clients, the stage and the stack's name: the local stack, or a stage deployed on AWS."""
    import boto3
    from botocore.config import Config

    import cloud

    if stage in (None, settings.stage):
        variables, _ = _running(settings)
        settings = replace(settings, emulator_port=urlsplit(variables["AWS_ENDPOINT_URL"]).port)
        return lambda service: cloud.aws(settings, service), settings.stage, settings.stack_name
    session = boto3.Session(region_name=stack_settings.REGION)
    # A verification may take as long as a function may run.
    patient = Config(read_timeout=930, retries={"max_attempts": 0})
    return lambda service: session.client(service, config=patient), stage, f"mindgarden-billing-{stage}"


def command_replay_events(settings, arguments):
    in_environment(settings)
    import replay

    client, stage, stack_name = _stage(settings, arguments.stage)
    replay.replay(client, stage, stack_name, arguments.day)


def command_seal_audit(settings, arguments):
    in_environment(settings)
    import audit

    client, _, stack_name = _stage(settings, arguments.stage)
    audit.seal(client, stack_name)


def command_verify_audit(settings, arguments):
    in_environment(settings)
    import audit

    client, _, stack_name = _stage(settings, arguments.stage)
    audit.verify(client, stack_name, arguments.first, arguments.last)


def command_reconcile(settings, arguments):
    in_environment(settings)
    import reconcile

    client, _, stack_name = _stage(settings, arguments.stage)
    reconcile.reconcile(client, stack_name, arguments.day)


def command_rotate_keys(settings, arguments):
    in_environment(settings)
    import rotate

    client, stage, stack_name = _stage(settings, arguments.stage)
    rotate.rotate(client, stage, stack_name, arguments.lost)


def command_sam_local(settings, _arguments):
    in_environment(settings)
    import sam_local

    variables, _ = _running(settings)
    sam_local.write(variables["AWS_ENDPOINT_URL"], variables["STACK_NAME"], settings)


def command_e2e(settings, arguments):
    tools.prerequisites()
    in_environment(settings, make=True)
    import suites

    suites.end_to_end(up, down, arguments.auth, arguments.filter)


def command_fuzz_api(settings, arguments):
    tools.prerequisites()
    in_environment(settings, make=True)
    import fuzz
    import suites

    effort = fuzz.LONG if arguments.cases is None else replace(fuzz.LONG, cases=arguments.cases)
    suites.on_a_stack(up, down, lambda own, variables: fuzz.fuzz(own, variables, effort))


def command_api(settings, _arguments):
    tools.prerequisites()
    in_environment(settings, make=True)
    import suites

    suites.on_a_stack(up, down, suites.api)


def command_postman(settings, _arguments):
    tools.prerequisites()
    in_environment(settings, make=True)
    import postman
    import suites

    suites.on_a_stack(up, down, postman.run)


def command_restart_emulator(_settings, arguments):
    import cloud

    settings = stack_settings.Settings(
        home=Path(arguments.home), stage=arguments.stage, emulator_port=arguments.emulator_port,
        sandbox_port=arguments.sandbox_port, enforce_iam=arguments.auth,
    )
    in_environment(settings)
    cloud.emulator(settings).stop()
    cloud.start_emulator(settings, tools.stack_python(settings.tools))


def command_sdk_check(settings, _arguments):
    tools.prerequisites()
    in_environment(settings, make=True)
    import suites

    suites.stripe_sdk(settings.tools)


def command_validate(settings, _arguments):
    import suites

    suites.validate_template(tools.sam(settings.tools), settings)


def command_planted_bugs(_settings, arguments):
    tools.prerequisites()
    import planted

    planted.planted_bugs(arguments.bug)


def command_mutants(settings, arguments):
    tools.prerequisites()
    import mutants

    mutants.mutants(settings.tools, arguments.file)


def command_package(settings, arguments):
    tools.prerequisites()
    import package

    package.package(settings.tools, arguments.only)


def command_deploy(settings, arguments):
    import package

    package.deploy(tools.sam(settings.tools), arguments.stage)


def parser():
    top = argparse.ArgumentParser(prog="stack.py", description=__doc__.split("\n")[0])
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name, run, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    command = add("up", command_up, "Build, start, deploy, seed, run the sample journey; leave the stack running.")
    command.add_argument("--no-journey", action="store_true", help="leave the sample journey out")
    add("down", command_down, "Stop everything; the data stays.")
    add("status", command_status, "Show what runs and where.")
    add("journey", command_journey, "Run the sample journey on the running stack.")
    command = add("token", command_token, "Print one bearer token, valid for an hour.")
    command.add_argument("role", help="OPS_ADMIN, OPS_FINANCE, OPS_VIEWER, tenant or applicant")
    command.add_argument("--tenant", help="tenant id, for the role tenant")
    command.add_argument("--application", help="application id, for the role applicant")
    command = add("run-billing", command_run_billing, "Start a billing run and wait until it is DRAINED.")
    command.add_argument("--as-of", help="the run's instant, RFC 3339, for example 2027-01-31T01:00:00Z")
    command = add("replay-events", command_replay_events, "Send the events of a day to their consumers again.")
    command.add_argument("day", help="a UTC day, YYYY-MM-DD")
    command.add_argument("--stage", help="a deployed stage instead of the local stack")
    command = add("seal-audit", command_seal_audit, "Seal the days of the audit log that are over.")
    command.add_argument("--stage", help="a deployed stage instead of the local stack")
    command = add("verify-audit", command_verify_audit, "Compute the seals of the audit log again and compare.")
    command.add_argument("--from", dest="first", help="a UTC day, YYYY-MM-DD; the first one sealed when absent")
    command.add_argument("--to", dest="last", help="a UTC day; the last one sealed when absent")
    command.add_argument("--stage", help="a deployed stage instead of the local stack")
    command = add("reconcile", command_reconcile, "Compare a past day with what the gateways list, now.")
    command.add_argument("day", help="a Seoul day that is over, YYYY-MM-DD")
    command.add_argument("--stage", help="a deployed stage instead of the local stack")
    command = add("rotate-keys", command_rotate_keys, "Make a new data key and re-encrypt every stored card.")
    command.add_argument("--stage", help="a deployed stage instead of the local stack")
    command.add_argument("--lost", type=int, default=0, help="cards known not to open, which no key brings back")
    add("sam-local", command_sam_local, "Write what `sam local` needs to use the running stack.")
    command = add("e2e", command_e2e, "Run the end-to-end suite on a stack of its own.")
    command.add_argument("--auth", action="store_true", help="with the emulator enforcing each function's role")
    command.add_argument("filter", nargs="*", help="names of tests, as cargo test takes them")
    command = add("fuzz-api", command_fuzz_api, "Fuzz the deployed API by its document, as every role.")
    command.add_argument("cases", type=int, nargs="?", help="cases per operation and role")
    add("api", command_api, "Run the Postman collection and a short fuzz on one stack.")
    add("postman", command_postman, "Run the Postman collection against a stack of its own.")
    command = add("restart-emulator", command_restart_emulator, "Stop a suite's emulator and start it on what it saved.")
    command.add_argument("home")
    command.add_argument("stage")
    command.add_argument("emulator_port", type=int)
    command.add_argument("sandbox_port", type=int)
    command.add_argument("--auth", action="store_true")
    add("sdk-check", command_sdk_check, "Let Stripe's own SDK talk to the gateway sandbox.")
    add("validate", command_validate, "Check template.yaml with SAM's linter.")
    command = add("planted-bugs", command_planted_bugs, "Plant known bugs in a copy and let the simulation find them.")
    command.add_argument("bug", nargs="?", help="one bug; all when none is named")
    command = add("mutants", command_mutants, "Break the rules in one place at a time; their tests have to notice.")
    command.add_argument("file", nargs="?", help="one file, such as shared/domain/src/settle.rs; all when none is named")
    command = add("package", command_package, "Build the arm64 zips of the shipped profile into dist/.")
    command.add_argument("only", nargs="*", help="functions to package; all when none is named")
    command = add("deploy", command_deploy, "Deploy what `package` built to a stage of samconfig.toml.")
    command.add_argument("stage", choices=["dev", "staging", "prod"])
    return top


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` runs and nothing is left behind
    arguments = parser().parse_args()
    try:
        arguments.run(stack_settings.from_environment(), arguments)
    except Failure as failure:
        sys.exit(f"error: {failure}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
    except Exception as error:  # one line for everybody; the trace for who asks
        if os.environ.get("DEBUG"):
            raise
        sys.exit(f"error: {type(error).__name__}: {error} (DEBUG=1 shows where)")


if __name__ == "__main__":
    main()
