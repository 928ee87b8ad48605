"""Which events there are, and what each may say. Unknown types and keys are refused.

Everything here is pseudonymous: ids, codes, counts, digests. Personal data has no key to go under.
"""

from __future__ import annotations

EVENT_DETAILS: dict[str, frozenset[str]] = {
    "consent.granted": frozenset({"purpose", "channel", "recipient", "group", "notice", "point", "said_at", "record"}),
    "consent.renewed": frozenset({"purpose", "channel", "recipient", "group", "notice", "point", "said_at", "record"}),
    "consent.confirmed": frozenset(
        {"purpose", "channel", "recipient", "group", "notice", "point", "said_at", "record"}
    ),
    "consent.denied": frozenset({"purpose", "channel", "recipient", "group", "notice", "point", "said_at", "record"}),
    "consent.withdrawn": frozenset(
        {"purpose", "channel", "recipient", "group", "notice", "point", "said_at", "record"}
    ),
    "subject.created": frozenset({"kind"}),
    "subject.changed": frozenset({"changed"}),
    "suppression.added": frozenset({"kind", "scope", "said_at", "source"}),
    "suppression.removed": frozenset({"kind", "scope"}),
    "guardian.recorded": frozenset({"purposes"}),
    "import.finished": frozenset({"kind", "rows", "accepted", "refused", "replayed", "sha256"}),
    "register.changed": frozenset({"kind", "code", "action", "sha256"}),
    "campaign.approved": frozenset({"sha256"}),
    "policy.published": frozenset({"revision", "sha256"}),
    "screening.started": frozenset({"campaign", "input_sha256", "as_of"}),
    "screening.finished": frozenset(
        {"campaign", "rows", "allow", "deny", "hold", "defer", "invalid", "duplicates", "manifest_sha256"}
    ),
    "screening.cancelled": frozenset({"campaign"}),
    "preference_link.created": frozenset({"scope"}),
    "subject.viewed": frozenset({"where"}),
    "access.denied": frozenset({"where", "why"}),
    "api_client.changed": frozenset({"client", "action"}),
}


def checked_details(event_type: str, details: dict[str, object]) -> dict[str, object]:
    """Return the details without empty values. Raises ValueError for an unknown type or key."""
    allowed = EVENT_DETAILS.get(event_type)
    if allowed is None:
        raise ValueError(f"unknown event type {event_type}")
    unknown = set(details) - allowed
    if unknown:
        raise ValueError(f"{event_type} has no detail {', '.join(sorted(unknown))}")
    return {key: value for key, value in details.items() if value is not None and value != ""}
