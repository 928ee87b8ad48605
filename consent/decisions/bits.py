"""The subject stage's findings as bits of one integer: how the set-based backend answers and decisions are stored.

Positions are stored with every decision: never change or reuse one.
"""

from __future__ import annotations

from functools import cache

from consent.decisions.engine import Findings, Verdict, verdict
from consent.decisions.reasons import REASONS, Reason
from consent.domain.terms import Outcome, Severity

_DENY, _HOLD, _DEFER, _STRIP = Severity.DENY, Severity.HOLD, Severity.DEFER, Severity.STRIP

BITS: tuple[tuple[Reason, Severity], ...] = (
    (Reason.SUBJECT_ERASED, _DENY),
    (Reason.PROCESSING_FROZEN, _DENY),
    (Reason.SUBJECT_DECEASED, _DENY),
    (Reason.SOURCE_UNLAWFUL, _DENY),
    (Reason.SOURCE_UNLAWFUL, _HOLD),
    (Reason.CHILD_NO_GUARDIAN_CONSENT, _DENY),
    (Reason.MINOR_ADM_MARKETING, _DENY),
    (Reason.PRODUCT_TO_MINOR, _DENY),
    (Reason.OPTED_OUT, _DENY),
    (Reason.CONSENT_WITHDRAWN, _DENY),
    (Reason.PROCESSING_RESTRICTED, _DENY),
    (Reason.PAUSED_BY_CUSTOMER, _DENY),
    (Reason.IDENTIFIER_NOT_OWNED, _DENY),
    (Reason.CARRIER_BLACKLIST, _DENY),
    (Reason.NO_CONSENT, _DENY),
    (Reason.CONSENT_PENDING, _DENY),
    (Reason.CONSENT_CHANNEL_NOT_COVERED, _DENY),
    (Reason.CONSENT_INVALID_FORM, _DENY),
    (Reason.CONSENT_BUNDLED, _DENY),
    (Reason.CONSENT_SCOPE_CHANGED, _DENY),
    (Reason.CONSENT_EXPIRED, _DENY),
    (Reason.CONSENT_NO_EVIDENCE, _DENY),
    (Reason.SENSITIVE_NO_SEPARATE_CONSENT, _DENY),
    (Reason.SENSITIVE_NO_SEPARATE_CONSENT, _STRIP),
    (Reason.THIRD_PARTY_NO_SEPARATE_CONSENT, _DENY),
    (Reason.XB_NO_SEPARATE_CONSENT, _DENY),
    (Reason.PERSONALISATION_OFF, _STRIP),
    (Reason.PERSONALISATION_OFF, _DENY),
    (Reason.RETENTION_EXPIRED, _DENY),
    (Reason.WX_NO_SUBSCRIPTION, _DENY),
    (Reason.QUOTA_EXHAUSTED, _DENY),
    (Reason.DECLARED_FREQUENCY_EXCEEDED, _DENY),
    (Reason.REASK_TOO_SOON, _DENY),
    (Reason.FREQUENCY_CAP, _DEFER),
    (Reason.E_INPUT, _DENY),
)
_BIT = {found: 1 << place for place, found in enumerate(BITS)}

OUTCOME_NUMBERS = {
    Outcome.ALLOW: 0,
    Outcome.ALLOW_WITH_OBLIGATIONS: 1,
    Outcome.DEFER: 2,
    Outcome.HOLD: 3,
    Outcome.DENY: 4,
}
OUTCOMES = {number: outcome for outcome, number in OUTCOME_NUMBERS.items()}


def bit(reason: Reason, severity: Severity = Severity.DENY) -> int:
    """Return the bit of a finding. Raises KeyError for one the subject stage cannot make."""
    return _BIT[reason, severity]


def mask_of(severity: Severity) -> int:
    """Return all bits of one severity."""
    return sum(value for (_, weight), value in _BIT.items() if weight is severity)


def bits_of(findings: Findings) -> int:
    """Return the findings of the subject stage as one integer."""
    return sum(bit(reason, severity) for reason, severity in findings.items())


@cache
def _decoded(bits: int) -> Findings:
    findings: Findings = {}
    for (reason, severity), value in _BIT.items():
        if bits & value and (reason not in findings or severity.rank > findings[reason].rank):
            findings[reason] = severity
    return findings


def verdict_of(bits: int, send: Findings, *, marketing: bool) -> Verdict:
    """Combine the bits of one person with the findings on the send, as the engine does."""
    findings = dict(send)
    for reason, severity in _decoded(bits).items():
        if reason not in findings or severity.rank > findings[reason].rank:
            findings[reason] = severity
    return verdict(findings.items(), marketing=marketing)


def send_text(findings: Findings) -> str:
    """Return findings on a send as they are stored with a decision: `CODE`, or `CODE:weight` if not its usual one."""
    return ";".join(
        reason.name if weight is REASONS[reason].severity else f"{reason.name}:{weight.value}"
        for reason, weight in sorted(findings.items())
    )


def send_read(text: str) -> Findings:
    """Return what `send_text` stored. Codes of a later rule set are left out."""
    findings: Findings = {}
    for part in text.split(";"):
        name, _, weight = part.partition(":")
        if name in Reason.__members__:
            findings[Reason[name]] = Severity(weight) if weight else REASONS[Reason[name]].severity
    return findings
