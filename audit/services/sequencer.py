"""Put committed entries into the tree, and sign its head.

Entries are taken from the pending table, never by id or time: serial order is not commit order, and a cursor would
lose rows for ever. Two sequencers never both win: one advisory lock, and the place in the tree is a primary key.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.utils.module_loading import import_string

from audit.actors import SYSTEM
from audit.bulk import copy_rows
from audit.domain.checkpoint import Head, head_text
from audit.domain.merkle import HASH_BYTES, CompactRange, consistency_proof, leaf_hash, range_hash, verify_consistency
from audit.domain.tiles import subtree_reader, tiles_grow
from audit.errors import LedgerBrokenError
from audit.models import AuditEntry, Checkpoint, Tree
from audit.options import option
from audit.selectors.ledger import checkpoint_latest, ledger_lag, tile_hashes
from audit.services.record import Event, ObjectRef, audit_record, database_now
from audit.signing import Signer

BATCH = 5_000
MERGE_DELAY = timedelta(seconds=60)
LAG_ALARM = timedelta(seconds=10)
HEARTBEAT = timedelta(minutes=4)  # the verifier asks for a signed head every five
LONGEST_TRANSACTION = timedelta(minutes=15)
"""An entry is written at most this long before its transaction ends: the verifier's bound for back-dating."""

_LOCK = 0x7A78_6C67  # "zxlg"
_USES = ("checkpoint", "receipt", "manifest")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Staged:
    entry_id: UUID
    body: bytes
    leaf: bytes


def origin() -> str:
    """Return the ledger's name, the first line of its checkpoints."""
    return f"zhixu.{option('TENANT')}/audit"


def ledger_signer(use: str) -> Signer:
    """Return the signer for `checkpoint`, `receipt` or `manifest`; settings name where signers come from."""
    signer: Signer = import_string(option("SIGNER"))(use)
    return signer


def ledger_verifiers(use: str) -> list[str]:
    """Return the verifiers of every key this installation ever signed with for a use, the newest first."""
    found: list[str] = import_string(option("VERIFIERS"))(use)
    return found


def ledger_step() -> int:
    """Do everything that is due once: stage, sequence, sign. Returns how many entries entered the tree.

    Raises:
        LedgerBrokenError: what is stored is not what was written. Nothing is signed, now or later, until a person
            has looked.
    """
    ledger_open()
    for path in option("LEDGER_STAGERS"):
        stage: Callable[[], int] = import_string(path)
        stage()
    heartbeat_stage()
    added = total = ledger_sequence()
    while added == BATCH:
        added = ledger_sequence()
        total += added
    checkpoint_sign()
    return total


@transaction.atomic
def ledger_open() -> None:
    """Announce each signing key in the tree before it signs anything, and what the verifier may rely on."""
    for use in _USES:
        verifier = ledger_signer(use).verifier
        place = ObjectRef("key", hashlib.sha256(verifier.encode()).hexdigest()[:32])
        if AuditEntry.objects.filter(object_kind=place.kind, object_ref=place.ref, type="key.announced").exists():
            continue
        details: dict[str, object] = {"use": use, "verifier": verifier}
        if use == "checkpoint":
            details["merge_delay"] = int(MERGE_DELAY.total_seconds())
            details["longest_transaction"] = int(LONGEST_TRANSACTION.total_seconds())
        audit_record(actor=SYSTEM, event=Event("key.announced", object=place, details=details))


@transaction.atomic
def heartbeat_stage() -> None:
    """Stage an entry when the last head is old, so that silence can be told from removal."""
    latest = Checkpoint.objects.order_by("-size").first()
    if latest and database_now() - latest.signed_at >= HEARTBEAT:
        audit_record(actor=SYSTEM, event=Event("ledger.heartbeat"))


@transaction.atomic
def ledger_sequence() -> int:
    """Move up to 5,000 pending entries into the tree in one transaction; returns how many.

    Returns 0 when another sequencer is at it.
    """
    if not _lock():
        return 0
    staged = pending_take()
    if not staged:
        return 0
    bodies_check(staged)
    tree = Tree.objects.select_for_update().get()
    edge = bytes(tree.edge)
    grown = CompactRange(tree.size, [edge[at : at + HASH_BYTES] for at in range(0, len(edge), HASH_BYTES)])
    leaves_write(tree.size, staged)
    tiles_write(tiles_grow(grown, (item.leaf for item in staged)))
    tree.size, tree.edge, tree.root = grown.size, b"".join(grown.hashes), grown.root()
    tree.save()
    return len(staged)


