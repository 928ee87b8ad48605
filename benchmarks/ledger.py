"""Consent writes per second with the ledger on, beside the same writes without it and beside a chain.

    python -m benchmarks.ledger [--quick] [--seconds N] [--rounds N]

A write is the whole service `consent_withdraw`: lock, record, state, trace, one durable transaction. Before it commits
it waits 10 ms, as a commit does that a synchronous standby must acknowledge (`--wait`). The peer computes a hash chain
inside the transaction: it locks the head of the chain, and so waits for every other writer's commit. Ours stages the
entry; a sequencer of its own process puts it into the tree, and is part of the measurement.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier, Event
from statistics import median
from typing import Any

from benchmarks.harness import ROOT, Goals, WrongAnswerError, laboratory, machine, say, spread, table
from benchmarks.retailer import retailer_load

WRITERS = (1, 8, 24)
KINDS = ("none", "ledger", "chain")
NAMES = {
    "none": "no trace at all",
    "ledger": "ours: staged, sequenced beside",
    "chain": "peer: chain in the transaction",
}
GOAL_CHAIN, GOAL_NONE = 5, 0.6


@dataclass
class Measured:
    rates: list[float] = field(default_factory=list)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--wait", type=float, default=10, help="ms a commit waits for a standby")
    options = parser.parse_args()
    seconds = options.seconds or (2 if options.quick else 6)
    rounds = options.rounds or (1 if options.quick else 5)
    with laboratory(durable=True):
        sys.exit(run(seconds, rounds, options.wait / 1000))


def run(seconds: float, rounds: int, wait: float) -> int:
    from django.db import connection, connections

    from consent.models import DataSubject

    retailer_load()
    people = list(DataSubject.objects.order_by("id").values_list("id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_chain (id int PRIMARY KEY, hash bytea NOT NULL)")
        cursor.execute("INSERT INTO bench_chain VALUES (1, %s)", [bytes(32)])
    found = {(kind, writers): Measured() for kind in KINDS for writers in WRITERS}
    for number in range(1, rounds + 1):
        for writers in WRITERS:
            for kind in KINDS:
                connections.close_all()
                with sequencer(kind):
                    done = write(kind, writers, people, seconds, wait)
                found[kind, writers].rates.append(done / seconds)
                say(f"round {number} of {rounds}, {writers} writers, {NAMES[kind]}: {done / seconds:.0f}/s")
    entries_check()
    return report(found, wait)


@contextmanager
def sequencer(kind: str) -> Iterator[None]:
    """Our sequencer as a process of its own, or the trigger that stages for it off."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            f"ALTER TABLE audit_entry {'ENABLE ALWAYS' if kind == 'ledger' else 'DISABLE'} TRIGGER audit_entry_pending"
        )
    connection.close()
    process = None
    if kind == "ledger":
        process = subprocess.Popen([sys.executable, "manage.py", "ledger_sequencer"], cwd=ROOT, env=dict(os.environ))
        time.sleep(2)  # started
    try:
        yield
    finally:
        if process:
            process.terminate()
            process.wait(timeout=60)


def write(kind: str, writers: int, people: Sequence[int], seconds: float, wait: float) -> int:
    """Let that many processes write for a while; returns how many transactions committed."""
    context = multiprocessing.get_context("fork")
    ready, stop = context.Barrier(writers + 1), context.Event()
    counts = context.Queue()
    part = len(people) // writers
    crowd = [
        context.Process(target=_writer, args=(kind, people[n * part : (n + 1) * part], wait, ready, stop, counts))
        for n in range(writers)
    ]
    for process in crowd:
        process.start()
    ready.wait()
    time.sleep(seconds)
    stop.set()
    total = sum(counts.get() for _ in crowd)
    for process in crowd:
        process.join()
    return total


def _writer(kind: str, people: Sequence[int], wait: float, ready: Barrier, stop: Event, counts: Any) -> None:
    from django.db import connection, transaction
    from django.utils import timezone

    from audit.actors import Actor
    from consent.services import records

    traces: dict[str, Callable[..., Any]] = {"none": lambda **_: [], "chain": _chained(records.audit_record_many)}
    if kind in traces:
        records.audit_record_many = traces[kind]
    connection.close()

    def one(subject: int) -> None:
        with transaction.atomic():
            records.consent_withdraw(
                subject_id=subject, purpose="marketing.promotion", channel="sms", actor=actor, at=timezone.now()
            )
            time.sleep(wait)

    actor = Actor("system", "bench")
    one(people[0])  # connection open, register read
    ready.wait()
    done = 0
    while not stop.is_set():
        one(people[done % len(people)])
        done += 1
    counts.put(done)
    connection.close()


def _chained(record: Callable[..., Any]) -> Callable[..., Any]:
    """The peer's trace: the entry as ours, and a link over it and the head of the chain, which is locked."""
    from django.db import connection

    def chained(**kwargs: Any) -> Any:
        ids = record(**kwargs)
        with connection.cursor() as cursor:
            cursor.execute("SELECT hash FROM bench_chain WHERE id = 1 FOR UPDATE")
            head = bytes(cursor.fetchone()[0])
            cursor.execute("SELECT leaf_hash FROM audit_entry WHERE id = ANY(%s) ORDER BY id", [ids])
            for (leaf,) in cursor.fetchall():
                head = hashlib.sha256(head + bytes(leaf)).digest()
            cursor.execute("UPDATE bench_chain SET hash = %s WHERE id = 1", [head])
        return ids

    return chained


def entries_check() -> None:
    """What the ledger runs wrote is in the tree, each entry once, under a signed head."""
    from django.db import connection

    from audit.services.sequencer import ledger_step

    ledger_step()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT entry_id), max(idx) + 1 FROM audit_leaf")
        leaves, entries, size = cursor.fetchone()
        cursor.execute("SELECT max(size), (SELECT count(*) FROM audit_pending) FROM audit_checkpoint")
        signed, pending = cursor.fetchone()
    if not leaves == entries == size == signed or pending:
        raise WrongAnswerError(f"{leaves} leaves, {entries} entries, size {size}, signed {signed}, {pending} pending")


def report(found: dict[tuple[str, int], Measured], wait: float) -> int:
    goals = Goals()
    rows = []
    middle = {place: median(measured.rates) for place, measured in found.items()}
    for writers in WRITERS:
        for kind in KINDS:
            judged = ""
            if kind == "ledger":
                share = middle[kind, writers] / middle["none", writers]
                goal = goals.at_least(f"{writers} writers, share of no trace", share, GOAL_NONE)
                judged = f"{share:.0%} of no trace, {goal}"
            if kind == "chain":
                times = middle["ledger", writers] / middle[kind, writers]
                judged = f"ours is {times:.1f} ×"
                if writers == max(WRITERS):
                    judged += f", {goals.at_least(f'{writers} writers, times the chain', times, GOAL_CHAIN)}"
            rates = found[kind, writers].rates
            rows.append([writers, NAMES[kind], f"{middle[kind, writers]:.0f}", spread(rates), judged])
    print("\n".join(machine()))
    print(f"writes per second, each commit waiting {1000 * wait:g} ms; medians of {len(rates)} rounds")
    print(table(["writers", "trace", "writes/s", "spread", ""], rows))
    return goals.end()


if __name__ == "__main__":
    main()
