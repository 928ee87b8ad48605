"""The private evidence of an act: sealed, and opened one record at a time, with a reason that stays."""

from __future__ import annotations

from enum import StrEnum

from django.db import transaction

from audit.actors import Actor
from audit.domain.ids import uuid7
from audit.selectors.payloads import payload_of
from audit.services.record import Event, ObjectRef, audit_record
from consent.models import ConsentRecord
from consent.services.records import EVENTS
from governance.services.payloads import payload_open, payloads_seal


class RevealReason(StrEnum):
    """Why sealed evidence is opened. What else there is to say goes into the sealed note."""

    COMPLAINT = "complaint"
    SUBJECT_REQUEST = "subject_request"
    AUTHORITY = "authority"
    DISPUTE = "dispute"
    INSPECTION = "inspection"


def evidence_is_sealed(record: ConsentRecord) -> bool:
    """Tell whether private evidence of an act is stored. Opens nothing."""
    return payload_of(kind="consent", ref=str(record.ref), types=tuple(EVENTS.values())) is not None


def evidence_reveal(
    *, record: ConsentRecord, why: RevealReason, note: str, actor: Actor, where: str
) -> dict[str, str] | None:
    """Open the private evidence of one act: address, browser, attachment. None if there is none.

    Who looked, when and why is committed before anything is opened; the note is sealed like the evidence itself,
    because people write names into notes.

    Raises:
        SealBrokenError: the person is erased, or what is stored is not what was sealed.
    """
    stored = payload_of(kind="consent", ref=str(record.ref), types=tuple(EVENTS.values()))
    if stored is None:
        return None
    with transaction.atomic():
        entry = uuid7()
        sealed = payloads_seal(entries={entry: {"note": note}}, subject=stored.subject)
        event = Event(
            "subject.revealed",
            subject=stored.subject,
            object=ObjectRef("consent", str(record.ref)),
            details={"where": where, "why": why.value},
            payload=sealed[entry],
            id=entry,
        )
        audit_record(actor=actor, event=event)
    return payload_open(stored)
