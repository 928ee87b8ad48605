"""What a campaign may expect: who may be contacted and who not, and why, before anything is sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from django.db import transaction

from audit.actors import Actor
from audit.options import option
from consent.decisions.engine import SendJudgement, Verdict, judge_send, verdict
from consent.domain.vocabulary import IDENTIFIERS
from consent.errors import CampaignNotFoundError
from consent.models import Screening
from consent.screening.set_based import SetBasedBackend
from consent.selectors.audiences import contacts_sample
from consent.selectors.register import audience_of, register_live
from consent.services.jobs import job_start
from consent.services.screenings import AudienceFile, screening_start

SAMPLE = 10_000


@dataclass(frozen=True)
class Prediction:
    """Counts by outcome, and by code: a person counts under every code he gets."""

    judged_at: datetime
    size: int
    counts: dict[str, int]  # allow, deny, hold, defer
    by_code: dict[str, int]
    reachable: int  # who could be contacted if nothing stood against the campaign itself


def campaign_sample(*, campaign: str, at: datetime, size: int = SAMPLE) -> Prediction:
    """Judge up to `size` random people who can be reached over the campaign's channel. Nothing is stored.

    Raises:
        CampaignNotFoundError: the campaign is not in the register.
    """
    register = register_live()
    plan = register.rules.plans.get(campaign)
    if plan is None:
        raise CampaignNotFoundError("Unknown campaign.", campaign=campaign)
    judgement = judge_send(plan, register=register.rules, at=at)
    channel = register.rules.channels.get(plan.channel)
    contacts = contacts_sample(channel.identifier, size) if channel else []
    counts: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    reachable = 0
    for own in SetBasedBackend(register).screen(contacts, replace(judgement, findings={})):
        found = _with_send(own, judgement)
        counts["allow" if found.outcome.may_send else found.outcome.value] += 1
        codes.update([code.name for code in found.codes])
        reachable += own.outcome.may_send
    return Prediction(
        judged_at=at,
        size=len(contacts),
        counts={name: counts[name] for name in ("allow", "deny", "hold", "defer")},
        by_code=dict(codes),
        reachable=reachable if judgement.requirement else 0,
    )


def _with_send(own: Verdict, judgement: SendJudgement) -> Verdict:
    """Add the findings on the send to those on the person; of two with one code the weightier stays."""
    findings = dict(judgement.findings)
    for reason, severity in own.findings:
        if reason not in findings or severity.rank > findings[reason].rank:
            findings[reason] = severity
    return verdict(findings.items(), marketing=judgement.marketing)


def campaign_audience_file(campaign: str) -> tuple[AudienceFile, str] | None:
    """Return a campaign's audience file and the kind of identifier in it, or None if it is not on this host.

    Only files under `ZHIXU["AUDIENCES"]` count: what is registered names a file, never a place of its own choice.
    """
    audience = audience_of(campaign)
    name, kind = audience.get("file", ""), IDENTIFIERS.get(str(audience.get("identifier", "")).casefold())
    root = Path(option("AUDIENCES")).resolve()
    path = (root / name).resolve()
    if not name or kind is None or not path.is_relative_to(root) or not path.is_file():
        return None
    return AudienceFile(path, audience.get("format", "csv"), audience.get("column", "")), kind.word


@transaction.atomic
def campaign_screen(*, campaign: str, actor: Actor, at: datetime) -> Screening | None:
    """Start a screening of the campaign's own audience file. None: it has none on this host.

    Raises:
        FileUnreadableError: the file cannot be read to its end.
    """
    found = campaign_audience_file(campaign)
    if found is None:
        return None
    audience, kind = found
    screening = screening_start(audience=audience, campaign=campaign, subject_type=kind, actor=actor, at=at)
    job_start("screening", screening.pk)
    return screening
