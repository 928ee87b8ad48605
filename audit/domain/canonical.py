"""The one byte encoding of an audit entry: canonical JSON, a restricted RFC 8785.

Keys are ASCII, numbers are integers up to 2**53, there are no floats and no lone surrogates; then sorted keys
without blanks are the canonical form. The bytes are stored and hashed as they are, never rebuilt.
"""

from __future__ import annotations

import hashlib
import json

MAX_BODY_BYTES = 8192
_MAX_INTEGER = 2**53


def canonical_json(value: object) -> bytes:
    """Return the canonical bytes of a value. Raises ValueError for what has no canonical form here."""
    _check(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("lone surrogate") from None


def _check(value: object) -> None:
    if value is None or isinstance(value, (bool, str)):
        return
    if isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            raise ValueError("integer beyond 2**53")
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise ValueError("keys are ASCII text")
            _check(item)
    else:
        raise ValueError(f"no canonical form for {type(value).__name__}")


def leaf_hash(body: bytes) -> bytes:
    """Return the Merkle leaf hash of an entry (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\0" + body).digest()
