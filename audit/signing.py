"""Signing notes with Ed25519 (RFC 8032), and checking them."""

from __future__ import annotations

from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.domain.note import (
    COSIGNATURE,
    NoteError,
    key_id,
    parse_verifier_key,
    signature_line,
    split_note,
    verifier_key,
)
from audit.domain.witness import cosigned_text, cosigned_time


class Signer(Protocol):
    """Something that can sign notes under a name."""

    @property
    def verifier(self) -> str:
        """The text form of the key that checks this signer's notes."""
        ...

    def sign(self, text: str) -> str:
        """Return the signed note of a text that ends in a newline."""
        ...


class Ed25519Signer:
    """A signer with its private key in memory."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._name = name
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"<Ed25519Signer {self._name}>"

    @property
    def verifier(self) -> str:
        return verifier_key(self._name, self._public)

    def sign(self, text: str) -> str:
        if not text.endswith("\n") or "\n\n" in text:
            raise ValueError("a note's text ends in one newline and has no empty line")
        return f"{text}\n{signature_line(self._name, self._public, self._key.sign(text.encode()))}"


def note_open(note: str, verifier: str) -> str:
    """Return the text of a note if this verifier's signature on it holds. Raises NoteError."""
    name, public = parse_verifier_key(verifier)
    text, lines = split_note(note)
    wanted = key_id(name, public)
    for line in lines:
        if line.name == name and line.key_id == wanted:
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(line.signature, text.encode())
            except InvalidSignature:
                raise NoteError("the signature does not hold") from None
            return text
    raise NoteError("not signed by this key")


def cosignature_time(note: str, verifier: str) -> int:
    """Return when a witness cosigned a checkpoint, in seconds since 1970 by its own clock.

    `verifier` is a key of type 0x04 (C2SP tlog-cosignature). Raises NoteError: it did not, or the signature is bad.
    """
    name, public = parse_verifier_key(verifier, COSIGNATURE)
    text, lines = split_note(note)
    wanted = key_id(name, public, COSIGNATURE)
    for line in lines:
        if line.name == name and line.key_id == wanted:
            seconds, signature = cosigned_time(line.signature)
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(signature, cosigned_text(text, seconds).encode())
            except InvalidSignature:
                raise NoteError("the cosignature does not hold") from None
            return seconds
    raise NoteError("not cosigned by this witness")
