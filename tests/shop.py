"""A shop as production runs it: its own database, a process and a database role for each task, real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import psycopg
import requests

from tests.demo_server import ROOT, Api, free_port


def database_url(database: str, user: str = "", password: str = "") -> str:
    """Return the test server's address for another database, and another role if one is named."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    query = dict(parse_qsl(parts.query))
    place = parts.netloc
    if user and parts.hostname:
        place = f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"
    elif user:
        query |= {"user": user, "password": password}
    tail = f"?{urlencode(query)}" if query else ""
    return f"{parts.scheme}://{place}/{database}{tail}"


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements on a connection of their own; returns the rows of the last one, if it has any."""
    rows: list[tuple[Any, ...]] = []
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
    return rows


@contextmanager
def database_made(name: str, template: str = "template1") -> Iterator[str]:
    """Make a database, from another one if named, and drop it at the end. Yields its name."""
    server = database_url("postgres")
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True)
class Shop:
    database: str
    home: Path
    secret: str = ""
    password: str = ""
    link: str = ""
    allowed: str = ""
    refused: str = ""

    @property
    def superuser_url(self) -> str:
        return database_url(self.database)

    def url(self, role: str) -> str:
        return database_url(self.database, role, (self.home / "passwords" / role).read_text().strip())

    def env(self, role: str = "", **more: str) -> dict[str, str]:
        """Return the environment of a process that runs under a role."""
        return (
            {name: value for name, value in os.environ.items() if not name.startswith("ZHIXU_")}
            | {
                "DJANGO_SETTINGS_MODULE": "config.settings.development",
                "DATABASE_URL": self.url(role) if role else self.superuser_url,
                "ZHIXU_HOME": str(self.home),
                "ZHIXU_KEYRING": str(self.home / "keyring.json"),
                "ZHIXU_OWN_ENVIRONMENT": "1",
                "PYTHONPATH": str(ROOT),
            }
            | more
        )

    def run(self, role: str, *args: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run Python under a role, with the arguments given."""
        done = subprocess.run(
            [sys.executable, *args],
            cwd=ROOT,
            env=self.env(role, **env),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def manage(self, role: str, *args: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run(role, "manage.py", *args, check=check, **env)

    @contextmanager
    def copied(self) -> Iterator[Shop]:
        """Yield the same shop in a database of its own."""
        with database_made(f"shop_{uuid4().hex[:12]}", self.database) as name:
            yield replace(self, database=name)

    @contextmanager
    def serving(self, role: str = "zx_web", app: str = "config.wsgi:application", **env: str) -> Iterator[str]:
        """Serve it with gunicorn; yields the address."""
        port = free_port()
        log = self.home / f"web-{port}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-w", "1", app],
                cwd=ROOT,
                env=self.env(role, **env),
                stdout=output,
                stderr=output,
            )
        try:
            base = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 30
            while not _answers(base):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield base
        finally:
            process.terminate()
            process.wait(timeout=30)

    def api(self, base: str) -> Api:
        form = {"grant_type": "client_credentials", "client_id": "demo", "client_secret": self.secret}
        answer = requests.post(f"{base}/oauth/token/", data=form, timeout=30)
        answer.raise_for_status()
        return Api(base, str(answer.json()["access_token"]))


def _answers(base: str) -> bool:
    try:
        return requests.get(f"{base}/healthz", headers={"X-Forwarded-Proto": "https"}, timeout=5).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


@contextmanager
def shop_built(home: Path) -> Iterator[Shop]:
    """Install a shop as docs/deploy.md says: roles, migrations as the owner, rights, data as the web."""
    with database_made(f"shop_{uuid4().hex[:12]}") as name:
        shop = Shop(name, home)
        folder = str(home / "passwords")
        shop.manage("", "roles_create", "--passwords", folder)
        shop.manage("zx_owner", "migrate", "--verbosity", "0")
        shop.manage("zx_owner", "roles_create", "--passwords", folder)
        built = shop.run("zx_web", "-m", "tests.shop_build", str(ROOT / "samples" / "demo"))
        yield replace(shop, **json.loads(built.stdout))
