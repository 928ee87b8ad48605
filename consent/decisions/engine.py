"""One lawful decision in two stages: first the send, once; then each person. Pure: no clock, no database.

The set-based backend (consent/screening/set_based.py) writes the same subject stage in SQL; vectors and a
property test hold the two equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from consent.decisions.facts import (
    HolderFacts,
    Plan,
    Register,
    Requirement,
    RowFacts,
    SendFacts,
    not_out,
)
from consent.decisions.reasons import Reason
from consent.decisions.rules import HOLDER_RULES, ROW_RULES, SEND_RULES, Sees
from consent.domain.records import Slot, State, stale_notices
from consent.domain.terms import Outcome, Severity
from governance.domain.calendar import start_of_day

SHARE_PURPOSE = "share.partner"
CROSS_BORDER_PURPOSE = "crossborder.transfer"

_OUT_RULES = tuple(rule for rule in HOLDER_RULES if rule.sees is Sees.OUT)

Findings = dict[Reason, Severity]


@dataclass(frozen=True, slots=True)
class SendJudgement:
    """Result of the campaign stage: what holds for every person, and what is asked of each.

    `requirement` is None if the send cannot be judged at all; then every person gets `findings`.
    """

    findings: Findings
    requirement: Requirement | None
    marketing: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one person: every code that fired, in order of precedence."""

    outcome: Outcome
    findings: tuple[tuple[Reason, Severity], ...]

    @property
    def codes(self) -> tuple[Reason, ...]:
        """All codes; `ALLOW` is last if the message may be sent."""
        fired = tuple(reason for reason, _ in self.findings)
        return (*fired, Reason.ALLOW) if self.outcome.may_send else fired

    @property
    def primary(self) -> Reason:
        """The first code that is more than a warning."""
        return next((reason for reason, severity in self.findings if severity is not Severity.WARN), Reason.ALLOW)


def judge_send(plan: Plan, *, register: Register, at: datetime) -> SendJudgement:
    """Run the campaign stage. `at` is the instant of the send, aware."""
    facts = SendFacts(plan, at, register)
    findings: Findings = {}
    for rule in SEND_RULES:
        if rule.marketing and not facts.marketing:
            continue
        severity = rule.fires(facts)
        if severity is None:
            continue
        if rule.stops:
            return SendJudgement({rule.reason: severity}, None, facts.marketing)
        _add(findings, rule.reason, severity)
    return SendJudgement(findings, _requirement(facts), facts.marketing)


def _requirement(c: SendFacts) -> Requirement:
    plan, register, book = c.plan, c.register, c.register.book
    strip: dict[Slot, tuple[str, ...]] = {}
    deny: set[Slot] = set()
    for f in c.used:
        if not f.sensitive:
            continue
        slot = Slot(plan.purpose, None, f.group or f.id)
        if f.id in plan.required_fields or f.id in plan.segment_fields:
            deny.add(slot)
        else:
            strip[slot] = (*strip.get(slot, ()), f.id)
    recipient = c.recipient
    asked = register.channels.get(plan.asks_for[1]) if plan.asks_for else None
    cap = c.policy.frequency_cap.get(plan.channel)
    categories = {f.category for f in c.used}
    separate = (plan.purpose, SHARE_PURPOSE, CROSS_BORDER_PURPOSE)
    return Requirement(
        at=c.at,
        today=c.today,
        marketing=c.marketing,
        purpose=plan.purpose,
        channel=register.channels[plan.channel],
        one_time=plan.channel == "wx_sub",
        template_id=plan.template_id,
        automated=c.automated,
        generic_variant=plan.generic_variant,
        barred_for_minors=bool(plan.product_categories & c.house.barred_for_minors),
        scope_changed={
            purpose: stale_notices(book, purpose=purpose, at=c.at, categories=categories)
            for purpose in (plan.purpose, *book.wider(plan.purpose))
        },
        strip_consents=strip,
        deny_consents=frozenset(deny),
        third_party=Slot(SHARE_PURPOSE, None, None, recipient.id)
        if recipient and recipient.role == "INDEPENDENT"
        else None,
        cross_border=Slot(CROSS_BORDER_PURPOSE, None, None, recipient.id) if recipient and recipient.abroad else None,
        separate_stale={p: stale_notices(book, purpose=p, at=c.at) for p in separate},
        retention_months=c.policy.retention_inactive_months,
        month_starts_at=start_of_day(c.today.replace(day=1)),
        frequency_cap=cap[0] if cap else None,
        window_starts_at=c.at - timedelta(days=cap[1]) if cap else None,
        asks_for=Slot(*plan.asks_for) if plan.asks_for else None,
        asks_for_identifier=asked.identifier if asked else None,
        reask_cooldown_days=c.policy.reask_cooldown_days,
    )


