"""Is the process alive; can it answer."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from audit.errors import ZhixuError
from governance.crypto.keyring import keyring


def alive(request: HttpRequest) -> JsonResponse:
    """The process runs. Says nothing of what it depends on."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """Database and keys are there; without either every check would be refused."""
    parts = {"database": _database(), "keys": _keys()}
    good = all(parts.values())
    return JsonResponse({"status": "ok" if good else "unavailable", **parts}, status=200 if good else 503)


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT NOT pg_is_in_recovery() FROM governance_register_head")
            row = cursor.fetchone()
    except DatabaseError:
        return False
    return bool(row and row[0])


def _keys() -> bool:
    try:
        return bool(keyring())
    except ZhixuError:
        return False
