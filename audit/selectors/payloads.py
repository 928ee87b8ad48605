"""Find what was sealed for an entry. It stays sealed here: this app holds no keys."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from uuid import UUID

from audit.models import AuditEntry, Payload
from audit.selectors.entries import entry_body


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """A sealed payload beside what its entry commits to."""

    entry: UUID
    subject: UUID
    sealed: bytes
    commitment: bytes


def payload_get(*, entry: UUID) -> StoredPayload | None:
    """Return the payload of an entry. None: the entry never had one, or its person is erased."""
    return _stored(AuditEntry.objects.filter(id=entry).first())


def payload_of(*, kind: str, ref: str, types: tuple[str, ...]) -> StoredPayload | None:
    """Return the payload of the first entry of these types about one object, or None."""
    rows = AuditEntry.objects.filter(object_kind=kind, object_ref=ref, type__in=types)
    return _stored(rows.order_by("id").first())


def _stored(row: AuditEntry | None) -> StoredPayload | None:
    commitment = entry_body(row).get("pc") if row else None
    if row is None or row.subject_ref is None or not isinstance(commitment, str):
        return None
    sealed = Payload.objects.filter(entry_id=row.id, subject_ref=row.subject_ref).values_list("sealed", flat=True)
    found = sealed.first()
    if found is None:
        return None
    return StoredPayload(row.id, row.subject_ref, bytes(found), base64.b64decode(commitment))
