"""The private part of an act: sealed under the person's key for one audit entry, opened for that entry only."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Mapping
from uuid import UUID

from audit.domain.canonical import canonical_json
from audit.options import option
from audit.selectors.payloads import StoredPayload
from audit.services.record import SealedPayload
from governance.crypto.envelope import FieldKey, Place
from governance.errors import SealBrokenError
from governance.selectors.keys import data_keys_get
from governance.services.keys import data_keys_ensure

EVIDENCE = "evidence"
_SALT_BYTES = 32


def payloads_seal(*, entries: Mapping[UUID, Mapping[str, str]], subject: UUID) -> dict[UUID, SealedPayload]:
    """Seal contents of one person, each for the entry with its id; his evidence key is made if there is none.

    The commitment is HMAC-SHA256 under a random salt that lies inside the sealed text: whoever opens the payload can
    check it against the entry, nobody else can try out what it may say. In the caller's transaction.
    """
    if not entries:
        return {}
    key = data_keys_ensure([subject], use=EVIDENCE)[subject]
    return {entry: _sealed(key, entry, subject, content) for entry, content in entries.items()}


def payload_open(stored: StoredPayload) -> dict[str, str]:
    """Return what was sealed for an entry, after checking it against the entry's commitment.

    Raises:
        SealBrokenError: the key is destroyed, or these are not the bytes that were sealed for this entry.
    """
    key = data_keys_get([stored.subject], use=EVIDENCE).get(stored.subject)
    if key is None:
        raise SealBrokenError("The person's evidence key is gone.")
    try:
        text = json.loads(key.open(stored.sealed, _place(stored.entry, stored.subject)))
        content: dict[str, str] = text["content"]
        commitment = _commitment(bytes.fromhex(text["salt"]), content)
    except (KeyError, TypeError, ValueError):
        raise SealBrokenError("The sealed text is not a payload.") from None
    if not hmac.compare_digest(commitment, stored.commitment):
        raise SealBrokenError("The payload is not the one the entry commits to.")
    return content


def _sealed(key: FieldKey, entry: UUID, subject: UUID, content: Mapping[str, str]) -> SealedPayload:
    salt = os.urandom(_SALT_BYTES)
    text = canonical_json({"content": dict(content), "salt": salt.hex()}).decode()
    return SealedPayload(_commitment(salt, content), key.seal(text, _place(entry, subject)))


def _commitment(salt: bytes, content: Mapping[str, str]) -> bytes:
    return hmac.digest(salt, canonical_json(dict(content)), "sha256")


def _place(entry: UUID, subject: UUID) -> Place:
    return Place(option("TENANT"), "audit_payload", "sealed", entry, subject)
