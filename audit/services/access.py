"""Who looked at whose entries, and who was refused: entries of their own, written before the answer."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from audit.actors import Actor
from audit.services.record import Event, audit_record


@transaction.atomic
def subject_view(*, subject: UUID, where: str, actor: Actor, request_id: str = "") -> None:
    """Note that somebody looks at what the trail holds about a person, before he sees it."""
    event = Event("subject.viewed", subject=subject, details={"where": where})
    audit_record(actor=actor, event=event, request_id=request_id)


@transaction.atomic
def access_deny(*, actor: Actor, where: str, why: str, request_id: str = "") -> None:
    """Note that somebody known was refused. `where` names a route: an address may hold a reference."""
    audit_record(actor=actor, event=Event("access.denied", details={"where": where, "why": why}), request_id=request_id)
