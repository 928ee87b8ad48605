"""Write the trace of a change, in the transaction of the change or not at all."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from audit.actors import Actor
from audit.bulk import copy_rows
from audit.domain.canonical import MAX_BODY_BYTES, canonical_json
from audit.domain.details import checked_details
from audit.domain.ids import uuid7
from audit.domain.merkle import leaf_hash
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
    "recorded_at",
)


class ObjectRef(NamedTuple):
    kind: str
    ref: str


@dataclass(frozen=True, slots=True)
class SealedPayload:
    """The personal part of an event, sealed under the person's key.

    `commitment` is HMAC-SHA256(salt, canonical payload); the salt lies inside `sealed`. Whoever is shown the payload
    can check it against the entry; nobody can guess it from there.
    """

    commitment: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, before it is encoded. `version` is the person's version after the change.

    `id` is the entry's: a payload is sealed for it.
    """

    type: str
    subject: UUID | None = None
    version: int | None = None
    object: ObjectRef | None = None
    details: dict[str, Any] = field(default_factory=dict)
    payload: SealedPayload | None = None
    id: UUID = field(default_factory=uuid7)


def audit_record(*, actor: Actor, event: Event, request_id: str = "") -> UUID:
    """Append one entry in the caller's transaction and return its id.

    The entry's time is the database's clock at this moment, whatever time its change is about: nobody can back-date
    an entry through a door.

    Raises:
        AuditOutsideTransactionError: there is no transaction to share.
        ValueError: unknown event type or detail; personal data has no key to go under.
    """
    return audit_record_many(actor=actor, events=[event], request_id=request_id)[0]


def audit_record_many(*, actor: Actor, events: Iterable[Event], request_id: str = "") -> list[UUID]:
    """Append many entries with one COPY; ids come back in the order given."""
    if not connection.in_atomic_block:
        raise AuditOutsideTransactionError("An audit entry needs the transaction of its change.")
    batch = list(events)
    if not batch:
        return []
    at = database_now()
    copy_rows("audit_entry", _COLUMNS, [_row(event, actor, at, request_id) for event in batch])
    payloads = [(event.id, event.subject, event.payload.sealed) for event in batch if event.payload]
    if payloads:
        copy_rows("audit_payload", ("entry_id", "subject_ref", "sealed"), payloads)
    return [event.id for event in batch]


def database_now() -> datetime:
    """Return the database's clock, not the start of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


def _row(event: Event, actor: Actor, at: datetime, request_id: str) -> Sequence[Any]:
    body: dict[str, Any] = {
        "v": 1,
        "id": str(event.id),
        "t": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": event.type,
        "tenant": option("TENANT"),
        "actor": {"k": actor.kind, "ref": actor.ref},
        **({"subj": str(event.subject)} if event.subject else {}),
        **({"ver": event.version} if event.version is not None else {}),
        **({"obj": {"k": event.object.kind, "ref": event.object.ref}} if event.object else {}),
        **({"req": request_id} if request_id else {}),
        **_payload_digests(event.payload),
    }
    details = checked_details(event.type, event.details)
    if details:
        body["d"] = details
    encoded = canonical_json(body)
    if len(encoded) > MAX_BODY_BYTES:
        raise ValueError(f"audit body of {len(encoded)} bytes; at most {MAX_BODY_BYTES}")
    place = event.object or ObjectRef("", "")
    return (
        event.id,
        encoded,
        leaf_hash(encoded),
        event.type,
        actor.kind,
        actor.ref,
        event.subject,
        place.kind,
        place.ref,
        at,
    )


def _payload_digests(payload: SealedPayload | None) -> dict[str, str]:
    """Return the commitment to what was sealed, and the digest of the sealed bytes, which are random to all others."""
    if payload is None:
        return {}
    digest = hashlib.sha256(payload.sealed).digest()
    return {"pc": base64.b64encode(payload.commitment).decode(), "px": base64.b64encode(digest).decode()}
