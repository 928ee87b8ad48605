"""Plant a fault in a copy of the tree, run the test that must notice, and say whether it did."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "benchmarks")
RUN_SECONDS = 600


@dataclass(frozen=True)
class Fault:
    """One source change. `find` stands once in `file`; `only` narrows the test as pytest's -k does."""

    promise: str
    file: str
    find: str
    plant: str
    test: str
    only: str = ""
    schema: bool = False  # changes the tables: needs a database of its own
    quick: bool = False  # part of the ordinary run

    @property
    def selection(self) -> list[str]:
        return [self.test, *(["-k", self.only] if self.only else [])]


@dataclass(frozen=True)
class Ran:
    passed: int
    failed: int
    output: str


def faults_read() -> list[Fault]:
    return [Fault(**entry) for entry in json.loads((Path(__file__).parent / "faults.json").read_text())]


def tree_copy(folder: Path) -> Path:
    """Copy the sources to a folder and return it."""
    shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
    return folder


def planted(fault: Fault, tree: Path) -> None:
    path = tree / fault.file
    path.write_text(path.read_text().replace(fault.find, fault.plant))


def mended(fault: Fault, tree: Path) -> None:
    shutil.copyfile(ROOT / fault.file, tree / fault.file)


def run(selection: Iterable[str], tree: Path, *, fresh_database: bool = False) -> Ran:
    """Run tests of a tree. The database of the test run is kept for the next one, unless told otherwise."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--no-header",
            "--durations=0",
            "-p",
            "no:cacheprovider",
            "--reuse-db",
            *(["--create-db"] if fresh_database else []),
            *selection,
        ],
        cwd=tree,
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        | {"PYTHONDONTWRITEBYTECODE": "1", "ZHIXU_OWN_ENVIRONMENT": "1"},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    last = done.stdout.strip().splitlines()[-1:] or [""]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed)", last[0])}
    return Ran(counts.get("passed", 0), counts.get("failed", 0), done.stdout + done.stderr)
