"""The house policy as it is stored."""

from __future__ import annotations

from governance.domain.register import DEFAULT_POLICY
from governance.domain.terms import PolicyState
from governance.models import PolicyRevision


def policy_values() -> dict[str, object]:
    """Return the values in force, defaults where nothing is set: what a new draft begins with."""
    row = PolicyRevision.objects.filter(state=PolicyState.PUBLISHED).first()
    return DEFAULT_POLICY | (row.values if row else {})
