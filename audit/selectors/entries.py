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
