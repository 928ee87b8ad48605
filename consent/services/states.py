"""The projection of the consent ledger: written with every change, rebuilt and verified on demand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.db import connection, transaction

from audit.actors import SYSTEM
from audit.bulk import rows_source
from audit.services.record import Event, audit_record
from consent.domain.records import Slot, Standing, State, stand
from consent.models import ConsentState, DataSubject
from consent.models import Slot as SlotRow
from consent.selectors.records import records_for
from consent.selectors.register import LiveRegister, register_live
from consent.selectors.states import phone_bound_at

_BATCH = 5_000

_COLUMNS = {
    "slot_id": "int",
    "subject_id": "bigint",
    "grant_id": "bigint",
    "grant_purpose_id": "bigint",
    "notice_version_id": "bigint",
    "origin_at": "timestamptz",
    "refusal_id": "bigint",
    "refused_at": "timestamptz",
    "confirmed": "bool",
    "bad_form": "bool",
    "bundled": "bool",
    "no_evidence": "bool",
    "expires_on": "date",
    "declared": "int",
    "lift_at": "timestamptz",
    "narrower": "bool",
}
_VALUES = [name for name in _COLUMNS if name not in ("slot_id", "subject_id")]
_HEADS = {"id": "bigint", "granted": "bigint[]", "version": "int"}
_PROJECT = f"""
    WITH n ({", ".join(_COLUMNS)}) AS ({{states}}),
    h ({", ".join(_HEADS)}) AS ({{heads}}),
    gone AS (
        DELETE FROM consent_state s WHERE s.subject_id = ANY(%s::bigint[])
            AND NOT EXISTS (SELECT FROM n WHERE n.slot_id = s.slot_id AND n.subject_id = s.subject_id)
    ),
    kept AS (
        INSERT INTO consent_state ({", ".join(_COLUMNS)}) SELECT {", ".join(_COLUMNS)} FROM n
        ON CONFLICT (slot_id, subject_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _VALUES)}
        WHERE ({", ".join(f"consent_state.{name}" for name in _VALUES)})
            IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _VALUES)})
    )
    UPDATE consent_subject s SET granted = h.granted, version = coalesce(h.version, s.version)
    FROM h WHERE s.id = h.id AND (s.granted, s.version) IS DISTINCT FROM (h.granted, coalesce(h.version, s.version))
"""  # noqa: S608 - column names of our own

StateRow = tuple[Any, ...]


def states_project(
    subject_ids: Collection[int], register: LiveRegister, *, versions: Mapping[int, int] | None = None
) -> None:
    """Fold these people's records anew and store where they stand, and their new versions, in one statement.

    In the caller's transaction, people locked.
    """
    ids = list(subject_ids)
    rows, granted = _expected(ids, register)
    states, state_values = rows_source("states", _COLUMNS, rows)
    heads, head_values = rows_source(
        "heads", _HEADS, [(key, held, (versions or {}).get(key)) for key, held in granted.items()]
    )
    with connection.cursor() as cursor:
        cursor.execute(_PROJECT.format(states=states, heads=heads), [*state_values, *head_values, ids])


def _expected(ids: Collection[int], register: LiveRegister) -> tuple[list[StateRow], dict[int, list[int] | None]]:
    records = records_for(ids, register)
    bound = phone_bound_at(ids)
    book = register.rules.book
    standings = {key: stand(records.get(key, ()), book=book, phone_bound_at=bound.get(key)) for key in ids}
    slots = _slot_keys(
        {slot for standing in standings.values() for slot in (*standing.states, *standing.narrower)}, register
    )
    rows = [row for key, standing in standings.items() for row in _rows(key, standing, slots, register)]
    keys = register.governed.purpose_keys
    granted = {
        key: sorted(keys[purpose] for purpose in standing.granted) or None for key, standing in standings.items()
    }
    return rows, granted


def _rows(key: int, standing: Standing, slots: Mapping[Slot, int], register: LiveRegister) -> Iterator[StateRow]:
    for slot, state in standing.states.items():
        yield (slots[slot], key, *_values(state, register), False)
    for slot in standing.narrower:
        yield (slots[slot], key, *_values(State(), register), True)


def _values(state: State, register: LiveRegister) -> StateRow:
    grant, refusal = state.grant, state.refusal
    return (
        grant.seq if grant else None,
        register.governed.purpose_keys[state.grant_purpose] if state.grant_purpose else None,
        register.notice_keys[grant.notice] if grant and grant.notice else None,
        state.origin_at,
        refusal.seq if refusal else None,
        refusal.at if refusal else None,
        state.confirmed,
        state.bad_form,
        state.bundled,
        state.no_evidence,
        state.expires_on,
        state.declared,
        state.lift_at,
    )


def _slot_keys(slots: Collection[Slot], register: LiveRegister) -> dict[Slot, int]:
    """Return the database keys of slots, making those that are missing."""
    known = {slot: register.slot_keys[slot] for slot in slots if slot in register.slot_keys}
    governed = register.governed
    for slot in slots:
        if slot not in known:
            parts: dict[str, Any] = {
                "purpose_id": governed.purpose_keys[slot.purpose],
                "channel_id": governed.channel_keys[slot.channel] if slot.channel else None,
                "field_group": slot.field_group or "",
                "recipient_id": governed.recipient_keys[slot.recipient] if slot.recipient else None,
            }
            row, _ = SlotRow.objects.get_or_create(**parts)
            known[slot] = row.pk
    return known


def states_rebuild() -> int:
    """Fold the whole ledger anew, a batch of people at a time, each locked. Returns the number of people.

    Due after a change of the register that folding rests on, such as a new channel: who said "no" to all of them said
    so to it too. The trail notes it, so that a verifier knows which register the states are of.
    """
    count = 0
    for ids in _batches():
        with transaction.atomic():
            list(DataSubject.objects.select_for_update().filter(id__any=ids).order_by("id").values_list("id"))
            states_project(ids, register_live())
        count += len(ids)
    with transaction.atomic():
        audit_record(actor=SYSTEM, event=Event("states.folded", details={"people": count}))
    return count


def states_verify() -> Iterator[str]:
    """Compare the stored states with the ledger. Yields one line for each difference, naming person and slot."""
    for ids in _batches():
        register = register_live()
        expected, granted = _expected(ids, register)
        wanted = {row[:2]: row[2:] for row in expected}
        stored = {row[:2]: row[2:] for row in ConsentState.objects.filter(subject_id__any=ids).values_list(*_COLUMNS)}
        people = {
            key: (ref, held)
            for key, ref, held in DataSubject.objects.filter(id__any=ids).values_list("id", "ref", "granted")
        }
        for place in sorted(set(wanted) | set(stored)):
            if wanted.get(place) != stored.get(place):
                kind = "missing" if place not in stored else "unfounded" if place not in wanted else "different"
                yield f"{kind} state: person {people[place[1]][0]}, slot {place[0]}"
        for key, (ref, held) in people.items():
            if held != granted[key]:
                yield f"different granted purposes: person {ref}"


def _batches() -> Iterator[list[int]]:
    last = 0
    while ids := list(DataSubject.objects.filter(id__gt=last).order_by("id").values_list("id", flat=True)[:_BATCH]):
        yield ids
        last = ids[-1]