def separate_consent_held(state: State, slot: Slot, r: Requirement) -> bool:
    """Tell whether a separate consent (单独同意) is in force: granted, provable, in date, of an unchanged notice."""
    grant = state.grant
    if grant is None or not state.granted or state.no_evidence:
        return False
    if state.expires_on is not None and r.today > state.expires_on:
        return False
    return grant.notice is None or grant.notice not in r.separate_stale.get(slot.purpose, ())


def judge_row(row: RowFacts, judgement: SendJudgement) -> Verdict:
    """Run the subject stage for one row and combine it with the findings of the send."""
    findings = dict(judgement.findings)
    requirement = judgement.requirement
    if requirement is not None:
        row = _set_aside(row, requirement)
        _holder_findings(findings, row, requirement)
        for rule in ROW_RULES:
            if requirement.marketing or not rule.marketing:
                _add(findings, rule.reason, rule.fires(row, requirement))
    return verdict(findings.items(), marketing=judgement.marketing)


def _set_aside(row: RowFacts, r: Requirement) -> RowFacts:
    out = tuple(_is_out(holder, r) for holder in row.holders)
    present = not_out(row.holders, out)
    lift = row.subscribed_at if r.one_time else _latest(h.state.lift_at for h in present)
    return replace(row, out=out, lift_at=lift, asked_lift_at=_latest(h.asked.lift_at for h in present))


def _is_out(holder: HolderFacts, r: Requirement) -> bool:
    return any(rule.fires(holder, r) for rule in _OUT_RULES if r.marketing or not rule.marketing)


def _latest(instants: Iterable[datetime | None]) -> datetime | None:
    return max((at for at in instants if at is not None), default=None)


def _holder_findings(findings: Findings, row: RowFacts, r: Requirement) -> None:
    present = row.present
    consents: list[Findings] = [{} for _ in present]
    for rule in HOLDER_RULES:
        if rule.marketing and not r.marketing:
            continue
        if rule.sees is Sees.ENOUGH:
            for found, holder in zip(consents, present, strict=True):
                _add(found, rule.reason, rule.fires(holder, r))
            continue
        for holder in row.holders if rule.sees is Sees.EVERYONE else present:
            _add(findings, rule.reason, rule.fires(holder, r))
    good = [found for found in consents if Severity.DENY not in found.values()]
    for found in good or consents:
        for reason, severity in found.items():
            _add(findings, reason, severity)


def _add(findings: Findings, reason: Reason, severity: Severity | None) -> None:
    """Keep the more severe of two findings with the same code."""
    if severity is not None and (reason not in findings or severity.rank > findings[reason].rank):
        findings[reason] = severity


def verdict(findings: Iterable[tuple[Reason, Severity]], *, marketing: bool) -> Verdict:
    """Combine findings: deny overrides, then hold, then defer; the rest may be sent.

    A marketing send that may go out always owes something (opt-out text, signature, receipt).
    """
    ordered = tuple(sorted(findings))
    worst = max((severity.rank for _, severity in ordered), default=-1)
    if worst >= Severity.DENY.rank:
        outcome = Outcome.DENY
    elif worst >= Severity.HOLD.rank:
        outcome = Outcome.HOLD
    elif worst >= Severity.DEFER.rank:
        outcome = Outcome.DEFER
    else:
        outcome = Outcome.ALLOW_WITH_OBLIGATIONS if marketing else Outcome.ALLOW
    return Verdict(outcome, ordered)
