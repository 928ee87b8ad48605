"""What is known of one person, fetched with one ORM query after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.db.models import Q

from benchmarks.naive.sends import Send
from consent.models import (
    ConsentState,
    DataSubject,
    Guardianship,
    Identifier,
    NoticeTerms,
    NoticeVersion,
    SendRecord,
    Slot,
    Suppression,
    TemplateSubscription,
)
from governance.domain.calendar import start_of_day
from governance.domain.identifiers import IdentifierType
from governance.models import Purpose

REACHABLE = (IdentifierType.PHONE, IdentifierType.EMAIL)


@dataclass
class Holder:
    """Somebody who holds the identifier. `subject` None: nobody we know."""

    subject: DataSubject | None = None
    lost_on: date | None = None
    state: ConsentState | None = None
    stale: bool = False  # the consent's notice was changed since, or does not cover the data in use
    guardian: bool = False
    held: set[tuple[str, str, str]] = field(default_factory=set)  # separate consents: purpose, group, recipient
    wide: list[Suppression] = field(default_factory=list)  # of his other identifiers
    asked: ConsentState | None = None
    asked_optouts: list[Suppression] = field(default_factory=list)


@dataclass
class PersonFacts:
    holders: list[Holder]
    listed: list[Suppression]
    sent_in_month: int = 0
    sent_in_window: int = 0
    solicited_at: datetime | None = None
    accepted: int = 0
    accepted_at: datetime | None = None
    used: int = 0


def separate_needed(send: Send) -> dict[str, list[tuple[str, str, str]]]:
    """Return the separate consents the campaign needs, by what lacks without them."""
    campaign, purpose = send.campaign, send.purpose.code
    must = {*campaign.required_fields, *campaign.segment_fields}
    needed: dict[str, list[tuple[str, str, str]]] = {"deny": [], "strip": [], "third_party": [], "overseas": []}
    for data_field in send.sensitive:
        key = "deny" if data_field.code in must else "strip"
        needed[key].append((purpose, data_field.group or data_field.code, ""))
    if send.recipient and send.recipient.role == "INDEPENDENT":
        needed["third_party"].append(("share.partner", "", send.recipient.code))
    if send.recipient and send.overseas:
        needed["overseas"].append(("crossborder.transfer", "", send.recipient.code))
    return needed


def active(at: datetime) -> Q:
    return (Q(said_at__isnull=True) | Q(said_at__lte=at)) & (Q(removed_at__isnull=True) | Q(removed_at__gt=at))


def person_load(send: Send, lookup: bytes) -> PersonFacts:
    """Fetch everything about the identifier and the people who hold it."""
    kind = send.channel.identifier_type
    held = Identifier.objects.filter(type=kind, lookup=lookup).select_related("subject")
    holders = [_holder(send, identifier) for identifier in held] or [Holder()]
    scope = Q(channel__isnull=True) | Q(channel=send.channel)
    facts = PersonFacts(
        holders=holders,
        listed=list(Suppression.objects.filter(active(send.at), scope, type=kind, lookup=lookup)),
    )
    if send.marketing:
        _count_sends(send, lookup, facts)
    if send.marketing and send.one_time:
        _count_subscriptions(send, lookup, facts)
    return facts


def _holder(send: Send, identifier: Identifier) -> Holder:
    subject = identifier.subject
    holder = Holder(subject, identifier.lost_on)
    if not send.marketing:
        return holder
    slot = Slot.objects.filter(purpose=send.purpose, channel=send.channel).first()
    if slot:
        holder.state = (
            ConsentState.objects.filter(slot=slot, subject=subject)
            .select_related("notice_version", "grant_purpose")
            .first()
        )
    if holder.state and holder.state.notice_version:
        holder.stale = is_stale(send, holder.state.notice_version, holder.state.grant_purpose)
    if subject.child_until and subject.child_until >= send.today:
        holder.guardian = Guardianship.objects.filter(
            Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gt=send.at),
            child=subject,
            purposes__contains=[send.purpose.pk],
            given_at__lte=send.at,
        ).exists()
    for needed in separate_needed(send).values():
        for item in needed:
            if _separate_held(send, subject, item):
                holder.held.add(item)
    holder.wide = [
        listed
        for other in Identifier.objects.filter(subject=subject).exclude(lookup=identifier.lookup)
        for listed in Suppression.objects.filter(active(send.at), type=other.type, lookup=other.lookup)
        if speaks_for(listed, other.type, send.channel.pk)
    ]
    if send.campaign.asks_for_purpose:
        _load_asked(send, subject, holder)
    return holder


def speaks_for(listed: Suppression, kind: int, channel_id: int) -> bool:
    """Tell whether a "no" to one identifier of a person speaks for his others."""
    if listed.channel_id is None and (listed.kind != "opt_out" or kind in REACHABLE):
        return True
    return kind == IdentifierType.MEMBER_ID and listed.kind == "listed" and listed.channel_id == channel_id


def is_stale(send: Send, version: NoticeVersion, purpose: Purpose) -> bool:
    """Tell whether a consent given under a notice no longer covers what the campaign does."""
    if _changed_since(send, version, purpose):
        return True
    terms = NoticeTerms.objects.filter(notice_version=version, purpose=purpose.code).first()
    known = set(terms.categories) if terms else set()
    return not {data_field.category for data_field in send.fields} <= known


def _changed_since(send: Send, version: NoticeVersion, purpose: Purpose) -> bool:
    return NoticeVersion.objects.filter(
        notice_id=version.notice_id,
        version__gt=version.version,
        material=True,
        affects__contains=[purpose.code],
        effective_at__lte=send.at,
    ).exists()


def _separate_held(send: Send, subject: DataSubject, item: tuple[str, str, str]) -> bool:
    purpose, group, recipient = item
    state = (
        ConsentState.objects.filter(
            subject=subject,
            slot__purpose__code=purpose,
            slot__channel__isnull=True,
            slot__field_group=group,
            slot__recipient=send.recipient if recipient else None,
        )
        .select_related("notice_version", "grant_purpose")
        .first()
    )
    return state is not None and separate_held(send, state)


def separate_held(send: Send, state: ConsentState) -> bool:
    """Tell whether a separate consent is in force."""
    if state.grant_id is None or state.refused_at is not None or state.no_evidence:
        return False
    if state.expires_on is not None and state.expires_on < send.today:
        return False
    return state.notice_version is None or not _changed_since(send, state.notice_version, state.grant_purpose)


def _load_asked(send: Send, subject: DataSubject, holder: Holder) -> None:
    campaign = send.campaign
    slot = (
        Slot.objects.filter(purpose__code=campaign.asks_for_purpose, channel__code=campaign.asks_for_channel)
        .select_related("channel")
        .first()
    )
    if slot is None:
        return
    holder.asked = ConsentState.objects.filter(slot=slot, subject=subject).first()
    others = list(Identifier.objects.filter(subject=subject))
    kind = slot.channel.identifier_type
    if not any(other.type == kind for other in others):
        return
    for other in others:
        for listed in Suppression.objects.filter(active(send.at), kind="opt_out", type=other.type, lookup=other.lookup):
            own = other.type == kind and listed.channel_id in (None, slot.channel_id)
            if own or (listed.channel_id is None and other.type in REACHABLE):
                holder.asked_optouts.append(listed)


def _count_sends(send: Send, lookup: bytes, facts: PersonFacts) -> None:
    sends = SendRecord.objects.filter(lookup=lookup, channel=send.channel, sent_at__lte=send.at)
    counted = sends.exclude(kind="service")
    month = start_of_day(send.today.replace(day=1))
    facts.sent_in_month = counted.filter(sent_at__gte=month).count()
    cap = send.policy["frequency_cap"].get(send.channel.code)
    if cap:
        facts.sent_in_window = counted.filter(sent_at__gt=send.at - timedelta(days=cap["days"])).count()
    if send.campaign.asks_for_purpose:
        latest = sends.filter(kind="solicitation").order_by("-sent_at").first()
        facts.solicited_at = latest.sent_at if latest else None


def _count_subscriptions(send: Send, lookup: bytes, facts: PersonFacts) -> None:
    template = send.campaign.template_id
    answers = list(TemplateSubscription.objects.filter(lookup=lookup, template=template, said_at__lte=send.at))
    banned_at = max((a.said_at for a in answers if a.action == "ban"), default=None)
    accepts = [a.said_at for a in answers if a.action == "accept"]
    facts.accepted_at = max(accepts, default=None)
    facts.accepted = sum(banned_at is None or at > banned_at for at in accepts)
    used = SendRecord.objects.filter(lookup=lookup, channel=send.channel, template=template, sent_at__lte=send.at)
    facts.used = (used.filter(sent_at__gt=banned_at) if banned_at else used).count()
