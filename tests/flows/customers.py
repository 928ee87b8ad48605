"""Customers with a story, for the tests of the customer's page."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import timezone

from audit.actors import SYSTEM
from audit.domain.ids import uuid7
from consent.decisions.engine import Verdict, judge_send
from consent.decisions.facts import Plan
from consent.decisions.history import Contact
from consent.domain.records import NoticeRef, Record
from consent.domain.terms import NO, Act, Bundle, Control
from consent.models import DataSubject
from consent.screening.reference import ReferenceBackend
from consent.screening.set_based import SetBasedBackend
from consent.selectors.register import register_live
from consent.services.preferences import preference_link_create
from consent.services.records import NewRecord, records_append
from consent.services.subjects import NewIdentifier, identifiers_add, subjects_create
from governance.crypto.blind_index import lookup
from governance.domain.calendar import SHANGHAI
from governance.domain.identifiers import IdentifierType

PROMOTION, PERSONALISED = "marketing.promotion", "marketing.personalised"
NOTICE = NoticeRef("mp", 2)
LONG_AGO = timedelta(days=40)

Identifiers = dict[IdentifierType, str]
LIN: Identifiers = {
    IdentifierType.PHONE: "+8613900010001",
    IdentifierType.EMAIL: "lin@example.com",
    IdentifierType.MEMBER_ID: "M900001",
}


def customer(identifiers: Identifiers, *, guest: bool = False) -> DataSubject:
    """Create a person with these identifiers."""
    subject = DataSubject(version=1, is_guest=guest)
    subjects_create([subject], actor=SYSTEM, at=timezone.now())
    identifiers_add([NewIdentifier(subject.id, subject.ref, kind, value) for kind, value in identifiers.items()])
    return subject


def say(
    subject: DataSubject,
    act: Act,
    purpose: str | None,
    channel: str | None,
    *,
    at: datetime | None = None,
    clock: datetime | None = None,
    recipient: str | None = None,
    field_group: str | None = None,
    point: str = "MP1",
) -> str:
    """Let a person agree to or refuse something, well asked and well proved; returns the record's reference.

    `clock` is the time of the host that records it, if not ours.
    """
    register = register_live()
    yes = act not in NO
    record = Record(
        ref=str(uuid7()),
        seq=0,
        at=at or timezone.now() - LONG_AGO,
        act=act,
        purpose=purpose,
        channel=channel,
        separate=bool(recipient or field_group),
        recipient=recipient,
        field_group=field_group,
        point=point,
        notice=NOTICE if yes else None,
        text_hash=register.rules.book.notices[NOTICE].text_sha256 if yes else "",
        control=Control.CHECKBOX,
        pre_checked=False if yes else None,
        bundle=Bundle.OWN,
        evidence="A" if yes else "",
        proof=yes,
    )
    new = NewRecord(subject.id, record, proof="X1" if yes else "")
    records_append([new], register=register, actor=SYSTEM, at=clock or timezone.now())
    return record.ref


def agreed(identifiers: Identifiers, *choices: tuple[str, str], **kwargs: object) -> DataSubject:
    """Create a person who agreed to these purposes on these channels."""
    subject = customer(identifiers)
    for purpose, channel in choices:
        say(subject, Act.GRANT, purpose, channel, **kwargs)  # type: ignore[arg-type]
    return subject


def link_of(subject: DataSubject, at: datetime | None = None) -> str:
    """Return the path of a new link to a person's page."""
    return preference_link_create(subject_id=subject.id, actor=SYSTEM, at=at or timezone.now())


def checks(identifiers: Identifiers, purpose: str, channel: str) -> list[Verdict]:
    """Ask both backends whether the person may be contacted tomorrow at ten; one verdict each."""
    register = register_live()
    at = (timezone.now().astimezone(SHANGHAI) + timedelta(days=1)).replace(hour=10, minute=0)
    judgement = judge_send(Plan(None, purpose, channel, "marketing", at), register=register.rules, at=at)
    kind = register.rules.channels[channel].identifier
    contact = Contact(kind, lookup(kind, identifiers[kind]))
    backends = (SetBasedBackend(register), ReferenceBackend(register))
    return [verdict for backend in backends for verdict in backend.screen([contact], judgement)]


def allowed(verdicts: Iterable[Verdict]) -> list[bool]:
    return [verdict.outcome.may_send for verdict in verdicts]
