"""Judging historic rows before they become records. A row is taken whole, or refused with one code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from consent.domain.ages import CHILD_AGE, is_under, youngest_birth
from consent.domain.records import ConsentBook, NoticeRef, Record, good_form
from consent.domain.terms import NO, Act, Bundle, Sourcing, SubjectStatus
from consent.domain.vocabulary import (
    ACTS,
    BUNDLES,
    CONTROLS,
    EVERYTHING,
    PERSONALISATION_ON,
    STATES,
    Vocabulary,
    yes_no,
)
from governance.domain import identifiers
from governance.domain.calendar import day_of, start_of_day
from governance.domain.cells import parse_day, parse_instant
from governance.domain.identifiers import IdentifierType
from governance.domain.terms import PurposeKind

GIVES = frozenset({Act.GRANT, Act.RENEW})
CLOCK_SKEW = timedelta(minutes=5)
FOREVER = date(9999, 12, 31)
ALWAYS = date(1900, 1, 1)

Cells = Mapping[str, str]


class RowError(StrEnum):
    """Why a row of an import is refused. Public codes, in the order they are looked for."""

    E_INPUT = "E_INPUT"
    POLICY_GAP = "POLICY_GAP"
    CHILD_NO_GUARDIAN_CONSENT = "CHILD_NO_GUARDIAN_CONSENT"
    CONSENT_INVALID_FORM = "CONSENT_INVALID_FORM"
    CONSENT_BUNDLED = "CONSENT_BUNDLED"
    CONSENT_NO_EVIDENCE = "CONSENT_NO_EVIDENCE"


@dataclass(frozen=True, slots=True)
class PersonRef:
    """Whom a row is about: a member, or a guest known only by a phone or an e-mail."""

    kind: IdentifierType
    value: str


@dataclass(frozen=True, slots=True)
class Guardianship:
    """A guardian's consent for a child. Only complete rows (guardian, relation, proof) become one."""

    purposes: frozenset[str]
    given_at: datetime
    withdrawn_at: datetime | None = None

    def in_force(self, purpose: str, at: datetime) -> bool:
        withdrawn = self.withdrawn_at is not None and self.withdrawn_at <= at
        return purpose in self.purposes and self.given_at <= at and not withdrawn


@dataclass(frozen=True, slots=True)
class ImportContext:
    """What judging a consent row needs. The two callables answer from memory, never row by row."""

    book: ConsentBook
    words: Vocabulary
    recipients: frozenset[str]
    field_groups: frozenset[str]
    member_id_pattern: str
    imported_at: datetime
    is_member: Callable[[str], bool]
    births: Callable[[str], Iterable[str]]
    guardianships: Callable[[str], Iterable[Guardianship]]


@dataclass(frozen=True, slots=True)
class Accepted:
    person: PersonRef
    record: Record


def judge_consent_row(cells: Cells | None, *, seq: int, ref: str, ctx: ImportContext) -> Accepted | RowError:
    """Read one row of a consent export. `cells` None is an unreadable row.

    A "no" needs no papers: it is refused only if nobody can tell who said it, what or when.
    """
    if cells is None:
        return RowError.E_INPUT
    person = _person(cells, ctx)
    act = ACTS.get(cells["act"].casefold())
    at = parse_instant(cells["event_time"])
    if person is None or act is None or at is None or at > ctx.imported_at + CLOCK_SKEW:
        return RowError.E_INPUT
    read = _read(cells, act, at, seq, ref, ctx)
    if act in NO:
        return Accepted(person, read.record)
    error = _papers_missing(cells, read, person, ctx)
    return error or Accepted(person, read.record)


def _person(cells: Cells, ctx: ImportContext) -> PersonRef | None:
    if cells["member_id"]:
        number = identifiers.member_id(cells["member_id"], ctx.member_id_pattern)
        return PersonRef(IdentifierType.MEMBER_ID, number) if number and ctx.is_member(number) else None
    if cells["phone"]:
        phone = identifiers.phone(cells["phone"])
        return PersonRef(IdentifierType.PHONE, phone) if phone else None
    email = identifiers.email(cells["email"])
    return PersonRef(IdentifierType.EMAIL, email) if email else None


