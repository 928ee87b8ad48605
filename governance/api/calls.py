"""What every API call starts with: token, address, limit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, cast

from django.http import HttpRequest

from audit.options import option
from audit.problems import ProblemError
from governance.selectors.clients import Principal

if TYPE_CHECKING:  # REST framework reads this module while it is being imported
    from rest_framework.request import Request

_MOST_BUCKETS = 10_000
NEEDS_TOKEN = {"WWW-Authenticate": 'Bearer realm="zhixu"'}


def bearer_of(request: HttpRequest) -> str:
    """Return the access token of a request. Raises ProblemError (401) if there is none."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise ProblemError(401, "not_authenticated", headers=NEEDS_TOKEN)
    return str(token.strip())


def address_of(request: HttpRequest) -> str:
    """Return the caller's address, trusting as many proxies as are configured and not one more."""
    remote = str(request.META.get("REMOTE_ADDR") or "0.0.0.0")  # noqa: S104 - a Unix socket has none
    trusted = option("TRUSTED_PROXIES")
    chain = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    return str(chain[-trusted]) if trusted and len(chain) >= trusted else remote


@dataclass(slots=True)
class _Bucket:
    arrival: float = 0.0  # theoretical arrival time of the next conforming call


class RateLimit:
    """A generic cell rate limiter (GCRA) for this process: calls a minute, in bursts of a tenth of it."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._lock = Lock()

    def take(self, key: str, per_minute: int, count: int = 1) -> dict[str, str]:
        """Take `count` calls and return the rate-limit headers. Raises ProblemError (429) over the limit."""
        now = time.monotonic()
        interval = 60.0 / max(per_minute, 1)
        burst = max(per_minute / 10, 1) * interval
        with self._lock:
            if len(self._buckets) > _MOST_BUCKETS:
                self._buckets = {k: b for k, b in self._buckets.items() if b.arrival > now}
            bucket = self._buckets.setdefault(key, _Bucket())
            arrival = max(bucket.arrival, now) + interval * count
            wait = arrival - burst - now
            allowed = wait <= 0
            if allowed:
                bucket.arrival = arrival
        policy = f'"default";q={per_minute};w=60'
        if not allowed:
            headers = {"RateLimit-Policy": policy, "RateLimit": f'"default";r=0;t={int(wait) + 1}'}
            raise ProblemError(429, "rate_limited", headers=headers | {"Retry-After": str(int(wait) + 1)})
        left = max(int((now + burst - arrival) / interval), 0)
        return {"RateLimit-Policy": policy, "RateLimit": f'"default";r={left};t=1'}


rate_limit = RateLimit()


def principal_of(request: Request) -> Principal:
    """Return the client behind an authenticated API request."""
    return cast(Principal, request.user)
