"""Campaigns and their audiences: who could be reached over a channel, and what was screened."""

from __future__ import annotations

from django.db.models import F

from consent.decisions.bits import mask_of
from consent.decisions.history import Contact
from consent.domain.terms import Severity
from consent.models import Campaign, Identifier, Screening, ScreeningRow
from governance.domain.identifiers import IdentifierType


def contacts_sample(kind: IdentifierType, size: int) -> list[Contact]:
    """Return up to `size` identifiers of one kind. Look-up values are keyed hashes: the first ones are a random sample.

    One walk along the index, however many there are.
    """
    rows = Identifier.objects.filter(type=kind).order_by("lookup").values_list("lookup", flat=True).distinct()
    return [Contact(kind, bytes(lookup)) for lookup in rows[:size]]


def screening_latest(campaign: str) -> Screening | None:
    """Return the newest finished screening of a campaign, live or as of an instant. Screenings are few."""
    return Screening.objects.filter(campaign=campaign, status="done").order_by("-id").first()


REACHABLE_ROWS = 200_000
"""Up to how many rows `rows_reachable` may be asked on a page."""


def rows_reachable(screening: Screening) -> int:
    """Return on how many rows of a live screening nothing of the person's own forbids or delays the send."""
    against = mask_of(Severity.DENY) | mask_of(Severity.HOLD) | mask_of(Severity.DEFER)
    rows = ScreeningRow.objects.filter(screening=screening).annotate(against=F("subject_bits").bitand(against))
    return rows.filter(against=0).count()


def screening_open(campaign: str) -> Screening | None:
    """Return the newest screening of a campaign that has not ended."""
    return Screening.objects.filter(campaign=campaign, status__in=["queued", "running"]).order_by("-id").first()


def campaign_choices() -> list[tuple[str, str]]:
    """Return all campaigns as (code, words), the latest planned first."""
    return [(code, f"{name} ({code})") for code, name in Campaign.objects.values_list("code", "name")]
