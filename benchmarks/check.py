"""One check over HTTP, all processes counted: our path beside the peer's, with its decision row on both sides.

python -m benchmarks.check [--quick]
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

from benchmarks.harness import ROOT, Meter, WrongAnswerError, laboratory, machine, postmaster, say, spread, table
from benchmarks.retailer import Question, campaigns_move, questions, retailer_load, tomorrow_at_ten

PATH = "/api/v1/decisions/check"
BATCH = "/api/v1/decisions/check-batch"
GOAL_PERSISTENT, GOAL_DEFAULT, GOAL_BATCH = 6, 15, 80


@dataclass
class Server:
    """A gunicorn with one sync worker on a loopback port, and what was measured of it."""

    name: str
    application: str
    settings: str
    persistent: bool = True
    per_round: int = 1000
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    cpu_us: list[float] = field(default_factory=list)
    wall_us: list[float] = field(default_factory=list)

    def start(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environ = os.environ | {"DJANGO_SETTINGS_MODULE": self.settings}
        environ |= {"ZHIXU_NAIVE_PERSISTENT": "1" if self.persistent else ""}
        log = (home / f"{self.port}.log").open("w")
        command = [sys.executable, "-m", "gunicorn", self.application, "--bind", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=environ, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not start")

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(30)


class Client:
    """Calls a server with one kept connection, as far as the server keeps it (a sync worker does not)."""

    def __init__(self, server: Server, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def post(self, path: str, body: bytes) -> dict[str, object]:
        self._connection.request("POST", path, body, self._headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise WrongAnswerError(f"{answer.status}: {data[:300]!r}")
        return json.loads(data)


Answer = tuple[str, str, tuple[str, ...]]


def answer_of(body: dict[str, object]) -> Answer:
    """Return outcome, primary code and all codes of an answer."""
    reasons = body["reasons"]
    primary = next(reason["code"] for reason in reasons if reason["primary"])
    return body["outcome"], primary, tuple(reason["code"] for reason in reasons)


def token_make() -> str:
    """Register a client that may check, and return an access token for it."""
    from django.utils import timezone
    from oauth2_provider.models import get_access_token_model

    from governance.models import APIClient

    client = APIClient.objects.create(
        name="benchmark",
        client_type="confidential",
        authorization_grant_type="client-credentials",
        scopes=["decisions:check"],
    )
    token = secrets.token_urlsafe(24)
    get_access_token_model().objects.create(
        application=client, token=token, scope="decisions:check", expires=timezone.now() + timedelta(hours=12)
    )
    return token


def body_of(question: Question, at: datetime) -> bytes:
    subject = {"type": question.kind, "id": question.value}
    return json.dumps({"subject": subject, "campaign": question.campaign, "planned_at": at.isoformat()}).encode()


def verify(clients: Sequence[Client], asked: Sequence[Question], at: datetime) -> Counter[str]:
    """Ask all servers every question. Raises WrongAnswerError unless all answers are the same."""
    outcomes: Counter[str] = Counter()
    for question in asked:
        answers = {answer_of(client.post(PATH, body_of(question, at))) for client in clients}
        if len(answers) != 1:
            raise WrongAnswerError(f"{question.campaign}: {answers}")
        outcomes[answers.pop()[0]] += 1
    return outcomes


@contextmanager
def running(servers: Sequence[Server], home: Path) -> Iterator[None]:
    try:
        for server in servers:
            server.start(home)
        yield
    finally:
        for server in servers:
            server.stop()


def measure(server: Server, client: Client, bodies: Sequence[bytes], pg: int) -> None:
    meter = Meter(server.process.pid, pg)
    for body in bodies:
        client.post(PATH, body)
    cpu, wall = meter.read()
    server.cpu_us.append(1e6 * cpu / len(bodies))
    server.wall_us.append(1e6 * wall / len(bodies))


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests a round, fewer answers compared")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with laboratory(durable=True) as home:
        run(home, rounds=options.rounds, quick=options.quick)


def run(home: Path, *, rounds: int, quick: bool) -> None:
    retailer_load()
    at = tomorrow_at_ten()
    campaigns_move(at)
    token = token_make()
    asked = questions()
    scale = 1 if quick else 3
    ours = Server("ours", "config.wsgi:application", "config.settings.development", per_round=700 * scale)
    kept = Server("peer, persistent connections", "benchmarks.naive.wsgi:application", "benchmarks.naive.settings")
    kept.per_round = 200 * scale
    plain = Server("peer, default settings", "benchmarks.naive.wsgi:application", "benchmarks.naive.settings", False)
    plain.per_round = 100 * scale
    servers = [ours, kept, plain]
    pg = postmaster()
    with running(servers, home):
        clients = [Client(server, token) for server in servers]
        compared = asked[:: 10 if quick else 1]
        say(f"comparing {len(compared)} answers")
        outcomes = verify(clients[:2], compared, at)
        bodies = [body_of(question, at) for question in asked]
        for number in range(rounds + 1):
            say(f"round {number} of {rounds}" if number else "warming up")
            for server, client in zip(servers, clients, strict=True):
                start = number * server.per_round
                part = [bodies[place % len(bodies)] for place in range(start, start + server.per_round)]
                measure(server, client, part, pg)
            if not number:
                for server in servers:
                    server.cpu_us.clear()
                    server.wall_us.clear()
    report(servers, outcomes, rounds)


def report(servers: Sequence[Server], outcomes: Counter[str], rounds: int) -> None:
    print("\n".join(machine()))
    counted = ", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items()))
    print(f"answers compared: {sum(outcomes.values())}, all equal in outcome, primary and codes ({counted})")
    base = median(servers[0].cpu_us)
    goals = ["", f">= {GOAL_PERSISTENT}", f">= {GOAL_DEFAULT}"]
    rows = [
        [
            server.name,
            f"{median(server.cpu_us):,.0f}",
            spread(server.cpu_us),
            f"{median(server.wall_us):,.0f}",
            f"{median(server.cpu_us) / base:.1f}",
            goal,
            f"{rounds} x {server.per_round}",
        ]
        for server, goal in zip(servers, goals, strict=True)
    ]
    print(table(["one check", "CPU µs", "spread", "wall µs", "ratio", "goal", "rounds x checks"], rows))


if __name__ == "__main__":
    main()
