"""From what a person said to where he stands: consent records folded into states.

The fold is the only reading of the consent ledger. The stored `ConsentState` rows are its result for
"now"; a decision about the past folds the records up to that instant. Rules of samples/README 4.3, 4.4.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from consent.domain.terms import ACT_ORDER, NO, Act, Bundle, Control, PointKind
from governance.domain.calendar import add_months, day_of
from governance.domain.register import Purpose
from governance.domain.terms import PurposeKind


class Slot(NamedTuple):
    """What a state is about. A general slot has a channel; a separate consent (单独同意) has none."""

    purpose: str
    channel: str | None
    field_group: str | None = None
    recipient: str | None = None


class NoticeRef(NamedTuple):
    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What a notice version promised for one purpose."""

    valid_months: int | None = None  # None: no period
    categories: frozenset[str] = frozenset()
    declared_per_month: Mapping[str, int] = field(default_factory=dict)  # by channel


@dataclass(frozen=True, slots=True)
class Notice:
    """One version of a notice, as far as decisions need it."""

    ref: NoticeRef
    effective_at: datetime
    material: bool
    affects: frozenset[str]
    terms: Mapping[str, Terms]
    text_sha256: str


@dataclass(frozen=True, slots=True)
class Point:
    id: str
    kind: PointKind
    double_opt_in: frozenset[str] = frozenset()  # channels that need a confirmation


@dataclass(frozen=True, slots=True)
class Record:
    """One act of the ledger. In a "no", `purpose` or `channel` None means all of them."""

    ref: str  # public id of the record
    seq: int  # order of arrival
    at: datetime
    act: Act
    purpose: str | None
    channel: str | None
    separate: bool  # a separate item: its channel says nothing
    field_group: str | None = None
    recipient: str | None = None
    point: str | None = None
    notice: NoticeRef | None = None
    text_hash: str = ""  # first 8 hex digits of the text shown
    control: Control | None = None
    pre_checked: bool | None = None
    bundle: Bundle = Bundle.TERMS
    valid_until: date | None = None
    evidence: str = ""  # A original log, B copy or scan, C statement only
    proof: bool = False


@dataclass(frozen=True)
class ConsentBook:
    """What the fold must know besides the records. Read-only for one registry version."""

    purposes: Mapping[str, Purpose]
    channels: Mapping[str, bool]  # id → its identifier is a phone
    points: Mapping[str, Point]
    notices: Mapping[NoticeRef, Notice]
    double_opt_in_days: int

    @property
    def marketing_purposes(self) -> list[str]:
        return [p.id for p in self.purposes.values() if p.kind is PurposeKind.MARKETING]

    def wider(self, purpose: str) -> list[str]:
        """Return the purposes whose consent includes this one."""
        return [p.id for p in self.purposes.values() if purpose in p.contains]

    def terms(self, notice: NoticeRef | None, purpose: str) -> Terms:
        known = self.notices.get(notice) if notice else None
        return known.terms.get(purpose, Terms()) if known else Terms()

    @cached_property
    def effective_times(self) -> list[datetime]:
        """When each notice takes effect, in order."""
        return sorted(notice.effective_at for notice in self.notices.values())

    @cached_property
    def stale_known(self) -> dict[tuple[str, int, frozenset[str]], frozenset[NoticeRef]]:
        """What `stale_notices` found before."""
        return {}


@dataclass(frozen=True, slots=True)
class State:
    """Where one person stands in one slot, with all of a grant's judgement that does not depend on now."""

    grant: Record | None = None  # the newest grant or renewal, also if refused since
    grant_purpose: str | None = None  # whose terms and versions count
    origin_at: datetime | None = None
    refusal: Record | None = None
    confirmed: bool = False
    bad_form: bool = False
    bundled: bool = False
    no_evidence: bool = False
    expires_on: date | None = None  # last good day
    declared: int | None = None  # messages a month promised on this channel
    lift_at: datetime | None = None  # ends opt-outs said before it

    @property
    def granted(self) -> bool:
        return self.grant is not None and self.refusal is None

    @property
    def empty(self) -> bool:
        return self.grant is None and self.refusal is None


