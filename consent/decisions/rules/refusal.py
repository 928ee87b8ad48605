"""Rules about the person's own "no". It outranks every paper, and only the person can lift it."""

from __future__ import annotations

from datetime import datetime, timedelta

from consent.decisions.facts import HolderFacts, Requirement, RowFacts
from consent.domain.terms import Severity
from governance.domain.calendar import day_of

DENY = Severity.DENY


def opted_out(row: RowFacts, r: Requirement) -> Severity | None:
    """NET16-STOP-NO-RENAME, EML-14-STOP · CPL 29(3), AdLaw 43, EmailReg 14(1) · R1; NetTrade 16 · R2."""
    return DENY if row.listed or any(in_force(at, row.lift_at) for at in row.optouts) else None


def consent_withdrawn(row: RowFacts, r: Requirement) -> Severity | None:
    """PIPL-15-EASY · PIPL 15 · R1. A refusal in force; it counts for a holder set aside as well.

    A later good grant of somebody who is present ends the refusal of a holder set aside, and on
    one-time subscriptions any refusal (samples/README 5.5).
    """
    for holder, out in zip(row.holders, row.out, strict=True):
        refusal = holder.state.refusal
        if refusal is None:
            continue
        ends_by_lift = r.one_time or (out and not all(row.out))
        if not ends_by_lift or in_force(refusal.at, row.lift_at):
            return DENY
    return None


def processing_restricted(h: HolderFacts, r: Requirement) -> Severity | None:
    """PIPL-44-DECIDE · PIPL 44, NDSR 23 · R1."""
    return DENY if r.purpose in h.restricted else None


def paused_by_customer(h: HolderFacts, r: Requirement) -> Severity | None:
    """House promise of the preference centre: a pause lasts to the end of the chosen day."""
    return DENY if h.paused_until is not None and r.today <= h.paused_until else None


def carrier_blacklist(row: RowFacts, r: Requirement) -> Severity | None:
    """Platform fact: the carrier blocks this very number, for service messages too."""
    return DENY if row.carrier_listed and r.channel.uses_phone else None


def reask_too_soon(row: RowFacts, r: Requirement) -> Severity | None:
    """NDSR-22-NO-NAGGING · NDSR 22(5) · R1; the number of days is house policy."""
    if r.asks_for is None:
        return None
    said_no: list[datetime] = [row.last_solicited_at] if row.last_solicited_at else []
    for holder in row.present:
        if holder.asked.refusal:
            said_no.append(holder.asked.refusal.at)
        for at in holder.asked_optouts:
            if not in_force(at, row.asked_lift_at):
                continue
            if at is None:
                return DENY
            said_no.append(at)
    cooldown = timedelta(days=r.reask_cooldown_days)
    return DENY if any(day_of(at) + cooldown > r.today for at in said_no) else None


def in_force(said_at: datetime | None, lift_at: datetime | None) -> bool:
    """Tell whether a "no" still stands: only a yes said later ends it; one without a time never ends."""
    return said_at is None or lift_at is None or lift_at <= said_at
