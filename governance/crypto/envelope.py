"""The format of an encrypted field, and nothing else.

`zx1 | alg(1) | key id(16) | key version(4) | commitment(32) | nonce(12) | ciphertext | tag(16)`

AES-256-GCM is not key-committing: one ciphertext can open under two keys. The commitment, derived from the
key once, closes that at no cost per record. Plaintext is padded so that its length says little. The
associated data bind a value to its place: moved to another row, column or person it does not open.
"""

from __future__ import annotations

import hmac
import os
import struct
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from governance.crypto.keyring import info
from governance.errors import SealBrokenError

MAGIC = b"zx1"
AES_256_GCM = 1
OVERHEAD = 84
_HEAD = struct.Struct(">3sB16sI32s12s")
_SMALLEST_PADDED = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lives. Everything here is part of the associated data."""

    tenant: str
    table: str
    column: str
    row: UUID
    subject: UUID
    row_version: int = 1


class FieldKey:
    """A data key ready for use: cipher and commitment are made once."""

    __slots__ = ("_cipher", "_commitment", "_tail", "id", "version")

    def __init__(self, key_id: UUID, version: int, key: bytes) -> None:
        self.id = key_id
        self.version = version
        self._cipher = AESGCM(key)
        self._commitment = HKDF(
            algorithm=SHA256(), length=32, salt=None, info=info("zhixu/commit/v1", key_id.bytes, str(version))
        ).derive(key)
        self._tail = info(key_id.bytes, str(version), str(AES_256_GCM))

    def __repr__(self) -> str:
        return f"<FieldKey {self.id} v{self.version}>"

    def seal(self, value: str, place: Place, nonce: bytes | None = None) -> bytes:
        """Encrypt text for one place. `nonce` is for bulk work that draws randomness once: 12 fresh bytes."""
        nonce = nonce or os.urandom(12)
        head = _HEAD.pack(MAGIC, AES_256_GCM, self.id.bytes, self.version, self._commitment, nonce)
        return head + self._cipher.encrypt(nonce, _padded(value.encode()), self._aad(place))

    def open(self, sealed: bytes, place: Place) -> str:
        """Decrypt. Raises SealBrokenError for any other key, place or byte."""
        sealed = bytes(sealed)
        try:
            magic, alg, key_id, version, commitment, nonce = _HEAD.unpack_from(sealed)
        except struct.error:
            raise SealBrokenError("The sealed value is too short.") from None
        if (magic, alg, key_id, version) != (MAGIC, AES_256_GCM, self.id.bytes, self.version):
            raise SealBrokenError("The value was sealed with another key or format.")
        if not hmac.compare_digest(commitment, self._commitment):
            raise SealBrokenError("The key does not match its commitment.")
        try:
            return _unpadded(self._cipher.decrypt(nonce, sealed[_HEAD.size :], self._aad(place))).decode()
        except (InvalidTag, ValueError):
            raise SealBrokenError("The value was changed or moved.") from None

    def _aad(self, place: Place) -> bytes:
        head = _aad_head(place.tenant, place.table, place.column)
        return head + info(place.row.bytes, place.subject.bytes, str(place.row_version)) + self._tail


@cache
def _aad_head(tenant: str, table: str, column: str) -> bytes:
    return info("zx/fe/1", tenant, table, column)


def key_id_of(sealed: bytes) -> UUID:
    """Return the id of the key a value was sealed with, without opening it."""
    if len(sealed) < OVERHEAD or bytes(sealed[:3]) != MAGIC:
        raise SealBrokenError("Not a sealed value.")
    return UUID(bytes=bytes(sealed[4:20]))


def _padded(data: bytes) -> bytes:
    """Pad with 0x80 and zeros (ISO/IEC 7816-4) to 16, 32, 64, 128 … bytes."""
    size = _SMALLEST_PADDED
    while size <= len(data):
        size *= 2
    return data + b"\x80" + b"\0" * (size - len(data) - 1)


def _unpadded(data: bytes) -> bytes:
    body = data.rstrip(b"\0")
    if not body.endswith(b"\x80"):
        raise ValueError("bad padding")
    return body[:-1]
