"""Tools and binaries: prerequisites, pinned virtual environments, cargo, and one bootstrap per function."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from console import Failure, step
from settings import CHECKOUT, HERE

OLDEST_PYTHON = (3, 10)


def prerequisites():
    """Rust, a linker and Python with venv: everything else is installed below .local."""
    if sys.version_info < OLDEST_PYTHON:
        raise Failure(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed, this is {sys.version.split()[0]}")
    if shutil.which("cargo") is None:
        raise Failure("cargo is missing: install Rust from https://rustup.rs")
    if not any(shutil.which(linker) for linker in ("cc", "gcc", "clang")):
        raise Failure("a C compiler is missing (Rust links with it): install gcc or clang")
    for module in ("venv", "ensurepip"):
        try:
            __import__(module)
        except ImportError:
            raise Failure(f"Python's {module} module is missing: install python3-venv") from None


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def environment(directory, requirements):
    """A virtual environment with exactly these requirements; made again only when they, or Python, change."""
    wanted = f"{digest(requirements)} {sys.version_info[:2]}"
    mark = directory / "installed"
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return directory
    step(f"installing {requirements.relative_to(CHECKOUT)} into {directory.relative_to(CHECKOUT)}")
    shutil.rmtree(directory, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(directory)], "python -m venv")
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "-r", str(requirements)], f"pip install -r {requirements.name}")
    mark.write_text(wanted, encoding="utf-8")
    return directory


def node_packages(directory, name):
    """Packages as infra/local/`name`/package-lock.json pins them, installed again only when that changes, and the PATH that
    has Node.js: the machine's, or one of our own."""
    path = os.environ.get("PATH", os.defpath)
    if not (shutil.which("node") and shutil.which("npm")):
        path = str(environment(directory / "nodevenv", HERE / "requirements-node.txt") / "bin") + os.pathsep + path
    home, wanted = directory / name, digest(HERE / name / "package-lock.json")
    mark = home / "installed"
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        step(f"installing infra/local/{name} into .local/{name}")
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy2(HERE / name / file, home / file)
        npm = [shutil.which("npm", path=path), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        run(npm, "npm ci", env=os.environ | {"PATH": path}, cwd=home)
        mark.write_text(wanted, encoding="utf-8")
    return home, path


def stack_python(tools):
    return environment(tools / "venv", HERE / "requirements.txt") / "bin" / "python"


def sam(tools):
    return environment(tools / "samvenv", HERE / "requirements-sam.txt") / "bin" / "sam"


def run(command, what, env=None, log=None, cwd=CHECKOUT):
    """Runs a command to its end; a failure shows what it said. With `log`, output goes to that file."""
    with open(log, "wb") if log else open(os.devnull, "wb") as sink:
        done = subprocess.run(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, check=False,
            stdout=sink if log else subprocess.PIPE, stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        said = "" if log else "\n" + done.stdout.decode(errors="replace").strip()[-3000:]
        raise Failure(f"{what} failed{said}")


def cargo(*arguments, env=None):
    """Runs cargo with its own output on the terminal, because the first build takes minutes."""
    done = subprocess.run(["cargo", *arguments], cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise Failure(f"cargo {arguments[0]} failed (see above)")


def target_directory():
    """Where cargo puts things: CARGO_TARGET_DIR and cargo's own configuration decide, not us."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False)
    if done.returncode != 0:
        raise Failure(f"cargo metadata failed\n{done.stderr.decode(errors='replace').strip()}")
    return Path(json.loads(done.stdout)["target_directory"])


def function_names():
    return sorted(path.stem for path in (CHECKOUT / "functions" / "src" / "bin").glob("*.rs"))


def build(for_tests=False):
    """Builds every program of the stack in one go (dev profile) and puts each function's where template.yaml looks
    for it. Returns the directory with the other programs. `for_tests`: with the features the tests' own dependencies
    add, so that what `cargo test` compiled is not compiled a second time."""
    if for_tests:
        cargo("build", "--workspace", "--bins", "--tests")
    else:
        cargo("build", "--package", "functions", "--package", "gateway-sandbox", "--package", "tests", "--bins")
    built = target_directory() / "debug"
    for name in function_names():
        install(built / name, CHECKOUT / "target" / "lambda" / name / "bootstrap")
    return built


def install(source, destination):
    """Copies a program unless it is there already. By rename: the old one may be running."""
    if not source.exists():
        raise Failure(f"{source.name} was not built: {source} is missing")
    mine, theirs = source.stat(), destination.stat() if destination.exists() else None
    if theirs and (mine.st_size, mine.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns):
        return
    destination.parent.mkdir(parents=True, exist_ok=True)
    draft = destination.with_name(destination.name + ".new")
    shutil.copy2(source, draft)
    os.replace(draft, destination)
