"""Background programs of a stack: started once, found again by their pid file, always stopped with SIGTERM first
(the emulator and the sandbox save their state then)."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from console import Failure, tail

STOP_SECONDS = 60  # saving state takes a few seconds; after this the process is killed


def _birth(pid):
    """When a process was born, to tell it from a later one with the same pid; "" where the system does not say.
    None if there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] == "Z" else fields[19]


def port_is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_ports(count):
    """Ports nobody listens on right now; all held open until all are chosen, so they differ."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Daemon:
    """A program that outlives `make up`. `identity` names the version that runs: a change means restart."""

    def __init__(self, name, home, port):
        self.name = name
        self.port = port
        self.log = home / f"{name}.log"
        self._pid_file = home / f"{name}.pid"

    def _record(self):
        try:
            record = json.loads(self._pid_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if _birth(record["pid"]) == record["birth"] else None

    @property
    def pid(self):
        record = self._record()
        return record["pid"] if record else None

    def runs(self, identity):
        record = self._record()
        return record is not None and record["identity"] == identity

    def need_port(self):
        """Says so at once, not after minutes of building, if the port belongs to somebody else."""
        if self.pid is None and not port_is_free(self.port):
            raise Failure(
                f"port {self.port} is taken by another program: stop it, or choose another with "
                f"{self.name.upper()}_PORT=<port> make up"
            )

    def start(self, command, env, identity, healthy, seconds=20):
        """Starts the program and waits until `healthy()`; raises with the end of its log otherwise."""
        self.need_port()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as log:
            child = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        record = {"pid": child.pid, "birth": _birth(child.pid), "identity": identity, "port": self.port}
        self._pid_file.write_text(json.dumps(record), encoding="utf-8")
        deadline = time.monotonic() + seconds
        while not healthy():
            if child.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Failure(f"{self.name} did not start (log: {self.log})\n{tail(self.log)}")
            time.sleep(0.05)

    def stop(self):
        """SIGTERM, then after a minute SIGKILL for it and its children. True if it had been running."""
        record = self._record()
        if record is not None:
            pid = record["pid"]
            _signal(pid, signal.SIGTERM)
            if _gone(lambda: _birth(pid) != record["birth"], pid, STOP_SECONDS):
                _gone(lambda: not _signal(-pid, 0), pid, 0.5)  # its children, the functions, follow by themselves
            _signal(-pid, signal.SIGKILL)  # those that did not: it led its own process group
        self._pid_file.unlink(missing_ok=True)
        return record is not None


def _signal(pid, number):
    """Sends a signal to a process, or to the group of -pid; number 0 only asks. False if nobody is there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _gone(condition, pid, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        try:  # a child of ours stays a zombie until it is waited for
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        time.sleep(0.05)
    return True


@contextmanager
def only_one(path, what):
    """Keeps two commands from working on the same stack at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"another `{what}` is at work in this checkout") from None
        yield
