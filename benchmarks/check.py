"""One check over HTTP and a batch of 1,000, all processes counted: our path beside the peer's, decision rows on both.

python -m benchmarks.check [--quick] [--rounds N]
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

from benchmarks.harness import (
    ROOT,
    Goals,
    Meter,
    WrongAnswerError,
    laboratory,
    machine,
    postmaster,
    say,
    spread,
    table,
)
from benchmarks.retailer import Question, campaigns_move, questions, retailer_load, tomorrow_at_ten

PATH = "/api/v1/decisions/check"
BATCH, BATCH_IN = f"{PATH}-batch", f"{PATH}-batch-in"
BATCH_CAMPAIGN, BATCH_ITEMS = "d11-sms", 1000
GOAL_PERSISTENT, GOAL_DEFAULT, GOAL_BATCH = 6, 15, 80


@dataclass
class Server:
    """A gunicorn with one sync worker on a loopback port."""

    name: str
    application: str
    settings: str
    persistent: bool = True
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environ = os.environ | {"DJANGO_SETTINGS_MODULE": self.settings}
        environ |= {"ZHIXU_NAIVE_PERSISTENT": "1" if self.persistent else ""}
        log = (home / f"{self.port}.log").open("w")
        command = [sys.executable, "-m", "gunicorn", self.application, "--bind", f"127.0.0.1:{self.port}"]
        command += ["--log-level", "warning", "--timeout", "600"]  # a naive batch takes half a minute
        self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=log)
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


@dataclass
class Measured:
    """One side of a comparison: what it is sent in a round, and what a piece of it cost."""

    name: str
    server: Server
    client: Client
    path: str
    bodies: list[bytes]  # of all rounds, used in turn
    calls: int  # a round
    pieces: int = 1  # checks in a call
    per: int = 1  # checks the cost is told for
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def round(self, number: int, pg: int) -> None:
        start = number * self.calls
        meter = Meter(os.getpid(), pg)  # the servers are our children; the others idle
        for place in range(start, start + self.calls):
            self.client.post(self.path, self.bodies[place % len(self.bodies)])
        cpu, wall = meter.read()
        if number:  # the first one warms up
            self.cpu.append(cpu * self.per / (self.calls * self.pieces))
            self.wall.append(wall * self.per / (self.calls * self.pieces))


def in_turns(sides: Sequence[Measured], rounds: int, pg: int) -> None:
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}" if number else "warming up")
        for side in sides:
            side.round(number, pg)


def batch_ours(subjects: Sequence[Question], at: datetime, view: str) -> bytes:
    items = [{"cid": str(n), "subject": {"type": q.kind, "id": q.value}} for n, q in enumerate(subjects)]
    defaults = {"campaign": BATCH_CAMPAIGN, "planned_at": at.isoformat()}
    return json.dumps({"defaults": defaults, "items": items, "options": {"view": view}}).encode()


def batch_peer(subjects: Sequence[Question], at: datetime) -> bytes:
    people = [{"type": q.kind, "id": q.value} for q in subjects]
    return json.dumps({"campaign": BATCH_CAMPAIGN, "planned_at": at.isoformat(), "subjects": people}).encode()


def verify_batch(ours: Client, peer: Client, subjects: Sequence[Question], looped: int, at: datetime) -> None:
    """Compare the answers of our batch with both batches of the peer, the loop's for the first `looped` subjects."""
    results = ours.post(BATCH, batch_ours(subjects, at, "full"))["results"]
    answers = [answer_of(results[str(n)]) for n in range(len(subjects))]
    for path, count in ((BATCH, looped), (BATCH_IN, len(subjects))):
        theirs = [answer_of(found) for found in peer.post(path, batch_peer(subjects[:count], at))["results"]]
        if theirs != answers[:count]:
            raise WrongAnswerError(f"{path}: a batch is answered differently")


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests a round, fewer answers compared")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with laboratory(durable=True) as home:
        sys.exit(run(home, rounds=options.rounds, quick=options.quick))


def run(home: Path, *, rounds: int, quick: bool) -> int:
    retailer_load()
    at = tomorrow_at_ten()
    campaigns_move(at)
    token = token_make()
    asked = questions()
    phones = list({q.value: q for q in asked if q.kind == "phone"}.values())[:BATCH_ITEMS]
    looped = 50 if quick else len(phones)
    servers = [
        Server("ours", "config.wsgi:application", "config.settings.development"),
        Server("peer, persistent connections", "benchmarks.naive.wsgi:application", "benchmarks.naive.settings"),
        Server("peer, default settings", "benchmarks.naive.wsgi:application", "benchmarks.naive.settings", False),
    ]
    pg = postmaster()
    with running(servers, home):
        clients = [Client(server, token) for server in servers]
        compared = asked[:: 10 if quick else 1]
        say(f"comparing {len(compared)} answers and a batch")
        outcomes = verify(clients[:2], compared, at)
        verify_batch(clients[0], clients[1], phones, looped, at)
        bodies = [body_of(question, at) for question in asked]
        scale = 1 if quick else 3
        checks = [
            Measured(server.name, server, client, PATH, bodies, calls * scale)
            for server, client, calls in zip(servers, clients, (700, 200, 100), strict=True)
        ]
        in_turns(checks, rounds, pg)
        our_batch = [batch_ours(phones, at, "basic")]
        batches = [
            Measured("ours", servers[0], clients[0], BATCH, our_batch, 10 * scale, len(phones)),
            Measured("peer, loop", servers[1], clients[1], BATCH, [batch_peer(phones[:looped], at)], 1, looped),
            Measured("peer, `IN`", servers[1], clients[1], BATCH_IN, [batch_peer(phones, at)], 2, len(phones)),
        ]
        for side in batches:
            side.per = BATCH_ITEMS
        in_turns(batches, rounds, pg)
    print("\n".join(machine()))
    counted = ", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items()))
    print(f"answers compared: {sum(outcomes.values())}, all equal in outcome, primary and codes ({counted})")
    print(f"batches compared: {len(phones)} people of {BATCH_CAMPAIGN}, {looped} of them with the loop, all equal\n")
    goals = Goals()
    report("one check", "µs", 1e6, checks, [GOAL_PERSISTENT, GOAL_DEFAULT], goals)
    report("a batch of 1,000", "ms", 1e3, batches, [GOAL_BATCH, None], goals)
    return goals.end()


def report(
    what: str, unit: str, scale: float, sides: Sequence[Measured], wanted: Sequence[int | None], goals: Goals
) -> None:
    base = median(sides[0].cpu)
    rows = []
    for side, least in zip(sides, [None, *wanted], strict=True):
        ratio = median(side.cpu) / base
        rows.append(
            [
                side.name,
                f"{scale * median(side.cpu):,.0f}",
                spread(side.cpu),
                f"{scale * median(side.wall):,.0f}",
                f"{ratio:.1f}",
                goals.at_least(f"{what}, {side.name}", ratio, least) if least else "",
                f"{len(side.cpu)} x {side.calls * side.pieces:,}",
            ]
        )
    print(table([what, f"CPU {unit}", "spread", f"wall {unit}", "ratio", "goal", "rounds x checks"], rows), end="\n\n")


if __name__ == "__main__":
    main()
