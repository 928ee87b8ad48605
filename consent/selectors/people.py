"""People as an officer may see them: identifiers masked, states in a table, what was said in its order.

Nothing here returns a value in clear. The number of queries does not grow with what a person said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from consent.decisions.bits import OUTCOMES, send_read, verdict_of
from consent.decisions.engine import Verdict
from consent.decisions.history import Contact
from consent.decisions.reasons import Reason
from consent.domain.records import Slot, stale_notices
from consent.domain.terms import Outcome, SubjectStatus
from consent.models import (
    ConsentRecord,
    ConsentState,
    DataSubject,
    Decision,
    Guardianship,
    Identifier,
    SendRecord,
    Suppression,
)
from consent.selectors.profiles import identifiers_open
from consent.selectors.register import LiveRegister, register_live
from governance.crypto.blind_index import lookup_maker
from governance.domain.calendar import day_of
from governance.domain.identifiers import IdentifierType, canonical_reader
from governance.domain.masking import masked
from governance.domain.terms import PurposeKind

RECORDS = 200
RECENT = 30


class Stand(StrEnum):
    """Where a person stands in one slot, in one word."""

    GRANTED = "granted"
    REFUSED = "refused"
    PENDING = "pending"
    EXPIRED = "expired"
    DEFECTIVE = "defective"  # granted, but in a form that does not count
    STALE = "stale"  # the notice has changed since: ask again
    NARROWER = "narrower"  # only a narrower purpose is granted
    OTHER_CHANNEL = "other_channel"  # granted on another channel only
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class MaskedIdentifier:
    """One identifier of a person; `value` is masked, and empty if its key is destroyed."""

    kind: IdentifierType
    value: str
    app: str
    verified_at: datetime | None
    bound_at: datetime | None
    lost_on: date | None
    contact: Contact


@dataclass(frozen=True, slots=True)
class Cell:
    """One slot of a person: where he stands, since when, on what."""

    stand: Stand
    since: datetime | None = None
    notice: str = ""
    point: str = ""
    expires_on: date | None = None
    defects: tuple[str, ...] = ()  # bad_form, bundled, no_evidence
    record: UUID | None = None


@dataclass(frozen=True, slots=True)
class SeparateCell:
    """One separate consent (单独同意): what it is for, and where the person stands."""

    purpose: str
    group: str
    recipient: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class Touch:
    """One opt-out or listing that touches a person, through one of his identifiers."""

    kind: str
    scope: str  # channel, or empty for everything
    since: datetime | None
    removed_at: datetime | None
    reason: str
    source: str
    via: str  # masked


@dataclass(frozen=True, slots=True)
class PastDecision:
    id: UUID
    decided_at: datetime
    judged_at: datetime
    campaign: str
    purpose: str
    channel: str
    outcome: Outcome
    codes: tuple[Reason, ...]
    primary: Reason
    rule_set: str


@dataclass(frozen=True)
class Person:
    """All that the page of one person shows."""

    subject: DataSubject
    status: SubjectStatus
    restricted: list[str]
    child: bool
    minor: bool
    paused: bool
    identifiers: list[MaskedIdentifier]
    channels: Mapping[str, str]  # code → name
    purposes: Mapping[str, str]
    matrix: list[tuple[str, list[tuple[str, Cell]]]]  # marketing purpose → channel → cell
    separate: list[SeparateCell]
    touches: list[Touch]
    guardians: list[tuple[Guardianship, list[str]]]
    records: list[ConsentRecord]
    more_records: bool
    decisions: list[PastDecision]
    sends: list[SendRecord]
    register: LiveRegister


@dataclass(frozen=True)
class Found:
    """Result of a search. `kinds` are the kinds of identifier the input can be read as."""

    kinds: list[IdentifierType]
    people: list[DataSubject]
    identifiers: Mapping[int, list[MaskedIdentifier]]
    touches: list[Touch]  # on the identifier itself, also if nobody holds it


def contacts_read(text: str, register: LiveRegister) -> list[Contact]:
    """Return every identifier a text can be: a number may be a phone and a member id at once."""
    found = []
    for kind in IdentifierType:
        value = canonical_reader(kind, register.governed.member_id_pattern)(text)
        if value is not None:
            found.append(Contact(kind, lookup_maker(kind)(value)))
    return found


def people_find(text: str) -> Found:
    """Find who holds an identifier, by its keyed look-up value. The text is used and forgotten."""
    register = register_live()
    contacts = contacts_read(text, register)
    lookups = [contact.lookup for contact in contacts]
    held = Identifier.objects.filter(lookup__any=lookups).values_list("type", "subject_id")
    ids = {key for kind, key in held if any(contact.kind == kind for contact in contacts)}
    people = list(DataSubject.objects.filter(id__any=ids).order_by("is_guest", "id"))
    return Found(
        kinds=[contact.kind for contact in contacts],
        people=people,
        identifiers=identifiers_masked([person.id for person in people]),
        touches=_touches(dict.fromkeys(contacts, ""), register),
    )


def identifiers_masked(subject_ids: Collection[int]) -> dict[int, list[MaskedIdentifier]]:
    """Return these people's identifiers, masked. Two queries."""
    rows = list(
        Identifier.objects.filter(subject_id__any=subject_ids).select_related("subject").order_by("type", "created_at")
    )
    clear = identifiers_open(rows)
    found: dict[int, list[MaskedIdentifier]] = defaultdict(list)
    for row in rows:
        kind = IdentifierType(row.type)
        found[row.subject_id].append(
            MaskedIdentifier(
                kind=kind,
                value=masked(kind, clear[row.id]) if row.id in clear else "",
                app=row.app,
                verified_at=row.verified_at,
                bound_at=row.bound_at,
                lost_on=row.lost_on,
                contact=Contact(kind, bytes(row.lookup)),
            )
        )
    return found


