"""People as exports describe them: what protects somebody is only ever added, by whatever is imported later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from pytest_django import DjangoDbBlocker

from audit.models import AuditEntry
from consent.domain.imports import Member
from consent.domain.terms import SubjectStatus
from consent.models import DataSubject, Identifier
from consent.selectors.profiles import births_for, identifiers_open
from consent.selectors.register import register_live
from consent.services.subjects import members_store
from governance.domain.identifiers import IdentifierType
from tests.worlds import ACTOR, World, base_world, constraints_now, register_store, undone

AT = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
LIN = Member("M000001", phone="+8613800000001", births=["1990-05-01"], batches=[""])


@pytest.fixture(scope="module", autouse=True)
def register(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), undone():
        register_store(World(base_world()))
        constraints_now()
        yield


def imported(*members: Member, at: datetime = AT) -> DataSubject:
    for member in members:
        members_store([member], register=register_live(), actor=ACTOR, at=at)
    return DataSubject.objects.get()


def phone() -> Identifier:
    return Identifier.objects.get(type=IdentifierType.PHONE)


def test_a_later_export_finds_the_same_person(db: None) -> None:
    first = imported(LIN)

    again = imported(LIN)

    assert (again.pk, again.version) == (first.pk, first.version + 1)


def test_identifiers_and_birth_dates_are_stored_sealed_and_open_again(db: None) -> None:
    lin = imported(LIN)

    assert set(identifiers_open(Identifier.objects.all()).values()) == {"M000001", "+8613800000001"}
    assert births_for([lin.pk]) == {lin.pk: ("1990-05-01",)}
    assert not any(b"138" in bytes(row.sealed) for row in Identifier.objects.all())


def test_an_adult_s_birth_date_stands_nowhere_in_clear(db: None) -> None:
    lin = imported(LIN)

    assert (lin.child_until, lin.minor_until) == (None, None)


def test_a_child_is_noted_until_the_end_of_the_fourteenth_birthday(db: None) -> None:
    lin = imported(replace(LIN, births=["2012-11-21"]))

    assert lin.child_until == date(2026, 11, 21)
    assert lin.minor_until == date(2030, 11, 21)


def test_a_birth_date_that_a_later_export_leaves_out_still_protects(db: None) -> None:
    lin = imported(replace(LIN, births=["2015-01-01"]), replace(LIN, births=[""]))

    assert lin.child_until == date(2029, 1, 1)


def test_of_the_birth_dates_of_two_exports_the_younger_counts(db: None) -> None:
    lin = imported(replace(LIN, births=["2015-01-01"]), replace(LIN, births=["1990-05-01"]))

    assert lin.child_until == date(2029, 1, 1)


def test_every_state_that_was_ever_named_counts(db: None) -> None:
    lin = imported(replace(LIN, status=SubjectStatus.FROZEN), replace(LIN, status=SubjectStatus.ACTIVE))

    assert lin.status == SubjectStatus.FROZEN


def test_a_restriction_named_by_a_later_export_is_kept_with_the_earlier_one(db: None) -> None:
    lin = imported(
        replace(LIN, restricted=frozenset({"service.order"})),
        replace(LIN, restricted=frozenset({"marketing.promotion"})),
    )

    codes = register_live().purpose_codes
    assert {codes[key] for key in lin.restricted or ()} == {
        "service.order",
        "marketing.promotion",
        "marketing.personalised",  # who restricts promotion restricts the wider purpose too
    }


def test_personalisation_stays_off_since_it_was_first_switched_off(db: None) -> None:
    lin = imported(
        replace(LIN, personalisation_off_at=AT - timedelta(days=9)),
        replace(LIN, personalisation_off_at=AT - timedelta(days=1)),
        LIN,
    )

    assert lin.personalisation_off_at == AT - timedelta(days=9)


def test_of_two_pauses_the_longer_one_holds(db: None) -> None:
    lin = imported(replace(LIN, paused_until=date(2027, 1, 1)), replace(LIN, paused_until=date(2026, 12, 1)), LIN)

    assert lin.paused_until == date(2027, 1, 1)


def test_a_number_that_changed_hands_stays_lost_when_an_export_says_nothing_of_it(db: None) -> None:
    imported(replace(LIN, recycled_on=[date(2026, 3, 1)]), LIN)

    assert phone().lost_on == date(2026, 3, 1)


def test_a_number_bound_again_after_it_changed_hands_is_the_person_s_own(db: None) -> None:
    imported(
        replace(LIN, recycled_on=[date(2026, 3, 1)]),
        replace(LIN, phone_bound_at=datetime(2026, 3, 2, tzinfo=UTC)),
    )

    assert phone().lost_on is None


def test_when_a_number_was_bound_is_not_forgotten(db: None) -> None:
    """Consents said before it were said about another number; forgetting it would bring them back."""
    bound_at = datetime(2026, 3, 2, tzinfo=UTC)

    imported(replace(LIN, phone_bound_at=bound_at), LIN)

    assert phone().bound_at == bound_at


def test_who_registered_himself_once_is_not_made_unlawful_by_a_bought_list(db: None) -> None:
    lin = imported(LIN, replace(LIN, batches=["bought"]))

    assert lin.sourcing == "lawful"


def test_a_bought_number_stays_unlawful_when_it_is_bought_again_elsewhere(db: None) -> None:
    lin = imported(replace(LIN, batches=["bought"]), replace(LIN, batches=["scraped"]))

    assert lin.sourcing == "unlawful"


def test_a_changed_number_is_one_number_more(db: None) -> None:
    """The old one is not taken away: what was refused by it still counts."""
    imported(LIN, replace(LIN, phone="+8613800000002"))

    assert set(identifiers_open(Identifier.objects.filter(type=IdentifierType.PHONE)).values()) == {
        "+8613800000001",
        "+8613800000002",
    }


def test_every_import_of_a_person_leaves_one_entry_with_his_version(db: None) -> None:
    lin = imported(LIN, LIN)

    entries = AuditEntry.objects.filter(subject_ref=lin.ref).order_by("id")
    assert [entry.type for entry in entries] == ["subject.created", "subject.changed"]
