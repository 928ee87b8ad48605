"""Sends beside the answers they rest on: counts for a period, and the sends themselves a page at a time.

Identifiers appear as references: a look-up value names nobody to who has no key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, QuerySet

from consent.domain.sends import FINDINGS, SendFinding, findings_of
from consent.domain.terms import SUBJECT_REF
from consent.models import DataSubject, Decision, Identifier, SendMatch, SendReceipt
from governance.crypto.blind_index import lookup_version
from governance.domain.identifiers import IdentifierType

_CHUNK = 5_000


@dataclass(slots=True)
class Tally:
    """Sends of one group, and how many have each finding. A send may have several."""

    name: str
    sends: int = 0
    found: int = 0  # with at least one finding
    by_finding: Counter[SendFinding] = field(default_factory=Counter)

    def add(self, bits: int, count: int) -> None:
        self.sends += count
        self.found += count if bits else 0
        for finding in findings_of(bits):
            self.by_finding[finding] += count


@dataclass(frozen=True, slots=True)
class Reconciliation:
    since: datetime
    until: datetime
    campaign: str
    total: Tally
    campaigns: list[Tally]  # the worst first
    recipients: list[Tally]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of sends ends: the last one's time and id."""

    sent_at: datetime
    id: UUID


def reconciliation_get(*, since: datetime, until: datetime, campaign: str = "") -> Reconciliation:
    """Return the counts of a period: from `since` to before `until`. One query, however many sends."""
    only = "AND campaign = %s" if campaign else ""
    statement = f"""
        SELECT campaign, recipient, findings, count(*) FROM consent_send_match
        WHERE sent_at >= %s AND sent_at < %s {only} GROUP BY campaign, recipient, findings
    """  # noqa: S608 - text of our own
    total = Tally("")
    campaigns: dict[str, Tally] = {}
    recipients: dict[str, Tally] = {}
    with connection.cursor() as cursor:
        cursor.execute(statement, [since, until, *([campaign] if campaign else [])])
        for name, recipient, bits, count in cursor.fetchall():
            for tally in (
                total,
                campaigns.setdefault(name, Tally(name)),
                recipients.setdefault(recipient, Tally(recipient)),
            ):
                tally.add(bits, count)
    return Reconciliation(since, until, campaign, total, _worst(campaigns), _worst(recipients))


def _worst(tallies: dict[str, Tally]) -> list[Tally]:
    return sorted(tallies.values(), key=lambda tally: (-tally.found, -tally.sends, tally.name))


def shadow_sends(*, since: datetime) -> int:
    """Return how many sends since then no answer of ours allowed."""
    bits = SendFinding.NO_DECISION | SendFinding.DENIED | SendFinding.WITHDRAWN
    rows = SendMatch.objects.filter(sent_at__gte=since).exclude(findings=0)
    return rows.annotate(wrong=F("findings").bitand(bits.value)).exclude(wrong=0).count()


def sends_page(
    *,
    since: datetime,
    until: datetime,
    campaign: str = "",
    finding: SendFinding | None = None,
    found_only: bool = False,
    after: Place | None = None,
    before: Place | None = None,
    limit: int = 50,
) -> tuple[list[SendMatch], bool]:
    """Return one page of sends, newest first, and whether more follow in the direction walked.

    `after` goes on to older sends, `before` back to newer ones. The receipt and its channel come with each.
    """
    rows = _sends(since, until, campaign, finding, found_only)
    if before is not None:
        newer = Q(sent_at__gt=before.sent_at) | Q(sent_at=before.sent_at, receipt_id__gt=before.id)
        page = list(rows.filter(newer, sent_at__gte=before.sent_at).order_by("sent_at", "receipt_id")[: limit + 1])
        return page[:limit][::-1], len(page) > limit
    if after is not None:
        older = Q(sent_at__lt=after.sent_at) | Q(sent_at=after.sent_at, receipt_id__lt=after.id)
        rows = rows.filter(older, sent_at__lte=after.sent_at)
    page = list(rows.order_by("-sent_at", "-receipt_id")[: limit + 1])
    return page[:limit], len(page) > limit


