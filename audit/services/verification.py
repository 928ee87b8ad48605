"""Is the ledger whole? Everything is computed again from the bodies: leaves, tiles, roots, heads, what is outside.

Reads the tree in chunks along its key, so memory stays bounded whatever its size, and needs no lock against writers:
what is in the tree never changes, and what came after the start is left for the next time.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Thread
from typing import Any

from django.db import DatabaseError, connection, transaction

from audit.actors import SYSTEM, Actor
from audit.domain.checkpoint import Head, head_read
from audit.domain.merkle import HASH_BYTES, CompactRange, leaf_hash
from audit.domain.tiles import TILE_WIDTH, tile_widths, tiles_grow
from audit.errors import VerificationRunningError
from audit.models import Checkpoint, Tile, Verification
from audit.selectors.ledger import verification_latest
from audit.services.receipts import signed_text
from audit.services.record import Event, audit_record, database_now
from audit.services.sequencer import origin

EVERY = timedelta(hours=24)
AT_ONCE = 20_000
"""How many entries are verified while somebody waits for the page; beyond it the work goes on behind it."""

_LOCK = 0x7A78_7666  # "zxvf"
_CHUNK = 16 * 1024  # leaves; whole tiles
_PLACES = 20  # of one kind of finding that are named
_NO_LEAF = b"\0" * HASH_BYTES

FINDINGS = (
    "body_changed",
    "columns_differ",
    "entry_missing",
    "leaf_missing",
    "leaf_beyond_tree",
    "entry_outside",
    "pending_twice",
    "pending_orphan",
    "payload_changed",
    "payload_orphan",
    "tile_differs",
    "tile_count",
    "root_differs",
    "head_differs",
    "head_unsigned",
    "head_beyond_tree",
    "anchor_differs",
)
"""Everything a verification can find. Stored; never renamed."""

log = logging.getLogger(__name__)


@dataclass
class _Run:
    """A verification under way: the tree as computed so far, its unfinished tiles, and what was found."""

    size: int
    tree: CompactRange = field(default_factory=CompactRange)
    tiles: dict[tuple[int, int], bytearray] = field(default_factory=dict)
    heads: int = 0
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def found(self, code: str, place: object, count: int = 1) -> None:
        finding = self.findings.setdefault(code, {"code": code, "count": 0, "places": []})
        finding["count"] += count
        if len(finding["places"]) < _PLACES:
            finding["places"].append(str(place))


@transaction.atomic
def ledger_verify(*, actor: Actor) -> Verification:
    """Verify the whole ledger, keep the answer, and note in the trail who asked and what came out.

    Raises:
        VerificationRunningError: one is under way.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            raise VerificationRunningError("A verification is under way.")
        cursor.execute(
            "SELECT t.size, t.root, (SELECT count(*) FROM audit_pending), (SELECT max(size) FROM audit_checkpoint),"
            " (SELECT max(idx) FROM audit_leaf), (SELECT count(*) FROM audit_tile) FROM audit_tree t"
        )
        size, root, pending, signed, last, tiles = cursor.fetchone()
    started_at = database_now()
    run = _Run(size)
    if (signed or 0) > size:
        run.found("head_beyond_tree", signed)
    if last is not None and last >= size:
        run.found("leaf_beyond_tree", last)
    if tiles != sum(1 for _ in tile_widths(size)):
        run.found("tile_count", tiles)
    for first in range(0, size, _CHUNK):
        _verify_chunk(run, first, min(first + _CHUNK, size))
    _compare_tiles(run, list(run.tiles))
    if run.tree.root() != bytes(root):
        run.found("root_differs", size)
    _verify_strays(run)
    return _keep(run, bytes(root), pending, started_at, actor)


