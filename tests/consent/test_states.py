"""The stored states: the fold of the ledger, always; and who tampers with one is found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from consent.models import ConsentRecord, ConsentState, DataSubject, Slot
from consent.selectors.register import register_live
from consent.services.records import NewRecord, records_append
from consent.services.states import states_rebuild, states_verify
from consent.services.subjects import members_find, members_store
from tests.strategies import INSTANTS, PROMOTION, few, people, rich_register
from tests.worlds import ACTOR, Json, World, constraints_now, patched, people_store, register_store, undone

NOW = INSTANTS[0]


@pytest.fixture(scope="module", autouse=True)
def register(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), undone():
        register_store(World(rich_register() | {"row": "phone:13800000001"}))
        constraints_now()
        yield


def world_of(who: Json) -> World:
    return World(patched(rich_register(), {"at": NOW.isoformat(), "people": who, "row": "phone:13800000001"}))


def stored() -> list[tuple[object, ...]]:
    names = [field.attname for field in ConsentState._meta.concrete_fields]
    return sorted(ConsentState.objects.values_list(*names), key=repr)


@given(people(NOW, (PROMOTION, "sms")), st.randoms(use_true_random=False), st.integers(1, 3))
@few(25)
def test_states_written_act_by_act_are_those_of_the_whole_ledger(
    db: None, who: Json, random: object, portion: int
) -> None:
    """Acts arrive in any order and in portions; folding everything anew changes nothing."""
    world = world_of(who)
    with undone():
        live = register_live()
        members = [person for person in world.people if not person.guest]
        members_store([person.member for person in members], register=live, actor=ACTOR, at=NOW)
        keys = members_find(person.member.member_id for person in members)
        said = [NewRecord(keys[p.member.member_id], record) for p in members for record in p.records]
        random.shuffle(said)  # type: ignore[attr-defined]
        for start in range(0, len(said), portion):
            records_append(said[start : start + portion], register=register_live(), actor=ACTOR, at=NOW)

        written = stored()
        assert list(states_verify()) == []

        ConsentState.objects.all().delete()
        DataSubject.objects.update(granted=None)
        states_rebuild()

        assert stored() == written
        assert list(states_verify()) == []


# -- tampering -------------------------------------------------------------------------------------------------------

LIN = {
    "member_id": "M000001",
    "phone": "13800000001",
    "records": {
        "yes": {"at": "2026-10-01 12:00", "notice": "privacy@2"},
        "yes by mail": {"at": "2026-10-01 12:00", "channel": "email"},
        "no": {"at": "2026-10-02 12:00", "channel": "app_push", "act": "deny"},
    },
}
BUMPS = {
    "bigint": "coalesce({0}, 0) + 1",
    "integer": "coalesce({0}, 0) + 1",
    "boolean": "NOT {0}",
    "date": "coalesce({0}, '2030-01-01') + 1",
    "timestamp with time zone": "coalesce({0}, '2020-01-01') + interval '1 second'",
}
COLUMNS = [
    field.column for field in ConsentState._meta.concrete_fields if field.column not in ("slot_id", "subject_id")
]


@pytest.fixture
def lin(db: None) -> DataSubject:
    people_store([world_of({"lin": LIN})])
    keys = register_live().governed
    Slot.objects.create(purpose_id=keys.purpose_keys["service.order"], channel_id=keys.channel_keys["popup"])
    constraints_now()
    assert list(states_verify()) == []
    return DataSubject.objects.get()


def tampered(statement: str, *values: object) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        assert cursor.rowcount > 0, "the tampering itself must happen"
    return list(states_verify())


@pytest.mark.parametrize("column", COLUMNS)
def test_one_changed_column_of_one_state_is_found(lin: DataSubject, column: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT data_type FROM information_schema.columns WHERE table_name = 'consent_state' AND column_name = %s",
            [column],
        )
        [kind] = cursor.fetchone() or [""]

    found = tampered(
        f"UPDATE consent_state SET {column} = {BUMPS[kind].format(column)}"
        " WHERE ctid = (SELECT max(ctid) FROM consent_state)"
    )

    assert len(found) == 1
    assert found[0].startswith(f"different state: person {lin.ref}")


def test_a_missing_state_is_found(lin: DataSubject) -> None:
    found = tampered(
        "DELETE FROM consent_state WHERE refused_at IS NOT NULL AND slot_id = (SELECT min(slot_id) "
        "FROM consent_state WHERE refused_at IS NOT NULL)"
    )

    assert [line.split(":")[0] for line in found] == ["missing state"]


def test_an_invented_state_is_found(lin: DataSubject) -> None:
    found = tampered(
        "INSERT INTO consent_state (slot_id, subject_id, grant_id, confirmed, bad_form, bundled, no_evidence, narrower)"
        " SELECT (SELECT max(id) FROM consent_slot), %s, max(id), true, false, false, false, false"
        " FROM consent_record",
        lin.pk,
    )

    assert [line.split(":")[0] for line in found] == ["unfounded state"]


def test_a_state_moved_to_another_slot_is_found_twice(lin: DataSubject) -> None:
    found = tampered(
        "UPDATE consent_state SET slot_id = (SELECT max(id) FROM consent_slot) "
        "WHERE slot_id = (SELECT min(slot_id) FROM consent_state)"
    )

    assert sorted(line.split(":")[0] for line in found) == ["missing state", "unfounded state"]


def test_changed_granted_purposes_of_a_person_are_found(lin: DataSubject) -> None:
    found = tampered("UPDATE consent_subject SET granted = NULL")

    assert found == [f"different granted purposes: person {lin.ref}"]


def test_a_rebuild_puts_right_what_was_tampered_with(lin: DataSubject) -> None:
    good = stored()
    tampered("UPDATE consent_state SET refused_at = NULL, refusal_id = NULL, bad_form = NOT bad_form")

    states_rebuild()

    assert stored() == good


def test_a_rebuild_touches_the_states_and_never_the_ledger(lin: DataSubject) -> None:
    before = list(ConsentRecord.objects.order_by("id").values())

    states_rebuild()

    assert list(ConsentRecord.objects.order_by("id").values()) == before
