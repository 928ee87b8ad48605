"""Consent as it is given now: over the API, a page or by staff. Stricter than an import, because it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from django.db import transaction

from audit.actors import Actor
from audit.domain.ids import uuid7, uuid7s
from consent.domain.ages import CHILD_AGE, is_under, youngest_birth
from consent.domain.imports import CLOCK_SKEW, GIVES, yes_refused
from consent.domain.records import NoticeRef, Record, Slot, State, good_form
from consent.domain.terms import NO, Act, Bundle, Control
from consent.errors import ConsentRefusedError, IdentifierAmbiguousError, IdentifierMalformedError
from consent.models import DataSubject, Identifier, SubjectProfile
from consent.places import profile_place
from consent.selectors.history import guardianships_for
from consent.selectors.profiles import births_for
from consent.selectors.register import LiveRegister, register_live
from consent.selectors.states import states_for
from consent.services.records import NewRecord, records_append
from consent.services.subjects import NewIdentifier, age_note, guests_ensure, identifiers_add, subjects_create
from governance.crypto.blind_index import lookup
from governance.domain.calendar import day_of
from governance.domain.cells import clean
from governance.domain.identifiers import IdentifierType, canonical_reader
from governance.domain.terms import PurposeKind
from governance.services.keys import data_keys_ensure
from governance.services.payloads import payloads_seal


@dataclass(frozen=True, slots=True)
class GivenIdentifier:
    kind: IdentifierType
    value: str
    verified: bool = False
    app: str = ""


@dataclass(frozen=True, slots=True)
class GivenItem:
    """One act as it was given; codes as the caller wrote them."""

    act: Act
    purpose: str | None = None
    channel: str | None = None
    recipient: str | None = None
    field_group: str | None = None
    separate: bool = False


@dataclass(frozen=True, slots=True)
class GivenEvidence:
    control: Control | None = None
    control_id: str = ""
    pre_checked: bool | None = None
    bundle: Bundle = Bundle.OWN
    private: Mapping[str, str] = field(default_factory=dict)  # address, browser: stored sealed only


@dataclass(frozen=True, slots=True)
class GivenNotice:
    id: str
    version: int
    language: str = ""
    text_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one act led to. `needs` names the confirmation that is still missing."""

    ref: str
    state: str  # granted, pending, refused or none
    needs: str | None = None


@dataclass(frozen=True, slots=True)
class Captured:
    subject_id: int
    subject_ref: UUID
    records: list[Recorded]
    entry: UUID  # of the first act in the trail: what the receipt is named after


@transaction.atomic
def consents_record(
    *,
    identifiers: Sequence[GivenIdentifier],
    items: Sequence[GivenItem],
    point: str | None,
    notice: GivenNotice | None,
    evidence: GivenEvidence,
    said_at: datetime,
    birth_date: str,
    actor: Actor,
    at: datetime,
    request_id: str = "",
) -> Captured:
    """Record what a person said, all of it or nothing, and say where he stands now.

    Items are patches on purpose, channel and recipient. A "no" needs no papers. A yes must be provable: a notice
    in force with its text digest, a registered point, a clear act, never pre-ticked.

    Raises:
        IdentifierMalformedError, IdentifierAmbiguousError: nobody can tell who said it.
        ConsentRefusedError: `reason` is the code, `item` the place of the item refused.
    """
    register = register_live()
    if said_at > at + CLOCK_SKEW:
        raise ConsentRefusedError("The event time lies in the future.", reason="E_INPUT", item=0)
    records = [
        _record(item, place, point, notice, evidence, min(said_at, at), register) for place, item in enumerate(items)
    ]
    subject = _subject(identifiers, birth_date, register, actor, at)
    _refuse_child(subject.id, records, register)
    entries = uuid7s(len(records))
    sealed = payloads_seal(
        entries=dict.fromkeys(entries, evidence.private) if evidence.private else {}, subject=subject.ref
    )
    new = [
        NewRecord(
            subject_id=subject.id,
            record=record,
            proof=evidence.control_id[:100] or request_id[:100],
            text_hash=notice.text_sha256.lower() if notice else "",
            language=notice.language if notice else "",
            entry=entry,
            payload=sealed.get(entry),
        )
        for record, entry in zip(records, entries, strict=True)
    ]
    records_append(new, register=register, actor=actor, at=at, request_id=request_id)
    states = states_for(subject.id, register_live())
    return Captured(subject.id, subject.ref, [_recorded(record, states) for record in records], entries[0])


