"""A subject reference from a request body, for the doors of the floor below (settings.ZHIXU["SUBJECT_OF"])."""

from __future__ import annotations

from uuid import UUID

from audit.problems import ProblemError
from consent.api.shapes import Errors, read_subject
from consent.selectors.register import register_in_hand
from consent.selectors.subjects import subject_find
from consent.services.checks import SubjectRef


def subject_of(value: object) -> SubjectRef:
    """Read a subject reference. Raises ProblemError (400) for what is none."""
    errors = Errors()
    found = read_subject(value, register_in_hand().governed.member_id_pattern, errors, "/subject")
    if found is None:
        raise ProblemError(400, "invalid_request", errors=errors.found)
    return found


def subject_ref_of(value: object) -> UUID | None:
    """Return our own reference of the one person a subject reference names, or None."""
    found = subject_of(value)
    person = subject_find(found.kind, found.lookup)
    return person.ref if person else None
