"""The sequencer's loop: in the demo's process, or as a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic, sleep
from uuid import UUID

from django.db import DatabaseError, connection

from audit.errors import LedgerBrokenError, LedgerLateError
from audit.selectors.ledger import checkpoint_latest, leaf_index
from audit.services.anchors import Anchoring
from audit.services.record import database_now
from audit.services.sequencer import lag_check, ledger_step
from audit.services.verification import Verifying

_POLL = 0.05
_VERIFY_LOOK = 20.0  # seconds between looks whether a verification is due
_ANCHORS_END = 30.0  # how long an anchor under way may keep a stopping process

log = logging.getLogger(__name__)


def sequence_until(stop: Event, *, interval: float = 1.0) -> None:
    """Do a round every `interval` seconds, and at least one: sequence, sign, and begin to anchor what is signed.

    A lost database is waited for; a broken ledger is not.

    Raises:
        LedgerBrokenError: the process ends, loudly; a supervisor that starts it again gets the same.
    """
    anchoring = Anchoring()
    while True:
        try:
            ledger_step()
            lag_check(database_now())
            anchoring.begin()
        except LedgerBrokenError as error:
            log.critical("the ledger is broken, nothing is signed: %s", error)
            raise
        except DatabaseError as error:
            log.error("the sequencer has no database: %s", type(error).__name__)
            connection.close()
        if stop.wait(interval):
            anchoring.finish(_ANCHORS_END)
            return


@contextmanager
def sequencer_running(interval: float = 1.0) -> Iterator[None]:
    """Run the sequencer beside whatever this process does, and have the ledger verified once a day."""
    stop = Event()

    def run() -> None:
        try:
            sequence_until(stop, interval=interval)
        except LedgerBrokenError:
            pass  # it has been said; the ledger stays behind and readiness tells it
        finally:
            connection.close()

    def verify() -> None:
        verifying = Verifying()
        try:
            while not stop.wait(_VERIFY_LOOK):
                with suppress(DatabaseError):
                    verifying.begin(database_now())
        finally:
            verifying.finish(_ANCHORS_END)
            connection.close()

    thread = Thread(target=run, name="zhixu-sequencer", daemon=True)
    thread.start()
    Thread(target=verify, name="zhixu-verifying", daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)


def entry_published(entry_id: UUID, *, seconds: float = 5.0) -> int:
    """Wait until a signed head covers a committed entry, and return its place: what must be published first.

    Raises:
        LedgerLateError: it was not published in time; what depends on it does not happen.
    """
    deadline = monotonic() + seconds
    while True:
        index, head = leaf_index(entry_id), checkpoint_latest()
        if index is not None and head is not None and index < head.size:
            return index
        if monotonic() >= deadline:
            raise LedgerLateError("the ledger did not publish the entry in time")
        sleep(_POLL)
