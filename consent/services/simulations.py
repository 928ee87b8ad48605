"""What would have been decided then, or would be under a drafted policy. Never kept, never to be sent on."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from consent.decisions.answers import obligations, reasons, remedies
from consent.decisions.engine import judge_row, judge_send
from consent.decisions.facts import RowFacts
from consent.decisions.history import Contact
from consent.decisions.plans import Asked, plan_of
from consent.decisions.reasons import RULE_SET
from consent.domain.terms import SUBJECT_REF
from consent.models import DataSubject, Identifier
from consent.selectors.history import past_of
from consent.selectors.register import register_live, register_read
from consent.services.checks import Caller, CallerRefusedError, SubjectRef
from governance.domain.identifiers import IdentifierType
from governance.domain.terms import Scope
from governance.selectors.clients import principal_for_checksum


def decision_simulate(
    subject: SubjectRef, asked: Asked, *, as_of: datetime | None, draft: bool, caller: Caller, language: str
) -> dict[str, object]:
    """Judge one subject from the ledger as of an instant, or by the drafted policy.

    Raises:
        CallerRefusedError: unknown token, or no scope `decisions:simulate`.
    """
    now = timezone.now()
    principal = principal_for_checksum(caller.token_checksum, ip=caller.ip, at=now)
    if principal is None:
        raise CallerRefusedError("token")
    if Scope.DECISIONS_SIMULATE not in principal.scopes:
        raise CallerRefusedError("scope")
    register = register_read(draft_policy=True) if draft else register_live()
    at = as_of or asked.planned_at or now
    plan = plan_of(asked, register.rules, at)
    allowed = principal.may(
        brand=plan.brand,
        purposes=[plan.purpose],
        channels=[plan.channel],
        fields=[*plan.fields, *plan.segment_fields],
        recipients=[plan.recipient] if plan.recipient else [],
    )
    if not allowed:
        raise CallerRefusedError("limits")
    judgement = judge_send(plan, register=register.rules, at=at)
    facts = RowFacts()
    if judgement.requirement is not None:
        contact = contact_of(subject, judgement.requirement.channel.identifier)
        if contact is not None:
            facts = past_of([contact], register).facts(contact, judgement.requirement)
    verdict = judge_row(facts, judgement)
    return {
        "decision": verdict.outcome.may_send,
        "outcome": verdict.outcome.value,
        "simulated": True,
        "reasons": reasons(verdict, language),
        "obligations": obligations(plan, judgement, verdict, register.rules),
        "remedies": remedies(verdict, register.rules),
        "rule_set": "draft" if draft else RULE_SET,
        "policy": register.rules.policy.revision,
        "as_of": at.isoformat(),
        "evaluated_at": now.isoformat(),
    }


def contact_of(subject: SubjectRef, kind: IdentifierType) -> Contact | None:
    """Return the identifier a channel would use for a subject, or None if that is not one.

    A subject named by the channel's own identifier is that identifier, known or not. Another reference must
    name exactly one person who has one.
    """
    if subject.kind == kind:
        return Contact(kind, subject.lookup)
    if subject.kind == SUBJECT_REF:
        people = list(DataSubject.objects.filter(ref=subject.lookup.hex()).values_list("id", flat=True))
    else:
        people = list(
            Identifier.objects.filter(type=subject.kind, lookup=subject.lookup).values_list("subject_id", flat=True)
        )
    if len(people) != 1:
        return None
    held = Identifier.objects.filter(subject_id=people[0], type=kind).order_by("bound_at", "id").last()
    return Contact(kind, bytes(held.lookup)) if held else None
