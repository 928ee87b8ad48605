"""Ledgers to take evidence from: databases of their own with real commits, copied from a template for each attack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import psycopg
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

import consent.selectors.register as registers
from audit.actors import Actor
from audit.services.exports import Exported, ledger_export

ROOT = Path(__file__).resolve().parent.parent.parent
VERIFIER = ROOT / "zhixu-verify"
OFFICER = Actor("user", "officer-1")


@cache
def verifier() -> ModuleType:
    """Return the verifier as a module. It is one file without a suffix and imports nothing of ours."""
    name = "zhixu_verify"
    writing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader = SourceFileLoader(name, str(VERIFIER))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writing
    return module


@dataclass(frozen=True)
class Verdict:
    """What the verifier said of a folder."""

    exit_code: int
    report: dict[str, Any]
    stderr: str

    @property
    def findings(self) -> list[dict[str, Any]]:
        return [finding for finding in self.report["findings"] if finding["severity"] != "note"]

    @property
    def whole(self) -> bool:
        """Whether nothing was found but silence: books made for a whole test run may be older than five minutes."""
        return all(finding["code"] == "heartbeat_gap" for finding in self.findings)

    def named(self, check: str, code: str, **what: object) -> dict[str, Any]:
        """Return the finding of this check and code that names these things; fail if there is none."""
        for finding in self.findings:
            if (finding["check"], finding["code"]) == (check, code) and what.items() <= finding.items():
                return finding
        raise AssertionError(f"no {check} {code} {what} in {json.dumps(self.findings, indent=1, ensure_ascii=False)}")


def verify(folder: Path, home: Path, *options: str, python: str = sys.executable) -> Verdict:
    """Run a copy of the verifier in an empty folder, without site packages, environment or our sources."""
    home.mkdir(exist_ok=True)
    program = home / "verify-elsewhere"
    shutil.copy(VERIFIER, program)
    empty = home / f"empty-{uuid4().hex}"
    empty.mkdir()
    command = [python, "-I", "-S", str(program), str(folder), "--json", *options]
    done = subprocess.run(command, cwd=empty, env={"PATH": os.defpath}, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr
    assert list(empty.iterdir()) == []
    report = json.loads(done.stdout)
    assert report["exit"] == done.returncode
    return Verdict(done.returncode, report, done.stderr)


def export(folder: Path) -> Exported:
    """Export the ledger at hand; no sequencer is running, so there is nobody to wait for."""
    return ledger_export(folder=folder, actor=OFFICER, at=timezone.now(), wait=0)


# -- databases -------------------------------------------------------------------------------------------------------


@contextmanager
def database_of(template: str = "") -> Iterator[str]:
    """Copy a database, or make one, work in it with real commits, and drop it."""
    settled = str(connection.settings_dict["NAME"])
    name = database_copy(template) if template else database_new()
    try:
        yield name
    finally:
        database_use(settled)
        database_drop(name)


def database_copy(template: str) -> str:
    """Copy a database and use the copy; returns its name."""
    name = f"zhixu_evidence_{uuid4().hex[:12]}"
    connection.close()
    _administer(f"CREATE DATABASE {name} TEMPLATE {template}")
    database_use(name)
    return name


def database_new() -> str:
    """Make a database with our tables and use it; returns its name.

    Copied from that of the tests, which is there only if a test at hand asked for it in the usual way.
    """
    name = database_copy(str(connection.settings_dict["NAME"]))
    call_command("migrate", verbosity=0)
    return name


def database_use(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    registers._held = None  # the register of another database may have the same version


def database_drop(name: str) -> None:
    _administer(f"DROP DATABASE {name} WITH (FORCE)")


def _administer(statement: str) -> None:
    values = connection.get_connection_params() | {"dbname": "postgres"}
    values = {name: values[name] for name in ("dbname", "host", "port", "user", "password") if values.get(name)}
    with psycopg.connect(**values, autocommit=True) as session:
        session.execute(statement)


def run(statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Run a statement as the database's owner would, with every trigger off; it must touch something."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal")
        triggers = [row for row in cursor.fetchall() if row[0].startswith(("audit_", "consent_"))]
        for table, trigger in triggers:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        cursor.execute(statement, values)
        found = cursor.fetchall() if cursor.description else []
        assert cursor.rowcount > 0, "the tampering itself must happen"
        for table, trigger in triggers:
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
    return found
