"""The sample retailer in the throw-away database, its campaigns moved to where a check can be about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from benchmarks.harness import DEMO, say


@dataclass(frozen=True)
class Question:
    """May this identifier be written to by this campaign?"""

    campaign: str
    kind: str
    value: str


def retailer_load() -> None:
    """Load samples/demo with the product's own services."""
    from django.utils import timezone

    from audit.actors import SYSTEM
    from consent.services.samples import sample_load

    say("loading the sample retailer")
    sample_load(folder=DEMO, actor=SYSTEM, at=timezone.now())


def tomorrow_at_ten() -> datetime:
    """A check is never about the past, and nothing may depend on the hour a benchmark runs."""
    from django.utils import timezone

    from governance.domain.calendar import SHANGHAI

    tomorrow = timezone.now().astimezone(SHANGHAI).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(10), SHANGHAI)


def campaigns_move(at: datetime) -> None:
    """Plan every campaign for this instant, its papers as fresh as they were."""
    from consent.models import Campaign

    for campaign in Campaign.objects.select_related("content"):
        by = at - (campaign.planned_at or at)
        content = campaign.content
        if content:
            content.pk, content.code = None, f"{content.code}-{campaign.code}"[:64]
            content.optout_tested_at = content.optout_tested_at and content.optout_tested_at + by
            content.optout_valid_until = content.optout_valid_until and content.optout_valid_until + by
            content.save()
            campaign.content = content
        campaign.suppression_synced_at = campaign.suppression_synced_at and campaign.suppression_synced_at + by
        campaign.planned_at = at
        campaign.save()


def questions() -> list[Question]:
    """Return a question for every readable row of every campaign's audience, campaigns in turn."""
    from consent.domain.vocabulary import IDENTIFIERS
    from consent.models import Campaign
    from consent.screening.audience import read_audience
    from consent.selectors.register import register_live
    from governance.domain.identifiers import canonical_reader

    pattern = register_live().governed.member_id_pattern
    found: list[list[Question]] = []
    for code, audience in Campaign.objects.values_list("code", "audience"):
        if not audience:
            continue
        kind = IDENTIFIERS[audience["identifier"].casefold()]
        read = canonical_reader(kind, pattern)
        rows = read_audience(DEMO / audience["file"], form="csv", column=audience["column"], carry=())
        values = dict.fromkeys(value for row in rows if row.value is not None and (value := read(row.value)))
        found.append([Question(code, kind.word, value) for value in values])
    longest = max(map(len, found))
    return [part[place] for place in range(longest) for part in found if place < len(part)]
