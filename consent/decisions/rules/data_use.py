"""Campaign rules about the register: purpose, legal basis and the data fields in use."""

from __future__ import annotations

from consent.decisions.facts import SendFacts
from consent.domain.terms import Severity
from governance.domain.terms import PurposeKind

DENY, HOLD = Severity.DENY, Severity.HOLD
CONSENT_BASES = ("consent", "request")
AGGREGATE_LIMIT = 3


def missing_input(c: SendFacts) -> Severity | None:
    """Fail closed: a send without time, purpose, channel, content or a known kind cannot be judged."""
    plan = c.plan
    if plan.unknown_campaign:
        return None  # a gap of the register, found next
    known_kind = plan.kind in (PurposeKind.MARKETING, PurposeKind.SERVICE)
    papers = plan.campaign is None or (plan.planned_at is not None and plan.content is not None)
    return None if plan.purpose and plan.channel and known_kind and papers else DENY


def unregistered_purpose(c: SendFacts) -> Severity | None:
    """Fail closed: purpose or channel is not in the register, so nothing else can be judged."""
    known = c.plan.purpose in c.register.book.purposes and c.plan.channel in c.register.channels
    return None if known and not c.plan.unknown_campaign else DENY


def unregistered_part(c: SendFacts) -> Severity | None:
    """Fail closed: a recipient or field that is not in the register."""
    return DENY if c.unknown_fields or (c.plan.recipient and c.recipient is None) else None


def no_legal_basis(c: SendFacts) -> Severity | None:
    """PIPL-13-BASIS · PIPL 13 · R1."""
    return None if c.register.book.purposes[c.plan.purpose].legal_basis else DENY


def basis_not_allowed_for_marketing(c: SendFacts) -> Severity | None:
    """MKT-BASIS-CONSENT · PIPL 13, CPL 29(3) · R1. Contract or interest never carries marketing."""
    basis = c.register.book.purposes[c.plan.purpose].legal_basis
    return DENY if basis and basis not in CONSENT_BASES else None


def field_purpose_mismatch(c: SendFacts) -> Severity | None:
    """PIPL-06-PURPOSE, PIPL-21-SCOPE · PIPL 6, 21(2) · R1.

    A field whose purposes lack this one; or one the send cannot do without but the recipient may not have.
    """
    if any(c.plan.purpose not in f.allowed_purposes for f in c.used):
        return DENY
    allowed = c.recipient.allowed_fields if c.recipient else None
    needed = set(c.plan.fields) & set(c.plan.required_fields)
    return DENY if allowed is not None and not needed <= allowed else None


def cctv_purpose(c: SendFacts) -> Severity | None:
    """PIPL-26-CAMERA · PIPL 26 · R1. Cameras in public places serve public security only."""
    return DENY if any(f.source == "CCTV" for f in c.used) else None


def sensitive_not_necessary(c: SendFacts) -> Severity | None:
    """PIPL-28-NECESSITY · PIPL 28(2) · R1."""
    return DENY if any(f.sensitive and c.plan.purpose not in f.allowed_purposes for f in c.used) else None


def aggregated_sensitive(c: SendFacts) -> Severity | None:
    """GBT-45574-AGGREGATE · GB/T 45574-2025 · R2, the number is ours. Ordinary items may add up."""
    return HOLD if len({f.aggregate for f in c.used if f.aggregate}) >= AGGREGATE_LIMIT else None