EMPTY = State()


@dataclass(frozen=True, slots=True)
class Standing:
    """All states of one person."""

    states: Mapping[Slot, State]
    granted: frozenset[str]  # purposes granted on some channel
    narrower: frozenset[Slot]  # empty slots where only a narrower purpose is granted


def good_form(record: Record) -> bool:
    """Tell whether the act was affirmative (PIPL 14: 自愿、明确)."""
    if record.control is None or record.control is Control.CONTINUE_TO_USE or record.pre_checked:
        return False
    return record.pre_checked is False or record.control not in (Control.CHECKBOX, Control.TOGGLE)


def last_good_day(grant: Record, terms: Terms) -> date | None:
    """Return the last day of the grant's period, or None if it has none (NDSR 22)."""
    ends = [grant.valid_until] if grant.valid_until else []
    if terms.valid_months is not None:
        ends.append(add_months(day_of(grant.at), terms.valid_months))
    return min(ends, default=None)


def has_evidence(grant: Record, notice: Notice | None) -> bool:
    """Tell whether the grant can be proved (PIPL 69): class A or B, with proof, of a text then in force."""
    return (
        grant.evidence in ("A", "B")
        and grant.proof
        and notice is not None
        and grant.text_hash == notice.text_sha256[:8]
        and notice.effective_at <= grant.at
    )


def stand(records: Iterable[Record], *, book: ConsentBook, phone_bound_at: datetime | None) -> Standing:
    """Fold one person's records into all his states.

    `phone_bound_at`: what was agreed before it on a channel that uses the phone was said about another
    number and does not count; refusals stay.
    """
    ordered = sorted(records, key=lambda r: (r.at, ACT_ORDER[r.act], r.seq))
    general = [r for r in ordered if not r.separate]
    states: dict[Slot, State] = {}
    for slot in _general_slots(general, book):
        phone_from = phone_bound_at if book.channels.get(slot.channel or "") else None
        state = _general_state(general, slot, book, phone_from)
        if not state.empty:
            states[slot] = state
    granted = {slot.purpose for slot, state in states.items() if state.granted}
    granted |= {narrow for purpose in granted for narrow in book.purposes[purpose].contains}
    narrower = _fill_from_neighbours(states, book)
    for slot in dict.fromkeys(_separate_slot(r) for r in ordered if r.separate and r.act not in NO):
        state = _fold([r for r in ordered if _touches_separate(r, slot)], slot, book)
        if not state.empty:
            states[slot] = state
    return Standing(states, frozenset(granted), frozenset(narrower))


def _general_slots(general: list[Record], book: ConsentBook) -> list[Slot]:
    slots: dict[Slot, None] = {}
    for record in general:
        purposes = [record.purpose] if record.purpose else book.marketing_purposes
        if record.act in NO and record.purpose:
            purposes = [record.purpose, *book.wider(record.purpose)]
        for purpose in purposes:
            for channel in [record.channel] if record.channel else book.channels:
                slots[Slot(purpose, channel)] = None
    return list(slots)


def _general_state(general: list[Record], slot: Slot, book: ConsentBook, phone_from: datetime | None) -> State:
    known = book.purposes.get(slot.purpose)
    heard = {slot.purpose} | (known.contains if known else frozenset())
    marketing = known is not None and known.kind is PurposeKind.MARKETING

    def belongs(r: Record) -> bool:
        if r.channel is not None and r.channel != slot.channel:
            return False
        if r.act in NO:
            return r.purpose in heard or (r.purpose is None and marketing)
        return r.purpose == slot.purpose and not (phone_from and r.at < phone_from)

    return _fold([r for r in general if belongs(r)], slot, book)


def _fill_from_neighbours(states: dict[Slot, State], book: ConsentBook) -> set[Slot]:
    """Let a wider grant stand for an empty narrower slot; note where only a narrower one is granted."""
    narrower: set[Slot] = set()
    borrowed: dict[Slot, State] = {}
    for slot, state in states.items():
        if not state.granted or slot.purpose not in book.purposes:
            continue
        for narrow in book.purposes[slot.purpose].contains:
            target = Slot(narrow, slot.channel)
            if target not in states:
                borrowed[target] = state
        for wide in book.wider(slot.purpose):
            if Slot(wide, slot.channel) not in states:
                narrower.add(Slot(wide, slot.channel))
    states.update(borrowed)
    return narrower - borrowed.keys()


