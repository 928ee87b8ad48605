"""Rules about the person: may this person's data be used for this at all?"""

from __future__ import annotations

from consent.decisions.facts import HolderFacts, Requirement
from consent.domain.terms import Severity, Sourcing, SubjectStatus
from governance.domain.calendar import add_months

DENY, HOLD, STRIP = Severity.DENY, Severity.HOLD, Severity.STRIP


def subject_erased(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-47-ERASE · PIPL 47, ECL 24 · R1. Erased data and closed accounts are never used again."""
    return DENY if SubjectStatus.ERASED in h.status else None


def processing_frozen(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-47-FREEZE · PIPL 47(2), NDSR 24 · R1. Frozen data may only be stored and protected."""
    return DENY if SubjectStatus.FROZEN in h.status else None


def subject_deceased(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-49-DECEASED · PIPL 49 · I. Nobody is marketed to after death."""
    return DENY if SubjectStatus.DECEASED in h.status else None


def source_unlawful(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-10-SOURCE · PIPL 10, EmailReg 12(2) · R1. Bought, scraped or generated: deny; unproven: hold."""
    return {Sourcing.LAWFUL: None, Sourcing.UNPROVEN: HOLD, Sourcing.UNLAWFUL: DENY}[h.sourcing]


def identifier_not_owned(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-08-QUALITY · PIPL 8, 13 · R1. A number that went to somebody else carries no consent."""
    lost = r.channel.uses_phone and h.lost_on is not None and h.lost_on <= r.today
    return DENY if lost else None


def retention_expired(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-19-RETENTION · PIPL 19, 47 · R1. Inactive beyond the retention period: deleted, not addressed."""
    if h.last_active_on is None or r.retention_months is None:
        return None
    return DENY if r.today > add_months(h.last_active_on, r.retention_months) else None


def child_no_guardian_consent(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-31-GUARDIAN · PIPL 31(1), NDSR 22(3) · R1. Under 14 only with a guardian's consent."""
    return DENY if h.child and not h.guardian else None


def minor_adm_marketing(h: HolderFacts, r: Requirement) -> Severity | None:
    """MINOR-24-NO-ADM · MinorReg 24(3) · R1. Under 18, no automated marketing; no consent lifts it."""
    return DENY if h.minor and r.automated else None


def product_to_minor(h: HolderFacts, r: Requirement) -> Severity | None:
    """AD-22-TOBACCO, AD-40-MINOR · AdLaw 22, 40 · R1. Some products are never promoted to minors."""
    return DENY if h.minor and r.barred_for_minors else None


def personalisation_off(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-24-OPTION, ALGO-17-OFF · PIPL 24(2), AlgoReg 17(1) · R1. Switched off: generic variant or nothing."""
    if not r.automated or h.personalisation_off_at is None or h.personalisation_off_at > r.at:
        return None
    return STRIP if r.generic_variant else DENY
