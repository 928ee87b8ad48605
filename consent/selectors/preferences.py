"""What a person's own page shows: the answers the check would give, told from the person's side.

On or off is never worked out here a second time: the page asks the rules of the check and shows their answer.
Nothing is decrypted, so that a "no" can be said while the keys are out of reach.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from django.db.models.functions import Left

from consent.decisions.engine import judge_row, judge_send
from consent.decisions.facts import Plan
from consent.decisions.history import Contact, ContactFacts, Listing, Person, Subscription
from consent.decisions.reasons import Reason
from consent.domain.links import token_digest
from consent.domain.optouts import EVERYTHING
from consent.domain.records import EMPTY, NoticeRef, Record, Slot, Standing, State, stand
from consent.domain.terms import Act, Sourcing, SubjectStatus, SuppressionKind, WxAction
from consent.errors import LinkInvalidError
from consent.models import (
    CollectionPoint,
    ConsentRecord,
    DataSubject,
    Identifier,
    NoticeVersion,
    PreferenceLink,
    Suppression,
    TemplateSubscription,
)
from consent.selectors.history import Past
from consent.selectors.records import records_for
from consent.selectors.register import LiveRegister, register_live
from governance.domain.calendar import day_of
from governance.domain.identifiers import IdentifierType
from governance.domain.register import Channel, Purpose, Recipient

OWN_NO = frozenset({Reason.SUBJECT_ERASED, Reason.OPTED_OUT, Reason.CONSENT_WITHDRAWN, Reason.PROCESSING_RESTRICTED})
"""Codes by which a check respects a person's own "no". A pause is one too, but it ends by itself."""

ONE_TIME = "wx_sub"
"""The channel where consent is a tap in WeChat that buys one message (pipl-rules WX-SUB)."""

_TITLE_CHARACTERS = 60


class Setting(StrEnum):
    """How a choice stands, as its owner sees it."""

    ON = "on"
    PAUSED = "paused"
    PENDING = "pending"  # double opt-in, not confirmed yet
    ENDED = "ended"  # the period agreed to is over
    STOPPED = "stopped"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a person stands in one slot."""

    slot: Slot
    setting: Setting
    at: datetime | None = None  # since when; None: nobody can date it
    until: date | None = None  # last day of a pause or of the period agreed to
    denied: bool = False  # stopped because it was refused when asked, not withdrawn later
    notice: NoticeRef | None = None
    point: str | None = None

    @property
    def can_stop(self) -> bool:
        return self.setting in (Setting.ON, Setting.PAUSED, Setting.PENDING)


@dataclass(frozen=True, slots=True)
class Topic:
    """A marketing purpose with its choices by channel. Stopping it also stops what `contains` it."""

    purpose: Purpose
    choices: tuple[Choice, ...]
    also_stops: tuple[Purpose, ...] = ()


@dataclass(frozen=True, slots=True)
class Preferences:
    """Everything a person's page shows, and nothing that names the person."""

    topics: tuple[Topic, ...]
    separate: tuple[Choice, ...]
    one_time: Choice | None
    paused_until: date | None
    notice_titles: Mapping[NoticeRef, str]
    point_names: Mapping[str, str]
    channels: Mapping[str, Channel]
    purposes: Mapping[str, Purpose]
    recipients: Mapping[str, Recipient]

    @property
    def anything_on(self) -> bool:
        one_time = [self.one_time] if self.one_time else []
        general = [choice for topic in self.topics for choice in topic.choices]
        return any(choice.can_stop for choice in (*general, *self.separate, *one_time))


@dataclass(frozen=True, slots=True)
class OpenLink:
    """A link that was opened: whose it is, by our own opaque references."""

    id: UUID
    subject_id: int
    subject_ref: UUID


@dataclass(frozen=True, slots=True)
class StopReceipt:
    """A "no" as it was recorded. `purpose` and `channel` None: all of them."""

    ref: UUID
    said_at: datetime
    purpose: str | None
    channel: str | None
    field_group: str | None
    recipient: str | None


def preference_link_get(*, token: str, at: datetime) -> OpenLink:
    """Return whose link has this token. Any text costs the same: one hash and one look-up.

    Raises:
        LinkInvalidError: unknown, malformed or expired; nobody can tell which.
    """
    rows = PreferenceLink.objects.filter(token_sha256=token_digest(token))
    row = rows.values_list("id", "subject_id", "subject__ref", "expires_at").first()
    if row is None or row[3] <= at:
        raise LinkInvalidError("Unknown or expired link.")
    return OpenLink(*row[:3])


def stop_receipt_get(*, subject_id: int, ref: UUID) -> StopReceipt | None:
    """Return the withdrawal of this person with this reference, or None. Other people's do not exist here."""
    rows = ConsentRecord.objects.filter(subject_id=subject_id, ref=ref, act=Act.WITHDRAW)
    row = rows.values_list("ref", "said_at", "purpose__code", "channel__code", "field_group", "recipient__code").first()
    return StopReceipt(*row[:4], row[4] or None, row[5]) if row else None


