"""The Merkle tree of RFC 6962, section 2.1: roots, growth by a compact range, proofs and their verification.

No linear part: whatever is in the tree is proved against the root. Hashes are SHA-256; a leaf is prefixed with 0x00
and a node with 0x01, so that neither can pass for the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Subtree = Callable[[int, int], bytes]
"""(level, index) → hash of the complete subtree of 2**level leaves that begins at leaf index * 2**level."""


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes. The simple definition, for tests and small trees."""
    tree = CompactRange()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


class CompactRange:
    """The right edge of a tree: one hash per 1-bit of its size. Appending needs nothing else."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(hashes):
            raise ValueError("a compact range has one hash per 1-bit of its size")
        self.size = size
        self.hashes = list(hashes)  # from the largest subtree to the smallest

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; returns the subtrees it completes as (level, index, hash), the leaf first."""
        completed = [(0, self.size, leaf)]
        level, node, size = 0, leaf, self.size
        while size & 1:
            node = node_hash(self.hashes.pop(), node)
            size >>= 1
            level += 1
            completed.append((level, size, node))
        self.hashes.append(node)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Return the root of the tree as it is now."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def range_hash(start: int, end: int, subtree: Subtree) -> bytes:
    """Return MTH of leaves [start, end), where start is a multiple of the largest power of two in the range."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return subtree(level, start >> level)
    split = 1 << (count - 1).bit_length() - 1
    return node_hash(range_hash(start, start + split, subtree), range_hash(start + split, end, subtree))


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Return the audit path of a leaf (RFC 6962 section 2.1.1). Raises ValueError if it is not in the tree."""
    if not 0 <= index < size:
        raise ValueError("the leaf is not in the tree")
    return _path(index, 0, size, subtree)


def _path(index: int, start: int, end: int, subtree: Subtree) -> list[bytes]:
    count = end - start
    if count == 1:
        return []
    split = 1 << (count - 1).bit_length() - 1
    if index < start + split:
        return [*_path(index, start, start + split, subtree), range_hash(start + split, end, subtree)]
    return [*_path(index, start + split, end, subtree), range_hash(start, start + split, subtree)]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """Return the proof that the tree of size `old` is a prefix of that of size `new` (RFC 6962 section 2.1.2)."""
    if not 0 < old <= new:
        raise ValueError("the old size lies between 1 and the new size")
    return [] if old == new else _subproof(old, 0, new, subtree, complete=True)


def _subproof(old: int, start: int, end: int, subtree: Subtree, *, complete: bool) -> list[bytes]:
    count = end - start
    if old == count:
        return [] if complete else [range_hash(start, end, subtree)]
    split = 1 << (count - 1).bit_length() - 1
    if old <= split:
        tail = range_hash(start + split, end, subtree)
        return [*_subproof(old, start, start + split, subtree, complete=complete), tail]
    head = range_hash(start, start + split, subtree)
    return [*_subproof(old - split, start + split, end, subtree, complete=False), head]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Check an audit path (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or any(len(step) != HASH_BYTES for step in proof):
        return False
    node, last, result = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            result = node_hash(step, result)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            result = node_hash(result, step)
        node >>= 1
        last >>= 1
    return last == 0 and result == root


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Check a consistency proof (RFC 9162 section 2.1.4.2)."""
    if not 0 < old <= new or any(len(step) != HASH_BYTES for step in proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node >>= 1
        last >>= 1
    from_old = from_new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            from_old, from_new = node_hash(step, from_old), node_hash(step, from_new)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            from_new = node_hash(from_new, step)
        node >>= 1
        last >>= 1
    return last == 0 and from_old == old_root and from_new == new_root
