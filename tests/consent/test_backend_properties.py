"""Random worlds: the pure engine, the reference backend and the one statement agree on everybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, note
from pytest_django import DjangoDbBlocker

from consent.decisions.engine import judge_send
from consent.decisions.history import Contact
from consent.screening.reference import ReferenceBackend
from consent.screening.set_based import SetBasedBackend
from consent.selectors.register import LiveRegister, register_live
from governance.crypto.blind_index import lookup
from tests.strategies import WHO, few, rich_register, worlds
from tests.worlds import (
    Json,
    World,
    answers,
    constraints_now,
    judge_pure,
    patched,
    people_store,
    register_store,
    undone,
)

SHOWN = ("at", "people", "listings", "sends", "subscriptions")


@pytest.fixture(scope="module")
def register(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[LiveRegister]:
    with django_db_blocker.unblock(), undone():
        register_store(World(rich_register() | {"row": WHO[0]}))
        constraints_now()
        yield register_live()


@given(world=worlds(sends=3))
@few(60)
def test_three_ways_of_judging_give_everybody_the_same_answer(
    register: LiveRegister, db: None, world: tuple[Json, list[Json]]
) -> None:
    population, sends = world
    with undone():
        people_store([World(population | {"row": WHO[0]})])
        for plan in sends:
            assert_same(population, plan, register_live())


def assert_same(population: Json, plan: Json, register: LiveRegister) -> None:
    """Judge everybody of a population in three ways. What is found on the send itself is left out."""
    note(json.dumps({"plan": plan} | {part: population[part] for part in SHOWN}, ensure_ascii=False, indent=1))
    kind = population["channels"][plan["channel"]]
    rows = [who for who in WHO if who.startswith(f"{kind}:")]
    world = World(patched(population, {"plan": plan}))
    contacts = [Contact(kind, lookup(kind, value)) for kind, value in map(world.contact, rows)]
    live = replace(register, rules=world.register)
    judgement = replace(judge_send(world.plan, register=live.rules, at=world.at), findings={})

    pure = [answers(judge_pure(world, judgement, row)) for row in rows]
    reference = [answers(v) for v in ReferenceBackend(live).screen(contacts, judgement)]
    statement = [answers(v) for v in SetBasedBackend(live).screen(contacts, judgement)]

    assert dict(zip(rows, reference, strict=True)) == dict(zip(rows, pure, strict=True))
    assert dict(zip(rows, statement, strict=True)) == dict(zip(rows, pure, strict=True))
