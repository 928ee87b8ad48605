"""Campaigns and their audiences: who could be reached over a channel, and what was screened."""

from __future__ import annotations

from consent.decisions.history import Contact
from consent.models import Campaign, Identifier, Screening
from governance.domain.identifiers import IdentifierType


def contacts_sample(kind: IdentifierType, size: int) -> list[Contact]:
    """Return up to `size` identifiers of one kind. Look-up values are keyed hashes: the first ones are a random sample.

    One walk along the index, however many there are.
    """
    rows = Identifier.objects.filter(type=kind).order_by("lookup").values_list("lookup", flat=True).distinct()
    return [Contact(kind, bytes(lookup)) for lookup in rows[:size]]


def screening_latest(campaign: str) -> Screening | None:
    """Return the newest finished live screening of a campaign. Screenings are few; people in them are not."""
    return Screening.objects.filter(campaign=campaign, status="done", as_of=None).order_by("-id").first()


def screening_open(campaign: str) -> Screening | None:
    """Return the newest screening of a campaign that has not ended."""
    return Screening.objects.filter(campaign=campaign, status__in=["queued", "running"]).order_by("-id").first()


def campaign_choices() -> list[tuple[str, str]]:
    """Return all campaigns as (code, words), the latest planned first."""
    return [(code, f"{name} ({code})") for code, name in Campaign.objects.values_list("code", "name")]
