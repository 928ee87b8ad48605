"""Time-ordered random ids."""

from __future__ import annotations

import os
import time
import uuid
from datetime import datetime


def uuid7() -> uuid.UUID:
    """Return a UUID version 7 (RFC 9562 section 5.7): milliseconds first, then 74 random bits."""
    return _compose(time.time_ns() // 1_000_000, os.urandom(10))


def uuid7s(count: int) -> list[uuid.UUID]:
    """Return `count` ids of the same millisecond, with one call for randomness."""
    millis = time.time_ns() // 1_000_000
    noise = os.urandom(10 * count)
    return [_compose(millis, noise[10 * i : 10 * i + 10]) for i in range(count)]


def uuid7_floor(at: datetime) -> uuid.UUID:
    """Return the smallest id of this millisecond: a lower bound for what was made from then on."""
    return _compose(int(at.timestamp() * 1000), bytes(10))


def _compose(millis: int, noise: bytes) -> uuid.UUID:
    tail = int.from_bytes(noise, "big")
    value = (millis & (1 << 48) - 1) << 80 | 7 << 76 | (tail >> 62 & 0xFFF) << 64 | 2 << 62 | tail & (1 << 62) - 1
    return uuid.UUID(int=value)
