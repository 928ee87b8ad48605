"""The answer to "why did you text me?" on paper: what was sent, on which consent, and what we cannot show.

A letter says what is on record and nothing that is not. Law is named only where its text was read (mark R1); house
policy is never named as law.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from audit.actors import Actor
from audit.domain.ids import uuid7
from audit.selectors.ledger import checkpoint_latest
from audit.services.record import Event, ObjectRef, audit_record
from consent.decisions.reasons import REASONS, Reason
from consent.domain.laws import citation
from consent.domain.sends import SendFinding
from consent.errors import SubjectNotFoundError
from consent.selectors.people import subject_ref
from consent.selectors.register import LiveRegister, register_live
from consent.services.send_proofs import SendProof, send_prove, sends_of_person
from governance.domain.calendar import day_of
from governance.domain.terms import PurposeKind

VERIFIED = "R1"
_WRONG = (
    SendFinding.NO_DECISION
    | SendFinding.DENIED
    | SendFinding.LATE
    | SendFinding.WITHDRAWN
    | SendFinding.OTHER_CHANNEL
    | SendFinding.OTHER_CAMPAIGN
    | SendFinding.OTHER_PERSON
)
_ONE_CHANNEL = {"EmailReg": "email", "SMSReg-2026": "sms"}


@dataclass(frozen=True)
class Letter:
    """What a letter says. `wrong`: the findings for which the message should not have gone out as it did."""

    number: str
    day: date
    entity: str
    brand: str
    contact: str
    masked: str
    kind: int  # of the identifier
    proof: SendProof
    wrong: list[SendFinding]
    marketing: bool
    purpose: str
    channel: str
    point: str
    optout: str
    basis: list[str]  # citations
    withdrawal: list[str]
    site: str
    head_size: int | None
    head_root: str
    language: str

    @property
    def unsubscribe(self) -> bool:
        """Tell whether the way out that the message names is a link: each message has its own."""
        return "http" in self.optout

    @property
    def proper(self) -> bool:
        """Tell whether all that the message needed is on record: an answer in time, and a "yes" if it needs one."""
        return not self.wrong and (self.proof.grant is not None or not self.marketing)


@transaction.atomic
def letter_write(
    *, subject_id: int, campaign: str, receipt_id: UUID, language: str, actor: Actor, at: datetime
) -> Letter:
    """Return the letter about one message that went to a person, and note who wrote it and about what.

    Raises:
        SubjectNotFoundError: there is no such person, or no such message of his: both look the same.
    """
    ref = subject_ref(subject_id)
    sent = [row for row in sends_of_person(subject_id, campaign=campaign, limit=100) if row.receipt_id == receipt_id]
    if ref is None or not sent:
        raise SubjectNotFoundError("Unknown person.")
    proof = send_prove(sent[0], subject_id=subject_id, actor=actor)
    entry = uuid7()
    day = day_of(at)
    number = f"ZX-{day:%Y%m%d}-{entry.hex[-8:].upper()}"
    details: dict[str, object] = {
        "receipts": [f"snd_{receipt_id.hex}"],
        "decision": f"dec_{proof.decision.id.hex}" if proof.decision else None,
        "language": language,
    }
    event = Event("letter.exported", id=entry, subject=ref, object=ObjectRef("letter", number), details=details)
    audit_record(actor=actor, event=event)
    return _letter(proof, number, day, language)


def _letter(proof: SendProof, number: str, day: date, language: str) -> Letter:
    register = register_live()
    rules = register.rules
    plan = rules.plans.get(proof.match.campaign)
    channel = proof.match.receipt.channel
    known = rules.book.purposes.get(proof.purpose)
    marketing = known is None or known.kind is PurposeKind.MARKETING
    content = plan.content if plan else None
    head = checkpoint_latest()
    grant = proof.grant
    return Letter(
        number=number,
        day=day,
        entity=register.governed.entity,
        brand=(content.sender_name if content else "") or "",
        contact=(content.contact if content else "") or "",
        masked=proof.identifier.value if proof.identifier else "",
        kind=proof.identifier.kind.value if proof.identifier else 0,
        proof=proof,
        wrong=[finding for finding in proof.findings if finding & _WRONG],
        marketing=marketing,
        purpose=(known.name or known.id) if known else proof.purpose,
        channel=channel.name or channel.code,
        point=(grant.point.name or grant.point.code) if grant and grant.point else "",
        optout=_optout(register, content.body if content else ""),
        basis=laws_verified(Reason.NO_CONSENT, language, channel=channel.code) if marketing else [],
        withdrawal=laws_verified(Reason.CONSENT_WITHDRAWN, language, channel=channel.code),
        site=str(settings.ZHIXU["BASE_URL"]),
        head_size=head.size if head else None,
        head_root=bytes(head.root).hex() if head else "",
        language=language,
    )


def _optout(register: LiveRegister, body: str) -> str:
    """Return the way out that the message itself named, if it named one of ours."""
    return next((phrase for phrase in register.rules.house.optout_phrases if phrase in body), "")


def laws_verified(reason: Reason, language: str, *, channel: str = "") -> list[str]:
    """Return the law behind a reason as a letter may cite it: law only, its text read, about this channel."""
    info = REASONS[reason]
    if info.kind != "legal":
        return []
    fitting = [law for law in info.law if _ONE_CHANNEL.get(law.ref.partition(" ")[0], channel) == channel]
    return [citation(law.ref, language) for law in fitting if law.confidence == VERIFIED]
