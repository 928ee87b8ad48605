"""`Idempotency-Key`: the same key and body get the same answer again, for 24 hours.

Source: draft-ietf-httpapi-idempotency-key-header. The key is claimed before the work in a row of its own; a
second call meanwhile is told so, and a call that failed on our side frees the key again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop as _
from rest_framework.request import Request
from rest_framework.response import Response

from audit.problems import ProblemError
from governance.api.calls import principal_of
from governance.models import IdempotencyRecord

KEPT = timedelta(hours=24)
MAX_KEY = 128

Handler = Callable[..., Response]


def idempotent(handler: Handler) -> Handler:
    """Make a view's method answer a repeated write from memory. Without the header it works as ever."""

    @wraps(handler)
    def answer(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return handler(view, request, *args, **kwargs)
        if len(key) > MAX_KEY:
            detail = _("Idempotency-Key: at most %(most)s characters.")
            raise ProblemError(400, "invalid_request", detail, places={"most": MAX_KEY})
        body = orjson.dumps(request.data, option=orjson.OPT_SORT_KEYS)
        digest = hashlib.sha256(f"{request.method} {request.path}\n".encode() + body).digest()
        record = _claim(principal_of(request).client.pk, key, digest)
        if record.status is not None:
            again = Response(orjson.loads(record.body or b"null"), status=record.status)
            again["Idempotency-Replayed"] = "true"
            return again
        try:
            response = handler(view, request, *args, **kwargs)
        except BaseException:
            record.delete()
            raise
        record.status = response.status_code
        record.body = orjson.dumps(response.data)
        record.save(update_fields=["status", "body"])
        return response

    return answer


def _claim(client: int, key: str, digest: bytes) -> IdempotencyRecord:
    IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    try:
        with transaction.atomic():
            return IdempotencyRecord.objects.create(client_id=client, key=key, request_hash=digest)
    except IntegrityError:
        held = IdempotencyRecord.objects.get(client_id=client, key=key)
    if bytes(held.request_hash) != digest:
        raise ProblemError(409, "idempotency_key_reused")
    if held.status is None:
        raise ProblemError(409, "idempotency_key_in_use", headers={"Retry-After": "1"})
    return held