def notice_version_get(*, code: str, version: int, at: datetime) -> NoticeVersion | None:
    """Return a notice that is or was in force: every version stays readable, drafts do not show (PIPL 17)."""
    rows = NoticeVersion.objects.select_related("notice")
    return rows.filter(notice__code=code, version=version, effective_at__lte=at).first()


def notice_title(name: str, text: str, ref: NoticeRef) -> str:
    """Return how a notice is called: its name, else the first line of its text, else its code."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return name or (lines[0][:_TITLE_CHARACTERS] if lines else f"{ref.id} {ref.version}")


def preferences_for(*, subject_id: int, at: datetime) -> Preferences:
    """Return where a person stands in everything he may stop. The number of queries is fixed.

    A choice is on only if no check would refuse it as his own "no", whichever of his records, identifiers or
    reply messages said it. With several numbers it is on while one of them can still be reached.
    """
    register = register_live()
    rules = register.rules
    person, past = _past_of(subject_id, register)
    at = max(at, *(record.at for record in person.records)) if person.records else at
    standing = stand(person.records, book=rules.book, phone_bound_at=person.phone_bound_at)
    topics = tuple(_topics(person, standing, past, at))
    separate = tuple(_separate_choices(person, standing, at))
    choices = [*(choice for topic in topics for choice in topic.choices), *separate]
    return Preferences(
        topics=topics,
        separate=separate,
        one_time=_one_time(person, standing, past, at),
        paused_until=person.paused_until if person.paused_until and person.paused_until >= day_of(at) else None,
        notice_titles=_titles({choice.notice for choice in choices if choice.notice}, register),
        point_names=_point_names({choice.point for choice in choices if choice.point}),
        channels=rules.channels,
        purposes=rules.book.purposes,
        recipients=rules.recipients,
    )


def _topics(person: Person, standing: Standing, past: Past, at: datetime) -> Iterable[Topic]:
    rules = past.register.rules
    for code in rules.book.marketing_purposes:
        choices = [
            _choice(slot, state, person, past, at)
            for channel in rules.channels.values()
            for slot in [Slot(code, channel.id)]
            for state in [standing.states.get(slot, EMPTY)]
            if channel.id != ONE_TIME and (_spoken_of(state) or _reaches(person, channel.identifier))
        ]
        wider = (p for p in rules.book.wider(code) if p in standing.granted)
        yield Topic(rules.book.purposes[code], tuple(choices), tuple(rules.book.purposes[p] for p in wider))


def _spoken_of(state: State) -> bool:
    """Tell whether this very channel was named once; a "no" to everything names none."""
    return state.grant is not None or (state.refusal is not None and state.refusal.channel is not None)


def _reaches(person: Person, kind: IdentifierType) -> bool:
    return any(contact.kind is kind for contact in person.contacts)


def _choice(slot: Slot, state: State, person: Person, past: Past, at: datetime) -> Choice:
    if state.refusal is not None:
        return Choice(slot, Setting.STOPPED, state.refusal.at, denied=state.refusal.act is Act.DENY)
    codes, opted_out_at = _checked(slot, person, past, at)
    if codes and all(found & OWN_NO for found in codes):
        return Choice(slot, Setting.STOPPED, opted_out_at)
    if state.grant is None:
        return Choice(slot, Setting.NEVER)
    if codes and all(found & (OWN_NO | {Reason.PAUSED_BY_CUSTOMER}) for found in codes):
        return _granted(slot, state, Setting.PAUSED, until=person.paused_until)
    return _granted(slot, state, _setting(state, at), until=state.expires_on)


def _granted(slot: Slot, state: State, setting: Setting, *, until: date | None) -> Choice:
    grant = state.grant
    return Choice(
        slot,
        setting,
        state.origin_at,
        until,
        notice=grant.notice if grant else None,
        point=grant.point if grant else None,
    )


def _setting(state: State, at: datetime) -> Setting:
    if state.expires_on is not None and day_of(at) > state.expires_on:
        return Setting.ENDED
    return Setting.ON if state.confirmed else Setting.PENDING


def _checked(
    slot: Slot, person: Person, past: Past, at: datetime, template: str = ""
) -> tuple[list[frozenset[Reason]], datetime | None]:
    """Return what a check finds on each contact that reaches the person, and the latest opt-out among them."""
    rules = past.register.rules
    plan = Plan(None, slot.purpose, slot.channel or "", "marketing", at, template_id=template)
    judgement = judge_send(plan, register=rules, at=at)
    requirement = judgement.requirement
    if requirement is None:
        return [], None
    contacts = [contact for contact in person.contacts if contact.kind is requirement.channel.identifier]
    rows = [past.facts(contact, requirement) for contact in contacts or list(person.contacts)[:1]]
    said = [at for row in rows for at in row.optouts if at is not None]
    return [frozenset(judge_row(row, judgement).codes) for row in rows], max(said, default=None)


def _one_time(person: Person, standing: Standing, past: Past, at: datetime) -> Choice | None:
    """Return the choice about one-time WeChat messages, the same for every purpose; None if there never was one."""
    if not _reaches(person, IdentifierType.WECHAT_OPENID):
        return None
    marketing = past.register.rules.book.marketing_purposes
    subscriptions = [s for contact in person.contacts for s in past.contacts[contact].subscriptions]
    accepted = [s for s in subscriptions if s.action is WxAction.ACCEPT]
    slot = Slot("", ONE_TIME)
    closed = OWN_NO | {Reason.WX_NO_SUBSCRIPTION, Reason.PAUSED_BY_CUSTOMER}
    for template in {s.template for s in accepted}:
        for purpose in marketing:
            codes, _ = _checked(Slot(purpose, ONE_TIME), person, past, at, template)
            if any(not found & closed for found in codes):
                return Choice(slot, Setting.ON, max(s.at for s in accepted))
    refusals = [standing.states.get(Slot(purpose, ONE_TIME), EMPTY).refusal for purpose in marketing]
    said = [refusal.at for refusal in refusals if refusal]
    return Choice(slot, Setting.STOPPED, max(said)) if said and len(said) == len(marketing) else None


def _separate_choices(person: Person, standing: Standing, at: datetime) -> Iterable[Choice]:
    for slot, state in standing.states.items():
        if slot.channel is not None:
            continue
        if state.refusal is not None:
            yield Choice(slot, Setting.STOPPED, state.refusal.at, denied=state.refusal.act is Act.DENY)
        elif SubjectStatus.ERASED in person.status:
            yield Choice(slot, Setting.STOPPED)
        else:
            yield _granted(slot, state, _setting(state, at), until=state.expires_on)


def _past_of(subject_id: int, register: LiveRegister) -> tuple[Person, Past]:
    """Load a person with everybody who shares an identifier with him, and what was said to those identifiers."""
    # Three look-ups by key, not one nested query: its plan depends on statistics, and a page must not.
    own = Identifier.objects.filter(subject_id=subject_id).values_list("lookup", flat=True)
    sharing = Identifier.objects.filter(lookup__any=list(own)).values_list("subject_id", flat=True)
    held: dict[int, list[Identifier]] = defaultdict(list)
    for row in Identifier.objects.filter(subject_id__any=set(sharing)).defer("sealed"):
        held[row.subject_id].append(row)
    ids = {subject_id, *held}
    records = records_for(ids, register)
    people = {
        row.id: _person(row, held[row.id], records.get(row.id, []), register)
        for row in DataSubject.objects.filter(id__any=ids)
    }
    holders: dict[Contact, list[Person]] = defaultdict(list)
    for person in people.values():
        for contact in person.contacts:
            holders[contact].append(person)
    return people[subject_id], Past(holders, _said_to(holders, register), register)


def _person(
    row: DataSubject, identifiers: Collection[Identifier], records: Iterable[Record], register: LiveRegister
) -> Person:
    """Return a person as far as his own "no" goes: no birth dates, no guardians."""
    bound = [i.bound_at for i in identifiers if i.type == IdentifierType.PHONE and i.bound_at]
    return Person(
        ref=str(row.ref),
        contacts=frozenset(_contact(i) for i in identifiers),
        status=SubjectStatus(row.status),
        sourcing=Sourcing(row.sourcing),
        last_active_on=row.last_active_on,
        lost_on={_contact(i): i.lost_on for i in identifiers if i.lost_on},
        phone_bound_at=max(bound, default=None),
        paused_until=row.paused_until,
        restricted=frozenset(register.purpose_codes[key] for key in row.restricted or ()),
        records=tuple(records),
    )


def _contact(row: Identifier) -> Contact:
    return Contact(IdentifierType(row.type), bytes(row.lookup))


def _said_to(contacts: Collection[Contact], register: LiveRegister) -> dict[Contact, ContactFacts]:
    lookups = {contact.lookup for contact in contacts}
    listings: dict[Contact, list[Listing]] = defaultdict(list)
    for row in Suppression.objects.filter(lookup__any=lookups):
        scope = register.channel_codes[row.channel_id] if row.channel_id else EVERYTHING
        contact = Contact(IdentifierType(row.type), bytes(row.lookup))
        listings[contact].append(Listing(SuppressionKind(row.kind), scope, row.said_at, row.removed_at))
    subscriptions: dict[Contact, list[Subscription]] = defaultdict(list)
    for answer in TemplateSubscription.objects.filter(lookup__any=lookups):
        contact = Contact(IdentifierType.WECHAT_OPENID, bytes(answer.lookup))
        subscriptions[contact].append(Subscription(answer.template, WxAction(answer.action), answer.said_at))
    return {c: ContactFacts(listings[c], subscriptions=subscriptions[c]) for c in contacts}


def _titles(refs: Collection[NoticeRef], register: LiveRegister) -> dict[NoticeRef, str]:
    keys = [register.notice_keys[ref] for ref in refs]
    rows = NoticeVersion.objects.filter(pk__in=keys).values_list("pk", "notice__name", Left("text", _TITLE_CHARACTERS))
    return {register.notice_refs[key]: notice_title(name, text, register.notice_refs[key]) for key, name, text in rows}


def _point_names(codes: Collection[str]) -> dict[str, str]:
    return dict(CollectionPoint.objects.filter(code__in=codes).values_list("code", "name"))
