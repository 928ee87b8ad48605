"""Signed notes: a text anyone can read with signature lines anyone can check (C2SP signed-note).

A note is text that ends in a newline, an empty line, then lines `— name base64(key id || signature)`. Unknown
signature lines are ignored, so signatures can be added without breaking old verifiers.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

ED25519 = 1
COSIGNATURE = 4
"""Ed25519 over a checkpoint and the time a witness saw it (C2SP tlog-cosignature, cosignature/v1)."""

_DASH = "\u2014 "


@dataclass(frozen=True, slots=True)
class SignatureLine:
    name: str
    key_id: bytes  # 4 bytes
    signature: bytes


class NoteError(ValueError):
    """Not a signed note."""


def key_id(name: str, public_key: bytes, kind: int = ED25519) -> bytes:
    """Return the 4-byte key id of an Ed25519 verifier: SHA-256(name, newline, type, key)."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public_key).digest()[:4]


def verifier_key(name: str, public_key: bytes, kind: int = ED25519) -> str:
    """Return a verifier in its text form: `name+hash+base64(type || key)`."""
    encoded = base64.b64encode(bytes([kind]) + public_key).decode()
    return f"{name}+{key_id(name, public_key, kind).hex()}+{encoded}"


def parse_verifier_key(text: str, kind: int = ED25519) -> tuple[str, bytes]:
    """Return name and public key of a verifier of one kind. Raises NoteError if its parts do not fit each other."""
    name, _, rest = text.partition("+")
    digest, _, encoded = rest.partition("+")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise NoteError("bad verifier key") from None
    if not name or len(raw) != 33 or raw[0] != kind or key_id(name, raw[1:], kind).hex() != digest:
        raise NoteError("bad verifier key")
    return name, raw[1:]


def signature_line(name: str, public_key: bytes, signature: bytes) -> str:
    return f"{_DASH}{name} {base64.b64encode(key_id(name, public_key) + signature).decode()}\n"


def split_note(note: str) -> tuple[str, list[SignatureLine]]:
    """Return the signed text (with its last newline) and the signature lines. Raises NoteError."""
    text, gap, tail = note.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise NoteError("no signatures")
    lines = []
    for line in tail.splitlines():
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not name:
            raise NoteError("bad signature line")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise NoteError("bad signature line") from None
        if len(raw) < 5 or base64.b64encode(raw).decode() != encoded:  # one signature, one way to write it
            raise NoteError("bad signature line")
        lines.append(SignatureLine(name, raw[:4], raw[4:]))
    return text + "\n", lines
