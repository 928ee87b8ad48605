"""Campaign rules about who gets the data: vendors, partners, recipients abroad."""

from __future__ import annotations

from datetime import date, timedelta

from consent.decisions.facts import SendFacts
from consent.domain.terms import Severity

DENY, HOLD, WARN = Severity.DENY, Severity.HOLD, Severity.WARN

# XBReg 5, 7, 8 (R2): persons sent abroad since 1 January.
EXEMPT_BELOW = 100_000
ASSESSMENT_FROM = 1_000_000
ASSESSMENT_FROM_SENSITIVE = 10_000
CONTRACT_CLAUSES = 6


def xb_no_mechanism(c: SendFacts) -> Severity | None:
    """XB-EXEMPT-VOL, XB-SCC-CERT, XB-ASSESS · PIPL 38, 40 · R1; XBReg 5, 8 · R2."""
    if c.recipient is None or not c.recipient.abroad:
        return None
    ordinary, sensitive = c.house.cross_border.get(c.today.year, (0, 0))
    if c.sensitive_groups:
        sensitive = max(sensitive, 1)
    if ordinary < EXEMPT_BELOW and sensitive == 0:
        return None
    must_assess = ordinary >= ASSESSMENT_FROM or sensitive >= ASSESSMENT_FROM_SENSITIVE
    mechanism = c.recipient.mechanism
    if mechanism is None or not _within(c.today, mechanism.valid_from, mechanism.valid_to):
        return DENY
    return None if mechanism.kind in (("assessment",) if must_assess else ("scc", "cert", "assessment")) else DENY


def vendor_no_dpa(c: SendFacts) -> Severity | None:
    """PIPL-21-DPA, PIPL-59 · PIPL 21(1), NDSR 12(1) · R1. No contract in force: deny; a clause missing: hold."""
    if c.recipient is None:
        return None
    contract = c.recipient.contract
    if contract is None or not _within(c.today, contract.valid_from, contract.valid_to):
        return DENY
    return None if len(contract.clauses) == CONTRACT_CLAUSES and all(contract.clauses) else HOLD


def subprocessor_not_approved(c: SendFacts) -> Severity | None:
    """PIPL-21-SUB · PIPL 21(3) · R1."""
    return DENY if c.recipient and c.recipient.unapproved_subprocessors else None


def vendor_suppression_stale(c: SendFacts) -> Severity | None:
    """WD-VENDOR, NET16-STOP-NO-RENAME · PIPL 15 · R1; NetTrade 16 · R2. The vendor must know every "no"."""
    if c.recipient is None or c.plan.campaign is None:
        return None
    synced = c.plan.suppression_synced_at
    fresh = synced is not None and c.at - synced <= timedelta(hours=c.policy.suppression_max_age_hours)
    return None if fresh else DENY


def carrier_category(c: SendFacts) -> Severity | None:
    """SMS-CARRIER-CATEGORIES · platform. A warning, never a law."""
    return WARN if c.recipient and c.recipient.restricted_categories & c.plan.product_categories else None


def _within(day: date, first: date | None, last: date | None) -> bool:
    return first is not None and last is not None and first <= day <= last
