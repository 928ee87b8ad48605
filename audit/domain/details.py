"""Which events there are, and what each may say. Unknown types and keys are refused.

Everything here is pseudonymous: ids, codes, counts, digests. Personal data has no key to go under.
"""

from __future__ import annotations

from typing import Any

_ACT = frozenset(
    {
        "purpose",
        "channel",
        "recipient",
        "group",
        "separate",
        "notice",
        "text_hash",
        "text_sha256",
        "language",
        "point",
        "said_at",
        "control",
        "pre_checked",
        "bundle",
        "valid_until",
        "evidence",
        "proof",
    }
)
_COUNTS = frozenset({"rows", "allow", "deny", "hold", "defer", "invalid", "duplicates"})

EVENT_DETAILS: dict[str, frozenset[str]] = {
    "consent.granted": _ACT,
    "consent.renewed": _ACT,
    "consent.confirmed": _ACT,
    "consent.denied": _ACT,
    "consent.withdrawn": _ACT,
    "subject.created": frozenset({"kind", "phone_bound_at"}),
    "subject.changed": frozenset({"changed", "phone_bound_at"}),
    "subject.erased": frozenset(),
    "suppression.added": frozenset({"kind", "scope", "said_at", "source"}),
    "guardian.recorded": frozenset({"purposes", "withdrawn_at"}),
    "import.finished": frozenset({"kind", "rows", "accepted", "refused", "replayed", "sha256"}),
    "sends.reported": frozenset({"rows", "accepted", "refused", "replayed", "sha256"}),
    "reconciliation.exported": frozenset({"since", "until", "campaign", "finding", "rows"}),
    "letter.exported": frozenset({"decision", "receipts", "language"}),
    "states.folded": frozenset({"people"}),
    "register.changed": frozenset({"kind", "code", "action", "sha256"}),
    "screening.started": frozenset({"campaign", "input_sha256", "as_of"}),
    "screening.finished": _COUNTS | {"campaign", "manifest_sha256"},
    "screening.rechecked": frozenset({"removed", "added"}),
    "screening.cancelled": frozenset({"campaign"}),
    "preference_link.created": frozenset({"scope"}),
    "subject.viewed": frozenset({"where"}),
    "subject.revealed": frozenset({"where", "why"}),
    "access.denied": frozenset({"where", "why"}),
    "api_client.changed": frozenset({"client", "action"}),
    "key.announced": frozenset({"use", "verifier", "merge_delay", "longest_transaction"}),
    "ledger.heartbeat": frozenset(),
    "ledger.anchored": frozenset({"size", "kind", "sha256"}),
    "ledger.exported": frozenset({"files", "size"}),
    "ledger.verified": frozenset({"size", "root", "result", "findings"}),
    "decision.replayed": frozenset(),
    "decision.sealed": frozenset({"count", "root", "since", "until"}),
}


def checked_details(event_type: str, details: dict[str, Any]) -> dict[str, Any]:
    """Return the details without empty values. Raises ValueError for an unknown type or key."""
    allowed = EVENT_DETAILS.get(event_type)
    if allowed is None:
        raise ValueError(f"unknown event type {event_type}")
    unknown = set(details) - allowed
    if unknown:
        raise ValueError(f"{event_type} has no detail {', '.join(sorted(unknown))}")
    return {key: value for key, value in details.items() if value is not None and value != ""}
