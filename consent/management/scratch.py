"""A database of its own for one piece of work, gone afterwards. The server's real databases are never touched."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import call_command
from django.db import connection


@contextmanager
def scratch_database() -> Iterator[None]:
    """Create an empty, migrated database on the configured server and use it inside the block."""
    name = f"zhixu_scratch_{secrets.token_hex(6)}"
    real = connection.settings_dict["NAME"]
    _execute(f'CREATE DATABASE "{name}"')
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        call_command("migrate", verbosity=0, interactive=False)
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = real
        _execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _execute(statement: str) -> None:
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute(statement)
