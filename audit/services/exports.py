"""Write the ledger and what it must explain as a folder that `zhixu-verify` checks offline, without us.

The states are read in one snapshot; their digests then enter the ledger as an entry of its own, and the head that
covers this entry is exported with everything below it. So nobody can exchange a file of an export, and the verifier
knows which entries the snapshot had seen. Layout: docs/formats.md.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string

from audit.actors import Actor
from audit.domain.canonical import canonical_json
from audit.domain.tiles import TILE_WIDTH, tile_path, tile_widths
from audit.errors import ConflictError, ExportFolderError, LedgerBrokenError, LedgerLateError
from audit.models import Checkpoint, Tree
from audit.options import option
from audit.selectors.ledger import checkpoint_latest
from audit.services.record import Event, audit_record
from audit.services.sequencer import ledger_signer, ledger_step, origin
from audit.services.sequencing import entry_published

FORMAT = 1
SEALED, NEWEST = "checkpoints/sealed.ndjson", "checkpoints/newest.ndjson"
_ROWS = 5_000
_BUNDLES = 20  # bundles of entries a query
_USES = ("checkpoint", "receipt", "manifest")

Rows = Iterable[Mapping[str, object]]
Exporter = Callable[[], Iterable[tuple[str, Rows]]]
"""What an app adds to an export (settings.ZHIXU["EXPORTERS"]): its files by name, and their rows in the snapshot.

Rows hold references, codes, times and digests, never personal data. A `.json` file has one row.
"""
Progress = Callable[[str, int, int], None]
"""Called with (what is written, done, in all; 0: nobody knows)."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `sealed` is False if the ledger could not take the export's own entry: the states then
    stand beside the tree without being covered by it, and the verifier says so."""

    size: int
    entry: UUID
    sealed: bool
    reason: str = ""


def ledger_export(
    *, folder: Path, actor: Actor, at: datetime, wait: float = 5.0, on_progress: Progress | None = None
) -> Exported:
    """Export the whole ledger into an empty folder. Not inside a transaction: it takes its own snapshot.

    `wait`: how many seconds a running sequencer has to publish the export's entry before it is done here.

    Raises:
        ExportFolderError: the folder is not empty or cannot be made.
        ConflictError: nothing was ever signed.
    """
    folder_prepare(folder)
    say = on_progress or (lambda what, done, total: None)
    with _snapshot():
        size = Tree.objects.get().size
        head = checkpoint_latest()
        digests = {name: file_write(folder, name, rows, say) for name, rows in _parts()}
    with transaction.atomic():
        entry = audit_record(actor=actor, event=Event("ledger.exported", details={"files": digests, "size": size}))
    reason = _publish(entry, wait)
    checkpoint = checkpoint_latest()
    if checkpoint is None:
        raise ConflictError("Nothing was signed yet; there is no ledger to export.")
    tree_write(folder, checkpoint, say)
    with transaction.atomic():
        file_write(folder, NEWEST, heads_rows(head.size if head else 0, checkpoint.size), say)
    file_write(folder, "export.json", [_about(entry, size, at)], say)
    return Exported(checkpoint.size, entry, not reason, reason)


def folder_prepare(folder: Path) -> None:
    """Make the folder, or see that it is empty. Raises ExportFolderError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise ExportFolderError("The folder cannot be used: %(reason)s.", reason=error.strerror or "") from None
    if not empty:
        raise ExportFolderError("The folder is not empty; an export needs one of its own.")