def _separate_slot(record: Record) -> Slot:
    return Slot(record.purpose or "", None, record.field_group, record.recipient)


def _touches_separate(record: Record, slot: Slot) -> bool:
    if not record.separate:
        return record.act in NO and record.purpose is None and record.channel is None
    if record.act not in NO:
        return _separate_slot(record) == slot
    return (
        record.purpose in (None, slot.purpose)
        and record.field_group in (None, slot.field_group)
        and record.recipient in (None, slot.recipient)
    )


def _fold(records: list[Record], slot: Slot, book: ConsentBook) -> State:
    grant: Record | None = None
    origin: Record | None = None
    refusal: Record | None = None
    confirmed = False
    for r in records:
        if r.act in NO:
            refusal = r
        elif r.act is Act.GRANT:
            point = book.points.get(r.point or "")
            if refusal and ((point and point.kind is PointKind.IMPORT) or not good_form(r) or r.bundle is Bundle.TERMS):
                continue  # neither a migrated list nor a defective act ends a "no"
            grant = origin = r
            refusal = None
            confirmed = point is None or slot.channel not in point.double_opt_in
        elif grant is None or refusal is not None:
            continue
        elif r.act is Act.RENEW:
            grant = r if confirmed else grant
        elif origin is not None and r.at - origin.at <= timedelta(days=book.double_opt_in_days):
            confirmed = True
    if grant is None or origin is None:
        return State(refusal=refusal)
    return _judged(grant, origin, refusal, confirmed=confirmed, slot=slot, book=book)


def _judged(
    grant: Record, origin: Record, refusal: Record | None, *, confirmed: bool, slot: Slot, book: ConsentBook
) -> State:
    terms = book.terms(grant.notice, slot.purpose)
    point = book.points.get(origin.point or "")
    lifts = (
        refusal is None
        and confirmed
        and good_form(origin)
        and origin.bundle is not Bundle.TERMS
        and not (point and point.kind is PointKind.IMPORT)
    )
    return State(
        grant=grant,
        grant_purpose=slot.purpose,
        origin_at=origin.at,
        refusal=refusal,
        confirmed=confirmed,
        bad_form=not good_form(grant),
        bundled=grant.bundle is Bundle.TERMS,
        no_evidence=not has_evidence(grant, book.notices.get(grant.notice) if grant.notice else None),
        expires_on=last_good_day(grant, terms),
        declared=terms.declared_per_month.get(slot.channel or ""),
        lift_at=origin.at if lifts else None,
    )


def stale_notices(
    book: ConsentBook, *, purpose: str, at: datetime, categories: Iterable[str] = ()
) -> frozenset[NoticeRef]:
    """Return the notice versions under which a grant for `purpose` no longer covers a use (PIPL 14).

    Stale: a later version of the same notice is material, affects the purpose and is in force at `at`;
    or a category of data in use was not among the terms. Of `at` only the number of notices in force counts,
    so the answer is kept in the book: every check asks for it.
    """
    key = purpose, bisect_right(book.effective_times, at), frozenset(categories)
    if key not in book.stale_known:
        book.stale_known[key] = frozenset(_stale_notices(book, purpose, at, key[2]))
    return book.stale_known[key]


def _stale_notices(book: ConsentBook, purpose: str, at: datetime, used: frozenset[str]) -> set[NoticeRef]:
    latest: dict[str, int] = defaultdict(int)
    for notice in book.notices.values():
        if notice.material and purpose in notice.affects and notice.effective_at <= at:
            latest[notice.ref.id] = max(latest[notice.ref.id], notice.ref.version)
    return {
        ref for ref in book.notices if ref.version < latest[ref.id] or not used <= book.terms(ref, purpose).categories
    }
