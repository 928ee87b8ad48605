"""From a bare Python to the project's own environment. Standard library only: nothing is installed yet."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
UV = "uv>=0.9,<1"
SELF_INSTALLING = {"demo": "requirements/runtime.txt", "test": "requirements/test.txt"}


def enter_environment(argv: list[str]) -> None:
    """Make sure this process runs inside the project's environment, or say in one line why it cannot.

    `demo` and `test` create it (.venv) and sync the hashed requirements; the second time that takes no
    time. Every other command uses the environment that is there.
    """
    command = argv[1] if len(argv) > 1 else ""
    wanted = SELF_INSTALLING.get(command)
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    if wanted and (inside or not _own_environment_active()):
        _sync(wanted)
    if not inside and _python().exists() and not _own_environment_active():
        os.execv(_python(), [str(_python()), str(ROOT / "manage.py"), *argv[1:]])  # noqa: S606 - ourselves, installed
    if not wanted and not _importable("django"):
        fail("Zhixu is not installed yet. Run once: python3 manage.py demo --once")


def _own_environment_active() -> bool:
    """Tell whether somebody brought an environment of his own that can run us."""
    return Path(sys.prefix).resolve() != VENV.resolve() and bool(os.environ.get("ZHIXU_OWN_ENVIRONMENT"))


def _importable(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def _python() -> Path:
    return VENV / "bin" / "python"


def _sync(requirements: str) -> None:
    stamp = VENV / ".zhixu-synced"
    have = stamp.read_text().split() if stamp.exists() else []
    enough = {_digest(requirements), _digest(SELF_INSTALLING["test"])}  # what tests need holds what the demo needs
    if enough & set(have) and _python().exists():
        return
    if not _python().exists():
        _create_environment()
    uv = VENV / "bin" / "uv"
    if not uv.exists():
        say("installing the installer (uv)")
        _run(
            [str(_python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV],
            "uv could not be installed; check the network, or set PIP_INDEX_URL to a mirror you can reach",
        )
    say(f"installing {requirements} (hashes checked)")
    _run(
        [
            str(uv),
            "pip",
            "install",
            "--quiet",
            "--python",
            str(_python()),
            "--require-hashes",
            "-r",
            str(ROOT / requirements),
        ],
        "the packages could not be installed; check the network, or set UV_DEFAULT_INDEX to a mirror you can reach",
    )
    stamp.write_text("\n".join([*have, _digest(requirements)]))


def _digest(requirements: str) -> str:
    return hashlib.sha256((ROOT / requirements).read_bytes()).hexdigest()


def _create_environment() -> None:
    say("creating .venv")
    if not os.access(ROOT, os.W_OK):
        fail(f"{ROOT} is not writable; clone the project to a folder of your own")
    shutil.rmtree(VENV, ignore_errors=True)
    if not _importable("ensurepip"):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        fail(f"Python's venv module is missing. Install it: apt-get install python{version}-venv")
    _run([sys.executable, "-m", "venv", str(VENV)], "the virtual environment could not be created in .venv")


def _run(command: list[str], remedy: str) -> None:
    with tempfile.TemporaryFile(mode="w+") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            log.seek(0)
            lines = [line for line in log.read().splitlines() if line.strip()]
            sys.stderr.write("\n".join(lines[-3:])[-600:] + "\n")
            fail(remedy)


def say(message: str) -> None:
    print(f"· {message}", file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    """Stop with one clear line."""
    raise SystemExit(f"zhixu: {message}")
