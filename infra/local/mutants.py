"""Mutation tests: cargo-mutants breaks the rules in one place at a time, and their tests have to notice. What is changed is
said by .cargo/mutants.toml; the last figures and the survivors are in tests/mutants.md."""

import os
import re
import subprocess
from pathlib import Path

from console import Failure, step
from settings import CHECKOUT
from tools import cargo, target_directory

VERSION = "27.1.0"
# What has to notice a mutant of a folder: its own tests, and those of who drives it.
FOLDERS = {
    "shared/domain/": ["domain"],
    "shared/src/": ["shared", "tests"],
}


def installed(tools):
    home = tools / f"mutants-{VERSION}"
    program = home / "bin" / "cargo-mutants"
    if not program.exists():
        step(f"installing cargo-mutants {VERSION} into {home.relative_to(CHECKOUT)}")
        cargo("install", "--locked", "--version", VERSION, "--root", str(home), "cargo-mutants")
    return program


def excluded(files, only):
    """The other files: on the command line a file adds to those of the configuration, so the others are taken out."""
    if only is None:
        return []
    if only not in files:
        raise Failure(f"{only} is not mutated: .cargo/mutants.toml says what is")
    return [word for name in files if name != only for word in ("--exclude", name)]


def mutants(tools, only):
    """Tests the mutants of one file, or of all. Fails when one survives that tests/mutants.md does not list."""
    program = installed(tools)
    home = target_directory() / "mutants"
    home.mkdir(parents=True, exist_ok=True)
    listed = (CHECKOUT / "tests" / "mutants.md").read_text(encoding="utf-8").replace("\\|", "|")
    # The scratch copy has a target directory of its own, below ours; and so has its temporary directory, for its size.
    env = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"} | {"TMPDIR": str(home)}
    unlisted = []
    for folder, suites in FOLDERS.items():
        if only and not only.startswith(folder):
            continue
        package = "domain" if folder == "shared/domain/" else "shared"
        command = [str(program), "mutants", "--package", package]
        files = _output([*command, "--list-files"], env).split()
        out = home / package
        for suite in suites:
            command += ["--test-package", suite]
        command += ["--jobs", "1", "--output", str(out), *excluded(files, only)]
        code = subprocess.run(command, cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL, check=False).returncode
        if code not in (0, 2, 3):  # all caught, some missed, some timed out
            raise Failure(f"cargo mutants failed with {code} (see above)")
        unlisted += [line for line in _survivors(out) if _name(line) not in listed]
    if unlisted:
        raise Failure("survivors that tests/mutants.md does not list:\n" + "\n".join(unlisted))


def _output(command, env):
    done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, check=False, encoding="utf-8")
    if done.returncode:
        raise Failure(f"cargo mutants failed\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def _survivors(out):
    missed = Path(out) / "mutants.out" / "missed.txt"
    return missed.read_text(encoding="utf-8").splitlines() if missed.exists() else []


def _name(line):
    """A mutant without its line and column, which every edit above it changes."""
    return re.sub(r":\d+:\d+: ", ": ", line)