def _record(
    item: GivenItem,
    place: int,
    point: str | None,
    notice: GivenNotice | None,
    evidence: GivenEvidence,
    said_at: datetime,
    register: LiveRegister,
) -> Record:
    book = register.rules.book
    purpose = register.words.purpose(clean(item.purpose)) if item.purpose else None
    channel = register.words.channel(clean(item.channel)) if item.channel else None
    kind = book.purposes[purpose].kind if purpose else None
    separate = bool(item.recipient or item.field_group) or kind is PurposeKind.SEPARATE
    ref = NoticeRef(notice.id, notice.version) if notice else None
    known = book.notices.get(ref) if ref else None
    record = Record(
        ref=str(uuid7()),
        seq=place,
        at=said_at,
        act=item.act,
        purpose=purpose,
        channel=None if separate else channel,
        separate=separate,
        field_group=item.field_group if item.field_group in register.field_groups else None,
        recipient=item.recipient if item.recipient in register.governed.recipients else None,
        point=point if point in book.points else None,
        notice=ref if known else None,
        text_hash=notice.text_sha256[:8].lower() if notice else "",
        control=evidence.control,
        pre_checked=evidence.pre_checked,
        bundle=evidence.bundle,
        evidence="A" if known else "",
        proof=True,
    )
    if item.act in NO:
        return record
    unregistered = (
        (item.purpose and purpose is None)
        or (item.channel and channel is None and not separate)
        or (item.recipient and record.recipient is None)
        or (item.field_group and record.field_group is None)
        or record.point is None
        or (notice and known is None)
    )
    if purpose is None and not item.purpose:
        raise ConsentRefusedError("A purpose is needed.", reason="E_INPUT", item=place)
    if unregistered:
        raise ConsentRefusedError(
            "Purpose, channel, recipient, point or notice is not registered.", reason="POLICY_GAP", item=place
        )
    if not separate and channel is None:
        raise ConsentRefusedError("A channel is needed.", reason="E_INPUT", item=place)
    if kind is PurposeKind.SEPARATE and record.recipient is None:
        raise ConsentRefusedError("This purpose needs a recipient.", reason="E_INPUT", item=place)
    if item.act in GIVES:
        if not good_form(record):
            raise ConsentRefusedError("Not given by a clear act.", reason="CONSENT_INVALID_FORM", item=place)
        if record.bundle is Bundle.TERMS:
            raise ConsentRefusedError("Bundled with something else.", reason="CONSENT_BUNDLED", item=place)
        fits = known and notice and notice.text_sha256.lower() == known.text_sha256 and known.effective_at <= said_at
        if not fits:
            raise ConsentRefusedError("The text shown cannot be proved.", reason="CONSENT_NO_EVIDENCE", item=place)
    refused = yes_refused(record, marked_separate=item.separate, unguarded_child=False)
    if refused:
        raise ConsentRefusedError("The act is refused.", reason=refused.value, item=place)
    return record


def _subject(
    given: Sequence[GivenIdentifier], birth_date: str, register: LiveRegister, actor: Actor, at: datetime
) -> DataSubject:
    """Find or create the person: by member id, else by an openid only he holds, else as a guest of phone or e-mail."""
    values: dict[IdentifierType, GivenIdentifier] = {}
    for item in given:
        canonical = canonical_reader(item.kind, register.governed.member_id_pattern)(item.value)
        if canonical is None:
            raise IdentifierMalformedError("The identifier is malformed.", type=item.kind.word)
        values[item.kind] = GivenIdentifier(item.kind, canonical, item.verified, item.app)
    subject = _known(values)
    if subject is None:
        contacts = [(k, values[k].value) for k in (IdentifierType.PHONE, IdentifierType.EMAIL) if k in values]
        if contacts and not _own_kinds(values):
            subject = DataSubject.objects.get(id=guests_ensure(contacts[:1], actor=actor, at=at)[contacts[0]])
        else:
            subject = DataSubject(version=1)
            subjects_create([subject], actor=actor, at=at)
    identifiers_add(
        [
            NewIdentifier(subject.id, subject.ref, v.kind, v.value, verified_at=at if v.verified else None, app=v.app)
            for v in values.values()
        ]
    )
    if birth_date:
        _add_birth(subject, birth_date, day_of(at))
    return subject


def _own_kinds(values: Mapping[IdentifierType, GivenIdentifier]) -> list[IdentifierType]:
    """Return the kinds that name one person and no household, in order of trust."""
    kinds = (
        IdentifierType.MEMBER_ID,
        IdentifierType.WECHAT_UNIONID,
        IdentifierType.WECHAT_OPENID,
        IdentifierType.DEVICE,
    )
    return [kind for kind in kinds if kind in values]


def _known(values: Mapping[IdentifierType, GivenIdentifier]) -> DataSubject | None:
    for kind in _own_kinds(values):
        holders = Identifier.objects.filter(type=kind.value, lookup=lookup(kind, values[kind].value))
        people = list(DataSubject.objects.filter(id__in=holders.values("subject_id"))[:2])
        if len(people) > 1:
            raise IdentifierAmbiguousError("Several people hold this identifier.", type=kind.word)
        if people:
            return people[0]
    return None


def _add_birth(subject: DataSubject, text: str, today: date) -> None:
    """Add a birth date to the sealed ones; the most protective of them counts."""
    key = data_keys_ensure([subject.ref])[subject.ref]
    known = births_for([subject.id]).get(subject.id, ())
    births = "|".join(dict.fromkeys([*known, clean(text)]))
    age_note(subject, births.split("|"), today)
    subject.save(update_fields=["child_until", "minor_until"])
    profile, created = SubjectProfile.objects.get_or_create(subject=subject)
    profile.row_version += 0 if created else 1
    profile.births = key.seal(births, profile_place("births", subject.ref, profile.row_version))
    profile.save(update_fields=["births", "row_version"])


def _refuse_child(subject_id: int, records: Sequence[Record], register: LiveRegister) -> None:
    births = births_for([subject_id]).get(subject_id, ())
    guardianships = guardianships_for([subject_id], register).get(subject_id, [])
    for place, record in enumerate(records):
        day = day_of(record.at)
        if record.act not in GIVES or not is_under(youngest_birth(births, day), CHILD_AGE, day):
            continue
        if not any(g.in_force(record.purpose or "", record.at) for g in guardianships):
            raise ConsentRefusedError("A guardian's consent is needed.", reason="CHILD_NO_GUARDIAN_CONSENT", item=place)


def _recorded(record: Record, states: Mapping[Slot, State]) -> Recorded:
    if record.act in NO:
        return Recorded(record.ref, "refused")
    slot = Slot(record.purpose or "", record.channel, record.field_group, record.recipient)
    state = states.get(slot)
    if state is None or not state.granted:
        return Recorded(record.ref, "none")
    return (
        Recorded(record.ref, "granted")
        if state.confirmed
        else Recorded(record.ref, "pending", f"confirm_{record.channel}")
    )
