"""Read the trail. Entries hold no personal data, so what they say may be shown to any officer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from audit.models import AuditEntry


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as people read it. `details` are those of its event type (audit/domain/details.py)."""

    id: UUID
    type: str
    recorded_at: datetime
    actor_kind: str
    actor_ref: str
    object_kind: str
    object_ref: str
    details: dict[str, object] = field(default_factory=dict)


def entry_body(entry: AuditEntry) -> dict[str, object]:
    """Return the canonical body of an entry as values."""
    body: dict[str, object] = json.loads(bytes(entry.body))
    return body


def entries_of(*, kind: str, ref: str, limit: int = 100) -> list[Entry]:
    """Return the newest entries about one object."""
    return _read(AuditEntry.objects.filter(object_kind=kind, object_ref=ref).order_by("-id")[:limit])


def entries_of_subject(ref: UUID, *, limit: int = 100) -> list[Entry]:
    """Return the newest entries about one person, who looked at him included."""
    return _read(AuditEntry.objects.filter(subject_ref=ref).order_by("-id")[:limit])


def entries_of_type(types: Sequence[str], *, limit: int = 10) -> list[Entry]:
    """Return the newest entries of these event types."""
    return _read(AuditEntry.objects.filter(type__in=types).order_by("-recorded_at")[:limit])


def entries_together(entry_id: UUID, *, prefix: str) -> list[AuditEntry]:
    """Return what was recorded in one act with this entry, in order: same person, same instant, same family of events.

    `prefix` is the family, such as `consent.`. Empty if the entry is unknown or of another family.
    """
    entry = AuditEntry.objects.filter(id=entry_id, type__startswith=prefix).first()
    if entry is None or entry.subject_ref is None:
        return []
    rows = AuditEntry.objects.filter(
        subject_ref=entry.subject_ref, recorded_at=entry.recorded_at, type__startswith=prefix
    )
    return in_order(rows)


def in_order(rows: Iterable[AuditEntry]) -> list[AuditEntry]:
    """Sort entries of one person by his version, which orders them whatever their clock."""
    return sorted(rows, key=lambda row: (entry_body(row).get("ver", 0), row.id))


def acts_of_subject(ref: UUID, *, prefix: str, limit: int = 50) -> list[list[AuditEntry]]:
    """Return a person's newest acts of one family, each with all its entries in order; the newest act first."""
    rows = AuditEntry.objects.filter(subject_ref=ref, type__startswith=prefix).order_by("-recorded_at", "-id")[:limit]
    acts: dict[datetime, list[AuditEntry]] = {}
    for row in rows:
        acts.setdefault(row.recorded_at, []).append(row)
    return [in_order(act) for act in acts.values()]


def _read(rows: Iterable[AuditEntry]) -> list[Entry]:
    return [
        Entry(
            row.id,
            row.type,
            row.recorded_at,
            row.actor_kind,
            row.actor_ref,
            row.object_kind,
            row.object_ref,
            entry_body(row).get("d", {}),  # type: ignore[arg-type]
        )
        for row in rows
    ]
