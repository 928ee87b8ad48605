"""Is the process alive; can it answer."""

from __future__ import annotations

import logging

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from audit.domain.roles import WEB
from audit.errors import ZhixuError
from audit.services.record import database_now
from audit.services.roles import role_is_guarded
from audit.services.sequencer import ledger_state
from governance.crypto.keyring import keyring

log = logging.getLogger(__name__)


def alive(request: HttpRequest) -> JsonResponse:
    """The process runs. Says nothing of what it depends on."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """Database and keys are there, without either every check would be refused; and the role is fit to serve.

    The ledger is told and takes nobody out of service: while its sequencer is away, entries wait and nothing is lost.
    """
    parts: dict[str, bool] = {"database": _database(), "keys": _keys()}
    parts["role"] = parts["database"] and role_is_guarded(WEB)
    good = all(parts.values())
    ledger = _ledger() if parts["database"] else "unknown"
    answer = {"status": "ok" if good else "unavailable", **parts, "ledger": ledger}
    return JsonResponse(answer, status=200 if good else 503)


_said = "ok"


def _ledger() -> str:
    """Return ok, behind or late, and say once in the log when it changes."""
    global _said
    try:
        found = ledger_state(database_now())
    except DatabaseError:
        return "unknown"
    if found != _said:
        log.log(logging.INFO if found == "ok" else logging.ERROR, "the ledger is %s", found)
        _said = found
    return found


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
