"""The real demo as a newcomer starts it, for journeys through its doors: own PostgreSQL, own keys, real HTTP."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 120


@dataclass
class DemoServer:
    base: str
    client_secret: str
    officer_password: str
    preference_link: str
    output: str
    home: Path

    def token(self, **form: str) -> str:
        answer = requests.post(
            f"{self.base}/oauth/token/",
            data={"grant_type": "client_credentials", "client_id": "demo", "client_secret": self.client_secret} | form,
            timeout=30,
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])


class Api:
    """A client of the API with a token of its own."""

    def __init__(self, base: str, token: str, language: str = "en") -> None:
        self.base = base
        self._session = requests.Session()
        self._session.headers.update({"Authorization": f"Bearer {token}", "Accept-Language": language})

    def post(self, path: str, body: Any = None, **kwargs: Any) -> requests.Response:
        return self._session.post(f"{self.base}{path}", json=body, timeout=60, **kwargs)

    def send(self, path: str, data: bytes, media_type: str, **headers: str) -> requests.Response:
        return self._session.post(
            f"{self.base}{path}", data=data, headers={"Content-Type": media_type} | headers, timeout=60
        )

    def get(self, path: str) -> requests.Response:
        return self._session.get(f"{self.base}{path}", timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_demo(home: Path, *args: str) -> Iterator[DemoServer]:
    """Start `manage.py demo` with a home of its own; Ctrl-C it at the end."""
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--port", str(port), *args],
        cwd=ROOT,
        env=env | {"ZHIXU_HOME": str(home), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    try:
        deadline = time.monotonic() + _START_SECONDS
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if "serving;" in line:
                break
            assert time.monotonic() < deadline, "".join(lines)
        output = "".join(lines)
        assert process.poll() is None, output
        yield DemoServer(
            base=f"http://127.0.0.1:{port}",
            client_secret=_found(r"client demo / (\S+)", output),
            officer_password=_found(r"officer / (\S+)", output),
            preference_link=_found(r"(http://\S+/c/\S+/)", output),
            output=output,
            home=home,
        )
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text
    return match.group(1)
