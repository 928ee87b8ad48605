"""Read the tree: heads, places, proofs, and how far behind it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from django.db import connection

from audit.domain.checkpoint import proof_text
from audit.domain.merkle import HASH_BYTES, consistency_proof, inclusion_proof
from audit.domain.tiles import TILE_WIDTH, subtree_reader
from audit.models import Checkpoint, Leaf, Tile


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where an entry stands in a signed tree, and the path that proves it (RFC 6962 section 2.1.1)."""

    index: int
    path: list[bytes]
    checkpoint: Checkpoint

    @property
    def text(self) -> str:
        """The proof as C2SP tlog-proof: verifies offline."""
        return proof_text(self.index, self.path, self.checkpoint.note)


def tile_hashes(level: int, n: int) -> bytes:
    """Return the hashes of a tile; empty if there is none."""
    data = Tile.objects.filter(level=level, n=n).values_list("hashes", flat=True).first()
    return bytes(data) if data else b""


def checkpoint_latest() -> Checkpoint | None:
    return Checkpoint.objects.order_by("-size").first()


def leaf_index(entry_id: UUID) -> int | None:
    """Return the place of an entry in the tree, None while it is pending."""
    return Leaf.objects.filter(entry_id=entry_id).values_list("idx", flat=True).first()


def leaf_of(index: int) -> bytes | None:
    """Return the leaf hash that stands at a place of the tree."""
    n, place = divmod(index, TILE_WIDTH)
    start = place * HASH_BYTES
    return tile_hashes(0, n)[start : start + HASH_BYTES] or None


def inclusion_of(entry_id: UUID) -> Inclusion | None:
    """Return the proof of an entry against the newest checkpoint; None until a checkpoint covers it."""
    index = leaf_index(entry_id)
    checkpoint = checkpoint_latest()
    if index is None or checkpoint is None or index >= checkpoint.size:
        return None
    path = inclusion_proof(index, checkpoint.size, subtree_reader(cache(tile_hashes)))
    return Inclusion(index, path, checkpoint)


def consistency_between(old: int, new: int) -> list[bytes]:
    """Return the proof that the tree of size `old` is a prefix of that of size `new`. Raises ValueError."""
    return consistency_proof(old, new, subtree_reader(cache(tile_hashes)))


def ledger_lag(at: datetime) -> timedelta:
    """Return how long the oldest committed entry has waited to enter the tree; zero if none waits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(recorded_at) FROM audit_pending p JOIN audit_entry e ON e.id = p.entry_id")
        oldest: datetime | None = cursor.fetchone()[0]
    return max(at - oldest, timedelta(0)) if oldest else timedelta(0)
