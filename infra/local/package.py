"""What ships: arm64 zips in the shipped profile, checked, and their deploy to a stage."""

import os
import re
import shutil
import subprocess
import zipfile

import tools
from console import Failure, say, step
from settings import CHECKOUT, HERE

DIST = CHECKOUT / "dist"
ZIP_BYTES_MAX = 3_500_000  # the budget: what is over it is said
ZIP_BYTES_FATAL = 4_000_000  # and does not ship from here on
ELF_AARCH64 = 183  # e_machine
NEWEST_GLIBC = (2, 34)  # what Amazon Linux 2023 has
EPOCH = (2020, 1, 1, 0, 0, 0)  # one date for every file: same code, same zip, nothing to deploy again


def package(directory, only):
    """Builds the named functions (all without names) into dist/<name>.zip and prints their sizes."""
    known = tools.function_names()
    strangers = sorted(set(only) - set(known))
    if strangers:
        raise Failure(f"no such function: {', '.join(strangers)}")
    names = sorted(set(only)) or known
    binaries = _build(directory, names)
    DIST.mkdir(exist_ok=True)
    rows, wrong = [], []
    for name in names:
        program = binaries / name / "bootstrap"
        wrong += [f"{name}: {fault}" for fault in _faults(program.read_bytes())]
        size = _zip(program, DIST / f"{name}.zip")
        if size > ZIP_BYTES_FATAL:
            wrong.append(f"{name}: {size} bytes zipped, more than {ZIP_BYTES_FATAL}")
        rows.append((name, program.stat().st_size, size))
    say(f"{'function':26}{'binary MB':>10}{'zip MB':>8}")
    for name, raw, zipped in rows:
        say(f"{name:26}{raw / 1e6:10.2f}{zipped / 1e6:8.2f}{'  over the budget' if zipped > ZIP_BYTES_MAX else ''}")
    if wrong:
        raise Failure("these may not ship:\n  " + "\n  ".join(wrong))
    over = sum(zipped > ZIP_BYTES_MAX for _, _, zipped in rows)
    say(f"{len(rows)} zips in dist/, {over} of them over the budget of {ZIP_BYTES_MAX / 1e6} MB")


def _build(directory, names):
    """cargo-lambda with its own target directory: its release settings would otherwise rebuild everything twice."""
    tools_directory = tools.environment(directory / "packagevenv", HERE / "requirements-package.txt") / "bin"
    if shutil.which("rustup"):
        tools.run(["rustup", "target", "add", "aarch64-unknown-linux-gnu"], "rustup target add")
    target = tools.target_directory() / "package"
    binaries = DIST / "lambda"
    env = os.environ | {"CARGO_TARGET_DIR": str(target), "PATH": f"{tools_directory}{os.pathsep}{os.environ['PATH']}"}
    command = ["cargo-lambda", "lambda", "build", "--release", "--arm64", "--package", "functions", "--lambda-dir", str(binaries)]
    for name in names:
        command += ["--bin", name]
    step(f"building {len(names)} functions for arm64 (fat LTO: about a minute each the first time)")
    done = subprocess.run(command, cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise Failure("cargo lambda build failed (see above)")
    return binaries


def _faults(program):
    """Why this program could not run on Lambda's arm64 Amazon Linux 2023."""
    if program[:4] != b"\x7fELF" or int.from_bytes(program[18:20], "little") != ELF_AARCH64:
        yield "not an arm64 ELF program"
    versions = {tuple(map(int, found)) for found in re.findall(rb"GLIBC_(\d+)\.(\d+)", program)}
    if versions and max(versions) > NEWEST_GLIBC:
        yield f"needs glibc {'.'.join(map(str, max(versions)))}, Amazon Linux 2023 has {'.'.join(map(str, NEWEST_GLIBC))}"


def _zip(program, archive):
    entry = zipfile.ZipInfo("bootstrap", EPOCH)
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(archive, "w", compresslevel=9) as out:
        out.writestr(entry, program.read_bytes(), compresslevel=9)
    return archive.stat().st_size


def deploy(sam, stage):
    """Deploys the packaged programs. They are laid out next to a copy of template.yaml, because target/lambda holds
    the developer's own builds."""
    staged = DIST / "deploy"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    shutil.copy2(CHECKOUT / "template.yaml", staged)
    for name in tools.function_names():
        archive = DIST / f"{name}.zip"
        if not archive.exists():
            raise Failure(f"dist/{name}.zip is missing: run `make package` first")
        place = staged / "target" / "lambda" / name
        with zipfile.ZipFile(archive) as packed:
            packed.extract("bootstrap", place)
        (place / "bootstrap").chmod(0o755)
    command = [
        str(sam), "deploy", "--config-file", str(CHECKOUT / "samconfig.toml"), "--config-env", stage,
        "--template-file", str(staged / "template.yaml"),
    ]
    if subprocess.run(command, cwd=CHECKOUT, check=False).returncode != 0:
        raise Failure(f"deploy to {stage} failed (see above)")
