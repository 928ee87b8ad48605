"""Why may, or may not, this person be contacted by this campaign: the decision with everything it rests on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from audit.actors import Actor
from audit.services.record import Event, ObjectRef, audit_record
from consent.decisions.answers import Evidence, obligations, remedies
from consent.decisions.engine import SendJudgement, Verdict, judge_row, judge_send
from consent.decisions.facts import HolderFacts, Plan, RowFacts
from consent.domain.records import Record
from consent.errors import CampaignNotFoundError, SubjectNotFoundError
from consent.screening.set_based import SetBasedBackend
from consent.selectors.history import past_of
from consent.selectors.people import (
    MaskedIdentifier,
    PastDecision,
    Touch,
    decisions_of,
    identifiers_masked,
    subject_ref,
    touches_of,
)
from consent.selectors.register import register_live


@dataclass(frozen=True)
class Explanation:
    """The verdict on one person for one campaign, at one instant.

    `identifier` None: the person has none that the channel uses, so `verdict` is None too. `agrees` tells whether
    the stored states and the ledger say the same; they must, and an officer should hear if they do not.
    """

    subject_id: int
    subject_ref: str
    plan: Plan
    judged_at: datetime
    past: bool
    identifier: MaskedIdentifier | None
    holders: int
    judgement: SendJudgement
    verdict: Verdict | None
    evidence: Evidence
    obligations: list[dict[str, object]]
    remedies: list[dict[str, object]]
    touches: list[Touch]
    decisions: list[PastDecision]
    agrees: bool


@transaction.atomic
def subject_explain(
    *, subject_id: int, campaign: str, as_of: datetime | None, actor: Actor, at: datetime
) -> Explanation:
    """Judge one person for one campaign and note who looked.

    Now: by the stored states, as a check does. `as_of`: by the reference rules from the ledger up to that instant;
    the register is today's.

    Raises:
        SubjectNotFoundError, CampaignNotFoundError.
    """
    ref = subject_ref(subject_id)
    if ref is None:
        raise SubjectNotFoundError("Unknown person.")
    register = register_live()
    plan = register.rules.plans.get(campaign)
    if plan is None:
        raise CampaignNotFoundError("Unknown campaign.", campaign=campaign)
    event = Event("subject.viewed", subject=ref, object=ObjectRef("campaign", campaign), details={"where": "admin.why"})
    audit_record(actor=actor, event=event)
    judged_at = as_of or at
    judgement = judge_send(plan, register=register.rules, at=judged_at)
    identifiers = identifiers_masked([subject_id]).get(subject_id, [])
    identifier = _identifier(identifiers, judgement)
    verdict, facts, agrees = None, RowFacts(holders=()), True
    requirement = judgement.requirement
    if requirement is None:
        verdict = judge_row(RowFacts(), judgement)
    elif identifier is not None:
        facts = past_of([identifier.contact], register).facts(identifier.contact, requirement)
        verdict = folded = judge_row(facts, judgement)
        if as_of is None:
            [verdict] = SetBasedBackend(register).screen([identifier.contact], judgement)
            agrees = verdict == folded
    evidence = evidence_of(facts)
    return Explanation(
        subject_id=subject_id,
        subject_ref=str(ref),
        plan=plan,
        judged_at=judged_at,
        past=as_of is not None,
        identifier=identifier,
        holders=len(facts.holders),
        judgement=judgement,
        verdict=verdict,
        evidence=evidence,
        obligations=obligations(plan, judgement, verdict, register.rules, evidence) if verdict else [],
        remedies=remedies(verdict, register.rules, evidence) if verdict else [],
        touches=[touch for touch in touches_of(identifiers) if touch.since is None or touch.since <= judged_at],
        decisions=decisions_of([item.contact for item in identifiers], ref, campaign=campaign),
        agrees=agrees,
    )


def _identifier(identifiers: Iterable[MaskedIdentifier], judgement: SendJudgement) -> MaskedIdentifier | None:
    """Return the identifier the channel would use: of several the one bound last, as a check takes it."""
    if judgement.requirement is None:
        return None
    fitting = [item for item in identifiers if item.kind is judgement.requirement.channel.identifier]
    return max(fitting, key=lambda item: (item.bound_at is not None, item.bound_at), default=None)


def evidence_of(facts: RowFacts) -> Evidence:
    """Return the newest grant and the newest refusal of whoever holds the identifier."""
    grant = _newest(facts.holders, "grant")
    refusal = _newest(facts.holders, "refusal")
    return Evidence(
        grant=_reference(grant),
        granted_at=grant.at if grant else None,
        notice=f"{grant.notice.id}@{grant.notice.version}" if grant and grant.notice else None,
        point=grant.point if grant else None,
        refusal=_reference(refusal),
        refused_at=refusal.at if refusal else None,
        sent_in_window=facts.sent_in_window,
    )


def _newest(holders: Iterable[HolderFacts], name: str) -> Record | None:
    said: list[Record] = [record for holder in holders if (record := getattr(holder.state, name)) is not None]
    return max(said, key=lambda record: record.seq, default=None)


def _reference(record: Record | None) -> str | None:
    return f"cev_{record.ref.replace('-', '')}" if record else None
