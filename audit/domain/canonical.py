"""The one byte encoding of an audit entry: canonical JSON, a restricted RFC 8785.

Keys are ASCII, numbers are integers up to 2**53, there are no floats and no lone surrogates; then sorted keys
without blanks are the canonical form. The bytes are stored and hashed as they are, never rebuilt.
"""

from __future__ import annotations

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
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if abs(value) > _MAX_INTEGER:  # type: ignore[arg-type]
            raise ValueError("integer beyond 2**53")
    elif kind is list or kind is tuple:
        for item in value:  # type: ignore[attr-defined]
            _check(item)
    elif kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not key.isascii():
                raise ValueError("keys are ASCII text")
            if type(item) is not str:
                _check(item)
    else:
        raise ValueError(f"no canonical form for {kind.__name__}")
