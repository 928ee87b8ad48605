"""How the ledger stands, in one look: what an officer must know before he relies on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.models import Checkpoint, Verification
from audit.selectors.ledger import (
    AnchorState,
    anchor_states,
    checkpoint_latest,
    ledger_lag,
    pending_count,
    tree_now,
    verification_latest,
)
from audit.services.anchor_targets import anchor_targets
from audit.services.sequencer import ledger_state
from audit.services.verification import EVERY

_GRACE = timedelta(hours=2)

BAD = frozenset({"broken", "late"})
"""Troubles that put the ledger itself in question. The others only make its proof weaker."""


@dataclass(frozen=True, slots=True)
class AnchorStanding:
    """One place outside; `stale`: what it keeps is older than it should be."""

    state: AnchorState
    every: timedelta | None  # None: not configured any more
    elsewhere: bool
    stale: bool


@dataclass(frozen=True, slots=True)
class Standing:
    size: int
    root: bytes
    pending: int
    lag: timedelta
    head: Checkpoint | None
    verification: Verification | None
    anchors: list[AnchorStanding]
    troubles: list[str]

    @property
    def colour(self) -> str:
        """`allow`, `hold` or `deny`, as everywhere on the officer's desk."""
        if any(trouble in BAD for trouble in self.troubles):
            return "deny"
        return "hold" if self.troubles else "allow"


def ledger_standing(at: datetime) -> Standing:
    """Return how the ledger stands. A fixed number of queries, none of which walks the entries."""
    verification, head, anchors = verification_latest(), checkpoint_latest(), _anchors(at)
    troubles = []
    if verification is None:
        troubles.append("never_verified")
    elif verification.result != "whole":
        troubles.append("broken")
    elif at - verification.finished_at > EVERY + _GRACE:
        troubles.append("verification_old")
    state = ledger_state(at)
    if state != "ok":
        troubles.append(state)
    if not any(anchor.every for anchor in anchors):
        troubles.append("no_anchor")
    elif any(anchor.stale for anchor in anchors):
        troubles.append("anchor_stale")
    size, root = tree_now()
    return Standing(size, root, pending_count(), ledger_lag(at), head, verification, anchors, troubles)


def _anchors(at: datetime) -> list[AnchorStanding]:
    states = anchor_states()
    found = []
    for target in anchor_targets():
        state = states.pop((target.kind, target.target), None) or AnchorState(target.kind, target.target)
        old = state.kept_at is None or at - state.kept_at > target.every + _GRACE
        found.append(AnchorStanding(state, target.every, target.elsewhere, bool(state.failures) or old))
    return found + [AnchorStanding(state, None, False, False) for state in states.values()]