@contextmanager
def _snapshot() -> Iterator[None]:
    """Read everything of the block as of one moment (REPEATABLE READ), and write nothing."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _parts() -> Iterator[tuple[str, Rows]]:
    yield SEALED, heads_rows()
    yield "anchors.ndjson", anchors_rows()
    yield "payloads.ndjson", payloads_rows()
    for path in option("EXPORTERS"):
        exporter: Exporter = import_string(path)
        yield from exporter()


def heads_rows(above: int = 0, up_to: int | None = None) -> Rows:
    where = "WHERE size > %s AND size <= coalesce(%s, size)"
    query = f"SELECT size, note, signed_at FROM audit_checkpoint {where} ORDER BY size"  # noqa: S608 - our own words
    for size, note, signed_at in rows_read(query, [above, up_to]):
        yield {"size": size, "note": note, "signed_at": stamp(signed_at)}


def anchors_rows() -> Rows:
    """Heads put outside. Who got one by mail is a person: the address stays here."""
    query = "SELECT id, size, kind, target, note, reply, succeeded, anchored_at FROM audit_anchor ORDER BY id"
    for key, size, kind, target, note, reply, succeeded, anchored_at in rows_read(query):
        yield {
            "id": key,
            "size": size,
            "kind": kind,
            "target": "" if kind == "mail" else target,
            "note": note,
            "reply": "" if kind == "mail" else reply,
            "succeeded": succeeded,
            "anchored_at": stamp(anchored_at),
        }


def payloads_rows() -> Rows:
    """Digests of what is sealed. The sealed bytes themselves stay where their keys are."""
    query = "SELECT entry_id, encode(sha256(sealed), 'hex') FROM audit_payload ORDER BY entry_id"
    for entry, digest in rows_read(query):
        yield {"entry": str(entry), "sha256": digest}


def rows_read(query: str, values: Sequence[int | None] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query a portion at a time, in the transaction at hand."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(query, list(values))
        while rows := cursor.fetchmany(_ROWS):
            yield from rows


def stamp(at: datetime) -> str:
    """Return an instant as entries write it: UTC, microseconds, `Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def file_write(folder: Path, name: str, rows: Rows, say: Progress) -> str:
    """Write rows as lines of canonical JSON and return the SHA-256 of the file in hex."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    digest, count = hashlib.sha256(), 0
    with path.open("xb") as stream:
        for row in rows:
            line = canonical_json(row) + b"\n"
            digest.update(line)
            stream.write(line)
            count += 1
            if count % _ROWS == 0:
                say(name, count, 0)
    say(name, count, count)
    return digest.hexdigest()


def _publish(entry: UUID, wait: float) -> str:
    """See that a signed head covers the entry. Returns why it does not; empty if it does."""
    try:
        entry_published(entry, seconds=wait)
    except LedgerLateError:
        try:
            ledger_step()  # nobody else does, or he is slow: a lock keeps two from doing it at once
            entry_published(entry)
        except (LedgerBrokenError, LedgerLateError) as error:
            return str(error)
    return ""


def tree_write(folder: Path, checkpoint: Checkpoint, say: Progress) -> None:
    """Write head, tiles and entries (C2SP tlog-tiles), as they are stored: what was tampered with must show."""
    size = checkpoint.size
    (folder / "checkpoint").write_bytes(checkpoint.note.encode())
    widths = [place for place in tile_widths(size) if place[0]]
    for level, n, width in widths:
        _tile_write(folder, level, n, width)
    bundles = (size + TILE_WIDTH - 1) // TILE_WIDTH
    for first in range(0, bundles, _BUNDLES):
        _bundles_write(folder, first, min(first + _BUNDLES, bundles), size)
        say("entries", min((first + _BUNDLES) * TILE_WIDTH, size), size)


def _tile_write(folder: Path, level: int, n: int, width: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT hashes FROM audit_tile WHERE level = %s AND n = %s", [level, n])
        row = cursor.fetchone()
    if row:
        _bytes_write(folder / tile_path(level, n, width), bytes(row[0])[: width * 32])


def _bundles_write(folder: Path, first: int, end: int, size: int) -> None:
    """Write some bundles of entries and the leaf tiles above them. An entry that is gone leaves a body of no bytes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.idx, e.body FROM audit_leaf l LEFT JOIN audit_entry e ON e.id = l.entry_id"
            " WHERE l.idx >= %s AND l.idx < %s",
            [first * TILE_WIDTH, min(end * TILE_WIDTH, size)],
        )
        bodies = {index: bytes(body or b"") for index, body in cursor.fetchall()}
        cursor.execute("SELECT n, hashes FROM audit_tile WHERE level = 0 AND n >= %s AND n < %s", [first, end])
        tiles = dict(cursor.fetchall())
    for n in range(first, end):
        width = min(TILE_WIDTH, size - n * TILE_WIDTH)
        entries = [bodies.get(n * TILE_WIDTH + place, b"") for place in range(width)]
        _bytes_write(
            folder / tile_path("entries", n, width),
            b"".join(len(body).to_bytes(2, "big") + body for body in entries),
        )
        if n in tiles:
            _bytes_write(folder / tile_path(0, n, width), bytes(tiles[n])[: width * 32])


def _bytes_write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        stream.write(data)


def _about(entry: UUID, size: int, at: datetime) -> dict[str, object]:
    return {
        "format": FORMAT,
        "origin": origin(),
        "verifiers": {use: ledger_signer(use).verifier for use in _USES},
        "tree_size": size,
        "entry": str(entry),
        "exported_at": stamp(at),
        "product": {"name": "zhixu", "version": product_version()},
    }


def product_version() -> str:
    """Return the version in pyproject.toml; `unknown` where that file was not installed."""
    try:
        return str(tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]["version"])
    except OSError:
        return "unknown"
