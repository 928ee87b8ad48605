"""Facts of many identifiers at any instant, from records and lists alone. The number of queries does not grow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date

from consent.decisions.facts import Requirement, RowFacts
from consent.decisions.history import (
    Contact,
    ContactFacts,
    Listing,
    Person,
    Sent,
    Subscription,
    row_facts,
)
from consent.domain.imports import Guardianship
from consent.domain.optouts import EVERYTHING
from consent.domain.terms import SendKind, Sourcing, SubjectStatus, SuppressionKind, WxAction
from consent.models import DataSubject, Identifier, SendRecord, Suppression, TemplateSubscription
from consent.models import Guardianship as GuardianshipRow
from consent.selectors.profiles import births_for
from consent.selectors.records import records_for
from consent.selectors.register import LiveRegister
from consent.selectors.states import phone_bound_at
from governance.domain.identifiers import IdentifierType


@dataclass(frozen=True)
class Past:
    """Everything recorded about a set of identifiers and the people who hold them."""

    holders: Mapping[Contact, list[Person]]
    contacts: Mapping[Contact, ContactFacts]
    register: LiveRegister

    def facts(self, contact: Contact, requirement: Requirement) -> RowFacts:
        """Return the facts of the row with this identifier at the requirement's instant."""
        return row_facts(
            contact,
            self.holders.get(contact, ()),
            about=lambda other: self.contacts.get(other, _NOTHING),
            requirement=requirement,
            book=self.register.rules.book,
        )


_NOTHING = ContactFacts()


def past_of(contacts: Collection[Contact], register: LiveRegister) -> Past:
    """Load the past of these identifiers: who holds them, what those people said, what the lists say."""
    held = Identifier.objects.filter(lookup__any={c.lookup for c in contacts})
    ids = set(held.values_list("subject_id", flat=True))
    people = _people(ids, register)
    holders: dict[Contact, list[Person]] = defaultdict(list)
    for person in people:
        for contact in person.contacts:
            holders[contact].append(person)
    everything = {*contacts, *holders}
    return Past(holders, _contact_facts(everything, register), register)


def _people(ids: Collection[int], register: LiveRegister) -> list[Person]:
    contacts: dict[int, set[Contact]] = defaultdict(set)
    lost: dict[int, dict[Contact, date]] = defaultdict(dict)
    for key, kind, lookup, lost_on in Identifier.objects.filter(subject_id__any=ids).values_list(
        "subject_id", "type", "lookup", "lost_on"
    ):
        contact = Contact(IdentifierType(kind), bytes(lookup))
        contacts[key].add(contact)
        if lost_on:
            lost[key][contact] = lost_on
    bound = phone_bound_at(ids)
    records = records_for(ids, register)
    guardianships = guardianships_for(ids, register)
    births = births_for(ids)
    return [
        replace(
            _person(row, register),
            contacts=frozenset(contacts[row.id]),
            births=births.get(row.id, ()),
            lost_on=lost[row.id],
            phone_bound_at=bound.get(row.id),
            records=tuple(records.get(row.id, ())),
            guardianships=tuple(guardianships.get(row.id, ())),
        )
        for row in DataSubject.objects.filter(id__any=ids)
    ]


def _person(row: DataSubject, register: LiveRegister) -> Person:
    return Person(
        ref=str(row.ref),
        contacts=frozenset(),
        status=SubjectStatus(row.status),
        sourcing=Sourcing(row.sourcing),
        last_active_on=row.last_active_on,
        personalisation_off_at=row.personalisation_off_at,
        paused_until=row.paused_until,
        restricted=frozenset(register.purpose_codes[key] for key in row.restricted or ()),
    )


def guardianships_for(subject_ids: Collection[int], register: LiveRegister) -> dict[int, list[Guardianship]]:
    """Return the guardians' consents of these children, as rules read them."""
    found: dict[int, list[Guardianship]] = defaultdict(list)
    rows = GuardianshipRow.objects.filter(child_id__any=subject_ids)
    for child, purposes, given_at, withdrawn_at in rows.values_list("child_id", "purposes", "given_at", "withdrawn_at"):
        codes = frozenset(register.purpose_codes[key] for key in purposes)
        found[child].append(Guardianship(codes, given_at, withdrawn_at))
    return found


def _contact_facts(contacts: Collection[Contact], register: LiveRegister) -> dict[Contact, ContactFacts]:
    lookups = {c.lookup for c in contacts}
    listings: dict[Contact, list[Listing]] = defaultdict(list)
    for kind, lookup, listed, channel, said_at, removed_at in Suppression.objects.filter(
        lookup__any=lookups
    ).values_list("type", "lookup", "kind", "channel_id", "said_at", "removed_at"):
        scope = register.channel_codes[channel] if channel else EVERYTHING
        listings[Contact(IdentifierType(kind), bytes(lookup))].append(
            Listing(SuppressionKind(listed), scope, said_at, removed_at)
        )
    sent: dict[Contact, list[Sent]] = defaultdict(list)
    for kind, lookup, channel, at, sort, template in SendRecord.objects.filter(lookup__any=lookups).values_list(
        "type", "lookup", "channel_id", "sent_at", "kind", "template"
    ):
        sent[Contact(IdentifierType(kind), bytes(lookup))].append(
            Sent(register.channel_codes[channel], at, SendKind(sort), template)
        )
    subscribed: dict[Contact, list[Subscription]] = defaultdict(list)
    for lookup, template, action, at in TemplateSubscription.objects.filter(lookup__any=lookups).values_list(
        "lookup", "template", "action", "said_at"
    ):
        subscribed[Contact(IdentifierType.WECHAT_OPENID, bytes(lookup))].append(
            Subscription(template, WxAction(action), at)
        )
    return {c: ContactFacts(listings.get(c, ()), sent.get(c, ()), subscribed.get(c, ())) for c in contacts}
