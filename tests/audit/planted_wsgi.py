"""The web with two faults planted: the tests that promise their absence must find them."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, transaction

from config.wsgi import application  # sets Django up before anything below is read

if True:
    from audit.services import record
    from consent.services import checks

_copy_rows = record.copy_rows
_statement = checks._statement


def swallowed(table: str, *args: Any, **kwargs: Any) -> None:
    """Write the trace if it can be written, and go on without it if not."""
    try:
        with transaction.atomic():
            _copy_rows(table, *args, **kwargs)
    except DatabaseError:
        pass


def unkept(*args: Any) -> tuple[bytes, list[str]]:
    """Decide, and keep no row of it."""
    text, names = _statement(*args)
    kept = b"FROM decided d CROSS JOIN gate g\n)"
    assert kept in text
    return text.replace(kept, b"FROM decided d CROSS JOIN gate g WHERE false\n)"), names


record.copy_rows = swallowed
checks._statement = unkept  # type: ignore[assignment]

__all__ = ["application"]
