"""What the developer sees: timed progress lines, and one clear line when something is wrong."""

import os
import sys
import time

# Kept in the environment, because a command goes on in the stack's virtual environment as a new program.
_STARTED = float(os.environ.setdefault("STACK_STARTED", str(time.time())))


class Failure(Exception):
    """Something the developer has to know about; its text is the one line they get."""


def step(text):
    """A progress line: seconds since the start, then what is happening."""
    print(f"[{time.time() - _STARTED:6.1f}s] {text}", file=sys.stderr, flush=True)


def say(text=""):
    print(text, flush=True)


def tail(path, lines=15):
    """The end of a log, for the moment it explains a failure."""
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:]).rstrip()
    except OSError:
        return ""
