"""Write the trace of a change, in the transaction of the change or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from audit.actors import Actor
from audit.bulk import copy_rows
from audit.domain.canonical import MAX_BODY_BYTES, canonical_json, leaf_hash
from audit.domain.details import checked_details
from audit.domain.ids import uuid7s
from audit.errors import AuditOutsideTransactionError
from audit.options import option

_COLUMNS = (
    "id",
    "body",
    "leaf_hash",
    "type",
    "actor_kind",
    "actor_ref",
    "subject_ref",
    "object_kind",
    "object_ref",
)


class ObjectRef(NamedTuple):
    kind: str
    ref: str


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, before it is encoded. `version` is the person's version after the change."""

    type: str
    subject: UUID | None = None
    version: int | None = None
    object: ObjectRef | None = None
    details: dict[str, Any] = field(default_factory=dict)


def audit_record(*, actor: Actor, at: datetime, event: Event, request_id: str = "") -> UUID:
    """Append one entry in the caller's transaction and return its id.

    Raises:
        AuditOutsideTransactionError: there is no transaction to share.
        ValueError: unknown event type or detail; personal data has no key to go under.
    """
    return audit_record_many(actor=actor, at=at, events=[event], request_id=request_id)[0]


def audit_record_many(*, actor: Actor, at: datetime, events: Iterable[Event], request_id: str = "") -> list[UUID]:
    """Append many entries with one COPY; ids come back in the order given."""
    if not connection.in_atomic_block:
        raise AuditOutsideTransactionError("An audit entry needs the transaction of its change.")
    batch = list(events)
    ids = uuid7s(len(batch))
    rows = [_row(entry_id, event, actor, at, request_id) for entry_id, event in zip(ids, batch, strict=True)]
    if rows:
        copy_rows("audit_entry", _COLUMNS, rows)
    return ids


def _row(entry_id: UUID, event: Event, actor: Actor, at: datetime, request_id: str) -> Sequence[Any]:
    body: dict[str, Any] = {
        "v": 1,
        "id": str(entry_id),
        "t": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": event.type,
        "tenant": option("TENANT"),
        "actor": {"k": actor.kind, "ref": actor.ref},
        **({"subj": str(event.subject)} if event.subject else {}),
        **({"ver": event.version} if event.version is not None else {}),
        **({"obj": {"k": event.object.kind, "ref": event.object.ref}} if event.object else {}),
        **({"req": request_id} if request_id else {}),
    }
    details = checked_details(event.type, event.details)
    if details:
        body["d"] = details
    encoded = canonical_json(body)
    if len(encoded) > MAX_BODY_BYTES:
        raise ValueError(f"audit body of {len(encoded)} bytes; at most {MAX_BODY_BYTES}")
    place = event.object or ObjectRef("", "")
    return (
        entry_id,
        encoded,
        leaf_hash(encoded),
        event.type,
        actor.kind,
        actor.ref,
        event.subject,
        place.kind,
        place.ref,
    )
