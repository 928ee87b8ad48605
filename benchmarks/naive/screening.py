"""The peer's screenings: a loop of ORM queries for each row, and a batch of 1,000 with `__in` and dictionaries."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from django.db.models import Count, Q

from benchmarks.naive.people import (
    Holder,
    PersonFacts,
    active,
    is_stale,
    person_load,
    separate_held,
    separate_needed,
    speaks_for,
)
from benchmarks.naive.rules import Decided, combine, judge_person
from benchmarks.naive.sends import Findings, Send, judge_send, send_load
from consent.decisions.bits import OUTCOME_NUMBERS
from consent.models import (
    ConsentState,
    Guardianship,
    Identifier,
    Screening,
    ScreeningRow,
    SendRecord,
    Slot,
    Suppression,
)
from governance.crypto.blind_index import lookup_maker
from governance.domain.calendar import start_of_day
from governance.domain.identifiers import IdentifierType, canonical_reader

CHUNK = 1000

Answers = dict[int, tuple[str, str, str]]


def screen_loop(path: Path, column: str, campaign: str, at: datetime, out: Path, screening: Screening) -> Answers:
    """Screen row by row: the campaign once, then a dozen queries and an insert for each person."""
    findings: Findings = {}
    send = _send(campaign, at, findings)
    answers: Answers = {}
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        for number, value, key in _readable(path, column, send):
            found = dict(findings)
            judge_person(send, person_load(send, key), found)
            decided = combine(found, marketing=send.marketing)
            _row(screening, number, key, send, decided).save(force_insert=True)
            writer.writerow([number, value, *decided.cells])
            answers[number] = decided.cells
    return answers


def screen_batches(path: Path, column: str, campaign: str, at: datetime, out: Path, screening: Screening) -> Answers:
    """Screen 1,000 rows at a time: a handful of `__in` queries, dictionaries, bulk_create."""
    findings: Findings = {}
    send = _send(campaign, at, findings)
    loader = BatchLoader(send)
    answers: Answers = {}
    rows = _readable(path, column, send)
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        while chunk := list(islice(rows, CHUNK)):
            facts = loader.load([key for _, _, key in chunk])
            made = []
            for number, value, key in chunk:
                found = dict(findings)
                judge_person(send, facts[key], found)
                decided = combine(found, marketing=send.marketing)
                made.append(_row(screening, number, key, send, decided))
                writer.writerow([number, value, *decided.cells])
                answers[number] = decided.cells
            ScreeningRow.objects.bulk_create(made)
    return answers


def _send(campaign: str, at: datetime, findings: Findings) -> Send:
    send = send_load(campaign, at, findings)
    assert send is not None, "the benchmark's campaign can be judged"
    judge_send(send, findings)
    return send


def _row(screening: Screening, number: int, key: bytes, send: Send, decided: Decided) -> ScreeningRow:
    return ScreeningRow(
        screening=screening,
        row_no=number,
        type=send.channel.identifier_type,
        lookup=key,
        subject_bits=0,
        outcome=OUTCOME_NUMBERS[decided.outcome],
    )


def _readable(path: Path, column: str, send: Send) -> Iterator[tuple[int, str, bytes]]:
    """Yield number, cell and look-up value of the rows that are neither malformed nor repeated."""
    kind = IdentifierType(send.channel.identifier_type)
    read, make = canonical_reader(kind, ""), lookup_maker(kind)
    seen: set[bytes] = set()
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            value = read(row[column])
            key = make(value) if value else None
            if key and key not in seen:
                seen.add(key)
                yield number, row[column], key


class BatchLoader:
    """Loads PersonFacts for many look-up values with a number of queries that does not grow."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._slot = Slot.objects.filter(purpose=send.purpose, channel=send.channel).first()
        self._needed = [item for items in separate_needed(send).values() for item in items]
        self._stale: dict[tuple[int, int], bool] = {}

    def load(self, keys: list[bytes]) -> dict[bytes, PersonFacts]:
        send = self._send
        assert send.marketing, "the benchmark's campaign is plain marketing"
        assert not send.one_time
        assert not send.campaign.asks_for_purpose
        held = list(
            Identifier.objects.filter(type=send.channel.identifier_type, lookup__in=keys).select_related("subject")
        )
        ids = {identifier.subject_id for identifier in held}
        states = self._states(ids)
        guarded = self._guarded(identifier.subject for identifier in held)
        separate = self._separate(ids)
        wide = self._wide(ids)
        holders: dict[bytes, list[Holder]] = defaultdict(list)
        for identifier in held:
            key, subject = bytes(identifier.lookup), identifier.subject
            holder = Holder(subject, identifier.lost_on, states.get(subject.pk))
            if holder.state and holder.state.notice_version:
                holder.stale = self._is_stale(holder.state)
            holder.guardian = subject.pk in guarded
            holder.held = separate[subject.pk]
            holder.wide = [listed for other, listed in wide[subject.pk] if other != key]
            holders[key].append(holder)
        listed = self._listed(keys)
        counts = self._counts(keys)
        return {key: PersonFacts(holders.get(key) or [Holder()], listed[key], *counts.get(key, (0, 0))) for key in keys}

    def _states(self, ids: set[int]) -> dict[int, ConsentState]:
        found = ConsentState.objects.filter(slot=self._slot, subject_id__in=ids)
        return {state.subject_id: state for state in found.select_related("notice_version", "grant_purpose")}

    def _is_stale(self, state: ConsentState) -> bool:
        key = state.notice_version_id, state.grant_purpose_id
        if key not in self._stale:
            self._stale[key] = is_stale(self._send, state.notice_version, state.grant_purpose)
        return self._stale[key]

    def _guarded(self, subjects: Iterable) -> set[int]:
        children = {s.pk for s in subjects if s.child_until and s.child_until >= self._send.today}
        if not children:
            return set()
        at = self._send.at
        found = Guardianship.objects.filter(
            Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gt=at),
            child_id__in=children,
            purposes__contains=[self._send.purpose.pk],
            given_at__lte=at,
        )
        return set(found.values_list("child_id", flat=True))

    def _separate(self, ids: set[int]) -> dict[int, set[tuple[str, str, str]]]:
        held: dict[int, set[tuple[str, str, str]]] = defaultdict(set)
        for purpose, group, recipient in self._needed:
            found = ConsentState.objects.filter(
                subject_id__in=ids,
                slot__purpose__code=purpose,
                slot__channel__isnull=True,
                slot__field_group=group,
                slot__recipient=self._send.recipient if recipient else None,
            ).select_related("notice_version", "grant_purpose")
            for state in found:
                if separate_held(self._send, state):
                    held[state.subject_id].add((purpose, group, recipient))
        return held

    def _wide(self, ids: set[int]) -> dict[int, list[tuple[bytes, Suppression]]]:
        others: dict[bytes, list[Identifier]] = defaultdict(list)
        for identifier in Identifier.objects.filter(subject_id__in=ids).only("subject_id", "type", "lookup"):
            others[bytes(identifier.lookup)].append(identifier)
        found: dict[int, list[tuple[bytes, Suppression]]] = defaultdict(list)
        for listed in Suppression.objects.filter(active(self._send.at), lookup__in=list(others)):
            for other in others[bytes(listed.lookup)]:
                if other.type == listed.type and speaks_for(listed, other.type, self._send.channel.pk):
                    found[other.subject_id].append((bytes(listed.lookup), listed))
        return found

    def _listed(self, keys: list[bytes]) -> dict[bytes, list[Suppression]]:
        send = self._send
        scope = Q(channel__isnull=True) | Q(channel=send.channel)
        found: dict[bytes, list[Suppression]] = defaultdict(list)
        for listed in Suppression.objects.filter(
            active(send.at), scope, type=send.channel.identifier_type, lookup__in=keys
        ):
            found[bytes(listed.lookup)].append(listed)
        return found

    def _counts(self, keys: list[bytes]) -> dict[bytes, tuple[int, int]]:
        send = self._send
        cap = send.policy["frequency_cap"].get(send.channel.code)
        month = start_of_day(send.today.replace(day=1))
        window = send.at - timedelta(days=cap["days"]) if cap else send.at
        found = (
            SendRecord.objects.filter(
                lookup__in=keys, channel=send.channel, sent_at__lte=send.at, sent_at__gte=min(month, window)
            )
            .exclude(kind="service")
            .values("lookup")
            .annotate(
                in_month=Count("pk", filter=Q(sent_at__gte=month)), in_window=Count("pk", filter=Q(sent_at__gt=window))
            )
        )
        return {bytes(row["lookup"]): (row["in_month"], row["in_window"]) for row in found}
