"""Judge a decision again: with what was asked, on the database it saw, by the rules it names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.actors import Actor
from audit.domain.canonical import canonical_json
from audit.selectors.past import database_seen_by
from audit.services.record import Event, ObjectRef, audit_record
from consent.decisions.bits import OUTCOMES
from consent.decisions.engine import Verdict, judge_row, judge_send
from consent.decisions.facts import RowFacts
from consent.decisions.plans import asked_read, plan_of
from consent.decisions.reasons import RULE_SET
from consent.domain.terms import Outcome
from consent.errors import DecisionNotFoundError, RuleSetUnknownError
from consent.models import Decision
from consent.selectors.history import past_of
from consent.selectors.people import decision_verdict
from consent.selectors.register import register_read
from consent.services.checks import SubjectRef
from consent.services.simulations import contact_of


@dataclass(frozen=True, slots=True)
class Replay:
    """A past decision beside the same question judged again. `kept` and `again` are canonical bytes."""

    decision_id: UUID
    decided_at: datetime
    judged_at: datetime
    rule_set: str
    snapshot: str
    ledger_size: int | None
    kept: bytes
    again: bytes

    @property
    def same(self) -> bool:
        return self.kept == self.again


@transaction.atomic
def decision_replay(*, decision_id: UUID, actor: Actor) -> Replay:
    """Judge a stored decision again and note who asked.

    By the reference rules, from records and lists as they stood in the decision's snapshot, by the register of that
    snapshot; the stored states play no part, so a state changed behind our back shows as a difference.

    Raises:
        DecisionNotFoundError: there is no such decision.
        RuleSetUnknownError: it was made by rules this release does not hold.
    """
    row = Decision.objects.filter(pk=decision_id).extra(select={"seen": "snapshot::text"}).first()
    if row is None:
        raise DecisionNotFoundError("There is no such decision.")
    if row.rule_set != RULE_SET:
        raise RuleSetUnknownError(
            "The decision was made by rule set %(theirs)s; this release holds %(ours)s.",
            theirs=row.rule_set,
            ours=RULE_SET,
        )
    place = ObjectRef("decision", str(decision_id))
    audit_record(actor=actor, event=Event("decision.replayed", object=place))
    with database_seen_by(row.seen):
        again = _judged(row)
    return Replay(
        decision_id=decision_id,
        decided_at=row.decided_at,
        judged_at=row.judged_at,
        rule_set=row.rule_set,
        snapshot=row.seen,
        ledger_size=row.ledger_size,
        kept=_findings(OUTCOMES[row.outcome], decision_verdict(row)),
        again=again,
    )


def _judged(row: Decision) -> bytes:
    register = register_read()
    plan = plan_of(asked_read(row.asked), register.rules, row.judged_at)
    judgement = judge_send(plan, register=register.rules, at=row.judged_at)
    facts = RowFacts()
    if judgement.requirement is not None:
        subject = SubjectRef(row.type, bytes(row.lookup or b""))
        contact = contact_of(subject, judgement.requirement.channel.identifier)
        if contact is not None:
            facts = past_of([contact], register).facts(contact, judgement.requirement)
    verdict = judge_row(facts, judgement)
    return _findings(verdict.outcome, verdict)


def _findings(outcome: Outcome, verdict: Verdict) -> bytes:
    found = [[reason.name, weight.value] for reason, weight in verdict.findings]
    return canonical_json({"outcome": outcome.value, "findings": found})
