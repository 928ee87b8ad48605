"""What a log and its witness tell each other (C2SP tlog-witness), and what a witness signs (C2SP tlog-cosignature)."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from audit.domain.note import NoteError

SIZE_TYPE = "text/x.tlog.size"
_LATEST = 1 << 63


def add_checkpoint_body(old: int, proof: Sequence[bytes], note: str) -> str:
    """Return the body of `add-checkpoint`: what the witness has seen, why ours continues it, and ours."""
    hashes = "".join(f"{base64.b64encode(step).decode()}\n" for step in proof)
    return f"old {old}\n{hashes}\n{note}"


def conflict_size(body: str) -> int:
    """Return the size a witness names when it refuses ours (409). Raises NoteError: it names none."""
    text = body.removesuffix("\n")
    if not text.isascii() or not text.isdigit() or len(text) > 19 or text != str(int(text)):
        raise NoteError("the witness names no size")
    return int(text)


def cosigned_text(text: str, seconds: int) -> str:
    """Return what a cosignature/v1 is made over."""
    return f"cosignature/v1\ntime {seconds}\n{text}"


def cosigned_time(signature: bytes) -> tuple[int, bytes]:
    """Split a timestamped signature into its time, in seconds since 1970, and the signature. Raises NoteError."""
    seconds = int.from_bytes(signature[:8], "big")
    if len(signature) != 72 or seconds >= _LATEST:
        raise NoteError("bad cosignature")
    return seconds, signature[8:]