def _keep(run: _Run, root: bytes, pending: int, started_at: datetime, actor: Actor) -> Verification:
    findings = list(run.findings.values())
    result = "broken" if findings else "whole"
    kept = Verification.objects.create(
        size=run.size,
        root=root,
        heads=run.heads,
        pending=pending,
        result=result,
        findings=findings,
        actor_kind=actor.kind,
        actor_ref=actor.ref,
        started_at=started_at,
        finished_at=database_now(),
    )
    details = {
        "size": run.size,
        "root": base64.b64encode(root).decode(),
        "result": result,
        "findings": sum(finding["count"] for finding in findings),
    }
    audit_record(actor=actor, event=Event("ledger.verified", details=details))
    if findings:
        log.critical("the ledger is not whole: %s", ", ".join(finding["code"] for finding in findings))
    return kept


def _verify_chunk(run: _Run, first: int, end: int) -> None:
    """Verify leaves [first, end): their bodies, the tiles they complete, and the heads that end among them."""
    leaves = [_verify_leaf(run, index, row) for index, row in _leaf_rows(first, end)]
    heads = list(Checkpoint.objects.filter(size__gt=first, size__lte=end).order_by("size"))
    done = 0
    for head in heads:
        _grow(run, leaves[done : head.size - first])
        done = head.size - first
        _verify_head(run, head)
    _grow(run, leaves[done:])
    run.heads += len(heads)
    _compare_tiles(run, [place for place, data in run.tiles.items() if len(data) == TILE_WIDTH * HASH_BYTES])


def _grow(run: _Run, leaves: Sequence[bytes]) -> None:
    for place, data in tiles_grow(run.tree, leaves).items():
        run.tiles.setdefault(place, bytearray()).extend(data)


def _leaf_rows(first: int, end: int) -> Iterable[tuple[int, Any]]:
    """Yield every place of a range with its entry, None where the leaf is missing."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT l.idx, l.entry_id, e.body, e.leaf_hash, e.type, e.actor_kind, e.actor_ref, e.subject_ref,
                e.object_kind, e.object_ref, e.recorded_at, sha256(p.sealed)
            FROM audit_leaf l LEFT JOIN audit_entry e ON e.id = l.entry_id
                LEFT JOIN audit_payload p ON p.entry_id = l.entry_id
            WHERE l.idx >= %s AND l.idx < %s ORDER BY l.idx
            """,
            [first, end],
        )
        rows = {row[0]: row for row in cursor.fetchall()}
    for index in range(first, end):
        yield index, rows.get(index)


def _verify_leaf(run: _Run, index: int, row: Any) -> bytes:
    """Hash the body again and compare what stands beside it. Returns the leaf the tree must hold here."""
    if row is None:
        run.found("leaf_missing", index)
        return _NO_LEAF
    entry_id, body, stored, *columns, payload = row[1:]
    if body is None:
        run.found("entry_missing", f"{index} {entry_id}")
        return _NO_LEAF
    leaf = leaf_hash(bytes(body))
    said = _read(bytes(body))
    if leaf != bytes(stored) or said.get("id") != str(entry_id):
        run.found("body_changed", f"{index} {entry_id}")
    elif _columns(said) != [_plain(value) for value in columns]:
        run.found("columns_differ", f"{index} {entry_id}")
    if payload is not None and said.get("px") != base64.b64encode(bytes(payload)).decode():
        run.found("payload_changed", f"{index} {entry_id}")
    return leaf


