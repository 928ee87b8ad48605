"""Texts that are signed: the head of the tree (C2SP tlog-checkpoint), a receipt, a proof (C2SP tlog-proof)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from audit.domain.merkle import HASH_BYTES
from audit.domain.note import NoteError

_PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_LONGEST_PATH = 63


@dataclass(frozen=True, slots=True)
class Head:
    """Size and root of a tree under its origin."""

    origin: str
    size: int
    root: bytes


def head_text(head: Head) -> str:
    """Return the text of a checkpoint."""
    return f"{head.origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"


def head_read(text: str) -> Head:
    """Return the head a checkpoint's text names. Raises NoteError."""
    lines = text.split("\n")
    if (
        len(lines) < 4
        or not lines[0]
        or not lines[1].isascii()
        or not lines[1].isdigit()
        or lines[1] != str(int(lines[1]))
    ):
        raise NoteError("no checkpoint")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except ValueError:
        raise NoteError("no checkpoint") from None
    if len(root) != HASH_BYTES:
        raise NoteError("no checkpoint")
    return Head(lines[0], int(lines[1]), root)


def receipt_text(origin: str, entry: UUID, leaf: bytes, recorded_at: str) -> str:
    """Return the text of the promise that an entry will stand in the tree within the merge delay."""
    return f"{origin} receipt\n{entry}\n{base64.b64encode(leaf).decode()}\n{recorded_at}\n"


def proof_text(index: int, path: Sequence[bytes], checkpoint: str) -> str:
    """Return a proof that verifies offline: place in the tree, audit path, the signed checkpoint."""
    hashes = "".join(f"{base64.b64encode(step).decode()}\n" for step in path)
    return f"{_PROOF_HEADER}\nindex {index}\n{hashes}\n{checkpoint}"


def proof_read(text: str) -> tuple[int, list[bytes], str]:
    """Return index, audit path and checkpoint of a proof's text. Raises NoteError."""
    head, gap, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or len(lines) < 2 or lines[0] != _PROOF_HEADER:
        raise NoteError("no proof")
    index = lines[1].removeprefix("index ")
    if index == lines[1] or not index.isascii() or not index.isdigit() or len(index) > 19 or index != str(int(index)):
        raise NoteError("no proof")
    try:
        path = [base64.b64decode(line, validate=True) for line in lines[2:]]
    except ValueError:
        raise NoteError("no proof") from None
    if len(path) > _LONGEST_PATH or any(len(step) != HASH_BYTES for step in path):
        raise NoteError("no proof")
    return int(index), path, checkpoint


def consistency_text(old: int, path: Sequence[bytes], checkpoint: str) -> str:
    """Return a consistency proof as witnesses take it (C2SP tlog-witness, add-checkpoint)."""
    hashes = "".join(f"{base64.b64encode(step).decode()}\n" for step in path)
    return f"old {old}\n{hashes}\n{checkpoint}"


@dataclass(frozen=True, slots=True)
class Promise:
    """What a receipt's text says: this entry, with this leaf, was recorded then."""

    origin: str
    entry: UUID
    leaf: bytes
    recorded_at: str


def receipt_read(text: str) -> Promise:
    """Return what a receipt's text promises. Raises NoteError."""
    lines = text.split("\n")
    if len(lines) != 5 or lines[4] or not lines[0].endswith(" receipt"):
        raise NoteError("no receipt")
    try:
        entry, leaf = UUID(lines[1]), base64.b64decode(lines[2], validate=True)
    except ValueError:
        raise NoteError("no receipt") from None
    if len(leaf) != HASH_BYTES or str(entry) != lines[1]:
        raise NoteError("no receipt")
    return Promise(lines[0].removesuffix(" receipt"), entry, leaf, lines[3])


def document_text(origin: str, number: str, digest: bytes) -> str:
    """Return the text that is signed for a whole receipt document: its number and the SHA-256 of its canonical form."""
    return f"{origin} receipt-document\n{number}\n{base64.b64encode(digest).decode()}\n"
