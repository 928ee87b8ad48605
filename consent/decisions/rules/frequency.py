"""Rules about what this very identifier has had already."""

from __future__ import annotations

from consent.decisions.facts import Requirement, RowFacts
from consent.domain.terms import Severity

DENY, DEFER = Severity.DENY, Severity.DEFER


def declared_frequency_exceeded(row: RowFacts, r: Requirement) -> Severity | None:
    """MKT-CONSENT-SHAPE · NDSR 22(4) · I. The notice promised so many a calendar month, and no more."""
    promised = [h.state.declared for h in row.present if h.state.declared is not None]
    return DENY if promised and row.sent_this_month >= min(promised) else None


def frequency_cap(row: RowFacts, r: Requirement) -> Severity | None:
    """POL-FREQ · house policy. So many in so many days."""
    return DEFER if r.frequency_cap is not None and row.sent_in_window >= r.frequency_cap else None


def wx_no_subscription(row: RowFacts, r: Requirement) -> Severity | None:
    """WX-SUB · platform. No acceptance of this template since the last ban."""
    return DENY if r.one_time and row.subscriptions == 0 else None


def quota_exhausted(row: RowFacts, r: Requirement) -> Severity | None:
    """WX-SUB · platform. One acceptance buys one message."""
    return DENY if r.one_time and 0 < row.subscriptions <= row.subscriptions_used else None