def person_get(subject_id: int, *, at: datetime) -> Person | None:
    """Return everything the page of a person shows, or None. The number of queries is fixed."""
    subject = DataSubject.objects.filter(pk=subject_id).first()
    if subject is None:
        return None
    register = register_live()
    book = register.rules.book
    today = day_of(at)
    identifiers = identifiers_masked([subject_id]).get(subject_id, [])
    cells = _cells(subject_id, register, at)
    records = list(
        ConsentRecord.objects.filter(subject_id=subject_id)
        .select_related("purpose", "channel", "recipient", "point", "notice_version__notice")
        .order_by("-said_at", "-id")[: RECORDS + 1]
    )
    return Person(
        subject=subject,
        status=SubjectStatus(subject.status),
        restricted=[register.purpose_codes[key] for key in subject.restricted or ()],
        child=bool(subject.child_until and subject.child_until >= today),
        minor=bool(subject.minor_until and subject.minor_until >= today),
        paused=bool(subject.paused_until and subject.paused_until >= today),
        identifiers=identifiers,
        channels={code: channel.name or code for code, channel in register.rules.channels.items()},
        purposes={code: purpose.name or code for code, purpose in book.purposes.items()},
        matrix=_matrix(subject, cells, register),
        separate=[
            SeparateCell(slot.purpose, slot.field_group or "", slot.recipient or "", cell)
            for slot, cell in sorted(cells.items(), key=lambda item: tuple(part or "" for part in item[0]))
            if slot.channel is None
        ],
        touches=_touches({item.contact: item.value for item in identifiers}, register),
        guardians=[
            (row, [register.purpose_codes[key] for key in row.purposes])
            for row in Guardianship.objects.filter(child_id=subject_id).order_by("-given_at")
        ],
        records=records[:RECORDS],
        more_records=len(records) > RECORDS,
        decisions=decisions_of([item.contact for item in identifiers], subject.ref),
        sends=_sends(identifiers),
        register=register,
    )


def subject_ref(subject_id: int) -> UUID | None:
    """Return our own reference of a person, or None if there is no such person."""
    return DataSubject.objects.filter(pk=subject_id).values_list("ref", flat=True).first()


def _cells(subject_id: int, register: LiveRegister, at: datetime) -> dict[Slot, Cell]:
    rows = ConsentState.objects.filter(subject_id=subject_id).select_related("grant", "refusal")
    slots = {key: slot for slot, key in register.slot_keys.items()}
    return {slots[row.slot_id]: _cell(row, slots[row.slot_id], register, at) for row in rows if row.slot_id in slots}


def _cell(row: ConsentState, slot: Slot, register: LiveRegister, at: datetime) -> Cell:
    grant, refusal = row.grant, row.refusal
    if refusal is not None:
        return Cell(
            Stand.REFUSED,
            since=refusal.said_at,
            point=register.point_codes.get(refusal.point_id or 0, ""),
            record=refusal.ref,
        )
    if grant is None:
        return Cell(Stand.NARROWER if row.narrower else Stand.NEVER)
    notice = register.notice_refs.get(grant.notice_version_id or 0)
    wide = register.purpose_codes.get(row.grant_purpose_id or 0, slot.purpose)
    defects = tuple(
        name for name in ("bad_form", "bundled", "no_evidence") if getattr(row, name) and not _forgiven(name, slot)
    )
    if not row.confirmed:
        stand = Stand.PENDING
    elif defects:
        stand = Stand.DEFECTIVE
    elif row.expires_on is not None and row.expires_on < day_of(at):
        stand = Stand.EXPIRED
    elif notice is not None and notice in stale_notices(register.rules.book, purpose=wide, at=at):
        stand = Stand.STALE
    else:
        stand = Stand.GRANTED
    return Cell(
        stand,
        since=row.origin_at or grant.said_at,
        notice=f"{notice.id}@{notice.version}" if notice else "",
        point=register.point_codes.get(grant.point_id or 0, ""),
        expires_on=row.expires_on,
        defects=defects,
        record=grant.ref,
    )


