"""The vectors on rows in PostgreSQL: by the reference, and by the one statement over the stored states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pytest_django import DjangoDbBlocker

from consent.decisions.engine import judge_row, judge_send
from consent.decisions.facts import RowFacts
from consent.decisions.history import Contact
from consent.screening.protocols import ScreeningBackend
from consent.screening.set_based import SetBasedBackend
from consent.selectors.history import Past, past_of
from consent.selectors.register import register_live
from governance.crypto.blind_index import lookup
from tests.worlds import (
    World,
    answers,
    base_world,
    cases_read,
    constraints_now,
    notices_store,
    own,
    people_store,
    register_store,
    undone,
)

CASES = cases_read()
BASE = base_world()
WORLDS = [World(own(case.world, number)) for number, case in enumerate(CASES)]
ALL = range(len(CASES))
LIVE = [number for number in ALL if WORLDS[number].live]


def case_id(number: int) -> str:
    return f"{CASES[number].file}: {CASES[number].name}"


@pytest.fixture(scope="module")
def all_worlds(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Every world of the vectors in one database, each with people and notices of its own."""
    with django_db_blocker.unblock(), undone():
        register_store(World(BASE))
        notices_store(notice for world in WORLDS for notice in world.book.notices.values())
        people_store(WORLDS)
        constraints_now()
        yield


@pytest.fixture(scope="module")
def past(all_worlds: None, django_db_blocker: DjangoDbBlocker) -> Past:
    """What the reference backend loads for all their rows, once."""
    with django_db_blocker.unblock():
        return past_of([row_of(world) for world in WORLDS], register_live())


def row_of(world: World) -> Contact:
    kind, value = world.row
    return Contact(kind, lookup(kind, value))


@pytest.mark.parametrize("number", ALL, ids=case_id)
def test_the_reference_gives_a_world_its_answer(past: Past, number: int) -> None:
    world = WORLDS[number]
    judgement = judge_send(world.plan, register=world.register, at=world.at)
    past = replace(past, register=replace(past.register, rules=world.register))

    row = past.facts(row_of(world), judgement.requirement) if judgement.requirement else RowFacts()

    assert answers(judge_row(row, judgement)) == CASES[number].answers


@pytest.mark.parametrize("number", LIVE, ids=case_id)
def test_the_statement_gives_a_world_its_answer(all_worlds: None, db: None, number: int) -> None:
    """Where nobody has said anything after the instant judged: the stored states are of the present."""
    world = WORLDS[number]
    judgement = judge_send(world.plan, register=world.register, at=world.at)
    backend: ScreeningBackend = SetBasedBackend(replace(register_live(), rules=world.register))

    [verdict] = backend.screen([row_of(world)], judgement)

    assert answers(verdict) == CASES[number].answers


def test_most_worlds_are_about_the_present() -> None:
    assert len(LIVE) > 0.95 * len(CASES)
