"""Start Django for a command, with a database to talk to."""

from __future__ import annotations

import atexit
import hashlib
import os
import signal
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from config.bootstrap import ROOT, fail
from config.embedded import Cluster, PostgresError

NEEDS_NO_DATABASE = {
    "makemessages",
    "messages",
    "compilemessages",
    "help",
    "--help",
    "version",
    "--version",
    "rules_doc",
    "collectstatic",
}
STATE = Path(os.environ.get("ZHIXU_HOME", ROOT / ".zhixu"))


def main(argv: list[str]) -> None:
    command = argv[1] if len(argv) > 1 else "help"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.development")
    if command == "test":
        _run_tests(argv[2:])
    if not {"DATABASE_URL", "DATABASE_URL_FILE"} & set(os.environ) and command not in NEEDS_NO_DATABASE:
        _start_cluster(command, argv)

    from django.core.management import execute_from_command_line

    execute_from_command_line(argv)


def _run_tests(args: list[str]) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
    os.chdir(ROOT)
    import pytest

    # The whole suite on as many cores as there are, up to four; a file stays on one. Given arguments go to pytest.
    sys.exit(pytest.main(args or ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile"]))


def _start_cluster(command: str, argv: list[str]) -> None:
    """Start our own server and stop it with this process, if this process started it."""
    throwaway = command == "samples_verify"
    folder = Path(tempfile.mkdtemp(prefix="zhixu-")) if throwaway else STATE / _cluster_name(command, argv)
    if throwaway:
        folder.chmod(0o755)  # the server's own user must get in; its data folder below is 0700
    try:
        cluster = Cluster(folder, throwaway=throwaway)
        started = cluster.start()
    except PostgresError as error:
        fail(str(error))
    except OSError as error:
        fail(f"PostgreSQL cannot be started: {error}. Set DATABASE_URL to use a server of your own.")
    if started:
        atexit.register(cluster.stop)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["DATABASE_URL"] = cluster.url


def _cluster_name(command: str, argv: list[str]) -> str:
    """A demo of another folder has a server of its own, so that no data is ever mixed or deleted."""
    data = next((value for flag, value in pairwise(argv) if flag == "--data"), "")
    data = data or next((arg.partition("=")[2] for arg in argv if arg.startswith("--data=")), "")
    if command != "demo" or not data:
        return "postgres"
    return f"postgres-{hashlib.sha256(str(Path(data).resolve()).encode()).hexdigest()[:8]}"
