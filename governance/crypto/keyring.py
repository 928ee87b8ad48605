"""Root keys from a file outside the code and the database. One root per use; they never mix.

Source: design of the key hierarchy in docs/formats.md. A root is 32 random bytes; working keys are derived
from it with HKDF-SHA256 (RFC 5869) under an info string that names the use and every parameter.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.options import option
from governance.errors import KeyringError

Use = Literal["kek", "index", "mac", "token", "sign"]
USES: tuple[Use, ...] = ("kek", "index", "mac", "token", "sign")
KEY_BYTES = 32


@dataclass(frozen=True)
class Root:
    """All versions of the root of one use; `active` is the one new data is protected with."""

    active: int
    keys: dict[int, bytes]

    def __repr__(self) -> str:
        return f"<Root active={self.active} versions={sorted(self.keys)}>"


@cache
def keyring() -> dict[Use, Root]:
    """Return the root keys, read once per process.

    Raises:
        KeyringError: no file, readable by others, or damaged. The product does not start without keys.
    """
    path = Path(option("KEYRING"))
    if not path.exists():
        if not option("KEYRING_AUTOCREATE"):
            raise KeyringError("Key ring %(name)s is missing; set ZHIXU_KEYRING or run keyring_create.", name=path.name)
        keyring_create(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyringError("Key ring %(name)s can be read by others; chmod 600.", name=path.name)
    try:
        stored = json.loads(path.read_text())
        return {use: _root(stored[use]) for use in USES}
    except (KeyError, ValueError, TypeError) as error:
        raise KeyringError(
            "Key ring %(name)s is damaged: %(error)s", name=path.name, error=type(error).__name__
        ) from None


def _root(stored: dict[str, Any]) -> Root:
    keys = {int(version): base64.b64decode(key, validate=True) for version, key in stored["keys"].items()}
    if any(len(key) != KEY_BYTES for key in keys.values()):
        raise ValueError("a key of another length")
    if stored["active"] not in keys:
        raise KeyError("active")
    return Root(stored["active"], keys)


def keyring_create(path: Path) -> None:
    """Write a new key ring, readable by its owner only. Never overwrites one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    roots = {use: {"active": 1, "keys": {"1": base64.b64encode(os.urandom(KEY_BYTES)).decode()}} for use in USES}
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(roots, indent=1))
    try:
        os.link(partial, path)
    except FileExistsError:
        pass  # another process was first; its ring is the ring
    finally:
        partial.unlink()


@cache
def derived_key(use: Use, version: int, *parts: str) -> bytes:
    """Return the 32-byte key for one use, version and set of parameters."""
    root = keyring()[use].keys.get(version)
    if root is None:
        raise KeyringError("The key ring has no %(use)s key %(version)s.", use=use, version=version)
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info(f"zhixu/{use}/v1", *parts)).derive(root)


def info(*parts: str | bytes) -> bytes:
    """Join parts unambiguously: each is preceded by its length as four bytes, big-endian."""
    out = bytearray()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        out += struct.pack(">I", len(data)) + data
    return bytes(out)
