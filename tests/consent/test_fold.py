"""Folding what a person said: by the time it was said, whatever order it arrived in."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.domain.records import ConsentBook, Point, Record, Slot, Standing, stale_notices, stand
from consent.domain.terms import NO, Act, Bundle, Control, PointKind
from governance.domain.calendar import SHANGHAI
from governance.domain.register import Purpose
from governance.domain.terms import PurposeKind
from tests.strategies import PERSONALISED, PROMOTION, few, records, rich_register
from tests.worlds import Json, World

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=SHANGHAI)
BOOK = World(rich_register() | {"row": "phone:13800000001"}).book
SMS = Slot(PROMOTION, "sms")

SAID = st.lists(records(NOON, (PROMOTION, "sms")), max_size=7)


def read(said: list[Json], *, apart: bool = False) -> list[Record]:
    """Read acts in the order of arrival; `apart`: no two at the same instant."""
    source = rich_register() | {"row": "phone:13800000001"}
    acts = {str(n): act for n, act in enumerate(said)}
    [person] = World(source | {"people": {"lin": {"phone": "13800000001", "records": acts}}}).people
    if not apart:
        return list(person.records)
    return [replace(record, at=record.at - timedelta(microseconds=n)) for n, record in enumerate(person.records)]


def shape(standing: Standing) -> object:
    """What a standing says, without the numbers of arrival."""

    def words(record: Record | None) -> str | None:
        return record.ref if record else None

    return (
        {slot: replace(state, grant=None, refusal=None) for slot, state in standing.states.items()},
        {slot: (words(state.grant), words(state.refusal)) for slot, state in standing.states.items()},
        standing.granted,
        standing.narrower,
    )


@given(SAID, st.randoms(use_true_random=False), st.booleans())
@few(60)
def test_the_order_of_arrival_does_not_matter(said: list[Json], random: object, bound: bool) -> None:
    acts = read(said, apart=True)
    shuffled = list(acts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    arrived = [replace(act, seq=n) for n, act in enumerate(shuffled)]
    since = NOON - timedelta(days=7) if bound else None

    one, other = (stand(given, book=BOOK, phone_bound_at=since) for given in (acts, arrived))

    assert shape(one) == shape(other)


@given(SAID)
@few(60)
def test_a_no_at_the_end_leaves_nothing_granted_on_its_slot(said: list[Json]) -> None:
    acts = read(said)
    no = Record("no", len(acts) + 1, NOON, Act.WITHDRAW, PROMOTION, "sms", separate=False)

    standing = stand([*acts, no], book=BOOK, phone_bound_at=None)

    assert not standing.states[SMS].granted
    assert not standing.states[Slot(PERSONALISED, "sms")].granted, "the wider purpose contains it"


@given(SAID)
@few(60)
def test_no_slot_is_both_filled_and_only_narrower(said: list[Json]) -> None:
    standing = stand(read(said), book=BOOK, phone_bound_at=None)

    assert not standing.narrower & standing.states.keys()


@given(SAID)
@few(60)
def test_only_a_grant_makes_a_state_granted(said: list[Json]) -> None:
    acts = [act for act in read(said) if act.act is not Act.GRANT]

    standing = stand(acts, book=BOOK, phone_bound_at=None)

    assert not standing.granted
    assert not any(state.granted for state in standing.states.values())


@given(SAID)
@few(60)
def test_a_grant_that_lifts_is_never_migrated_or_defective(said: list[Json]) -> None:
    standing = stand(read(said), book=BOOK, phone_bound_at=None)

    for state in standing.states.values():
        if state.lift_at is not None and state.grant is not None:
            assert state.granted
            assert state.confirmed


def act(kind: Act, at: datetime = NOON, **changes: object) -> Record:
    record = Record(
        f"{kind}-{at:%H%M%S}",
        0,
        at,
        kind,
        PROMOTION,
        "sms",
        separate=False,
        point="app",
        control=Control.BUTTON,
        bundle=Bundle.OWN,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("no", sorted(NO))
def test_of_yes_and_no_in_one_instant_the_no_is_heard_last(no: Act) -> None:
    for acts in permutations([act(Act.GRANT), act(no), act(Act.RENEW), act(Act.CONFIRM)]):
        numbered = [replace(one, seq=n) for n, one in enumerate(acts)]

        assert not stand(numbered, book=BOOK, phone_bound_at=None).states[SMS].granted


def test_of_two_grants_in_one_instant_the_later_arrival_counts() -> None:
    first = act(Act.GRANT, ref="first", seq=1)
    second = act(Act.GRANT, ref="second", seq=2)

    for acts in ([first, second], [second, first]):
        grant = stand(acts, book=BOOK, phone_bound_at=None).states[SMS].grant

        assert grant is second


def test_a_wider_purpose_of_a_wider_purpose_does_not_make_one_slot_two() -> None:
    """Offers contain promotion, and everything contains offers; both ends are granted, the middle is not."""
    kinds = {
        "promotion": Purpose("promotion", PurposeKind.MARKETING, "consent"),
        "offers": Purpose("offers", PurposeKind.MARKETING, "consent", frozenset({"promotion"})),
        "everything": Purpose("everything", PurposeKind.MARKETING, "consent", frozenset({"offers"})),
    }
    book = ConsentBook(kinds, {"sms": True}, {"app": Point("app", PointKind.APP)}, {}, 7)
    acts = [act(Act.GRANT, purpose="promotion", seq=1), act(Act.GRANT, purpose="everything", seq=2)]

    standing = stand(acts, book=book, phone_bound_at=None)

    assert standing.states[Slot("offers", "sms")].grant_purpose == "everything"
    assert Slot("offers", "sms") not in standing.narrower


@given(
    st.sampled_from([PROMOTION, PERSONALISED, "share.partner", "no.such"]),
    st.integers(-2, 2),
    st.sets(st.sampled_from(["contact", "profile", "purchase", "health"])),
)
@few(100)
def test_what_is_remembered_of_stale_notices_is_what_the_notices_say(
    purpose: str, seconds: int, used: set[str]
) -> None:
    for notice in BOOK.notices.values():
        at = notice.effective_at + timedelta(seconds=seconds)
        in_force = [n for n in BOOK.notices.values() if n.material and purpose in n.affects and n.effective_at <= at]

        stale = stale_notices(BOOK, purpose=purpose, at=at, categories=used)

        for ref in BOOK.notices:
            outdated = any(n.ref.id == ref.id and n.ref.version > ref.version for n in in_force)
            uncovered = not used <= BOOK.terms(ref, purpose).categories
            assert (ref in stale) is (outdated or uncovered)