def _sends(
    since: datetime, until: datetime, campaign: str, finding: SendFinding | None, found_only: bool
) -> QuerySet[SendMatch]:
    rows = SendMatch.objects.filter(sent_at__gte=since, sent_at__lt=until).select_related("receipt__channel")
    if campaign:
        rows = rows.filter(campaign=campaign)
    if finding is not None or found_only:
        rows = rows.exclude(findings=0)
    if finding is not None:
        rows = rows.annotate(wanted=F("findings").bitand(finding.value)).exclude(wanted=0)
    return rows


def sends_walk(
    *,
    since: datetime,
    until: datetime,
    campaign: str = "",
    finding: SendFinding | None = None,
    found_only: bool = False,
) -> Iterator[SendMatch]:
    """Yield every send of a period, newest first, a page of the key at a time."""
    after: Place | None = None
    while True:
        page, more = sends_page(
            since=since,
            until=until,
            campaign=campaign,
            finding=finding,
            found_only=found_only,
            after=after,
            limit=_CHUNK,
        )
        yield from page
        if not more:
            return
        after = place_of(page[-1])


def place_of(row: SendMatch) -> Place:
    return Place(row.sent_at, row.receipt_id)


def receiver_ref(receipt: SendReceipt) -> str:
    """Return how the receiver is referred to outside: by our own reference, or by kind and look-up value."""
    lookup = bytes(receipt.lookup)
    if receipt.type == SUBJECT_REF:
        return f"sub_{lookup.hex()}"
    return f"{IdentifierType(receipt.type).word}:k{lookup_version()}:{lookup.hex()}"


def receivers_known(rows: list[SendMatch]) -> dict[UUID, int]:
    """Return whom each send of a page went to, where exactly one person holds the identifier. At most two queries."""
    lookups = [bytes(row.receipt.lookup) for row in rows]
    holders: dict[tuple[int, bytes], set[int]] = {}
    held = Identifier.objects.filter(lookup__any=lookups).values_list("type", "lookup", "subject_id")
    for kind, lookup, subject_id in held:
        holders.setdefault((kind, bytes(lookup)), set()).add(subject_id)
    refs = {UUID(bytes=bytes(row.receipt.lookup)): row for row in rows if row.receipt.type == SUBJECT_REF}
    if refs:
        for ref, key in DataSubject.objects.filter(ref__in=refs).values_list("ref", "id"):
            holders.setdefault((SUBJECT_REF, ref.bytes), set()).add(key)
    found = {}
    for row in rows:
        people = holders.get((row.receipt.type, bytes(row.receipt.lookup)), set())
        if len(people) == 1:
            found[row.receipt_id] = next(iter(people))
    return found


def sends_to(*, lookups: list[bytes], campaign: str | None = None, limit: int = 20) -> list[SendMatch]:
    """Return the newest sends reported to any of these identifiers."""
    rows = SendMatch.objects.filter(receipt__lookup__any=lookups).select_related("receipt__channel", "receipt__report")
    if campaign is not None:
        rows = rows.filter(campaign=campaign)
    return list(rows.order_by("-sent_at", "-receipt_id")[:limit])


def sends_on(decision_id: UUID) -> list[SendMatch]:
    """Return the sends that rest on one decision."""
    return list(SendMatch.objects.filter(basis=decision_id).select_related("receipt__channel")[:20])


def decision_outcomes(rows: list[SendMatch]) -> dict[UUID, int]:
    """Return the outcome of each decision a page of sends rests on."""
    keys = [row.decision_id for row in rows if row.decision_id]
    return dict(Decision.objects.filter(pk__any=keys).values_list("pk", "outcome"))


def counts_of(tally: Tally) -> dict[str, int]:
    """Return the counts of every finding by its name, zero included."""
    return {finding.name or "": tally.by_finding[finding] for finding in FINDINGS}
