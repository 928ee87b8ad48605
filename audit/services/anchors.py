"""Put signed heads where nobody who runs the database can change them.

A target is due when its interval has passed since it last kept a head and the tree has grown; after a failure it is
tried again after 15 s, 30 s, … up to an hour. Whatever happens out there, the sequencer goes on.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from threading import Thread

from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet

from audit.actors import SYSTEM
from audit.errors import AnchorDisagreesError, AnchorFailedError
from audit.models import Anchor, Checkpoint
from audit.selectors.ledger import checkpoint_latest
from audit.services.anchor_targets import AnchorTarget, Kept, anchor_targets
from audit.services.record import Event, ObjectRef, audit_record, database_now

FIRST_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(hours=1)
_REMEMBERED = 12  # failures in a row that make a difference

log = logging.getLogger(__name__)


def anchors_due(at: datetime) -> list[AnchorTarget]:
    """Return the targets that should keep the newest head now."""
    checkpoint = checkpoint_latest()
    return [target for target in anchor_targets() if checkpoint and _due(target, checkpoint, at)]


def _due(target: AnchorTarget, checkpoint: Checkpoint, at: datetime) -> bool:
    tried = list(_attempts(target)[:_REMEMBERED])
    if not tried:
        return True
    latest = tried[0]
    if latest.succeeded:
        traces = Anchor.objects.filter(succeeded=True, id__gte=latest.id).count()
        grown = checkpoint.size - latest.size > traces  # that heads were anchored is no reason to anchor again
        return grown and bool(at >= latest.anchored_at + target.every)
    failures = next((n for n, row in enumerate(tried) if row.succeeded), len(tried))
    retry: datetime = latest.anchored_at + min(FIRST_RETRY * 2 ** (failures - 1), LONGEST_RETRY)
    return at >= retry


def _attempts(target: AnchorTarget) -> QuerySet[Anchor]:
    return Anchor.objects.filter(kind=target.kind, target=target.target).order_by("-id")


@transaction.atomic
def anchor_put(target: AnchorTarget, *, at: datetime | None) -> Anchor | None:
    """Put the newest head there and note it, whether it went well or not.

    `at`: only if it is still due at this time. None: now, whatever the interval. Returns None if there was nothing to
    do: it is kept already, or another process is at it.
    """
    checkpoint = checkpoint_latest()
    if checkpoint is None or not _lock(target):
        return None
    kept_before = _attempts(target).filter(succeeded=True).first()
    before = kept_before.size if kept_before else 0
    if before >= checkpoint.size or (at is not None and not _due(target, checkpoint, at)):
        return None
    try:
        kept, succeeded = target.put(checkpoint, before), True
    except AnchorFailedError as error:
        level = logging.CRITICAL if isinstance(error, AnchorDisagreesError) else logging.ERROR
        log.log(level, "anchor %s %s, checkpoint %s: %s", target.kind, target.target, checkpoint.size, error)
        kept, succeeded = Kept(checkpoint.note, str(error)), False
    anchor = Anchor.objects.create(
        size=checkpoint.size,
        kind=target.kind,
        target=target.target,
        note=kept.note,
        reply=kept.reply,
        succeeded=succeeded,
        anchored_at=database_now(),
    )
    if succeeded:
        audit_record(actor=SYSTEM, event=_event(anchor))
    return anchor


def _event(anchor: Anchor) -> Event:
    """Return the trace of an anchor: should its row be taken away, the ledger still says that it was there."""
    details: dict[str, object] = {
        "size": anchor.size,
        "kind": anchor.kind,
        "sha256": hashlib.sha256(anchor.note.encode()).hexdigest(),
    }
    return Event("ledger.anchored", object=ObjectRef("anchor", str(anchor.pk)), details=details)


def _lock(target: AnchorTarget) -> bool:
    """Take the target for this transaction: no two processes put the same head there."""
    name = f"zhixu anchor {target.kind} {target.target}".encode()
    key = int.from_bytes(hashlib.sha256(name).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key])
        return bool(cursor.fetchone()[0])


class Anchoring:
    """Keeps anchoring beside the sequencer: a thread per target that is due, so that none waits for another."""

    def __init__(self) -> None:
        self._threads: dict[tuple[str, str], Thread] = {}

    def begin(self) -> None:
        """Start what is due and not under way."""
        at = database_now()
        for target in anchors_due(at):
            name = (target.kind, target.target)
            if name in self._threads and self._threads[name].is_alive():
                continue
            self._threads[name] = Thread(target=_anchor, args=[target, at], name=f"anchor-{target.kind}", daemon=True)
            self._threads[name].start()

    def finish(self, seconds: float) -> None:
        """Wait for what is under way, at most so long for each."""
        for thread in self._threads.values():
            thread.join(timeout=seconds)


def _anchor(target: AnchorTarget, at: datetime) -> None:
    try:
        anchor_put(target, at=at)
    except DatabaseError as error:
        log.error("anchor %s %s was not noted: %s", target.kind, target.target, type(error).__name__)
    except Exception as error:
        log.error("anchor %s %s failed: %s", target.kind, target.target, type(error).__name__, exc_info=error)
    finally:
        connection.close()
