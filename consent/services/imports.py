"""Import historic consents: judged row by row, written a chunk at a time, the same however often it is run.

Every chunk is one transaction that also moves the job's progress and the end of its error file, so a process
killed at any point loses and doubles nothing. A file that cannot be read to its end changes nothing at all.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit.actors import Actor
from audit.domain.ids import uuid7s
from audit.options import option
from audit.services.record import Event, ObjectRef, audit_record
from consent.domain.imports import (
    Accepted,
    Cells,
    ImportContext,
    PersonRef,
    RowError,
    judge_consent_row,
)
from consent.domain.vocabulary import CONSENT_COLUMNS
from consent.errors import FileUnreadableError
from consent.models import ConsentImport, ConsentRecord
from consent.selectors.history import guardianships_for
from consent.selectors.profiles import births_for
from consent.selectors.register import LiveRegister, register_live
from consent.services.jobs import JobLostError, job_claim, job_fail, job_keep
from consent.services.records import NewRecord, records_append
from consent.services.subjects import guests_ensure, members_find
from governance.crypto.blind_index import keyed_digest
from governance.domain import tables
from governance.domain.identifiers import IdentifierType, member_id
from governance.domain.tables import Row, TableError, open_text, read_rows

CHUNK = 20_000
REQUIRED = ("act", "event_time")

Progress = Callable[[int, int], None]


def consents_import_start(
    *, path: Path, dry_run: bool, imported_at: datetime, actor: Actor, client_id: int | None = None
) -> ConsentImport:
    """Check that a file can be read to its end and queue its import.

    Raises:
        FileUnreadableError: empty, binary, wrong encoding, a column missing, a broken quote.
    """
    total = count_rows(path)
    return ConsentImport.objects.create(
        source=str(path),
        sha256=file_sha256(path),
        dry_run=dry_run,
        imported_at=imported_at,
        rows_total=total,
        client_id=client_id,
        actor_kind=actor.kind,
        actor_ref=actor.ref,
    )


def count_rows(path: Path) -> int:
    """Read a consent file to its end without judging it. Raises FileUnreadableError."""
    try:
        with open_text(path) as stream:
            return tables.count_rows(stream, CONSENT_COLUMNS, required=REQUIRED)
    except TableError as error:
        raise FileUnreadableError(error.message, what=error.what, reason=error.code, row=error.row) from None


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_refuse_changed(path: Path, sha256: str) -> None:
    """Raise TableError if a file is no longer the one a job was queued for: rows done are skipped by their number."""
    if file_sha256(path) != sha256:
        raise TableError("file_changed")


def import_errors_path(job: ConsentImport) -> Path:
    """Return where the row-level errors of an import are written: `row,code`."""
    return Path(option("STATE")) / "imports" / f"{job.pk}.errors.csv"


def consents_import_run(job_id: UUID, on_progress: Progress | None = None) -> ConsentImport | None:
    """Run an import to its end, or on from where a killed process left it. None: somebody else has it."""
    job = job_claim(ConsentImport, job_id, at=timezone.now())
    if job is None:
        return None
    try:
        _Import(job, on_progress).run()
    except JobLostError:
        return None
    except (TableError, OSError) as error:
        code, what = (error.code, error.what) if isinstance(error, TableError) else ("file_unreadable", "")
        job_fail(job, code=code, what=what, at=timezone.now())
    return job


@dataclass
class _Seen:
    """Which rows of this file came before: event ids with their cells, and how often a row without id stood."""

    owners: dict[bytes, bytes] = field(default_factory=dict)
    repeats: Counter[bytes] = field(default_factory=Counter)

    def place(self, cells: Cells) -> tuple[bytes, bytes, bool | None]:
        """Return (key, digest, replay) of a row; replay None: the row is the first with its key."""
        digest = keyed_digest(*(cells[name] for name in CONSENT_COLUMNS))
        if not cells["event_id"]:
            self.repeats[digest] += 1
            return keyed_digest("row", digest.hex(), str(self.repeats[digest])), digest, None
        key = keyed_digest("event", cells["event_id"])
        owner = self.owners.setdefault(key, digest)
        if owner is digest:
            return key, digest, None
        return key, digest, owner == digest


@dataclass(slots=True)
class _Placed:
    row: Row
    key: bytes
    digest: bytes


class _Import:
    def __init__(self, job: ConsentImport, on_progress: Progress | None) -> None:
        self._job = job
        self._on_progress = on_progress
        self._actor = Actor(job.actor_kind, job.actor_ref)  # type: ignore[arg-type]
        self._seen = _Seen()
        self._errors = import_errors_path(job)

    def run(self) -> None:
        self._errors.parent.mkdir(parents=True, exist_ok=True)
        if not self._errors.exists():
            self._errors.write_text("row,code\n")
        os.truncate(self._errors, self._job.errors_offset or len("row,code\n"))
        source = Path(self._job.source)
        file_refuse_changed(source, self._job.sha256)
        with open_text(source) as stream:
            rows = read_rows(stream, CONSENT_COLUMNS, required=REQUIRED)
            for row in islice(rows, self._job.rows_done):
                if row.cells is not None:
                    self._seen.place(row.cells)
            while chunk := list(islice(rows, CHUNK)):
                self._chunk(chunk)
                if self._on_progress:
                    self._on_progress(self._job.rows_done, self._job.rows_total or 0)
        self._finish()

    def _chunk(self, rows: list[Row]) -> None:
        job = self._job
        with transaction.atomic():
            job_keep(job, timezone.now())
            refused: dict[int, RowError] = {}
            fresh = self._fresh(rows, refused)
            register = register_live()
            accepted = self._judge(fresh, refused, register)
            with transaction.atomic():
                self._store(accepted, register)
                if job.dry_run:
                    transaction.set_rollback(True)
            with self._errors.open("a") as errors:
                errors.writelines(f"{number},{refused[number].value}\n" for number in sorted(refused))
                errors.flush()
                os.fsync(errors.fileno())
                job.errors_offset = errors.tell()
            job.rows_done += len(rows)
            job.accepted += len(accepted)
            job.refused += len(refused)
            job.replayed = job.rows_done - job.accepted - job.refused
            codes = Counter(job.by_code) + Counter(error.value for error in refused.values())
            job.by_code = dict(sorted(codes.items()))
            job.save(update_fields=["rows_done", "accepted", "refused", "replayed", "by_code", "errors_offset"])

    def _fresh(self, rows: list[Row], refused: dict[int, RowError]) -> list[_Placed]:
        """Return the rows that are neither replays of this file or an earlier one, nor thieves of an id."""
        placed = []
        for row in rows:
            if row.cells is None:
                refused[row.number] = RowError.E_INPUT
                continue
            key, digest, replay = self._seen.place(row.cells)
            if replay is None:
                placed.append(_Placed(row, key, digest))
            elif not replay:
                refused[row.number] = RowError.E_INPUT
        stored = ConsentRecord.objects.filter(source_key__any=[item.key for item in placed])
        known = {
            bytes(key or b""): bytes(digest or b"") for key, digest in stored.values_list("source_key", "source_digest")
        }
        for item in placed:
            if item.key in known and known[item.key] != item.digest:
                refused[item.row.number] = RowError.E_INPUT
        return [item for item in placed if item.key not in known]

    def _judge(
        self, placed: list[_Placed], refused: dict[int, RowError], register: LiveRegister
    ) -> list[tuple[_Placed, Accepted]]:
        ctx = self._context(placed, register)
        accepted = []
        for item, ref in zip(placed, uuid7s(len(placed)), strict=True):
            judged = judge_consent_row(item.row.cells, seq=0, ref=str(ref), ctx=ctx)
            if isinstance(judged, RowError):
                refused[item.row.number] = judged
            else:
                accepted.append((item, judged))
        return accepted

    def _context(self, placed: list[_Placed], register: LiveRegister) -> ImportContext:
        pattern = register.governed.member_id_pattern
        named = {member_id(item.row.cells["member_id"], pattern) for item in placed if item.row.cells}
        members = members_find(number for number in named if number)
        births = births_for(members.values())
        guardianships = guardianships_for(members.values(), register)
        context = ImportContext(
            book=register.rules.book,
            words=register.words,
            recipients=frozenset(register.governed.recipients),
            field_groups=register.field_groups,
            member_id_pattern=pattern,
            imported_at=self._job.imported_at,
            is_member=members.__contains__,
            births=lambda number: births.get(members[number], ()),
            guardianships=lambda number: guardianships.get(members[number], ()),
        )
        self._members = members
        return context

    def _store(self, accepted: list[tuple[_Placed, Accepted]], register: LiveRegister) -> None:
        at = max(
            self._job.imported_at, max((judged.record.at for _, judged in accepted), default=self._job.imported_at)
        )
        contacts = [(who.kind, who.value) for _, judged in accepted if _is_guest(who := judged.person)]
        guests = guests_ensure(contacts, actor=self._actor, at=at)
        new = [
            NewRecord(
                subject_id=guests[judged.person.kind, judged.person.value]
                if _is_guest(judged.person)
                else self._members[judged.person.value],
                record=judged.record,
                proof=item.row.cells["proof"][:100] if item.row.cells else "",
                source_key=item.key,
                source_digest=item.digest,
            )
            for item, judged in accepted
        ]
        if new:
            records_append(new, register=register, actor=self._actor, at=at)

    def _finish(self) -> None:
        job, at = self._job, timezone.now()
        with transaction.atomic():
            job_keep(job, at)
            job.status, job.finished_at = "done", at
            job.save(update_fields=["status", "finished_at"])
            details: dict[str, object] = {
                "kind": "dry_run" if job.dry_run else "consents",
                "rows": job.rows_done,
                "accepted": job.accepted,
                "refused": job.refused,
                "replayed": job.replayed,
                "sha256": job.sha256,
            }
            event = Event("import.finished", object=ObjectRef("consent_import", str(job.pk)), details=details)
            audit_record(actor=self._actor, event=event)


def _is_guest(person: PersonRef) -> bool:
    return person.kind is not IdentifierType.MEMBER_ID


def rows_of(path: Path, headers: dict[str, tuple[str, ...]], required: tuple[str, ...]) -> Iterator[Row]:
    """Yield the rows of a file. Raises FileUnreadableError instead of the reader's own error."""
    try:
        with open_text(path) as stream:
            yield from read_rows(stream, headers, required=required)
    except TableError as error:
        raise FileUnreadableError(error.message, what=error.what, reason=error.code, row=error.row) from None
