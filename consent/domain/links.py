"""Links by which a person opens his own choices: a secret in the address, only its hash kept."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Final

TOKEN_BYTES: Final = 32
LIFETIME: Final = timedelta(days=400)
SHORTEST_LIFETIME: Final = timedelta(days=30)
"""An e-mail's way to unsubscribe works for at least 30 days (互联网电子邮件服务管理办法 第十四条第二款)."""


def token_new() -> str:
    """Return a new secret, safe in an address: 43 characters of 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(token: str) -> bytes:
    """Return what is stored of a token: SHA-256, enough for a secret that cannot be guessed. Takes any text."""
    return hashlib.sha256(token.encode(errors="replace")).digest()