def pending_take() -> list[Staged]:
    """Delete pending rows and return their entries in the order the tree takes them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH taken AS (
                DELETE FROM audit_pending WHERE entry_id IN (SELECT entry_id FROM audit_pending LIMIT %s)
                RETURNING entry_id
            )
            SELECT taken.entry_id, body, leaf_hash FROM taken LEFT JOIN audit_entry e ON e.id = taken.entry_id
            ORDER BY e.recorded_at, e.id
            """,
            [BATCH],
        )
        rows = cursor.fetchall()
    gone = [str(entry_id) for entry_id, body, _ in rows if body is None]
    if gone:
        raise LedgerBrokenError("a staged entry is gone", entries=gone[:10])
    return [Staged(entry_id, bytes(body), bytes(leaf)) for entry_id, body, leaf in rows]


def bodies_check(staged: Sequence[Staged]) -> None:
    """Hash every body again: what was changed between its commit and now never enters the tree."""
    for item in staged:
        if leaf_hash(item.body) != item.leaf or json.loads(item.body).get("id") != str(item.entry_id):
            raise LedgerBrokenError("a staged entry was changed", entries=[str(item.entry_id)])


def leaves_write(first: int, staged: Sequence[Staged]) -> None:
    copy_rows("audit_leaf", ("idx", "entry_id"), [(first + n, item.entry_id) for n, item in enumerate(staged)])


def tiles_write(gained: dict[tuple[int, int], bytes]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO audit_tile (level, n, hashes) VALUES (%s, %s, %s)"
            " ON CONFLICT (level, n) DO UPDATE SET hashes = audit_tile.hashes || excluded.hashes",
            [(level, n, data) for (level, n), data in gained.items()],
        )


@transaction.atomic
def checkpoint_sign() -> Checkpoint | None:
    """Sign the head of the tree if it has grown. Returns None if there is nothing to sign.

    The root is computed a second time, from the tiles, and proved to continue the last signed head: a log must never
    sign two histories.
    """
    if not _lock():
        return None
    tree = Tree.objects.get()
    latest = Checkpoint.objects.order_by("-size").first()
    if tree.size == 0 or (latest and latest.size == tree.size):
        return None
    head_check(tree, latest)
    text = head_text(Head(origin(), tree.size, bytes(tree.root)))
    note = ledger_signer("checkpoint").sign(text)
    return Checkpoint.objects.create(size=tree.size, root=bytes(tree.root), note=note, signed_at=database_now())


def head_check(tree: Tree, latest: Checkpoint | None) -> None:
    """Compute root and consistency from the tiles. Raises LedgerBrokenError."""
    subtree = subtree_reader(tile_hashes)
    try:
        root = range_hash(0, tree.size, subtree)
        proof = consistency_proof(latest.size, tree.size, subtree) if latest else []
    except ValueError as error:
        raise LedgerBrokenError("the tiles do not hold the tree", reason=str(error)) from None
    if root != bytes(tree.root):
        raise LedgerBrokenError("the tiles give another root", size=tree.size)
    if latest and not verify_consistency(latest.size, tree.size, proof, bytes(latest.root), root):
        raise LedgerBrokenError("the tree does not continue the signed one", size=tree.size, signed=latest.size)


def ledger_state(at: datetime) -> str:
    """Return how far behind the ledger is: `ok`, `behind` (an entry has waited 10 s) or `late` (60 s, or no head)."""
    lag, head = ledger_lag(at), checkpoint_latest()
    if lag > MERGE_DELAY or (head is not None and at - head.signed_at > HEARTBEAT + MERGE_DELAY):
        return "late"  # with nothing to do, a sequencer that runs still signs a heartbeat
    return "behind" if lag > LAG_ALARM else "ok"


def lag_check(at: datetime) -> timedelta:
    """Return the age of the oldest pending entry, and say so loudly when it is too old."""
    lag = ledger_lag(at)
    if lag > LAG_ALARM:
        log.error(
            "the ledger lags: an entry has waited %s s, the merge delay is %s s", lag.seconds, MERGE_DELAY.seconds
        )
    return lag


def _lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])
