"""People: created, merged from exports, found by their identifiers."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from uuid import UUID

from django.db import connection, transaction

from audit.actors import Actor
from audit.bulk import copy_models, copy_rows, take_ids, update_rows
from audit.domain.ids import uuid7s
from audit.services.record import Event, audit_record_many
from consent.domain.ages import CHILD_AGE, MINOR_AGE, youngest_birth
from consent.domain.imports import Member, sourcing_of
from consent.models import DataSubject, Identifier, SubjectProfile
from consent.places import identifier_place, profile_place
from consent.selectors.profiles import births_for
from consent.selectors.register import LiveRegister
from consent.selectors.states import phone_bound_at
from consent.services.states import states_project
from governance.crypto.blind_index import lookup_maker, lookup_version
from governance.crypto.envelope import FieldKey
from governance.domain.calendar import birthday, day_of
from governance.domain.identifiers import IdentifierType
from governance.services.keys import data_keys_ensure

_MEMBER_CONTACTS = (
    (IdentifierType.MEMBER_ID, "member_id"),
    (IdentifierType.PHONE, "phone"),
    (IdentifierType.EMAIL, "email"),
    (IdentifierType.WECHAT_OPENID, "wechat_openid"),
)
_IDENTIFIER = (
    "id",
    "subject_id",
    "type",
    "app",
    "lookup",
    "key_version",
    "sealed",
    "bound_at",
    "lost_on",
    "verified_at",
    "created_at",
)
_WIDELY_LISTED = """
    UPDATE consent_subject s SET widely_listed = true
    FROM consent_identifier i JOIN consent_suppression x ON x.lookup = i.lookup AND x.type = i.type
    WHERE s.id = i.subject_id AND NOT s.widely_listed AND (x.channel_id IS NULL OR x.type = %s) AND i.{column} = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class NewIdentifier:
    """One identifier to store, canonical value in clear."""

    subject_id: int
    subject_ref: UUID
    kind: IdentifierType
    value: str
    bound_at: datetime | None = None
    lost_on: date | None = None
    verified_at: datetime | None = None
    app: str = ""


@transaction.atomic
def members_store(members: Sequence[Member], *, register: LiveRegister, actor: Actor, at: datetime) -> int:
    """Create or refresh members as merged from an export. Returns how many people were written.

    A person known already (by member id) keeps his records; what protects him is only ever added.
    """
    make = lookup_maker(IdentifierType.MEMBER_ID)
    lookups = {member.member_id: make(member.member_id) for member in members}
    known = dict(
        Identifier.objects.filter(type=IdentifierType.MEMBER_ID, lookup__any=lookups.values()).values_list(
            "lookup", "subject_id"
        )
    )
    known = {bytes(value): key for value, key in known.items()}
    today = day_of(at)
    old = {s.id: s for s in DataSubject.objects.select_for_update().filter(id__any=known.values()).order_by("id")}
    ids = {number: known[lookup] for number, lookup in lookups.items() if lookup in known}
    members = _with_what_was_known(members, ids)
    subjects = {
        member.member_id: old[known[lookup]]
        if (lookup := lookups[member.member_id]) in known
        else DataSubject(version=0)
        for member in members
    }
    for member in members:
        _describe(subjects[member.member_id], member, register, today)
    new = {number: subject for number, subject in subjects.items() if subject.id not in old}
    bound = [m.phone_bound_at if m.phone else None for m in members if m.member_id in new]
    subjects_create(list(new.values()), actor=actor, at=at, phones_bound_at=bound)
    update_rows("consent_subject", _HEAD, [_head(subject) for subject in old.values()])
    identifiers_add(
        [
            NewIdentifier(
                subjects[m.member_id].id,
                subjects[m.member_id].ref,
                kind,
                value,
                bound_at=m.phone_bound_at if kind is IdentifierType.PHONE else None,
                lost_on=m.lost_on if kind is IdentifierType.PHONE else None,
            )
            for m in members
            for kind, name in _MEMBER_CONTACTS
            if (value := getattr(m, name))
        ]
    )
    _save_profiles([(subjects[m.member_id], m) for m in members])
    if old:
        states_project(list(old), register)  # a phone bound anew ends what was agreed on it before
    phones = phone_bound_at(list(old))
    audit_record_many(
        actor=actor,
        events=[
            Event(
                "subject.changed",
                subject=s.ref,
                version=s.version,
                details={"changed": "import", "phone_bound_at": _said(phones.get(s.id))},
            )
            for s in old.values()
        ],
    )
    return len(members)


