"""The facts of one audience row at any instant, folded from what was recorded.

This is the reference: it reads no stored state, only records and lists with their times. What happened
after the instant does not exist for it. The stored state that live decisions read must give the same facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from consent.decisions.engine import separate_consent_held
from consent.decisions.facts import STRANGER, HolderFacts, Requirement, RowFacts
from consent.domain.ages import CHILD_AGE, MINOR_AGE, is_under, youngest_birth
from consent.domain.imports import Guardianship
from consent.domain.optouts import EVERYTHING
from consent.domain.records import EMPTY, ConsentBook, Record, Slot, stand
from consent.domain.terms import SendKind, Sourcing, SubjectStatus, SuppressionKind, WxAction
from governance.domain.identifiers import IdentifierType


class Contact(NamedTuple):
    """An identifier by its look-up value, never in clear."""

    kind: IdentifierType
    lookup: bytes


@dataclass(frozen=True, slots=True)
class Person:
    """One person as recorded. Births are the cells as they came, the most protective one counts."""

    ref: str
    contacts: frozenset[Contact]
    status: SubjectStatus = SubjectStatus.ACTIVE
    sourcing: Sourcing = Sourcing.LAWFUL
    births: tuple[str, ...] = ()
    last_active_on: date | None = None
    lost_on: Mapping[Contact, date] = field(default_factory=dict)  # numbers that went to somebody else
    phone_bound_at: datetime | None = None
    personalisation_off_at: datetime | None = None
    paused_until: date | None = None
    restricted: frozenset[str] = frozenset()
    records: tuple[Record, ...] = ()
    guardianships: tuple[Guardianship, ...] = ()


class Listing(NamedTuple):
    """One line of the suppression list. `at` None has stood for ever; `scope` is a channel or everything."""

    kind: SuppressionKind
    scope: str
    at: datetime | None
    removed_at: datetime | None = None

    def active(self, now: datetime) -> bool:
        return (self.at is None or self.at <= now) and not (self.removed_at and self.removed_at <= now)


class Sent(NamedTuple):
    channel: str
    at: datetime
    kind: SendKind
    template: str = ""


class Subscription(NamedTuple):
    template: str
    action: WxAction
    at: datetime


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """What is recorded about an identifier itself, whoever holds it."""

    listings: Sequence[Listing] = ()
    sent: Sequence[Sent] = ()
    subscriptions: Sequence[Subscription] = ()


ContactReader = Callable[[Contact], ContactFacts]
_REACHABLE = (IdentifierType.PHONE, IdentifierType.EMAIL)


def row_facts(
    contact: Contact, holders: Iterable[Person], *, about: ContactReader, requirement: Requirement, book: ConsentBook
) -> RowFacts:
    """Assemble the facts of the row with this identifier at `requirement.at`."""
    r = requirement
    people = list(holders)
    touching = list(_touching(contact, people, about, r.channel.id, r.at))
    own = about(contact)
    heard = [s for s in own.sent if s.channel == r.channel.id and s.at <= r.at]
    counted = [s.at for s in heard if s.kind is not SendKind.SERVICE]
    subscriptions, used, subscribed_at = _subscription(own, r)
    return RowFacts(
        holders=tuple(_holder(p, contact, about, r, book) for p in people) or (STRANGER,),
        optouts=tuple(x.at for x in touching if x.kind is SuppressionKind.OPT_OUT),
        listed=any(x.kind is SuppressionKind.LISTED for x in touching),
        carrier_listed=any(
            x.kind is SuppressionKind.CARRIER and x.active(r.at) and x.scope in (EVERYTHING, r.channel.id)
            for x in own.listings
        ),
        sent_this_month=sum(at >= r.month_starts_at for at in counted),
        sent_in_window=sum(r.window_starts_at is not None and at > r.window_starts_at for at in counted),
        last_solicited_at=max((s.at for s in heard if s.kind is SendKind.SOLICITATION), default=None),
        subscriptions=subscriptions,
        subscriptions_used=used,
        subscribed_at=subscribed_at,
    )


def _touching(
    contact: Contact, holders: Iterable[Person], about: ContactReader, channel: str, now: datetime
) -> Iterable[Listing]:
    """Yield the lines that speak for a row: of its own identifier, and wide ones of its holders' others."""
    own = [x for x in about(contact).listings if x.scope in (EVERYTHING, channel)]
    others = {c for holder in holders for c in holder.contacts} - {contact}
    for other in others:
        for x in about(other).listings:
            by_member = other.kind is IdentifierType.MEMBER_ID and x.scope in (EVERYTHING, channel)
            wide = x.scope == EVERYTHING and (x.kind is not SuppressionKind.OPT_OUT or other.kind in _REACHABLE)
            if wide or (by_member and x.kind is SuppressionKind.LISTED):
                own.append(x)
    return (x for x in own if x.active(now))


def _subscription(own: ContactFacts, r: Requirement) -> tuple[int, int, datetime | None]:
    if not r.one_time:
        return 0, 0, None
    past = [s for s in own.subscriptions if s.template == r.template_id and s.at <= r.at]
    banned_at = max((s.at for s in past if s.action is WxAction.BAN), default=None)
    accepts = [s.at for s in past if s.action is WxAction.ACCEPT]
    live = [at for at in accepts if banned_at is None or at > banned_at]
    used = sum(
        s.channel == r.channel.id
        and s.template == r.template_id
        and s.at <= r.at
        and (banned_at is None or s.at > banned_at)
        for s in own.sent
    )
    return len(live), used, max(accepts, default=None)


def _holder(person: Person, contact: Contact, about: ContactReader, r: Requirement, book: ConsentBook) -> HolderFacts:
    past = [record for record in person.records if record.at <= r.at]
    standing = stand(past, book=book, phone_bound_at=person.phone_bound_at)
    slot = Slot(r.purpose, r.channel.id)
    born = youngest_birth(person.births, r.today)
    needed = {*r.strip_consents, *r.deny_consents, *filter(None, (r.third_party, r.cross_border))}
    return HolderFacts(
        status=person.status,
        sourcing=person.sourcing,
        lost_on=person.lost_on.get(contact),
        last_active_on=person.last_active_on,
        child=is_under(born, CHILD_AGE, r.today),
        minor=is_under(born, MINOR_AGE, r.today),
        guardian=any(g.in_force(r.purpose, r.at) for g in person.guardianships),
        personalisation_off_at=person.personalisation_off_at,
        paused_until=person.paused_until,
        restricted=person.restricted,
        state=standing.states.get(slot, EMPTY),
        granted_elsewhere=r.purpose in standing.granted,
        narrower_granted=slot in standing.narrower,
        held=frozenset(s for s in needed if separate_consent_held(standing.states.get(s, EMPTY), s, r)),
        asked=standing.states.get(r.asks_for, EMPTY) if r.asks_for else EMPTY,
        asked_optouts=_asked_optouts(person, about, r),
        subject=person.ref,
    )


def _asked_optouts(person: Person, about: ContactReader, r: Requirement) -> tuple[datetime | None, ...]:
    if r.asks_for is None or r.asks_for_identifier is None:
        return ()
    contacts = [c for c in person.contacts if c.kind is r.asks_for_identifier]
    found = [x for c in contacts for x in _touching(c, [person], about, r.asks_for.channel or "", r.at)]
    return tuple(x.at for x in found if x.kind is SuppressionKind.OPT_OUT)