@dataclass(frozen=True, slots=True)
class _Reading:
    record: Record
    purpose_kind: PurposeKind | None
    everything: bool  # the channel cell says "all"
    marked_separate: bool


def _read(cells: Cells, act: Act, at: datetime, seq: int, ref: str, ctx: ImportContext) -> _Reading:
    purpose = ctx.words.purpose(cells["purpose"])
    kind = ctx.book.purposes[purpose].kind if purpose else None
    separate = bool(cells["recipient"] or cells["field_group"]) or kind is PurposeKind.SEPARATE
    record = Record(
        ref=ref,
        seq=seq,
        at=at,
        act=act,
        purpose=purpose,
        channel=None if separate else ctx.words.channel(cells["channel"]),
        separate=separate,
        field_group=cells["field_group"] if cells["field_group"] in ctx.field_groups else None,
        recipient=cells["recipient"] if cells["recipient"] in ctx.recipients else None,
        point=cells["point"] if cells["point"] in ctx.book.points else None,
        notice=_notice(cells["notice"], ctx.book),
        text_hash=cells["text_hash"].lower()[:8],
        control=CONTROLS.get(cells["control"].casefold()),
        pre_checked=yes_no(cells["pre_checked"]),
        bundle=BUNDLES.get(cells["bundle"].casefold(), Bundle.TERMS),
        valid_until=parse_day(cells["valid_until"]),
        evidence=cells["evidence"].upper() if cells["evidence"].upper() in ("A", "B", "C") else "",
        proof=bool(cells["proof"]),
    )
    return _Reading(record, kind, cells["channel"].casefold() in EVERYTHING, yes_no(cells["separate"]) is True)


def _notice(text: str, book: ConsentBook) -> NoticeRef | None:
    name, _, version = text.partition("@")
    if not version.isascii() or not version.isdigit():
        return None
    ref = NoticeRef(name, int(version))
    return ref if ref in book.notices else None


def _papers_missing(cells: Cells, read: _Reading, person: PersonRef, ctx: ImportContext) -> RowError | None:
    record = read.record
    if (
        not cells["purpose"]
        or (not record.separate and not cells["channel"])
        or (read.purpose_kind is PurposeKind.SEPARATE and not cells["recipient"])
        or (cells["valid_until"] and record.valid_until is None)
    ):
        return RowError.E_INPUT
    if (
        record.purpose is None
        or (not record.separate and record.channel is None and not read.everything)
        or record.point is None
        or (cells["notice"] and record.notice is None)
        or (cells["field_group"] and record.field_group is None)
        or (cells["recipient"] and record.recipient is None)
    ):
        return RowError.POLICY_GAP
    unguarded = record.act in GIVES and _is_unguarded_child(person, record.purpose, record.at, ctx)
    return yes_refused(record, marked_separate=read.marked_separate, unguarded_child=unguarded)


def yes_refused(record: Record, *, marked_separate: bool, unguarded_child: bool) -> RowError | None:
    """Return why a grant, renewal or confirmation cannot be taken, or None. Its parts are all registered.

    Separate consent (单独同意) is a type of its own: asked alone, said alone, by a clear act (NDSR 62(7)).
    """
    gives = record.act in GIVES
    if gives and unguarded_child:
        return RowError.CHILD_NO_GUARDIAN_CONSENT
    if gives and record.separate and not good_form(record):
        return RowError.CONSENT_INVALID_FORM
    if gives and record.separate and not (record.bundle is Bundle.OWN and marked_separate):
        return RowError.CONSENT_BUNDLED
    if not record.separate and record.channel is None:
        return RowError.CONSENT_BUNDLED
    if gives and not record.evidence:
        return RowError.CONSENT_NO_EVIDENCE
    return None