def _forgiven(defect: str, slot: Slot) -> bool:
    """Tell whether decisions do not read this defect: of separate consents the import refuses the others."""
    return slot.channel is None and defect != "no_evidence"


def _matrix(
    subject: DataSubject, cells: Mapping[Slot, Cell], register: LiveRegister
) -> list[tuple[str, list[tuple[str, Cell]]]]:
    governed = register.governed
    granted = {register.purpose_codes[key] for key in subject.granted or ()}
    purposes = [p.id for p in governed.purposes.values() if p.kind is PurposeKind.MARKETING]
    purposes += sorted({slot.purpose for slot in cells if slot.channel and slot.purpose not in purposes})
    rows = []
    for purpose in purposes:
        empty = Cell(Stand.OTHER_CHANNEL if purpose in granted else Stand.NEVER)
        row = [(channel, cells.get(Slot(purpose, channel), empty)) for channel in governed.channels]
        rows.append((purpose, [(channel, empty if cell.stand is Stand.NEVER else cell) for channel, cell in row]))
    return rows


def touches_of(identifiers: Iterable[MaskedIdentifier]) -> list[Touch]:
    """Return the opt-outs and listings that touch a person through any of these identifiers. One query."""
    return _touches({item.contact: item.value for item in identifiers}, register_live())


def _touches(via: Mapping[Contact, str], register: LiveRegister) -> list[Touch]:
    rows = Suppression.objects.filter(lookup__any=[contact.lookup for contact in via]).order_by("-said_at")
    found = []
    for row in rows:
        contact = Contact(IdentifierType(row.type), bytes(row.lookup))
        if contact in via:
            scope = register.channel_codes.get(row.channel_id or 0, "")
            found.append(Touch(row.kind, scope, row.said_at, row.removed_at, row.reason, row.source, via[contact]))
    return found


def decisions_of(
    contacts: Iterable[Contact], ref: UUID, *, campaign: str | None = None, limit: int = RECENT
) -> list[PastDecision]:
    """Return the newest decisions about these identifiers, or about the person by our own reference."""
    rows = Decision.objects.filter(lookup__any=[*(contact.lookup for contact in contacts), ref.bytes])
    if campaign is not None:
        rows = rows.filter(campaign=campaign)
    return [decision_past(row) for row in rows.order_by("-id")[:limit]]


def decision_past(row: Decision) -> PastDecision:
    verdict = decision_verdict(row)
    return PastDecision(
        id=row.id,
        decided_at=row.decided_at,
        judged_at=row.judged_at,
        campaign=row.campaign,
        purpose=row.purpose,
        channel=row.channel,
        outcome=OUTCOMES[row.outcome],
        codes=verdict.codes,
        primary=verdict.primary,
        rule_set=row.rule_set,
    )


def decision_verdict(row: Decision) -> Verdict:
    """Return the findings a stored decision names."""
    return verdict_of(row.subject_bits, send_read(row.send_codes), marketing=True)


def _sends(identifiers: Iterable[MaskedIdentifier]) -> list[SendRecord]:
    lookups = [item.contact.lookup for item in identifiers]
    rows = SendRecord.objects.filter(lookup__any=lookups).select_related("channel")
    return list(rows.order_by("-sent_at")[:RECENT])


@dataclass(frozen=True, slots=True)
class StateRow:
    subject_id: int
    cell: Cell


def slots_list(register: LiveRegister) -> list[tuple[int, Slot]]:
    """Return the slots anybody stands in, general ones first."""
    found = [(key, slot) for slot, key in register.slot_keys.items()]
    return sorted(found, key=lambda item: (item[1].channel is None, *(part or "" for part in item[1])))


def states_page(
    *, slot_id: int, refused: bool | None, after: int, at: datetime, limit: int = 50
) -> tuple[list[StateRow], bool]:
    """Return one page of the people who stand in a slot, by person, and whether there are more. Walks the key."""
    register = register_live()
    slots = {key: slot for slot, key in register.slot_keys.items()}
    if slot_id not in slots:
        return [], False
    rows = ConsentState.objects.filter(slot_id=slot_id, subject_id__gt=after).select_related("grant", "refusal")
    if refused is not None:
        rows = rows.filter(refused_at__isnull=not refused)
    page = list(rows.order_by("subject_id")[: limit + 1])
    found = [StateRow(row.subject_id, _cell(row, slots[slot_id], register, at)) for row in page[:limit]]
    return found, len(page) > limit
