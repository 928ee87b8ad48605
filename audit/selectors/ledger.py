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
from audit.models import Anchor, Checkpoint, Leaf, Tile, Tree, Verification


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


def pending_count() -> int:
    """Return how many entries wait to enter the tree."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_pending")
        return int(cursor.fetchone()[0])


def tree_now() -> tuple[int, bytes]:
    """Return size and root of the tree as it is now."""
    size, root = Tree.objects.values_list("size", "root").get()
    return size, bytes(root)


def verification_latest() -> Verification | None:
    return Verification.objects.order_by("-id").first()


@dataclass(frozen=True, slots=True)
class HeadRow:
    """A signed head, and by how much the tree had grown since the one before."""

    size: int
    root: bytes
    signed_at: datetime
    grown: int


def heads_newest(limit: int = 20) -> list[HeadRow]:
    """Return the newest heads, the newest first."""
    rows = list(Checkpoint.objects.order_by("-size")[: limit + 1])
    before = [row.size for row in rows[1:]] + [0]
    return [
        HeadRow(row.size, bytes(row.root), row.signed_at, row.size - old) for row, old in zip(rows, before, strict=True)
    ][:limit]


@dataclass(frozen=True, slots=True)
class AnchorState:
    """How one place outside keeps our heads. `reply`: what it last said."""

    kind: str
    target: str
    kept_at: datetime | None = None
    kept_size: int | None = None
    failures: int = 0  # since it last kept one
    tried_at: datetime | None = None
    reply: str = ""


_ANCHORS_READ = 20_000


def anchor_states() -> dict[tuple[str, str], AnchorState]:
    """Return each place that was ever asked lately, by kind and target. One query over the newest attempts."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH tried AS (
                SELECT *, max(id) FILTER (WHERE succeeded) OVER (PARTITION BY kind, target) AS kept
                FROM {Anchor._meta.db_table} WHERE id > (SELECT coalesce(max(id), 0) - %s FROM audit_anchor)
            )
            SELECT kind, target, max(anchored_at) FILTER (WHERE id = kept), max(size) FILTER (WHERE id = kept),
                count(*) FILTER (WHERE NOT succeeded AND id > coalesce(kept, 0)), max(anchored_at),
                (array_agg(reply ORDER BY id DESC))[1]
            FROM tried GROUP BY kind, target
            """,  # noqa: S608 - a table name of our own
            [_ANCHORS_READ],
        )
        return {row[:2]: AnchorState(*row) for row in cursor.fetchall()}