def _is_unguarded_child(person: PersonRef, purpose: str, at: datetime, ctx: ImportContext) -> bool:
    if person.kind is not IdentifierType.MEMBER_ID:
        return False
    day = day_of(at)
    if not is_under(youngest_birth(ctx.births(person.value), day), CHILD_AGE, day):
        return False
    return not any(g.in_force(purpose, at) for g in ctx.guardianships(person.value))


@dataclass(slots=True)
class Member:
    """One member merged from all his rows: what protects adds up, the rest is the last readable value."""

    member_id: str
    name: str = ""
    gender: str = ""
    phone: str | None = None
    phone_bound_at: datetime | None = None
    email: str | None = None
    wechat_openid: str | None = None
    births: list[str] = field(default_factory=list)
    last_active_at: datetime | None = None
    registered_at: datetime | None = None
    status: SubjectStatus = SubjectStatus.ACTIVE
    batches: list[str] = field(default_factory=list)  # one per row; empty: registered by himself
    personalisation_off_at: datetime | None = None
    paused_until: date | None = None
    restricted: frozenset[str] = frozenset()
    recycled_on: list[date | None] = field(default_factory=list)  # None: filled but unreadable

    @property
    def last_active_on(self) -> date | None:
        at = self.last_active_at or self.registered_at
        return day_of(at) if at else None

    @property
    def lost_on(self) -> date | None:
        """The day the phone went to somebody else, unless it was bound again since."""
        bound = day_of(self.phone_bound_at) if self.phone_bound_at else None
        days = [ALWAYS if day is None else day for day in self.recycled_on if day is None or not bound or bound < day]
        return min(days, default=None)


def merge_member(member: Member, cells: Cells, words: Vocabulary) -> None:
    """Add one row of members.csv to its member (samples/README section 3)."""
    member.name = cells["name"] or member.name
    member.gender = cells["gender"] or member.gender
    member.phone = identifiers.phone(cells["phone"]) or member.phone
    member.phone_bound_at = parse_instant(cells["phone_bound_at"]) or member.phone_bound_at
    member.email = identifiers.email(cells["email"]) or member.email
    member.wechat_openid = identifiers.wechat_id(cells["wechat_openid"]) or member.wechat_openid
    member.births.append(cells["birth_date"])
    member.last_active_at = _latest(member.last_active_at, parse_instant(cells["last_activity"]))
    member.registered_at = _latest(member.registered_at, parse_instant(cells["registered_at"]))
    member.status |= STATES.get(cells["state"].casefold(), SubjectStatus.FROZEN)
    member.batches.append(cells["import_batch"])
    if cells["personalisation"].casefold() not in PERSONALISATION_ON:
        off_at = parse_instant(cells["personalisation_off_at"]) or start_of_day(ALWAYS)
        member.personalisation_off_at = min(member.personalisation_off_at or off_at, off_at)
    if cells["pause_until"]:
        until = parse_day(cells["pause_until"]) or FOREVER
        member.paused_until = max(member.paused_until or until, until)
    member.restricted |= words.restricted(cells["restricted"])
    if cells["recycled_on"]:
        member.recycled_on.append(parse_day(cells["recycled_on"]))


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)


def sourcing_of(batches: Iterable[str], known: Mapping[str, tuple[str, bool]]) -> Sourcing:
    """Judge where a person's data came from (PIPL 10). `known`: batch → (source, has provenance document).

    One row without a batch is the person's own registration and makes the whole lawful.
    """
    verdicts = set()
    for batch in batches:
        source, proved = known.get(batch, ("", False))
        if not batch:
            return Sourcing.LAWFUL
        if source in ("PURCHASED", "SCRAPED", "GENERATED"):
            verdicts.add(Sourcing.UNLAWFUL)
        else:
            verdicts.add(Sourcing.LAWFUL if proved else Sourcing.UNPROVEN)
    if not verdicts or Sourcing.LAWFUL in verdicts:
        return Sourcing.LAWFUL
    return Sourcing.UNLAWFUL if verdicts == {Sourcing.UNLAWFUL} else Sourcing.UNPROVEN
