"""The rules about people as plain ifs, and the combination of all findings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from benchmarks.naive.people import Holder, PersonFacts, separate_needed
from benchmarks.naive.sends import Findings, Send, add
from consent.decisions.reasons import Reason
from consent.domain.terms import Outcome, Severity
from consent.models import ConsentState
from governance.domain.calendar import add_months, day_of

DENY, HOLD, DEFER, STRIP, WARN = Severity.DENY, Severity.HOLD, Severity.DEFER, Severity.STRIP, Severity.WARN


@dataclass(frozen=True)
class Decided:
    outcome: Outcome
    primary: Reason
    codes: tuple[Reason, ...]

    @property
    def cells(self) -> tuple[str, str, str]:
        return self.outcome.value, self.primary.name, ";".join(code.name for code in self.codes)


def combine(findings: Findings, *, marketing: bool) -> Decided:
    """Deny overrides, then hold, then defer; the rest may be sent."""
    codes = sorted(findings)
    severities = set(findings.values())
    if DENY in severities:
        outcome = Outcome.DENY
    elif HOLD in severities:
        outcome = Outcome.HOLD
    elif DEFER in severities:
        outcome = Outcome.DEFER
    else:
        outcome = Outcome.ALLOW_WITH_OBLIGATIONS if marketing else Outcome.ALLOW
    if outcome.may_send:
        codes.append(Reason.ALLOW)
    primary = next((code for code in codes if code in findings and findings[code] is not WARN), Reason.ALLOW)
    return Decided(outcome, primary, tuple(codes))


def judge_person(send: Send, facts: PersonFacts, findings: Findings) -> None:
    """Add what stands against writing to this person."""
    outs = [_out(send, holder) for holder in facts.holders]
    all_out = all(outs)
    present = [holder for holder, out in zip(facts.holders, outs, strict=True) if all_out or not out]
    if all_out:
        for out in outs:
            for code, severity in out.items():
                add(findings, code, severity)
    for holder in present:
        _person(send, holder, findings)
    for holder in facts.holders:
        _own_no(send, holder, findings)
    if send.channel.identifier_type == 1 and any(listed.kind == "carrier" for listed in facts.listed):
        add(findings, Reason.CARRIER_BLACKLIST, DENY)
    if not send.marketing:
        return
    lift = _lift(send, present, facts)
    _refusals(send, facts, outs, lift, findings)
    _consents(send, present, findings)
    _frequency(send, present, facts, findings)
    if send.campaign.asks_for_purpose:
        _reask(send, present, facts, findings)


def _out(send: Send, holder: Holder) -> Findings:
    """What sets a holder aside, if somebody else holds the identifier too."""
    found: Findings = {}
    subject = holder.subject
    if subject is None:
        return found
    if subject.status & 4:
        found[Reason.SUBJECT_ERASED] = DENY
    if subject.sourcing == "unlawful":
        found[Reason.SOURCE_UNLAWFUL] = DENY
    elif subject.sourcing == "unproven":
        found[Reason.SOURCE_UNLAWFUL] = HOLD
    if send.channel.identifier_type == 1 and holder.lost_on and holder.lost_on <= send.today:
        found[Reason.IDENTIFIER_NOT_OWNED] = DENY
    months, active_on = send.policy["retention_inactive_months"], subject.last_active_on
    if send.marketing and months is not None and active_on and send.today > add_months(active_on, months):
        found[Reason.RETENTION_EXPIRED] = DENY
    return found


def _person(send: Send, holder: Holder, findings: Findings) -> None:
    subject = holder.subject
    if subject is None:
        return
    if subject.status & 1:
        add(findings, Reason.PROCESSING_FROZEN, DENY)
    if subject.status & 2:
        add(findings, Reason.SUBJECT_DECEASED, DENY)
    if not send.marketing:
        return
    if subject.child_until and subject.child_until >= send.today and not holder.guardian:
        add(findings, Reason.CHILD_NO_GUARDIAN_CONSENT, DENY)
    if subject.minor_until and subject.minor_until >= send.today:
        if send.automated:
            add(findings, Reason.MINOR_ADM_MARKETING, DENY)
        if set(send.campaign.product_categories) & set(send.words.get("barred_for_minors", [])):
            add(findings, Reason.PRODUCT_TO_MINOR, DENY)
    off = subject.personalisation_off_at
    if send.automated and off and off <= send.at:
        add(findings, Reason.PERSONALISATION_OFF, STRIP if send.campaign.generic_variant else DENY)


def _own_no(send: Send, holder: Holder, findings: Findings) -> None:
    subject = holder.subject
    if subject is None:
        return
    if subject.restricted and send.purpose.pk in subject.restricted:
        add(findings, Reason.PROCESSING_RESTRICTED, DENY)
    if send.marketing and subject.paused_until and send.today <= subject.paused_until:
        add(findings, Reason.PAUSED_BY_CUSTOMER, DENY)


def _lift(send: Send, present: list[Holder], facts: PersonFacts) -> datetime | None:
    if send.one_time:
        return facts.accepted_at
    return max((h.state.lift_at for h in present if h.state and h.state.lift_at), default=None)


def _stands(said_at: datetime | None, lift: datetime | None) -> bool:
    return said_at is None or lift is None or lift <= said_at


def _refusals(send: Send, facts: PersonFacts, outs: list[Findings], lift: datetime | None, findings: Findings) -> None:
    for listed in [*facts.listed, *(listed for holder in facts.holders for listed in holder.wide)]:
        if listed.kind == "listed" or (listed.kind == "opt_out" and _stands(listed.said_at, lift)):
            add(findings, Reason.OPTED_OUT, DENY)
    for holder, out in zip(facts.holders, outs, strict=True):
        if holder.state is None or holder.state.refused_at is None:
            continue
        may_end = send.one_time or (out and not all(outs))
        if not may_end or _stands(holder.state.refused_at, lift):
            add(findings, Reason.CONSENT_WITHDRAWN, DENY)


def _consents(send: Send, present: list[Holder], findings: Findings) -> None:
    """One holder without a denial is enough; then only such holders count."""
    each = [_consent(send, holder) for holder in present]
    good = [found for found in each if DENY not in found.values()]
    for found in good or each:
        for code, severity in found.items():
            add(findings, code, severity)


def _consent(send: Send, holder: Holder) -> Findings:
    found: Findings = {}
    if not send.one_time:
        _general_consent(send, holder, found)
    needed = separate_needed(send)
    if any(item not in holder.held for item in needed["deny"]):
        found[Reason.SENSITIVE_NO_SEPARATE_CONSENT] = DENY
    elif any(item not in holder.held for item in needed["strip"]):
        found[Reason.SENSITIVE_NO_SEPARATE_CONSENT] = STRIP
    if any(item not in holder.held for item in needed["third_party"]):
        found[Reason.THIRD_PARTY_NO_SEPARATE_CONSENT] = DENY
    if any(item not in holder.held for item in needed["overseas"]):
        found[Reason.XB_NO_SEPARATE_CONSENT] = DENY
    return found


def _general_consent(send: Send, holder: Holder, found: Findings) -> None:
    state = holder.state
    if state is None or (state.grant_id is None and state.refused_at is None):
        granted = holder.subject.granted if holder.subject else None
        if granted and send.purpose.pk in granted:
            found[Reason.CONSENT_CHANNEL_NOT_COVERED] = DENY
        elif state is not None and state.narrower:
            found[Reason.CONSENT_SCOPE_CHANGED] = DENY
        else:
            found[Reason.NO_CONSENT] = DENY
        return
    if state.grant_id is None:
        return
    _grant_is_good(send, state, holder.stale, found)


def _grant_is_good(send: Send, state: ConsentState, stale: bool, found: Findings) -> None:
    if not state.confirmed and state.refused_at is None:
        found[Reason.CONSENT_PENDING] = DENY
    if state.bad_form:
        found[Reason.CONSENT_INVALID_FORM] = DENY
    if state.bundled:
        found[Reason.CONSENT_BUNDLED] = DENY
    if state.no_evidence:
        found[Reason.CONSENT_NO_EVIDENCE] = DENY
    if state.expires_on and state.expires_on < send.today:
        found[Reason.CONSENT_EXPIRED] = DENY
    if stale:
        found[Reason.CONSENT_SCOPE_CHANGED] = DENY


def _frequency(send: Send, present: list[Holder], facts: PersonFacts, findings: Findings) -> None:
    promised = [h.state.declared for h in present if h.state and h.state.declared is not None]
    if promised and facts.sent_in_month >= min(promised):
        add(findings, Reason.DECLARED_FREQUENCY_EXCEEDED, DENY)
    cap = send.policy["frequency_cap"].get(send.channel.code)
    if cap and facts.sent_in_window >= cap["max"]:
        add(findings, Reason.FREQUENCY_CAP, DEFER)
    if send.one_time and facts.accepted == 0:
        add(findings, Reason.WX_NO_SUBSCRIPTION, DENY)
    elif send.one_time and facts.accepted <= facts.used:
        add(findings, Reason.QUOTA_EXHAUSTED, DENY)


def _reask(send: Send, present: list[Holder], facts: PersonFacts, findings: Findings) -> None:
    lift = max((h.asked.lift_at for h in present if h.asked and h.asked.lift_at), default=None)
    refusals = [facts.solicited_at] if facts.solicited_at else []
    for holder in present:
        if holder.asked and holder.asked.refused_at:
            refusals.append(holder.asked.refused_at)
        for listed in holder.asked_optouts:
            if listed.said_at is None:
                add(findings, Reason.REASK_TOO_SOON, DENY)
            elif _stands(listed.said_at, lift):
                refusals.append(listed.said_at)
    if any(_cooling(send, day_of(at)) for at in refusals):
        add(findings, Reason.REASK_TOO_SOON, DENY)


def _cooling(send: Send, day: date) -> bool:
    return day + timedelta(days=send.policy["reask_cooldown_days"]) > send.today
