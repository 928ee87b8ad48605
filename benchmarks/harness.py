"""What every benchmark shares: a server of its own, CPU time of whole process trees, medians, tables.

Import this module first: it points the settings at a throw-away home before Django reads them.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from urllib.parse import parse_qs, urlsplit

from config.embedded import Cluster

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "samples" / "demo"
_TICK = os.sysconf("SC_CLK_TCK")
_PACKAGES = ("django", "djangorestframework", "django-oauth-toolkit", "psycopg", "gunicorn")


class WrongAnswerError(AssertionError):
    """The two sides disagree: the numbers mean nothing."""


class Goals:
    """What a benchmark must reach. Each method judges one value and returns the words for its table."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def at_least(self, what: str, value: float, least: float) -> str:
        return self._judged(what, f"≥ {least:g}", value >= least)

    def at_most(self, what: str, value: float, most: float) -> str:
        return self._judged(what, f"≤ {most:g}", value <= most)

    def _judged(self, what: str, goal: str, met: bool) -> str:
        if not met:
            self.missed.append(f"{what} {goal}")
        return f"{goal}: {'met' if met else 'MISSED'}"

    def end(self) -> int:
        """Say how it went; returns the exit code."""
        print("all goals met" if not self.missed else f"MISSED: {', '.join(self.missed)}")
        return int(bool(self.missed))


@contextmanager
def laboratory(*, durable: bool) -> Iterator[Path]:
    """Start PostgreSQL and Django on it, with an empty, migrated database; stop and delete everything at the end.

    `durable`: with fsync, as in production; else without, where commits are not what is measured.
    """
    home = Path(tempfile.mkdtemp(prefix="zhixu-bench-"))
    home.chmod(0o755)  # the server's own user must get in; its data folder is 0700
    cluster = Cluster(home / "postgres", throwaway=not durable)
    try:
        cluster.start()
        os.environ["DATABASE_URL"] = cluster.url
        os.environ["ZHIXU_HOME"] = str(home / "state")
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.development"
        import django
        from django.core.management import call_command
        from django.db import connections

        django.setup()
        call_command("migrate", verbosity=0, interactive=False)
        yield home
        connections.close_all()
    finally:
        cluster.stop()
        shutil.rmtree(parse_qs(urlsplit(cluster.url).query)["host"][0], ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def say(text: str) -> None:
    print(f"· {text}", file=sys.stderr, flush=True)


def postmaster() -> int:
    """Return the process id of the PostgreSQL server: the parent of our own backend."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return _stat(cursor.fetchone()[0])[0]


def cpu_seconds(*roots: int) -> float:
    """Return the CPU time used so far by these processes and all below them, those that ended included."""
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent, ticks = _stat(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
        used[int(entry.name)] = ticks / _TICK
    total, todo = 0.0, list(roots)
    while todo:
        pid = todo.pop()
        total += used.get(pid, 0.0)
        todo += children.get(pid, [])
    return total


def _stat(pid: int) -> tuple[int, int]:
    """Return parent and CPU ticks of a process (proc(5)): its own, and those of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), sum(map(int, fields[11:15]))


class Meter:
    """CPU seconds of some process trees, and the clock, since it was made."""

    def __init__(self, *roots: int) -> None:
        self._roots = roots
        self._cpu, self._clock = cpu_seconds(*roots), time.perf_counter()

    def read(self) -> tuple[float, float]:
        """Return (CPU seconds, seconds)."""
        return cpu_seconds(*self._roots) - self._cpu, time.perf_counter() - self._clock


def machine() -> list[str]:
    """Describe what the numbers were made on."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        server = cursor.fetchone()[0]
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return [
        f"{_cpu_name()}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]},"
        f" load average {os.getloadavg()[1]:.1f} (our own included)",
        f"Python {platform.python_version()}, PostgreSQL {server}, {versions}",
    ]


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def spread(values: Sequence[float]) -> str:
    """Return the range of a measure around its median, in per cent."""
    middle = median(values)
    return f"-{100 * (middle - min(values)) / middle:.0f} +{100 * (max(values) - middle) / middle:.0f} %"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table with columns aligned."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
