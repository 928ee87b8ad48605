"""Texts that are signed: the head of the tree (C2SP tlog-checkpoint), a receipt, a proof (C2SP tlog-proof)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from audit.domain.merkle import HASH_BYTES
from audit.domain.note import NoteError

_PROOF_HEADER = "c2sp.org/tlog-proof@v1"


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
