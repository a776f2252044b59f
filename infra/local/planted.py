"""Planted bugs: does the simulation find what it is there to find? Each patch of tests/simulation/bugs is applied to a
scratch copy of the sources, simulated until an invariant breaks, and taken out again. The checkout is never touched."""

import os
import re
import subprocess
import time
from dataclasses import dataclass

from console import Failure, say, step
from settings import CHECKOUT
from tools import target_directory

BUGS = CHECKOUT / "tests" / "simulation" / "bugs"
# The code as it is has to be clean, or a finding would say nothing about the bug.
CLEAN_SEEDS = 20
SEEDS = 500
# For a bug that makes the simulation hang; an ordinary hunt is over in a minute.
HUNT_SECONDS = 1_200
FINDING = re.compile(r"^seed (\d+): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Hunt:
    """What came of one bug. `what` is the broken invariant, or why there is none."""

    name: str
    found: bool
    seed: str
    what: str
    seconds: float

    def line(self):
        return f"{self.name:28} {'found' if self.found else 'NOT FOUND':9} {self.seed:>6}  {self.seconds:5.0f} s  {self.what}"


class Scratch:
    """A copy of the tracked files with a target directory of its own, so that other crates compile once."""

    def __init__(self):
        home = target_directory() / "planted"
        self.tree = home / "tree"
        self.target = home / "target"
        self.tree.mkdir(parents=True, exist_ok=True)
        # Without the ceiling git would take the copy for a directory of the checkout and skip every file.
        self.env = os.environ | {"CARGO_TARGET_DIR": str(self.target), "GIT_CEILING_DIRECTORIES": str(home)}
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True).stdout
        names = [name for name in listed.decode().split("\0") if name and (CHECKOUT / name).is_file()]
        # Read once: whoever goes on editing the checkout meanwhile does not change what is hunted in.
        self.sources = {name: (CHECKOUT / name).read_bytes() for name in names}
        self.restore()

    def restore(self):
        """The sources and nothing else; a file that is right keeps its time, so that cargo keeps its work."""
        for path in [path for path in self.tree.rglob("*") if path.is_file()]:
            if str(path.relative_to(self.tree)) not in self.sources:
                path.unlink()
        for name, source in self.sources.items():
            copy = self.tree / name
            if not copy.is_file() or copy.read_bytes() != source:
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(source)

    def run(self, command, seconds=None):
        return subprocess.run(
            command, cwd=self.tree, env=self.env, stdin=subprocess.DEVNULL, check=False, timeout=seconds,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        )

    def build(self):
        """An error of the compiler, or nothing."""
        command = ["cargo", "build", "--quiet", "--locked", "--package", "simulation", "--bin", "simulate"]
        done = self.run(command)
        return done.stdout.strip()[-3000:] if done.returncode else ""

    def simulate(self, seeds):
        """Up to the first broken invariant: (seed, invariant), or why there is none."""
        words = [f"seeds={seeds}", "findings=1", "again=0", "lines=0"]
        try:
            done = self.run([str(self.target / "debug" / "simulate"), *words], HUNT_SECONDS)
        except subprocess.TimeoutExpired:
            return None, f"no end within {HUNT_SECONDS} s"
        finding = FINDING.search(done.stdout)
        if done.returncode and finding:
            return finding[1], finding[2]
        if done.returncode and not (seeds >= 300 and "never struck" in done.stdout):
            return None, f"the simulation broke: {done.stdout.strip()[-500:]}"
        return None, f"nothing in {seeds} seeds"

    def hunt(self, patch):
        name, begun = patch.stem, time.monotonic()

        def result(seed, what):
            return Hunt(name, seed is not None, seed or "-", what, time.monotonic() - begun)

        applied = self.run(["git", "apply", "--whitespace=nowarn", str(patch)])
        if applied.returncode:
            return result(None, f"the patch does not apply any more: {applied.stdout.strip()}")
        try:
            error = self.build()
            return result(None, f"does not compile: {error}") if error else result(*self.simulate(SEEDS))
        finally:
            self.restore()


def planted_bugs(only):
    """Hunts every bug, or one. Fails when one is not found, or when the code is not clean without any."""
    patches = [patch for patch in sorted(BUGS.glob("*.patch")) if only in (None, patch.stem)]
    if not patches:
        raise Failure(f"no such bug: {only}" if only else "there are no bugs")
    scratch = Scratch()
    step("building the scratch copy (the first time takes minutes)")
    error = scratch.build()
    if error:
        raise Failure(f"the code without a bug does not compile\n{error}")
    seed, what = scratch.simulate(CLEAN_SEEDS)
    if what != f"nothing in {CLEAN_SEEDS} seeds":
        raise Failure(f"the code without a bug is not clean: seed {seed}, {what}")
    step(f"without a bug: {what}; now {len(patches)} bugs, up to {SEEDS} seeds each")
    hunts = []
    for patch in patches:
        hunts.append(scratch.hunt(patch))
        say(hunts[-1].line())
    found = sum(hunt.found for hunt in hunts)
    if len(hunts) > 1:
        say("\n" + "\n".join(hunt.line() for hunt in hunts))
    say(f"{found} of {len(hunts)} planted bugs found")
    if found < len(hunts):
        raise Failure("not found: " + ", ".join(hunt.name for hunt in hunts if not hunt.found))
