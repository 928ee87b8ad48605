"""Public ids: a prefix that says what it is, and a UUID in hex."""

from __future__ import annotations

from uuid import UUID

from audit.problems import ProblemError


def public_id(prefix: str, value: UUID) -> str:
    return f"{prefix}_{value.hex}"


def uuid_of(prefix: str, text: str, code: str) -> UUID:
    """Read a public id. Raises ProblemError (404, `code`): malformed and unknown look the same."""
    body = text.removeprefix(f"{prefix}_")
    try:
        return UUID(hex=body)
    except ValueError:
        raise ProblemError(404, code) from None
