"""Rules about the consent itself: is there one, for this, and is it good?

Of several holders one with a good consent is enough; the engine sees to that.
"""

from __future__ import annotations

from consent.decisions.facts import HolderFacts, Requirement
from consent.domain.terms import Severity

DENY, STRIP = Severity.DENY, Severity.STRIP


def no_consent(h: HolderFacts, r: Requirement) -> Severity | None:
    """MKT-BASIS-CONSENT, MKT-43-CONSENT · CPL 29(3), AdLaw 43(1), EmailReg 13(2) · R1. Never asked is no."""
    empty = h.state.empty and not h.granted_elsewhere and not h.narrower_granted
    return DENY if empty and not r.one_time else None


def consent_channel_not_covered(h: HolderFacts, r: Requirement) -> Severity | None:
    """MKT-43-CONSENT · AdLaw 43(1), PIPL 14 · R1. A consent speaks for its channel only."""
    return DENY if h.state.empty and h.granted_elsewhere and not r.one_time else None


def consent_scope_changed(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-14-RECONSENT · PIPL 14(2), NDSR 22(6) · R1. Purpose, method or category went beyond the consent."""
    if r.one_time:
        return None
    state = h.state
    if state.empty:
        return DENY if h.narrower_granted and not h.granted_elsewhere else None
    if state.grant is None or state.grant.notice is None:
        return None
    return DENY if state.grant.notice in r.scope_changed.get(state.grant_purpose or "", ()) else None


def consent_pending(h: HolderFacts, r: Requirement) -> Severity | None:
    """House rule of double opt-in: granted, but not confirmed yet."""
    return DENY if h.state.granted and not h.state.confirmed and not r.one_time else None


def consent_invalid_form(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-14-VALID · PIPL 14(1), 5 · R1. Not by a clear act: pre-ticked, implied, unknown."""
    return DENY if h.state.grant and h.state.bad_form and not r.one_time else None


def consent_bundled(h: HolderFacts, r: Requirement) -> Severity | None:
    """CPLIR-23-NO-BUNDLE · PIPL 16 · R1; CPLIR 23, NetTrade 13 · R2. A clause of the terms is no consent."""
    return DENY if h.state.grant and h.state.bundled and not r.one_time else None


def consent_expired(h: HolderFacts, r: Requirement) -> Severity | None:
    """NDSR-22-SCOPE · NDSR 22(4), PIPL 19 · R1. Good to the end of the last day, no longer."""
    if r.one_time or h.state.grant is None or h.state.expires_on is None:
        return None
    return DENY if r.today > h.state.expires_on else None


def consent_no_evidence(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-69-EVIDENCE · PIPL 69(1) · R1; SMSReg-2026 · R2. What cannot be proved is worth nothing."""
    return DENY if h.state.grant and h.state.no_evidence and not r.one_time else None


def sensitive_no_separate_consent(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-29-SENSITIVE · PIPL 29, NDSR 22(2) · R1. Drop the field if the send can do without it, else deny."""
    if not r.deny_consents <= h.held:
        return DENY
    return STRIP if not r.strip_consents.keys() <= h.held else None


def third_party_no_separate_consent(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-23-THIRDPARTY · PIPL 23 · R1. An independent recipient needs a consent that names it."""
    return DENY if r.third_party and r.third_party not in h.held else None


def xb_no_separate_consent(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-39-XB-CONSENT · PIPL 39 · R1. Sending abroad needs its own consent, mechanism or not."""
    return DENY if r.cross_border and r.cross_border not in h.held else None
