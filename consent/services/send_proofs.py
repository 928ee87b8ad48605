"""Why did you text me? One message that was sent, with everything that shows why: and what does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from audit.actors import Actor
from audit.errors import ZhixuError
from audit.models import AuditEntry
from audit.problems import words_of
from audit.selectors.ledger import Inclusion, inclusion_of
from consent.decisions.engine import judge_send
from consent.decisions.history import Contact
from consent.decisions.plans import Asked, plan_of
from consent.domain.receipts import receipt_number
from consent.domain.sends import SendFinding, findings_of
from consent.domain.terms import SUBJECT_REF
from consent.models import ConsentRecord, Decision, Identifier, Screening, SendMatch
from consent.selectors.history import past_of
from consent.selectors.people import MaskedIdentifier, PastDecision, decision_past, identifiers_masked, subject_ref
from consent.selectors.register import LiveRegister, register_live
from consent.services.decision_seals import SealedProof, decision_prove
from consent.services.explanations import evidence_of
from consent.services.replays import Replay, decision_replay
from governance.domain.identifiers import IdentifierType


@dataclass(frozen=True)
class SendProof:
    """One message and what it rests on. None: there is no such thing, which is itself an answer.

    `grant` is the newest "yes" that stood when the message was decided on, for its purpose and channel.
    """

    match: SendMatch
    findings: list[SendFinding]
    identifier: MaskedIdentifier | None
    purpose: str
    decision: PastDecision | None
    ledger_size: int | None
    screening: Screening | None
    grant: ConsentRecord | None
    consent_receipt: str
    sealed: SealedProof | None
    place: Inclusion | None
    replay: Replay | None
    replay_trouble: str


def sends_of_person(subject_id: int, *, campaign: str, limit: int = 10) -> list[SendMatch]:
    """Return the newest sends of a campaign that went to a person, by any of his identifiers. Three queries."""
    held = Identifier.objects.filter(subject_id=subject_id).values_list("type", "lookup")
    named = {(kind, bytes(lookup)) for kind, lookup in held}
    ref = subject_ref(subject_id)
    if ref is not None:
        named.add((SUBJECT_REF, ref.bytes))
    rows = (
        SendMatch.objects.filter(receipt__lookup__any=[lookup for _, lookup in named], campaign=campaign)
        .select_related("receipt__channel", "receipt__record")
        .order_by("-sent_at", "-receipt_id")
    )
    return [row for row in rows[:limit] if (row.receipt.type, bytes(row.receipt.lookup)) in named]


def send_prove(match: SendMatch, *, subject_id: int, actor: Actor) -> SendProof:
    """Return a message of a person with what it rests on. Its decision is judged again, which leaves an entry."""
    register = register_live()
    decision = Decision.objects.filter(pk=match.decision_id).first() if match.decision_id else None
    screening = Screening.objects.filter(pk=match.screening_id).first() if match.screening_id else None
    plan = register.rules.plans.get(match.campaign)
    purpose = decision.purpose if decision else plan.purpose if plan else ""
    at = decision.decided_at if decision else match.sent_at
    grant = _grant(match, purpose, at, register)
    sealed = decision_prove(decision.pk) if decision else None
    replay, trouble = _judged_again(decision, actor)
    return SendProof(
        match=match,
        findings=findings_of(match.findings),
        identifier=_identifier(match, subject_id),
        purpose=purpose,
        decision=decision_past(decision) if decision else None,
        ledger_size=decision.ledger_size if decision else None,
        screening=screening,
        grant=grant,
        consent_receipt=_consent_receipt(grant),
        sealed=sealed,
        place=inclusion_of(sealed.entry_id) if sealed else None,
        replay=replay,
        replay_trouble=trouble,
    )


def _identifier(match: SendMatch, subject_id: int) -> MaskedIdentifier | None:
    """Return the identifier the message reached the person at, masked."""
    reached = _reached(match)
    held = identifiers_masked([subject_id]).get(subject_id, [])
    return next((item for item in held if item.contact == reached), None)


def _reached(match: SendMatch) -> Contact | None:
    receipt = match.receipt
    if receipt.type == receipt.channel.identifier_type:
        return Contact(IdentifierType(receipt.type), bytes(receipt.lookup))
    if receipt.record is not None:
        return Contact(IdentifierType(receipt.record.type), bytes(receipt.record.lookup))
    return None


def _grant(match: SendMatch, purpose: str, at: datetime, register: LiveRegister) -> ConsentRecord | None:
    """Return the "yes" that stood then, as the reference rules read the ledger; not one we heard of only later."""
    reached = _reached(match)
    channel = match.receipt.channel.code
    asked = Asked(campaign=match.campaign or None, purpose=purpose or None, channel=channel)
    judgement = judge_send(plan_of(asked, register.rules, at), register=register.rules, at=at)
    if judgement.requirement is None or reached is None:
        return None
    facts = past_of([reached], register).facts(reached, judgement.requirement)
    reference = evidence_of(facts).grant
    if reference is None:
        return None
    return (
        ConsentRecord.objects.filter(ref=UUID(reference.removeprefix("cev_")), recorded_at__lte=match.sent_at)
        .select_related("purpose", "channel", "point", "notice_version__notice")
        .first()
    )


def _consent_receipt(grant: ConsentRecord | None) -> str:
    if grant is None:
        return ""
    entry = AuditEntry.objects.filter(object_kind="consent", object_ref=str(grant.ref)).values_list("id").first()
    return receipt_number(entry[0]) if entry else ""


def _judged_again(decision: Decision | None, actor: Actor) -> tuple[Replay | None, str]:
    if decision is None:
        return None, ""
    try:
        return decision_replay(decision_id=decision.pk, actor=actor), ""
    except ZhixuError as error:
        return None, words_of(error)
