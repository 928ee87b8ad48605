"""Looking at people. A look is an entry in the trail, in the transaction of the look."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.actors import Actor
from audit.services.record import Event, audit_record, audit_record_many
from consent.selectors.people import Found, Person, people_find, person_get


@transaction.atomic
def person_view(*, subject_id: int, where: str, actor: Actor, at: datetime) -> Person | None:
    """Return what the page of a person shows, and note who looked. None: there is no such person."""
    person = person_get(subject_id, at=at)
    if person is not None:
        event = Event("subject.viewed", subject=person.subject.ref, details={"where": where})
        audit_record(actor=actor, event=event)
    return person


@transaction.atomic
def people_search(*, text: str, where: str, actor: Actor, at: datetime) -> Found:
    """Find who holds an identifier, and note the look at each of them. The text is kept nowhere."""
    found = people_find(text)
    events = [Event("subject.viewed", subject=person.ref, details={"where": where}) for person in found.people]
    audit_record_many(actor=actor, events=events)
    return found


def people_refs(*, text: str, where: str, actor: Actor, at: datetime) -> list[UUID]:
    """Return our own references of who holds an identifier; the look at each of them is noted."""
    return [person.ref for person in people_search(text=text, where=where, actor=actor, at=at).people]
