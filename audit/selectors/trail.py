"""Walk the trail: newest first, a page at a time along the key, filtered by what has an index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from audit.domain.ids import uuid7_floor
from audit.models import AuditEntry, Leaf

_CLOCKS = timedelta(hours=1)
"""An id is made before its entry is recorded, by another clock: they differ by less than this."""
_TIMEOUT = "10s"


@dataclass(frozen=True, slots=True)
class TrailFilter:
    """What to look for; None and empty text look for everything."""

    object_kind: str = ""
    object_ref: str = ""
    actor_kind: str = ""
    actor_ref: str = ""
    type: str = ""
    since: datetime | None = None
    until: datetime | None = None
    subject: UUID | None = None


@dataclass(frozen=True, slots=True)
class TrailEntry:
    row: AuditEntry
    index: int | None  # its place in the tree; None while it waits


def entries_page(wanted: TrailFilter, *, after: UUID | None = None, limit: int = 50) -> tuple[list[TrailEntry], bool]:
    """Return a page of entries, and whether there are more. `after`: the last entry of the page before.

    Raises OperationalError if the filter matches too few of too many entries to be found in ten seconds.
    """
    rows = trail_filtered(AuditEntry.objects.order_by("-id"), wanted)
    if after is not None:
        rows = rows.filter(id__lt=after)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_TIMEOUT])
        page = list(rows[: limit + 1])
        places = dict(Leaf.objects.filter(entry_id__any=[row.id for row in page]).values_list("entry_id", "idx"))
        cursor.execute("SELECT set_config('statement_timeout', '0', true)")
    return [TrailEntry(row, places.get(row.id)) for row in page[:limit]], len(page) > limit


def trail_filtered(rows: QuerySet[AuditEntry], wanted: TrailFilter) -> QuerySet[AuditEntry]:
    """Narrow entries. An interval of time also narrows the key, which is ordered by time."""
    named = {
        "object_kind": wanted.object_kind,
        "object_ref": wanted.object_ref,
        "actor_kind": wanted.actor_kind,
        "actor_ref": wanted.actor_ref,
        "type": wanted.type,
        "subject_ref": wanted.subject,
    }
    rows = rows.filter(**{name: value for name, value in named.items() if value})
    if wanted.since is not None:
        rows = rows.filter(recorded_at__gte=wanted.since, id__gte=uuid7_floor(wanted.since - _CLOCKS))
    if wanted.until is not None:
        rows = rows.filter(recorded_at__lt=wanted.until, id__lt=uuid7_floor(wanted.until + _CLOCKS))
    return rows


def entry_bundle(first: int, width: int) -> bytes | None:
    """Return the entries of a tile, each after its length as two bytes (C2SP tlog-tiles); None if there are fewer."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.body FROM audit_leaf l JOIN audit_entry e ON e.id = l.entry_id"
            " WHERE l.idx >= %s AND l.idx < %s ORDER BY l.idx",
            [first, first + width],
        )
        bodies = [bytes(body) for (body,) in cursor.fetchall()]
    if len(bodies) < width:
        return None
    return b"".join(len(body).to_bytes(2, "big") + body for body in bodies)
