"""Keyed look-up values: find a phone number without storing one.

Keyed BLAKE2b (RFC 7693), 16 bytes, a key of its own per legal entity, kind of identifier and key version.
Without the key, which is not in the database, the 7 * 10**9 possible numbers cannot be tried out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from audit.options import option
from governance.crypto.keyring import derived_key, keyring
from governance.domain.identifiers import IdentifierType

LOOKUP_BYTES = 16


def lookup_version() -> int:
    """Return the version of the index key that new look-up values are made with."""
    return keyring()["index"].active


def lookup_maker(kind: IdentifierType) -> Callable[[str], bytes]:
    """Return the function from a canonical value to its look-up value."""
    key = derived_key("index", lookup_version(), option("TENANT"), kind.word)
    prepared = hashlib.blake2b(key=key, digest_size=LOOKUP_BYTES)

    def make(value: str) -> bytes:
        digest = prepared.copy()
        digest.update(value.encode())
        return digest.digest()

    return make


def lookup(kind: IdentifierType, value: str) -> bytes:
    """Return the look-up value of one canonical value."""
    return lookup_maker(kind)(value)


def keyed_digest(*parts: str) -> bytes:
    """Return a 16-byte digest for telling repeats apart. Keyed: a bare hash of a phone number can be reversed."""
    key = derived_key("mac", keyring()["mac"].active, "digest")
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=LOOKUP_BYTES).digest()
