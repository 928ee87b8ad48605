"""The check: the vectors again, through the statement that decides and keeps the decision; who may ask; how many
statements it takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoDbBlocker

from audit.domain.ids import uuid7
from consent.decisions.bits import OUTCOMES
from consent.decisions.plans import Asked
from consent.decisions.reasons import RULE_SET, Reason
from consent.domain.terms import Outcome
from consent.models import Campaign, DataSubject, Decision
from consent.screening.set_based import SUBJECT_REF
from consent.selectors.register import register_live
from consent.services.checks import Caller, CallerRefusedError, SubjectRef, decisions_check
from consent.services.records import consent_withdraw
from governance.crypto.blind_index import lookup
from governance.domain.identifiers import IdentifierType
from tests.consent.callers import caller_of, check_one, client_made
from tests.worlds import (
    ACTOR,
    World,
    answers,
    base_world,
    campaign_store,
    cases_read,
    constraints_now,
    later,
    notices_store,
    own,
    people_store,
    register_store,
    undone,
)

BASE = base_world()
AHEAD = next(
    years for years in range(0, 400, 4) if World(later(BASE, years)).at > datetime.now(UTC) + timedelta(days=1)
)
"""Years until the worlds lie ahead: a check is never about the past."""

OTHER_PARTS = ("purposes", "channels", "points", "batches", "fields", "recipients", "assessments", "policy", "house")
NOT_ASKABLE = {"unplanned", "deviates", "unknown_campaign"}
CASES = [
    case
    for case in cases_read()
    if World(case.world).live
    and not NOT_ASKABLE & set(case.world["plan"])
    and all(case.world[part] == BASE[part] for part in OTHER_PARTS)
]
WORLDS = [World(later(own(case.world, number), AHEAD)) for number, case in enumerate(CASES)]


@pytest.fixture(scope="module")
def caller(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Caller]:
    """A client without limits, and every world it can ask about in one database, moved to where a check looks."""
    with django_db_blocker.unblock(), undone():
        register_store(World(later(BASE, AHEAD)))
        Campaign.objects.all().delete()
        notices_store(notice for world in WORLDS for notice in world.book.notices.values())
        for world in WORLDS:
            campaign_store(world)
        people_store(WORLDS)
        made = caller_of(client_made())
        register_live()
        constraints_now()
        yield made


def asked(world: World) -> Asked:
    plan = world.plan
    if plan.campaign:
        return Asked(campaign=plan.campaign, planned_at=world.at)
    return Asked(
        purpose=plan.purpose,
        channel=plan.channel,
        brand=plan.brand,
        fields=(*plan.fields, *plan.segment_fields),
        recipient=plan.recipient,
        planned_at=world.at,
    )


def subject_of(world: World) -> SubjectRef:
    kind, value = world.row
    return SubjectRef(kind, lookup(kind, value))


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{CASES[number].file}: {CASES[number].name}")
def test_the_check_decides_alike_and_keeps_what_it_decided(caller: Caller, db: None, number: int) -> None:
    world = WORLDS[number]

    checked = check_one(subject_of(world), asked(world), caller, evidence=True)

    kept = Decision.objects.get()
    assert answers(checked.verdict) == CASES[number].answers
    assert f"dec_{kept.id.hex}" == checked.decision_id
    assert OUTCOMES[kept.outcome] is checked.verdict.outcome
    assert (kept.judged_at, kept.rule_set) == (world.at, RULE_SET)


LIN = next(world for world, case in zip(WORLDS, CASES, strict=True) if case.rule == "EXAMPLE 1")
"""The world in which nothing is wrong."""


def lin_by(kind: IdentifierType) -> SubjectRef:
    [person] = LIN.people
    values = {
        IdentifierType.PHONE: person.member.phone,
        IdentifierType.EMAIL: person.member.email,
        IdentifierType.MEMBER_ID: person.member.member_id,
    }
    return SubjectRef(kind, lookup(kind, values[kind] or ""))


# -- one statement ---------------------------------------------------------------------------------------------------


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the statements that go past Django, as the check's do."""
    sent = [0]
    execute = psycopg.RawCursor.execute

    def counted(self: psycopg.RawCursor[object], *args: object, **kwargs: object) -> object:
        sent[0] += 1
        return execute(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(psycopg.RawCursor, "execute", counted)
    return sent


@pytest.mark.parametrize("subjects", [1, 1_000])
def test_a_check_is_one_statement_for_one_person_and_for_a_thousand(
    caller: Caller,
    db: None,
    statements: list[int],
    django_assert_num_queries: DjangoAssertNumQueries,
    subjects: int,
) -> None:
    strangers = [SubjectRef(IdentifierType.PHONE, number.to_bytes(16)) for number in range(subjects - 1)]

    with django_assert_num_queries(0):
        result = decisions_check(
            [subject_of(LIN), *strangers], asked(LIN), caller=caller, request_hash=b"\0" * 16, evidence=False
        )

    assert statements == [1]
    assert [item.verdict.outcome for item in result.items] == [
        Outcome.ALLOW_WITH_OBLIGATIONS,
        *[Outcome.DENY] * (subjects - 1),
    ]
    assert Decision.objects.count() == subjects


def test_answers_come_back_in_the_order_asked_also_when_somebody_is_named_twice(caller: Caller, db: None) -> None:
    stranger = SubjectRef(IdentifierType.PHONE, b"nobody knows me!")

    result = decisions_check(
        [stranger, subject_of(LIN), stranger], asked(LIN), caller=caller, request_hash=b"\0" * 16, evidence=False
    )

    assert [item.verdict.outcome.may_send for item in result.items] == [False, True, False]
    assert len({item.decision_id for item in result.items}) == 3


# -- the person, by other names --------------------------------------------------------------------------------------


def test_a_member_number_leads_to_the_phone_the_message_goes_to(caller: Caller, db: None) -> None:
    assert check_one(lin_by(IdentifierType.MEMBER_ID), asked(LIN), caller).verdict.outcome.may_send


def test_our_own_reference_leads_to_the_same_person(caller: Caller, db: None) -> None:
    person = DataSubject.objects.get(identifiers__lookup=lin_by(IdentifierType.MEMBER_ID).lookup)

    checked = check_one(SubjectRef(SUBJECT_REF, person.ref.bytes), asked(LIN), caller)

    assert checked.verdict.outcome.may_send
    assert checked.subject_version == person.version


def test_an_unknown_reference_is_answered_like_somebody_who_never_agreed(caller: Caller, db: None) -> None:
    checked = check_one(SubjectRef(SUBJECT_REF, uuid7().bytes), asked(LIN), caller)

    assert checked.verdict.codes == (Reason.NO_CONSENT,)


# -- what a decision sees --------------------------------------------------------------------------------------------


def test_a_withdrawal_is_seen_by_the_next_check(caller: Caller, db: None) -> None:
    person = DataSubject.objects.get(identifiers__lookup=lin_by(IdentifierType.MEMBER_ID).lookup)
    before = check_one(subject_of(LIN), asked(LIN), caller)

    consent_withdraw(subject_id=person.id, purpose=None, channel=None, actor=ACTOR, at=LIN.at)

    after = check_one(subject_of(LIN), asked(LIN), caller, evidence=True)
    assert before.verdict.outcome.may_send
    assert after.verdict.codes == (Reason.CONSENT_WITHDRAWN,)
    assert after.subject_version == (before.subject_version or 0) + 1
    assert after.evidence.refused_at == LIN.at


def test_a_change_of_the_register_is_seen_by_the_next_check(caller: Caller, db: None) -> None:
    Campaign.objects.filter(code=LIN.plan.campaign).update(approved_at=None)

    checked = check_one(subject_of(LIN), asked(LIN), caller)

    assert checked.verdict.codes == (Reason.CAMPAIGN_NOT_APPROVED,)
    assert Decision.objects.count() == 1, "what was judged by the old register is not kept"


def test_a_time_that_has_passed_is_judged_as_now(caller: Caller, db: None) -> None:
    result = decisions_check(
        [subject_of(LIN)],
        Asked(campaign=LIN.plan.campaign, planned_at=datetime(2020, 1, 1, tzinfo=UTC)),
        caller=caller,
        request_hash=b"\0" * 16,
        evidence=False,
    )

    assert abs(result.judged_at - timezone.now()) < timedelta(minutes=1)


# -- who may ask -----------------------------------------------------------------------------------------------------


def refusal(caller: Caller) -> str:
    with pytest.raises(CallerRefusedError) as refused:
        check_one(subject_of(LIN), asked(LIN), caller)
    assert not Decision.objects.exists(), "nothing was decided"
    return refused.value.why


def test_an_unknown_token_decides_nothing(caller: Caller, db: None) -> None:
    assert refusal(Caller("0" * 64, caller.scope, caller.ip)) == "token"


def test_a_token_that_ran_out_decides_nothing(caller: Caller, db: None) -> None:
    assert refusal(caller_of(client_made(), expires=timezone.now() - timedelta(hours=1))) == "token"


def test_a_client_that_was_switched_off_decides_nothing(caller: Caller, db: None) -> None:
    assert refusal(caller_of(client_made(active=False))) == "token"


def test_a_client_whose_time_is_over_decides_nothing(caller: Caller, db: None) -> None:
    assert refusal(caller_of(client_made(expires_at=timezone.now() - timedelta(hours=1)))) == "token"


def test_a_token_without_the_scope_decides_nothing(caller: Caller, db: None) -> None:
    assert refusal(caller_of(client_made(), scope="catalog:read")) == "scope"


LIMITS: dict[str, tuple[list[str], list[str]]] = {
    "brands": (["lanhua"], ["home"]),
    "purposes": (["marketing.promotion"], []),
    "channels": (["sms"], ["email"]),
    "fields": (["phone", "city"], ["phone"]),
    "recipients": (["yunqiao"], ["partner"]),
    "networks": (["203.0.113.0/24"], ["198.51.100.0/24"]),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_client_decides_within_its_limits_and_no_further(caller: Caller, db: None, limit: str) -> None:
    enough, too_little = LIMITS[limit]

    assert refusal(caller_of(client_made(**{limit: too_little}))) == "limits"
    assert check_one(subject_of(LIN), asked(LIN), caller_of(client_made(**{limit: enough}))).verdict.outcome.may_send


def test_a_thousand_decisions_are_kept_with_the_ids_that_were_answered(caller: Caller, db: None) -> None:
    subjects = [SubjectRef(IdentifierType.PHONE, number.to_bytes(16)) for number in range(1_000)]

    result = decisions_check(subjects, asked(LIN), caller=caller, request_hash=b"\7" * 16, evidence=False)

    with connection.cursor() as cursor:
        cursor.execute("SELECT encode(id::text::bytea, 'escape'), lookup FROM consent_decision")
        kept = {row[0].replace("-", ""): bytes(row[1]) for row in cursor.fetchall()}
    told = {item.decision_id.removeprefix("dec_"): ref.lookup for item, ref in zip(result.items, subjects, strict=True)}
    assert kept == told