def _with_what_was_known(members: Sequence[Member], known: Mapping[str, int]) -> list[Member]:
    """Return the members with the birth dates and source batches of earlier imports: an export may leave some out."""
    ids = list(known.values())
    births = births_for(ids)
    batches = dict(SubjectProfile.objects.filter(subject_id__any=ids).values_list("subject_id", "batches"))
    return [
        replace(
            member,
            births=[*births.get(key, ()), *member.births],
            batches=list(dict.fromkeys([*batches.get(key, ()), *member.batches])),
        )
        if (key := known.get(member.member_id))
        else member
        for member in members
    ]


def subjects_create(
    subjects: Sequence[DataSubject],
    *,
    actor: Actor,
    at: datetime,
    phones_bound_at: Sequence[datetime | None] | None = None,
) -> None:
    """Store new people, with a data key each. In the caller's transaction; the objects get their ids.

    `phones_bound_at`: one per person, where it is known. The fold reads it, so the trace holds it.
    """
    count = len(subjects)
    for subject, key, ref in zip(subjects, take_ids("consent_subject", count), uuid7s(count), strict=True):
        subject.id, subject.ref = key, ref
    copy_models(subjects, ids=True)
    data_keys_ensure([subject.ref for subject in subjects])
    audit_record_many(
        actor=actor,
        events=[
            Event(
                "subject.created",
                subject=s.ref,
                version=s.version,
                details={"kind": "guest" if s.is_guest else "member", "phone_bound_at": _said(bound)},
            )
            for s, bound in zip(subjects, phones_bound_at or [None] * count, strict=True)
        ],
    )


