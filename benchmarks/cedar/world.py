"""What Cedar is told: campaigns as entities, one person and his identifier as the context of a request.

Cedar walks no lists and knows no months, so some of the judging is done here, outside what is timed: the latest
of several opt-outs, the end of the retention period, the last day somebody said no to being asked.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

from consent.decisions.engine import SendJudgement
from consent.decisions.facts import Requirement, RowFacts
from consent.decisions.rules.refusal import in_force
from consent.domain.records import Slot
from consent.domain.terms import Severity, SubjectStatus
from governance.domain.calendar import add_months, day_of

POLICIES = Path(__file__).with_name("people.cedar")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Json = dict[str, object]


def campaign_entity(code: str, judgement: SendJudgement, r: Requirement) -> Json:
    """Return a campaign with what it asks of people. `blocked`: the send itself may not go out."""
    told: Json = {
        "blocked": any(severity.rank >= Severity.DEFER.rank for severity in judgement.findings.values()),
        "at": _micros(r.at),
        "today": r.today.toordinal(),
        "marketing": r.marketing,
        "purpose": r.purpose,
        "usesPhone": r.channel.uses_phone,
        "oneTime": r.one_time,
        "automated": r.automated,
        "genericVariant": r.generic_variant,
        "barredForMinors": r.barred_for_minors,
        "stale": [f"{purpose}|{ref.id}@{ref.version}" for purpose, refs in r.scope_changed.items() for ref in refs],
        "neededForFields": [_slot(slot) for slot in r.deny_consents],
        "neededForRecipient": [_slot(r.third_party)] if r.third_party else [],
        "neededAbroad": [_slot(r.cross_border)] if r.cross_border else [],
        "asks": r.asks_for is not None,
        "cooldownDays": r.reask_cooldown_days,
    }
    if r.frequency_cap is not None:
        told["cap"] = r.frequency_cap
    return {"uid": {"type": "Campaign", "id": code}, "attrs": told, "parents": []}


def request(code: str, row: RowFacts, r: Requirement) -> Json:
    """Return one question. The context is text already: the binding would make it every time."""
    return {
        "principal": 'Person::"somebody"',
        "action": 'Action::"write"',
        "resource": f'Campaign::"{code}"',
        "context": json.dumps(_context(row, r)),
    }


def _context(row: RowFacts, r: Requirement) -> Json:
    [holder] = row.holders
    state, grant = holder.state, holder.state.grant
    told: Json = {
        "erased": SubjectStatus.ERASED in holder.status,
        "frozen": SubjectStatus.FROZEN in holder.status,
        "deceased": SubjectStatus.DECEASED in holder.status,
        "sourcing": holder.sourcing.value,
        "child": holder.child,
        "guardian": holder.guardian,
        "minor": holder.minor,
        "restricted": sorted(holder.restricted),
        "listed": row.listed,
        "carrierListed": row.carrier_listed,
        "optedOutForEver": None in row.optouts,
        "noState": state.empty,
        "granted": state.granted,
        "confirmed": state.confirmed,
        "badForm": grant is not None and state.bad_form,
        "bundled": grant is not None and state.bundled,
        "noEvidence": grant is not None and state.no_evidence,
        "grantedElsewhere": holder.granted_elsewhere,
        "narrowerGranted": holder.narrower_granted,
        "held": [_slot(slot) for slot in holder.held],
        "subscriptions": row.subscriptions,
        "subscriptionsUsed": row.subscriptions_used,
        "sentThisMonth": row.sent_this_month,
        "sentInWindow": row.sent_in_window,
        "askedOptedOutForEver": None in holder.asked_optouts,
    }
    may_be: dict[str, object | None] = {
        "optedOutAt": _micros(max((at for at in row.optouts if at), default=None)),
        "liftAt": _micros(row.subscribed_at if r.one_time else state.lift_at),
        "refusedAt": _micros(state.refusal.at if state.refusal else None),
        "grantedUnder": f"{state.grant_purpose}|{grant.notice.id}@{grant.notice.version}"
        if grant and grant.notice
        else None,
        "expiresOn": _day(state.expires_on if grant else None),
        "declared": state.declared,
        "lostOn": _day(holder.lost_on),
        "pausedUntil": _day(holder.paused_until),
        "personalisationOffAt": _micros(holder.personalisation_off_at),
        "keepUntil": _keep_until(holder.last_active_on, r),
        "saidNoOn": _said_no_on(row, r),
    }
    return told | {name: value for name, value in may_be.items() if value is not None}


def _keep_until(active_on: date | None, r: Requirement) -> int | None:
    if active_on is None or r.retention_months is None:
        return None
    return add_months(active_on, r.retention_months).toordinal()


def _said_no_on(row: RowFacts, r: Requirement) -> int | None:
    [holder] = row.holders
    said = [row.last_solicited_at, holder.asked.refusal.at if holder.asked.refusal else None]
    said += [at for at in holder.asked_optouts if in_force(at, holder.asked.lift_at)]
    return max((day_of(at).toordinal() for at in said if at), default=None)


def _micros(at: datetime | None) -> int | None:
    if at is None:
        return None
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _day(day: date | None) -> int | None:
    return day.toordinal() if day else None


def _slot(slot: Slot) -> str:
    return "|".join(part or "" for part in slot)
