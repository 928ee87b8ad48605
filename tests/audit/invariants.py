"""What holds of a ledger at any time, checked on the stored bytes alone. Shares no code with the product."""

from __future__ import annotations

import base64
import hashlib
import json

import psycopg
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _roots(leaves: list[bytes]) -> list[bytes]:
    """Return the root of every prefix of a tree, by its definition: RFC 6962 section 2.1, left to right."""
    roots, stack = [hashlib.sha256(b"").digest()], []  # stack of (level, hash)
    for leaf in leaves:
        stack.append((0, leaf))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            (level, right), (_, left) = stack.pop(), stack.pop()
            stack.append((level + 1, _node(left, right)))
        root = stack[-1][1]
        for _, left in reversed(stack[:-1]):
            root = _node(left, root)
        roots.append(root)
    return roots


def faults(url: str, *, verifier: str = "", idle: bool = True) -> list[str]:
    """Return what is wrong with a ledger. `idle`: nobody writes, and the sequencer has done its round."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        entries = dict(connection.execute("SELECT id, body FROM audit_entry").fetchall())
        pending = {row[0] for row in connection.execute("SELECT entry_id FROM audit_pending").fetchall()}
        placed = connection.execute("SELECT idx, entry_id FROM audit_leaf ORDER BY idx").fetchall()
        tiles = {
            (level, n): bytes(hashes)
            for level, n, hashes in connection.execute("SELECT level, n, hashes FROM audit_tile").fetchall()
        }
        [(size, root)] = connection.execute("SELECT size, root FROM audit_tree").fetchall()
        heads = connection.execute("SELECT size, root, note FROM audit_checkpoint ORDER BY size").fetchall()
        anchored = connection.execute(
            "SELECT kind, target, size, count(*) FROM audit_anchor WHERE succeeded GROUP BY 1, 2, 3"
        ).fetchall()
    found = []
    if idle and pending:
        found.append(f"{len(pending)} entries still pending")
    order = [entry for _, entry in placed]
    if [idx for idx, _ in placed] != list(range(len(placed))):
        found.append("places are not contiguous")
    if len(set(order)) != len(order):
        found.append("an entry stands twice")
    if set(order) & pending:
        found.append("an entry is pending and placed")
    if set(order) | pending != set(entries):
        found.append(
            f"{len(set(entries) - set(order) - pending)} entries lost, {len(set(order) - set(entries))} invented"
        )
        return found
    leaves = [hashlib.sha256(b"\x00" + bytes(entries[entry])).digest() for entry in order]
    if any(json.loads(entries[entry])["id"] != str(entry) for entry in order):
        found.append("a body is another entry's")
    roots = _roots(leaves)
    if (size, bytes(root)) != (len(leaves), roots[-1]):
        found.append("the tree is not that of the entries")
    if b"".join(tiles.get((0, n), b"") for n in range(len(leaves) // 256 + 1)) != b"".join(leaves):
        found.append("the tiles are not those of the entries")
    for head_size, head_root, note in heads:
        text, _, signature = note.partition("\n\n")
        if head_size >= len(roots) or bytes(head_root) != roots[head_size]:
            found.append(f"head {head_size} is not a past of the tree")
        elif text.split("\n")[1:] != [str(head_size), base64.b64encode(bytes(head_root)).decode()]:
            found.append(f"head {head_size} says something else")
        elif verifier and not _signed(text + "\n", signature, verifier):
            found.append(f"head {head_size} is not signed")
    if idle and heads and heads[-1][0] != len(leaves):
        found.append("the newest entries are not under a head")
    if any(count > 1 for *_, count in anchored):
        found.append("a head was anchored twice")
    return found


def _signed(text: str, signature: str, verifier: str) -> bool:
    key = base64.b64decode(verifier.split("+", 2)[2])[1:]
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(
            base64.b64decode(signature.strip().rpartition(" ")[2])[4:], text.encode()
        )
    except InvalidSignature:
        return False
    return True