def _said(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _describe(subject: DataSubject, member: Member, register: LiveRegister, today: date) -> None:
    keys = register.governed.purpose_keys
    book = register.rules.book
    restricted = {wide for purpose in member.restricted for wide in (purpose, *book.wider(purpose))}
    subject.status |= int(member.status)
    subject.sourcing = sourcing_of(member.batches, register.source_batches).value
    subject.last_active_on = max(filter(None, (subject.last_active_on, member.last_active_on)), default=None)
    age_note(subject, member.births, today)
    off_at = (subject.personalisation_off_at, member.personalisation_off_at)
    subject.personalisation_off_at = min(filter(None, off_at), default=None)
    subject.paused_until = max(filter(None, (subject.paused_until, member.paused_until)), default=None)
    added = {keys[purpose] for purpose in restricted}
    subject.restricted = sorted(added | set(subject.restricted or [])) or None
    subject.version += 1


def age_note(subject: DataSubject, births: Iterable[str], today: date) -> None:
    """Note on the head until when the person is a child and a minor. `births`: every birth date known of him."""
    born = youngest_birth(births, today)
    subject.child_until = _still(born, CHILD_AGE, today)
    subject.minor_until = _still(born, MINOR_AGE, today)


def _still(born: date | None, age: int, today: date) -> date | None:
    """Return the last day a person is under `age`, or None once it is over: adults' birthdays stay sealed."""
    last = birthday(born, age) if born else None
    return last if last and last >= today else None


_HEAD = {
    "id": "bigint",
    "version": "int",
    "status": "smallint",
    "sourcing": "text",
    "last_active_on": "date",
    "child_until": "date",
    "minor_until": "date",
    "personalisation_off_at": "timestamptz",
    "paused_until": "date",
    "restricted": "bigint[]",
}


def _head(subject: DataSubject) -> list[object]:
    return [getattr(subject, name) for name in _HEAD]


def _save_profiles(pairs: list[tuple[DataSubject, Member]]) -> None:
    keys = data_keys_ensure([subject.ref for subject, _ in pairs])
    SubjectProfile.objects.filter(subject_id__any=[subject.id for subject, _ in pairs]).delete()
    copy_models(
        [
            SubjectProfile(
                subject=subject,
                name=_sealed(keys[subject.ref], subject.ref, "name", member.name),
                gender=_sealed(keys[subject.ref], subject.ref, "gender", member.gender),
                births=_sealed(keys[subject.ref], subject.ref, "births", "|".join(_unique(member.births))),
                batches=member.batches,
            )
            for subject, member in pairs
        ]
    )


def _sealed(key: FieldKey, subject: UUID, column: str, value: str) -> bytes | None:
    return key.seal(value, profile_place(column, subject)) if value else None


def _unique(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]


def identifiers_add(new: Sequence[NewIdentifier]) -> None:
    """Store identifiers, sealed and by look-up value; one a person has already is refreshed. One COPY."""
    if not new:
        return
    makers = {kind: lookup_maker(kind) for kind in {item.kind for item in new}}
    keys = data_keys_ensure({item.subject_ref for item in new})
    version = lookup_version()
    noise = os.urandom(12 * len(new))
    existing = {
        (row.subject_id, row.type, bytes(row.lookup)): row
        for row in Identifier.objects.filter(subject_id__any={item.subject_id for item in new})
    }
    fresh, refreshed = [], []
    for place, (row_id, item) in enumerate(zip(uuid7s(len(new)), new, strict=True)):
        lookup = makers[item.kind](item.value)
        held = existing.get((item.subject_id, item.kind.value, lookup))
        if held is None:
            nonce = noise[12 * place : 12 * place + 12]
            sealed = keys[item.subject_ref].seal(item.value, identifier_place(row_id, item.subject_ref), nonce)
            fresh.append((row_id, item.subject_id, item.kind.value, item.app, lookup, version, sealed, *_times(item)))
        elif (times := _refreshed(held, item)) != (held.bound_at, held.lost_on):
            refreshed.append((held.id, *times))
    copy_rows("consent_identifier", _IDENTIFIER, fresh)
    update_rows("consent_identifier", {"id": "uuid", "bound_at": "timestamptz", "lost_on": "date"}, refreshed)
    _mark("subject_id", list({item.subject_id for item in new}))


def _refreshed(held: Identifier, item: NewIdentifier) -> tuple[datetime | None, date | None]:
    """Return when an identifier was bound and lost, by all that is known: only binding it anew ends a loss."""
    bound_at = item.bound_at or held.bound_at
    bound = day_of(bound_at) if bound_at else None
    lost = [on for on in (held.lost_on, item.lost_on) if on and not (bound and bound >= on)]
    return bound_at, min(lost, default=None)


def _times(item: NewIdentifier) -> tuple[datetime | None, date | None, datetime | None, datetime]:
    return item.bound_at, item.lost_on, item.verified_at, datetime.now(UTC)


def holders_mark(lookups: Collection[bytes]) -> None:
    """Note on the people who hold these identifiers that wide refusals may touch them."""
    if lookups:
        _mark("lookup", list(lookups))


def _mark(column: str, values: list[object] | list[int] | list[bytes]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_WIDELY_LISTED.format(column=column), [IdentifierType.MEMBER_ID.value, values])


def guests_ensure(
    contacts: Iterable[tuple[IdentifierType, str]], *, actor: Actor, at: datetime
) -> dict[tuple[IdentifierType, str], int]:
    """Return the guest of each phone or e-mail, creating those that are missing. In the caller's transaction.

    A guest is somebody known by one contact only; members who hold the same contact stay other people.
    """
    wanted = dict.fromkeys(contacts)
    lookups = {contact: lookup_maker(contact[0])(contact[1]) for contact in wanted}
    found = _guests(lookups)
    missing = [contact for contact in wanted if contact not in found]
    if missing:
        created = [DataSubject(is_guest=True, version=1) for _ in missing]
        subjects_create(created, actor=actor, at=at)
        identifiers_add(
            [
                NewIdentifier(subject.id, subject.ref, kind, value)
                for subject, (kind, value) in zip(created, missing, strict=True)
            ]
        )
        found |= {contact: subject.id for contact, subject in zip(missing, created, strict=True)}
    return found


def _guests(lookups: Mapping[tuple[IdentifierType, str], bytes]) -> dict[tuple[IdentifierType, str], int]:
    rows = Identifier.objects.filter(lookup__any=lookups.values(), subject__is_guest=True)
    held = {(kind, bytes(value)): key for kind, value, key in rows.values_list("type", "lookup", "subject_id")}
    return {
        contact: held[contact[0].value, value]
        for contact, value in lookups.items()
        if (contact[0].value, value) in held
    }


def versions_raise(subject_ids: Sequence[int]) -> list[int]:
    """Raise people's versions, one for each time a person is named, and return the new ones in the order given.

    In the caller's transaction; people are locked in one order. A version is one change and one entry of the trail.
    """
    people = DataSubject.objects.select_for_update().filter(id__any=list(set(subject_ids))).order_by("id")
    newest = dict(people.values_list("id", "version"))
    raised = []
    for key in subject_ids:
        newest[key] += 1
        raised.append(newest[key])
    update_rows("consent_subject", {"id": "bigint", "version": "int"}, list(newest.items()))
    return raised


def members_find(member_ids: Iterable[str]) -> dict[str, int]:
    """Return the person behind each member id that is known."""
    make = lookup_maker(IdentifierType.MEMBER_ID)
    lookups = {make(member_id): member_id for member_id in member_ids}
    rows = Identifier.objects.filter(type=IdentifierType.MEMBER_ID, lookup__any=lookups)
    return {lookups[bytes(value)]: key for value, key in rows.values_list("lookup", "subject_id")}
