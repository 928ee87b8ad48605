"""Random histories: the three statements and the plain reading agree on every send."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from audit.domain.ids import uuid7
from consent.decisions.bits import bit
from consent.decisions.reasons import Reason
from consent.domain.sends import DUTIES, SendFinding
from consent.domain.terms import Severity
from consent.models import (
    Campaign,
    ConsentRecord,
    DataSubject,
    Decision,
    Identifier,
    Screening,
    ScreeningPass,
    ScreeningRow,
    ScreeningRowPast,
    SendMatch,
    SendReceipt,
    SendReport,
    Suppression,
)
from consent.selectors.register import LiveRegister, register_live
from consent.services.reconciliation import campaigns_marketing, sends_match, terms_of
from governance.domain.calendar import SHANGHAI
from governance.domain.identifiers import IDENTIFIER_TYPES
from tests.consent import plain_reconciliation as plain
from tests.strategies import few, rich_register
from tests.worlds import World, constraints_now, register_store, undone

SPACE = UUID("5b1f2c8e-0000-4000-8000-000000000000")
START = datetime(2026, 11, 21, 20, 50, tzinfo=SHANGHAI)  # the window of short messages closes at nine
CAMPAIGNS = {
    "promo": ("marketing.promotion", "sms", "marketing", "yunqiao"),
    "perso": ("marketing.personalised", "sms", "marketing", ""),
    "mail": ("marketing.promotion", "email", "marketing", "us-mail"),
    "order": ("service.order", "sms", "service", "yunqiao"),
}
HOLDERS = {
    "phone:1": frozenset({"an"}),
    "phone:2": frozenset({"an", "bo"}),
    "phone:3": frozenset[str](),
    "email:1": frozenset({"an"}),
    "member_id:1": frozenset({"an"}),
}
PEOPLE = ["an", "bo"]
EXTRA = {
    plain.GENERIC: (Reason.PERSONALISATION_OFF, Severity.STRIP),
    plain.DROP: (Reason.SENSITIVE_NO_SEPARATE_CONSENT, Severity.STRIP),
}

instants = st.integers(0, 40).map(lambda n: START + timedelta(seconds=n * 30))
receivers = st.sampled_from(sorted(HOLDERS))
codes = st.frozensets(st.sampled_from(DUTIES[:6]), max_size=3)


@pytest.fixture(scope="module")
def register(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[LiveRegister]:
    with django_db_blocker.unblock(), undone():
        register_store(World(rich_register() | {"row": "phone:13800000001"}))
        for code, (purpose, channel, kind, recipient) in CAMPAIGNS.items():
            Campaign.objects.create(
                code=code, name=code, purpose=purpose, channel=channel, kind=kind, recipient=recipient, brand="lanhua"
            )
        constraints_now()
        yield register_live()


@st.composite
def decisions(draw: Any, number: int) -> plain.Answer:
    campaign = draw(st.sampled_from([*CAMPAIGNS, ""]))
    purpose, channel, _, _ = CAMPAIGNS.get(campaign, ("marketing.promotion", "sms", "", ""))
    receiver = draw(receivers)
    return plain.Answer(
        name=str(uuid5(SPACE, f"decision {number}")),
        receiver=receiver,
        campaign=campaign,
        channel=channel,
        purpose=purpose,
        subject=draw(st.sampled_from([*sorted(HOLDERS[receiver]), None])),
        recipient=draw(st.sampled_from([None, None, "", "partner"])),
        decided_at=draw(instants),
        outcome=draw(st.sampled_from([0, 0, 1, 2, 4])),
        extra=draw(st.sampled_from([(), (), (plain.GENERIC,), (plain.DROP,)])),
    )


@st.composite
def screenings(draw: Any, number: int) -> list[plain.Answer]:
    campaign = draw(st.sampled_from(sorted(CAMPAIGNS)))
    purpose, channel, _, _ = CAMPAIGNS[campaign]
    starts = draw(st.lists(instants, min_size=0, max_size=2, unique=True))
    passes = tuple((at - timedelta(seconds=10), at, at + timedelta(minutes=4)) for at in sorted(starts))
    rows = draw(st.lists(receivers, min_size=1, max_size=3, unique=True))
    key = uuid5(SPACE, f"screening {number}")
    return [
        plain.Answer(
            name=f"{key}:{place}",
            receiver=receiver,
            campaign=campaign,
            channel=channel,
            purpose=purpose,
            subject=draw(st.sampled_from([*sorted(HOLDERS[receiver]), None])),
            outcome=draw(st.sampled_from([0, 1, 4])),
            passes=passes,
            before=tuple((at, draw(st.sampled_from([0, 4]))) for at in draw(st.lists(instants, max_size=1))),
            screening=str(key),
        )
        for place, receiver in enumerate(rows, 1)
    ]


@st.composite
def words(draw: Any) -> plain.Word:
    gives = draw(st.booleans())
    said_at = draw(instants)
    purposes = ["marketing.promotion", "marketing.personalised", "service.order"]
    return plain.Word(
        person=draw(st.sampled_from(PEOPLE)),
        gives=gives,
        purpose=draw(st.sampled_from(purposes if gives else [*purposes, None])),
        channel=draw(st.sampled_from(["sms", "email"] if gives else ["sms", "email", None])),
        said_at=said_at,
        recorded_at=said_at + timedelta(seconds=draw(st.sampled_from([0, 30, 90]))),
    )


@st.composite
def lists(draw: Any) -> plain.Listed:
    said_at = draw(st.none() | instants)
    return plain.Listed(
        receiver=draw(receivers),
        kind=draw(st.sampled_from(["opt_out", "listed", "carrier"])),
        channel=draw(st.sampled_from([None, "sms", "email"])),
        said_at=said_at,
        recorded_at=draw(instants),
        removed_at=None,
    )


@st.composite
def sends(draw: Any, number: int, answers: list[plain.Answer]) -> plain.Send:
    receiver, campaign = draw(receivers), draw(st.sampled_from([*CAMPAIGNS, "promo", "unknown", ""]))
    channel = CAMPAIGNS.get(campaign, ("", "sms", "", ""))[1]
    taken = draw(st.sampled_from([None, *answers])) if answers else None
    if taken and draw(st.integers(0, 4)):  # mostly as it was answered
        receiver, campaign, channel = taken.receiver, taken.campaign, taken.channel
    named = draw(st.sampled_from(["", "", "decision", "row", "screening", "unknown"]))
    send = plain.Send(
        name=str(uuid5(SPACE, f"send {number}")),
        receiver=receiver,
        campaign=campaign,
        channel=draw(st.sampled_from([channel, channel, "sms", "email"])),
        sent_at=draw(instants) + timedelta(seconds=draw(st.sampled_from([0, 0, -3, -6]))),
        kind=draw(st.sampled_from(["marketing", "marketing", "service", "solicitation"])),
        recipient=draw(st.sampled_from([None, None, "", "yunqiao", "partner"])),
        met=draw(codes),
        delivered=draw(st.sampled_from([True, True, True, False])),
    )
    send = replace(send, unmet=draw(codes) - send.met)
    if named == "decision" and taken and taken.decided_at:
        return replace(send, decision=taken.name)
    if named == "row" and taken and taken.screening:
        return replace(send, row=taken.name)
    if named == "screening" and taken and taken.screening:
        return replace(send, screening=taken.screening)
    return replace(send, decision=str(uuid5(SPACE, "unknown"))) if named == "unknown" else send


@st.composite
def histories(draw: Any) -> plain.History:
    answers = [draw(decisions(number)) for number in range(draw(st.integers(0, 3)))]
    for number in range(draw(st.integers(0, 2))):
        answers += draw(screenings(number))
    return plain.History(
        holders=HOLDERS,
        reachable=frozenset(receiver for receiver in HOLDERS if not receiver.startswith("member_id")),
        answers=tuple(answers),
        words=tuple(draw(st.lists(words(), max_size=3))),
        listed=tuple(draw(st.lists(lists(), max_size=2))),
        sends=tuple(draw(sends(number, answers)) for number in range(draw(st.integers(1, 4)))),
    )


@given(history=histories())
@few(120)
def test_the_statements_find_what_the_plain_reading_finds(
    register: LiveRegister, db: None, history: plain.History
) -> None:
    history = with_register(history, register)
    expected = plain.reconcile(history)
    with undone():
        receipts = store(history, register)

        sends_match(receipts)

        found = {
            str(row.receipt_id): plain.Judged(_answer(row), SendFinding(row.findings))
            for row in SendMatch.objects.all()
        }
    note(str(history))
    assert found == expected


def test_a_match_made_again_is_the_same(register: LiveRegister, db: None) -> None:
    """Two sends on one decision: whichever is matched first, the earlier is the first and the later the double."""
    decision = plain.Answer(
        "11111111-1111-4111-8111-111111111111",
        "phone:1",
        "promo",
        "sms",
        "marketing.promotion",
        "an",
        decided_at=START,
    )
    early = plain.Send("22222222-2222-4222-8222-222222222222", "phone:1", "promo", "sms", START + timedelta(seconds=5))
    late = replace(early, name="33333333-3333-4333-8333-333333333333", sent_at=START + timedelta(seconds=9))
    history = with_register(plain.History(HOLDERS, frozenset(HOLDERS), (decision,), sends=(early, late)), register)
    receipts = store(history, register)

    sends_match(receipts[1:])
    sends_match(receipts[:1])
    sends_match(receipts)

    doubles = {str(row.receipt_id): bool(row.findings & SendFinding.DOUBLE) for row in SendMatch.objects.all()}
    assert doubles == {early.name: False, late.name: True}


# -- a history as rows -------------------------------------------------------------------------------------------------


def with_register(history: plain.History, register: LiveRegister) -> plain.History:
    """Add what the register says of every place a send or an answer of the history has."""
    places = {(a.campaign, a.channel, a.purpose) for a in history.answers}
    places |= {(s.campaign, s.channel, "") for s in history.sends}
    book = register.rules.book
    duties = {}
    for campaign, channel, purpose in places:
        terms = terms_of(campaign, channel, purpose, register)
        own = purpose or CAMPAIGNS.get(campaign, ("",))[0]
        known = book.purposes.get(own)
        duties[campaign, channel, purpose] = plain.Duties(
            codes=terms.duties,
            vendor=terms.vendor,
            marketing=terms.marketing,
            window=terms.window,  # type: ignore[arg-type]
            purpose=own,
            heard=frozenset({own, *known.contains}) if known else frozenset(),
            wider=frozenset(p.id for p in book.purposes.values() if own in p.contains),
        )
    named = {send.campaign for send in history.sends}
    return replace(history, duties=duties, marketing=campaigns_marketing(named, register))


def _lookup(receiver: str) -> bytes:
    return hashlib.blake2b(receiver.encode(), digest_size=16).digest()


def _type(receiver: str) -> int:
    return IDENTIFIER_TYPES[receiver.partition(":")[0]].value


def _answer(row: SendMatch) -> str | None:
    if row.decision_id:
        return str(row.decision_id)
    return f"{row.screening_id}:{row.row_no}" if row.screening_id else None


def store(history: plain.History, register: LiveRegister) -> list[SendReceipt]:
    governed = register.governed
    people = {name: DataSubject.objects.create(ref=uuid7(), is_guest=True) for name in PEOPLE}
    for receiver, holders in HOLDERS.items():
        for name in sorted(holders):
            Identifier.objects.create(subject=people[name], type=_type(receiver), lookup=_lookup(receiver), sealed=b"")
    for answer in history.answers:
        if answer.decided_at:
            _store_decision(answer, people)
    for key in sorted({answer.screening for answer in history.answers if answer.screening}):
        _store_screening(key, [a for a in history.answers if a.screening == key], people)
    _store_words(history, people, governed)
    report = SendReport.objects.create(status="done", sha256="0" * 64)
    receipts = []
    for send in history.sends:
        screening, _, row = (send.row or send.screening or "").partition(":")
        receipts.append(
            SendReceipt(
                id=UUID(send.name),
                report=report,
                source_key=_lookup(send.name),
                source_digest=_lookup(send.name),
                decision_id=send.decision,
                screening_id=screening or None,
                row_no=int(row) if row else None,
                type=_type(send.receiver),
                lookup=_lookup(send.receiver),
                campaign=send.campaign,
                channel_id=governed.channel_keys[send.channel],
                recipient=send.recipient or "",
                in_house=send.recipient == "",
                sent_at=send.sent_at,
                kind=send.kind,
                met=sorted(send.met),
                unmet=sorted(send.unmet),
                status="delivered" if send.delivered else "failed",
                reported_at=send.sent_at,
            )
        )
    return list(SendReceipt.objects.bulk_create(receipts))


def _store_decision(answer: plain.Answer, people: dict[str, DataSubject]) -> None:
    asked = {None: "", "": '{"in_house":true}'}.get(answer.recipient, f'{{"recipient":"{answer.recipient}"}}')
    Decision.objects.create(
        id=UUID(answer.name),
        decided_at=answer.decided_at,
        judged_at=answer.decided_at,
        campaign=answer.campaign,
        purpose=answer.purpose,
        channel=answer.channel,
        request_hash=b"\0" * 16,
        type=_type(answer.receiver),
        lookup=_lookup(answer.receiver),
        subject_id=people[answer.subject].pk if answer.subject else None,
        register_version=1,
        rule_set="x",
        subject_bits=sum(bit(*EXTRA[code]) for code in answer.extra),
        outcome=answer.outcome,
        asked=asked,
    )


def _store_screening(key: str, rows: list[plain.Answer], people: dict[str, DataSubject]) -> None:
    first = rows[0]
    screening = Screening.objects.create(
        id=UUID(key),
        status="done",
        campaign=first.campaign,
        purpose=first.purpose,
        channel=first.channel,
        subject_type="phone",
        source="x",
        input_sha256="0" * 64,
    )
    for judged, start, end in first.passes:
        ScreeningPass.objects.create(screening=screening, judged_at=judged, valid_from=start, valid_until=end)
    for row in rows:
        number = int(row.name.partition(":")[2])
        ScreeningRow.objects.create(
            screening=screening,
            row_no=number,
            type=_type(row.receiver),
            lookup=_lookup(row.receiver),
            subject_id=people[row.subject].pk if row.subject else None,
            subject_bits=0,
            outcome=row.outcome,
        )
        for until, outcome in row.before:
            ScreeningRowPast.objects.create(
                screening=screening, row_no=number, until=until, outcome=outcome, subject_bits=0
            )


def _store_words(history: plain.History, people: dict[str, DataSubject], governed: Any) -> None:
    versions = dict.fromkeys(PEOPLE, 0)
    for word in history.words:
        versions[word.person] += 1
        ConsentRecord.objects.create(
            subject=people[word.person],
            subject_version=versions[word.person],
            act="grant" if word.gives else "withdraw",
            purpose_id=governed.purpose_keys[word.purpose] if word.purpose else None,
            channel_id=governed.channel_keys[word.channel] if word.channel else None,
            said_at=word.said_at,
            recorded_at=word.recorded_at,
            actor_kind="system",
        )
    for listed in history.listed:
        row = Suppression.objects.create(
            type=_type(listed.receiver),
            lookup=_lookup(listed.receiver),
            kind=listed.kind,
            channel_id=governed.channel_keys[listed.channel] if listed.channel else None,
            said_at=listed.said_at,
            removed_at=listed.removed_at,
        )
        Suppression.objects.filter(pk=row.pk).update(recorded_at=listed.recorded_at)