def _read(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _columns(said: dict[str, Any]) -> list[str]:
    """Return what a body says in the order of the columns that repeat it."""
    actor, place = said.get("actor") or {}, said.get("obj") or {}
    at = datetime.fromisoformat(said["t"]) if "t" in said else None
    return [
        str(part or "")
        for part in (
            said.get("type"),
            actor.get("k"),
            actor.get("ref"),
            said.get("subj"),
            place.get("k"),
            place.get("ref"),
            at and at.timestamp(),
        )
    ]


def _plain(value: object) -> str:
    return str(value.timestamp()) if isinstance(value, datetime) else str(value or "")


def _verify_head(run: _Run, head: Checkpoint) -> None:
    root = run.tree.root()
    if bytes(head.root) != root:
        run.found("head_differs", head.size)
        return
    try:
        named = head_read(signed_text(head.note, "checkpoint"))
    except ValueError:
        run.found("head_unsigned", head.size)
        return
    if named != Head(origin(), head.size, root):
        run.found("head_differs", head.size)


def _compare_tiles(run: _Run, places: Sequence[tuple[int, int]]) -> None:
    """Compare tiles with what is stored and forget them. A stored one may have grown since the start."""
    stored: dict[tuple[int, int], bytes] = {}
    for level in {level for level, _ in places}:
        numbers = [n for at, n in places if at == level]
        for tile in Tile.objects.filter(level=level, n__any=numbers):
            stored[level, tile.n] = bytes(tile.hashes)
    for place in places:
        expected = bytes(run.tiles.pop(place))
        if stored.get(place, b"")[: len(expected)] != expected:
            run.found("tile_differs", f"{place[0]}/{place[1]}")


_STRAYS = {
    # neither in the tree nor waiting for it: it was taken out
    "entry_outside": """
        SELECT e.id FROM audit_entry e WHERE NOT EXISTS (SELECT FROM audit_leaf l WHERE l.entry_id = e.id)
            AND NOT EXISTS (SELECT FROM audit_pending p WHERE p.entry_id = e.id)
    """,
    "pending_twice": "SELECT p.entry_id FROM audit_pending p JOIN audit_leaf l USING (entry_id)",
    "pending_orphan": """
        SELECT p.entry_id FROM audit_pending p WHERE NOT EXISTS (SELECT FROM audit_entry e WHERE e.id = p.entry_id)
    """,
    "payload_orphan": """
        SELECT p.entry_id FROM audit_payload p WHERE NOT EXISTS (SELECT FROM audit_entry e WHERE e.id = p.entry_id)
    """,
    # what was put outside names another root than the head of that size
    "anchor_differs": """
        SELECT a.id FROM audit_anchor a LEFT JOIN audit_checkpoint c ON c.size = a.size
        WHERE a.succeeded AND (c.size IS NULL OR position(encode(c.root, 'base64') IN a.note) = 0)
    """,
}


def _verify_strays(run: _Run) -> None:
    """Find rows that belong to nothing, each kind with one statement over whole tables."""
    with connection.cursor() as cursor:
        for code, query in _STRAYS.items():
            cursor.execute(
                f"SELECT count(*), (array_agg(id::text))[1:%s] FROM ({query}) AS found (id)",  # noqa: S608 - our own
                [_PLACES],
            )
            count, places = cursor.fetchone()
            for place in places or ():
                run.found(code, place)
            if count:
                run.findings[code]["count"] = count


# -- when ------------------------------------------------------------------------------------------------------------


def verification_due(at: datetime) -> bool:
    """Tell whether the ledger was not verified for a day."""
    latest = verification_latest()
    return latest is None or at - latest.finished_at >= EVERY


def verification_running() -> bool:
    """Tell whether somebody verifies the ledger at this moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = %s"
            " AND objsubid = 1 AND granted)",
            [_LOCK],
        )
        return bool(cursor.fetchone()[0])


def verification_begin(*, actor: Actor) -> Thread:
    """Verify in a thread of this process. If it dies, nothing is kept, and it is asked for again."""

    def run() -> None:
        try:
            ledger_verify(actor=actor)
        except VerificationRunningError:
            pass  # somebody else is at it, and his answer is ours
        except DatabaseError as error:
            log.error("the verification of the ledger failed: %s", type(error).__name__)
        finally:
            connection.close()

    thread = Thread(target=run, name="zhixu-verification", daemon=True)
    thread.start()
    return thread


class Verifying:
    """Keeps the ledger verified once a day beside the sequencer."""

    def __init__(self) -> None:
        self._thread: Thread | None = None

    def begin(self, at: datetime) -> None:
        """Start a verification if one is due and none is under way here."""
        if self._thread is not None and self._thread.is_alive():
            return
        if verification_due(at):
            self._thread = verification_begin(actor=SYSTEM)

    def finish(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout=seconds)
