"""A sequencer that can be killed at a named place, and mutants of it. One process that forks a child for each order.

Reads one JSON order a line and answers each with how its child ended. Forking spares the start of Django each time;
the child is a real process with a connection of its own, and dies by a real SIGKILL.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from audit.actors import SYSTEM  # noqa: E402
from audit.domain.ids import uuid7  # noqa: E402
from audit.errors import LedgerBrokenError  # noqa: E402
from audit.models import Anchor, Checkpoint, Tree  # noqa: E402
from audit.services import anchor_targets, sequencer  # noqa: E402
from audit.services.anchors import anchor_put  # noqa: E402
from audit.services.record import Event, audit_record_many  # noqa: E402

BROKEN = 4


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wrapped(place: Any, name: str, when: str) -> None:
    """Have the process killed before or after a function of this place runs."""
    function = getattr(place, name)

    def killing(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        result = function(*args, **kwargs)
        die()
        return result

    setattr(place, name, killing)


class DyingSigner:
    def __init__(self, use: str, when: str) -> None:
        self._signer, self._when = _ledger_signer(use), when
        self.verifier = self._signer.verifier

    def sign(self, text: str) -> str:
        if self._when == "before":
            die()
        note = self._signer.sign(text)
        die()
        return note


_ledger_signer = sequencer.ledger_signer


def half_written(self: Any, data: bytes) -> None:
    with self.path.open("ab") as file:
        file.write(data[: len(data) // 2])
    die()


POINTS: dict[str, Callable[[], None]] = {
    "after the pending rows are taken": lambda: wrapped(sequencer, "pending_take", "after"),
    "after the bodies are checked": lambda: wrapped(sequencer, "bodies_check", "after"),
    "before the leaves are written": lambda: wrapped(sequencer, "leaves_write", "before"),
    "after the leaves are written": lambda: wrapped(sequencer, "leaves_write", "after"),
    "after the tiles are written": lambda: wrapped(sequencer, "tiles_write", "after"),
    "before the tree is stored": lambda: wrapped(Tree, "save", "before"),
    "before the commit": lambda: wrapped(Tree, "save", "after"),
    "after the commit": lambda: wrapped(sequencer, "ledger_sequence", "after"),
    "before the head is checked": lambda: wrapped(sequencer, "head_check", "before"),
    "before the head is signed": lambda: setattr(sequencer, "ledger_signer", lambda use: _dying(use, "before")),
    "after the head is signed": lambda: setattr(sequencer, "ledger_signer", lambda use: _dying(use, "after")),
    "before the head is stored": lambda: wrapped(Checkpoint.objects, "create", "before"),
    "after the head is stored": lambda: wrapped(Checkpoint.objects, "create", "after"),
    "after the head is committed": lambda: wrapped(sequencer, "checkpoint_sign", "after"),
    "in the middle of an anchor's line": lambda: setattr(anchor_targets.FileTarget, "_append", half_written),
    "after an anchor's line": lambda: wrapped(Anchor.objects, "create", "before"),
    "before an anchor is committed": lambda: wrapped(Anchor.objects, "create", "after"),
}


def _dying(use: str, when: str) -> Any:
    return DyingSigner(use, when) if use == "checkpoint" else _ledger_signer(use)


def by_cursor() -> list[sequencer.Staged]:
    """Take entries by id, after the last one taken: serial order, which is not commit order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, body, leaf_hash FROM audit_entry WHERE id > coalesce((SELECT entry_id FROM audit_leaf"
            " ORDER BY entry_id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000') ORDER BY id"
        )
        rows = cursor.fetchall()
        cursor.execute("DELETE FROM audit_pending WHERE entry_id = ANY(%s)", [[row[0] for row in rows]])
    return [sequencer.Staged(entry_id, bytes(body), bytes(leaf)) for entry_id, body, leaf in rows]


def by_reading_first() -> list[sequencer.Staged]:
    """Read what is pending, and delete it later."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT e.id, body, leaf_hash FROM audit_pending p JOIN audit_entry e ON e.id = p.entry_id")
        rows = cursor.fetchall()
    time.sleep(0.5)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_pending WHERE entry_id = ANY(%s)", [[row[0] for row in rows]])
    return [sequencer.Staged(entry_id, bytes(body), bytes(leaf)) for entry_id, body, leaf in rows]


def unlocked() -> None:
    sequencer._lock = lambda: True
    sequencer.pending_take = by_reading_first
    Tree.objects.select_for_update = lambda: Tree.objects  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "takes entries by a cursor": lambda: setattr(sequencer, "pending_take", by_cursor),
    "takes no lock": unlocked,
    "works without a transaction": lambda: setattr(
        sequencer,
        "ledger_sequence",
        sequencer.ledger_sequence.__wrapped__,  # type: ignore[attr-defined]
    ),
    "does not hash bodies again": lambda: setattr(sequencer, "bodies_check", lambda staged: None),
    "signs before it checks": lambda: setattr(sequencer, "head_check", lambda tree, latest: None),
}


def round_of(order: dict[str, Any]) -> None:
    """Do rounds for so many seconds, and at least one, with an anchor after each."""
    MUTANTS[order.get("mutant", "")]()
    if point := order.get("die"):
        POINTS[point]()
    end = time.monotonic() + order.get("seconds", 0)
    while True:
        sequencer.ledger_step()
        if path := order.get("anchor"):
            settings.ZHIXU["ANCHORS"] = [{"kind": "file", "path": path}]
            anchor_put(anchor_targets.anchor_targets()[0], at=None)
        if time.monotonic() >= end:
            return


def write_until_told(order: dict[str, Any]) -> None:
    """Write entries as a busy service does, some long, some rolled back; what committed is told in a file."""
    chance = random.Random(order["seed"])  # noqa: S311
    with open(order["told"], "a") as told:
        while not os.path.exists(order["stop"]):
            with suppress(KeyError), transaction.atomic():
                ids = audit_record_many(
                    actor=SYSTEM, events=[Event("ledger.heartbeat") for _ in range(chance.randint(1, 12))]
                )
                time.sleep(chance.choice([0, 0, 0.005, 0.05]))
                if chance.random() < 0.2:
                    raise KeyError
                transaction.on_commit(lambda ids=ids: told.writelines(f"{id}\n" for id in ids))
            told.flush()
            time.sleep(0.005)


def write_late(order: dict[str, Any]) -> None:
    """Let an entry with an earlier id commit after one with a later id was sequenced."""
    early, late = Event("ledger.heartbeat", id=uuid7()), Event("ledger.heartbeat", id=uuid7())
    with transaction.atomic():
        audit_record_many(actor=SYSTEM, events=[early])
        other = os.fork()
        if other == 0:
            connection.inc_thread_sharing()
            connection.connection = None  # the parent's, not ours
            connection.in_atomic_block, connection.savepoint_ids = False, []
            connection.atomic_blocks = []
            with transaction.atomic():
                audit_record_many(actor=SYSTEM, events=[late])
            round_of(order)
            os._exit(0)
        assert os.waitpid(other, 0)[1] == 0


ORDERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "round": round_of,
    "write": write_until_told,
    "write late": write_late,
}


def child_of(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        connection.settings_dict["NAME"] = order["database"]
        ORDERS[order["do"]](order)
        code = 0
    except LedgerBrokenError as error:
        sys.stderr.write(f"{error}\n")
        code = BROKEN
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    running: list[int] = []
    for line in sys.stdin:
        orders = json.loads(line)
        pids = [child_of(order) for order in orders if not order.get("behind")]
        running += [child_of(order) for order in orders if order.get("behind")]
        waited = pids or (running if not orders else [])
        ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in waited]
        if not orders:
            running.clear()
        sys.stdout.write(json.dumps(ends) + "\n")
        sys.stdout.flush()


main()
