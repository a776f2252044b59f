"""A real OpenID provider beside the end-to-end stack: oidc-provider from npm, as package-lock.json pins it."""

import shutil

import tools
from cloud import answers
from console import step
from processes import Daemon
from settings import HERE

PROGRAM = "provider.mjs"


def start(settings):
    """Starts the provider if this stack has one."""
    if settings.openid_port is None:
        return
    home, path = tools.node_packages(settings.tools, "oidc")
    shutil.copy2(HERE / "oidc" / PROGRAM, home / PROGRAM)  # node finds packages beside the program
    command = [shutil.which("node", path=path), str(home / PROGRAM), str(settings.openid_port)]
    discovery = f"{settings.openid_url}/.well-known/openid-configuration"
    daemon = Daemon("openid", settings.home, settings.openid_port)
    daemon.start(command, {"PATH": path, "HOME": str(settings.home)}, "", lambda: answers(discovery))
    step(f"OpenID provider up on {settings.openid_url}")
