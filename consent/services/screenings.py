"""Screening: a whole audience judged for one campaign, with result files and a signed manifest.

A chunk of rows is one transaction: verdicts are stored and the result files grow, then both ends move together.
A process killed at any point leaves a row that says how far both are good; the next one cuts the files there and
goes on. Every row of the input is accounted for exactly once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from audit.actors import Actor
from audit.bulk import stage_rows
from audit.domain.canonical import canonical_json
from audit.options import option
from audit.services.record import Event, ObjectRef, audit_record
from consent.decisions.answers import obligations
from consent.decisions.bits import OUTCOMES, bit, bits_of, verdict_of
from consent.decisions.engine import Findings, SendJudgement, Verdict, judge_row, judge_send
from consent.decisions.history import Contact
from consent.decisions.reasons import RULE_SET, Reason
from consent.errors import CampaignNotFoundError, FileUnreadableError, ScreeningNotReadyError
from consent.models import Screening, ScreeningPass, ScreeningRow
from consent.screening.audience import AudienceRow, read_audience
from consent.screening.set_based import (
    NOT_JUDGED,
    outcome_of,
    outcome_parameters,
    parameters,
    shape_of,
    subject_stage,
)
from consent.selectors.history import past_of
from consent.selectors.register import LiveRegister, register_live
from consent.services.imports import file_refuse_changed, file_sha256
from consent.services.jobs import JobLostError, job_cancel, job_claim, job_fail, job_keep
from governance.crypto.blind_index import lookup_maker
from governance.domain.calendar import day_of
from governance.domain.cells import clean
from governance.domain.identifiers import IDENTIFIER_TYPES, canonical_reader
from governance.domain.tables import TableError
from governance.services.signers import signer

CHUNK = 100_000
REFERENCE_CHUNK = 5_000
VALID_MINUTES = 15
FILES = ("allow", "deny", "invalid")
_COUNTS = ("allow", "deny", "hold", "defer", "invalid", "duplicates")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class AudienceFile:
    """Where an audience is and how to read it."""

    path: Path
    form: str = "csv"
    column: str = ""
    carry: tuple[str, ...] = ()


def screening_start(
    *,
    audience: AudienceFile,
    campaign: str,
    subject_type: str,
    actor: Actor,
    at: datetime,
    as_of: datetime | None = None,
    client_id: int | None = None,
) -> Screening:
    """Check that an audience can be read to its end and queue its screening.

    `as_of`: judge from the ledger as of that instant instead of now; the result is a simulation.

    Raises:
        CampaignNotFoundError: the campaign is not in the register.
        FileUnreadableError: the file cannot be read; nothing was queued.
    """
    plan = register_live().rules.plans.get(campaign)
    if plan is None:
        raise CampaignNotFoundError("Unknown campaign.", campaign=campaign)
    with transaction.atomic():
        screening = Screening.objects.create(
            campaign=campaign,
            purpose=plan.purpose,
            channel=plan.channel,
            subject_type=subject_type,
            source=str(audience.path),
            source_format=audience.form,
            column=audience.column,
            carry_columns=list(audience.carry),
            input_sha256=file_sha256(audience.path),
            rows_total=_count(audience),
            as_of=as_of,
            client_id=client_id,
            actor_kind=actor.kind,
            actor_ref=actor.ref,
        )
        details: dict[str, object] = {
            "campaign": campaign,
            "input_sha256": screening.input_sha256,
            "as_of": as_of.isoformat() if as_of else None,
        }
        event = Event("screening.started", object=ObjectRef("screening", str(screening.pk)), details=details)
        audit_record(actor=actor, event=event)
    return screening


def _count(audience: AudienceFile) -> int:
    try:
        rows = read_audience(audience.path, form=audience.form, column=audience.column, carry=audience.carry)
        return sum(1 for _ in rows)
    except TableError as error:
        raise FileUnreadableError(error.message, what=error.what, reason=error.code, row=error.row) from None


def screening_folder(screening_id: UUID) -> Path:
    return Path(option("STATE")) / "screenings" / str(screening_id)


def screening_file(screening: Screening, name: str) -> Path:
    """Return a result file. Raises ScreeningNotReadyError before the end, or after the files are deleted."""
    path = screening_folder(screening.pk) / f"{name}.csv"
    if screening.status != "done" or not path.exists():
        raise ScreeningNotReadyError("The result files are not there.", status=screening.status)
    return path


def screening_cancel(*, screening: Screening, actor: Actor, at: datetime) -> bool:
    """Cancel a screening that has not ended. Returns False if it had."""
    with transaction.atomic():
        if not job_cancel(screening, at=at):
            return False
        event = Event(
            "screening.cancelled",
            object=ObjectRef("screening", str(screening.pk)),
            details={"campaign": screening.campaign},
        )
        audit_record(actor=actor, event=event)
    return True


def screening_run(screening_id: UUID, on_progress: Progress | None = None) -> Screening | None:
    """Run a screening to its end, or on from where a killed process left it. None: somebody else has it."""
    screening = job_claim(Screening, screening_id, at=timezone.now())
    if screening is None:
        return None
    try:
        _Run(screening, on_progress).run()
    except JobLostError:
        return None
    except (TableError, OSError) as error:
        code, what = (error.code, error.what) if isinstance(error, TableError) else ("file_unreadable", "")
        job_fail(screening, code=code, what=what, at=timezone.now())
    return screening


@dataclass(slots=True)
class _Judged:
    row: AudienceRow
    lookup: bytes | None
    duplicate: bool = False


class _Output:
    """What a chunk adds to the result files and the counts."""

    def __init__(self, judgement: SendJudgement) -> None:
        self.buffers = {name: bytearray() for name in FILES}
        self.counts: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self._judgement = judgement
        self._verdicts: dict[int, tuple[Verdict, str]] = {}

    def add(self, item: _Judged, bits: Mapping[int, int]) -> None:
        row = item.row
        if item.lookup is None or item.duplicate:
            self.counts["duplicates" if item.duplicate else "invalid"] += 1
            self.buffers["invalid"] += b"%d,%s\n" % (row.number, b"duplicate" if item.duplicate else b"malformed")
            return
        verdict, names = self._verdict(bits.get(row.number, bit(Reason.E_INPUT)))
        self.counts["allow" if verdict.outcome.may_send else verdict.outcome.value] += 1
        self.codes.update([code.name for code in verdict.codes])
        cells = [str(row.number), clean(row.value or ""), *map(safe_cell, row.carried), verdict.outcome.value]
        if verdict.outcome.may_send:
            self.buffers["allow"] += _csv_line([*cells, names])
        else:
            self.buffers["deny"] += _csv_line([*cells, verdict.primary.name, names])

    def _verdict(self, bits: int) -> tuple[Verdict, str]:
        if bits not in self._verdicts:
            found = verdict_of(bits, self._judgement.findings, marketing=self._judgement.marketing)
            self._verdicts[bits] = found, ";".join(code.name for code in found.codes)
        return self._verdicts[bits]


class _Run:
    def __init__(self, screening: Screening, on_progress: Progress | None) -> None:
        self._screening = screening
        self._on_progress = on_progress
        self._folder = screening_folder(screening.pk)
        self._kind = IDENTIFIER_TYPES[screening.subject_type]
        self._seen: set[bytes] = set()
        register = register_live()
        read = canonical_reader(self._kind, register.governed.member_id_pattern)
        make = lookup_maker(self._kind)
        self._lookup: Callable[[str], bytes | None] = lambda value: make(found) if (found := read(value)) else None

    def run(self) -> None:
        screening = self._screening
        file_refuse_changed(Path(screening.source), screening.input_sha256)
        self._folder.mkdir(parents=True, exist_ok=True)
        if screening.snapshot_xid is None:
            self._begin()
        self._cut_files()
        audience = AudienceFile(
            Path(screening.source), screening.source_format, screening.column, tuple(screening.carry_columns)
        )
        rows = read_audience(audience.path, form=audience.form, column=audience.column, carry=audience.carry)
        for row in islice(rows, screening.rows_done):
            if row.value is not None and (lookup := self._lookup(row.value)):
                self._seen.add(lookup)
        size = REFERENCE_CHUNK if screening.as_of else CHUNK
        while chunk := list(islice(rows, size)):
            self._chunk(chunk)
            if self._on_progress:
                self._on_progress(screening.rows_done, screening.rows_total or 0)
        self._finish()

    def _begin(self) -> None:
        """Note where the world stands: what commits from here on is new to this screening."""
        self._screening.snapshot_xid = _snapshot()
        column, *carried = map(safe_cell, [self._screening.column or "identifier", *self._screening.carry_columns])
        heads = {
            "allow": ["row_no", column, *carried, "outcome", "codes"],
            "deny": ["row_no", column, *carried, "outcome", "primary", "codes"],
            "invalid": ["row_no", "reason"],
        }
        for name in FILES:
            data = _csv_line(heads[name])
            (self._folder / f"{name}.csv").write_bytes(data)
            self._screening.offsets[name] = len(data)
        self._screening.counts = dict.fromkeys(_COUNTS, 0)
        self._screening.save(update_fields=["snapshot_xid", "offsets", "counts"])

    def _cut_files(self) -> None:
        for name in FILES:
            os.truncate(self._folder / f"{name}.csv", self._screening.offsets[name])

    def _chunk(self, rows: list[AudienceRow]) -> None:
        screening = self._screening
        judged = [self._place(row) for row in rows]
        people = [item for item in judged if item.lookup is not None and not item.duplicate]
        with transaction.atomic():
            started_at = timezone.now()
            job_keep(screening, started_at)
            register = register_live()
            judgement = self._judge_send(register)
            bits = self._judge(people, judgement, register)
            out = _Output(judgement)
            for item in judged:
                out.add(item, bits)
            screening.rows_done += len(rows)
            screening.counts = {name: screening.counts[name] + out.counts[name] for name in _COUNTS}
            screening.by_code = dict(sorted((Counter(screening.by_code) + out.codes).items()))
            if screening.judged_at is None:  # of the first chunk: a recheck must see all that changed since
                screening.register_version = register.version
                screening.send_codes = _names(judgement.findings)
                screening.judged_at = started_at
            screening.offsets = {name: self._append(name, out.buffers[name]) for name in FILES}
            screening.save(
                update_fields=[
                    "rows_done",
                    "counts",
                    "by_code",
                    "register_version",
                    "send_codes",
                    "judged_at",
                    "offsets",
                ]
            )

    def _place(self, row: AudienceRow) -> _Judged:
        lookup = self._lookup(row.value) if row.value is not None else None
        if lookup is None:
            return _Judged(row, None)
        if lookup in self._seen:
            return _Judged(row, lookup, duplicate=True)
        self._seen.add(lookup)
        return _Judged(row, lookup)

    def _judge_send(self, register: LiveRegister) -> SendJudgement:
        at = self._screening.as_of or timezone.now()
        return judge_send(register.rules.plans[self._screening.campaign], register=register.rules, at=at)

    def _judge(self, people: list[_Judged], judgement: SendJudgement, register: LiveRegister) -> dict[int, int]:
        if self._screening.as_of is None:
            rows = [(item.row.number, self._kind.value, item.lookup) for item in people]
            return screen_rows(self._screening, rows, judgement, register)
        return self._judge_past(people, judgement, register)

    def _judge_past(self, people: list[_Judged], judgement: SendJudgement, register: LiveRegister) -> dict[int, int]:
        requirement = judgement.requirement
        if requirement is None:
            return dict.fromkeys((item.row.number for item in people), 0)
        contacts = {item.row.number: Contact(self._kind, item.lookup or b"") for item in people}
        past = past_of(set(contacts.values()), register)
        empty = SendJudgement({}, requirement, judgement.marketing)
        return {
            number: bits_of(dict(judge_row(past.facts(contact, requirement), empty).findings))
            for number, contact in contacts.items()
        }

    def _append(self, name: str, data: bytearray) -> int:
        with (self._folder / f"{name}.csv").open("r+b") as file:
            file.seek(self._screening.offsets[name])
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def _finish(self) -> None:
        screening, at = self._screening, timezone.now()
        register = register_live()
        with transaction.atomic():
            job_keep(screening, at)
            screening.status, screening.finished_at = "done", at
            screening.valid_until = None if screening.as_of else at + timedelta(minutes=VALID_MINUTES)
            screening.manifest = manifest_sign(screening, register)
            screening.save(update_fields=["status", "finished_at", "valid_until", "manifest"])
            _pass_keep(screening, at)
            details: dict[str, object] = {
                "campaign": screening.campaign,
                "rows": screening.rows_done,
                **screening.counts,
                "manifest_sha256": hashlib.sha256(screening.manifest.encode()).hexdigest(),
            }
            event = Event("screening.finished", object=ObjectRef("screening", str(screening.pk)), details=details)
            audit_record(actor=Actor(screening.actor_kind, screening.actor_ref), event=event)  # type: ignore[arg-type]


_STORE = """
WITH aud AS (SELECT n, type, lookup FROM {staged}), {stage}
INSERT INTO consent_screening_row (screening_id, row_no, type, lookup, subject_id, subject_bits, outcome)
SELECT %(screening)s, v.n, a.type, a.lookup, v.subject_id, v.bits, {outcome} FROM verdict v JOIN aud a ON a.n = v.n
ON CONFLICT (screening_id, row_no) DO UPDATE
    SET subject_id = excluded.subject_id, subject_bits = excluded.subject_bits, outcome = excluded.outcome
RETURNING row_no, subject_bits
"""


def screen_rows(
    screening: Screening,
    rows: Sequence[tuple[int, int, bytes | None]],
    judgement: SendJudgement,
    register: LiveRegister,
) -> dict[int, int]:
    """Judge (row number, kind, look-up value) rows now, store their findings, and return them by row number."""
    if not rows:
        return {}
    staged = stage_rows("audience", {"n": "int", "type": "smallint", "lookup": "bytea"}, rows)
    requirement = judgement.requirement
    values: dict[str, Any] = {"screening": screening.pk} | outcome_parameters(judgement)
    stage = NOT_JUDGED
    if requirement is not None:
        mixed = any(kind != requirement.channel.identifier for _, kind, _ in rows)
        stage = subject_stage(shape_of(requirement, mixed=mixed, bulk=len(rows) > 1000))
        values |= parameters(requirement, register)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {staged}")
        cursor.execute(_STORE.format(staged=staged, stage=stage, outcome=outcome_of("v.bits")), values)
        return dict(cursor.fetchall())


def manifest_sign(screening: Screening, register: LiveRegister) -> str:
    """Return the manifest as a signed note: what was screened, by which rules, with which result."""
    folder = screening_folder(screening.pk)
    body = {
        "kind": "zhixu/screening-manifest/v1",
        "screening": f"scr_{screening.pk.hex}",
        "campaign": screening.campaign,
        "purpose": screening.purpose,
        "channel": screening.channel,
        "rule_set": RULE_SET,
        "policy": register.rules.policy.revision,
        "register": screening.register_version,
        "as_of": screening.as_of.isoformat() if screening.as_of else None,
        "input_sha256": screening.input_sha256,
        "started_at": screening.started_at.isoformat() if screening.started_at else None,
        "finished_at": screening.finished_at.isoformat() if screening.finished_at else None,
        "valid_until": screening.valid_until.isoformat() if screening.valid_until else None,
        "rows": screening.rows_done,
        "counts": screening.counts,
        "by_code": screening.by_code,
        "obligations": _obligations(screening, register),
        "files": {
            name: {"sha256": file_sha256(folder / f"{name}.csv"), "bytes": screening.offsets[name]} for name in FILES
        },
    }
    return signer("manifest").sign(canonical_json(body).decode() + "\n")


def _obligations(screening: Screening, register: LiveRegister) -> dict[str, int]:
    """Return what every allowed row owes, with how many rows owe it. Duties of single rows stand in their codes."""
    at = screening.as_of or screening.judged_at or timezone.now()
    plan = register.rules.plans[screening.campaign]
    judgement = judge_send(plan, register=register.rules, at=at)
    allowed = screening.counts["allow"]
    if not allowed:
        return {}
    plain = verdict_of(0, {}, marketing=judgement.marketing)
    return {str(duty["code"]): allowed for duty in obligations(plan, judgement, plain, register.rules)}


@dataclass(frozen=True, slots=True)
class Recheck:
    """What changed since a screening: rows that may no longer be sent, and rows that now may."""

    removed: list[int]
    added: list[int]


_NEW_LISTING = "(x.changed_xid >= %(since)s::text::xid8 OR x.said_at > %(judged)s OR x.removed_at > %(judged)s)"
_CHANGED = f"""
SELECT r.row_no, r.type, r.lookup FROM consent_screening_row r WHERE r.screening_id = %(screening)s AND (
    %(all)s
    OR r.outcome = 2
    OR r.lookup IN (SELECT i.lookup FROM consent_subject s JOIN consent_identifier i ON i.subject_id = s.id
                    WHERE s.changed_xid >= %(since)s::text::xid8)
    OR r.subject_id IN (SELECT s.id FROM consent_subject s WHERE s.changed_xid >= %(since)s::text::xid8)
    OR r.lookup IN (SELECT x.lookup FROM consent_suppression x WHERE {_NEW_LISTING})
    OR r.lookup IN (SELECT h.lookup FROM consent_suppression x JOIN consent_identifier i ON i.lookup = x.lookup
                    JOIN consent_identifier h ON h.subject_id = i.subject_id WHERE {_NEW_LISTING})
    OR r.lookup IN (SELECT h.lookup FROM consent_guardianship g JOIN consent_identifier h ON h.subject_id = g.child_id
                    WHERE g.given_at > %(judged)s OR g.withdrawn_at > %(judged)s)
    OR r.lookup IN (SELECT x.lookup FROM consent_send_record x WHERE x.changed_xid >= %(since)s::text::xid8)
    OR r.lookup IN (SELECT x.lookup FROM consent_template_subscription x WHERE x.changed_xid >= %(since)s::text::xid8)
)
"""  # noqa: S608 - text of our own


@transaction.atomic
def screening_recheck(*, screening: Screening, actor: Actor, at: datetime) -> Recheck:
    """Judge again every row whose answer may have changed, and renew the manifest and its validity.

    The delta is exact: people and lists carry the transaction of their last change, and what has a time to come is
    judged again once it has come. A new register version, a notice that took effect, other findings on the send, or
    a new Shanghai day judge every row anew, because each may have changed any answer; so does a screening by another
    identifier than the channel's, whose rows hang on more than one.

    Raises:
        ScreeningNotReadyError: not done, a simulation, or its files are gone.
    """
    screening = Screening.objects.select_for_update().get(pk=screening.pk)
    if screening.status != "done" or screening.as_of is not None:
        raise ScreeningNotReadyError("Only a finished live screening can be rechecked.", status=screening.status)
    newest = _snapshot()
    register = register_live()
    judgement = judge_send(register.rules.plans[screening.campaign], register=register.rules, at=at)
    values: dict[str, Any] = {
        "screening": screening.pk,
        "since": str(screening.snapshot_xid),
        "judged": screening.judged_at,
        "all": _all_anew(screening, judgement, register, at),
    }
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, values)
        candidates = cursor.fetchall()
    numbers = [row[0] for row in candidates]
    before = _may_send(screening, numbers)
    screen_rows(screening, candidates, judgement, register)
    after = _may_send(screening, numbers)
    recheck = Recheck(sorted(before - after), sorted(after - before))
    screening.snapshot_xid, screening.register_version = newest, register.version
    screening.send_codes, screening.judged_at = _names(judgement.findings), at
    screening.valid_until = at + timedelta(minutes=VALID_MINUTES)
    _count_again(screening, judgement)
    _write_changes(screening, recheck)
    screening.manifest = manifest_sign(screening, register)
    screening.save()
    _pass_keep(screening, at)
    event = Event(
        "screening.rechecked",
        object=ObjectRef("screening", str(screening.pk)),
        details={"removed": len(recheck.removed), "added": len(recheck.added)},
    )
    audit_record(actor=actor, event=event)
    return recheck


def _pass_keep(screening: Screening, at: datetime) -> None:
    """Keep when this answer was good: by it a send is matched to what was said at its time."""
    if screening.valid_until is not None and screening.judged_at is not None:
        ScreeningPass.objects.create(
            screening=screening, judged_at=screening.judged_at, valid_from=at, valid_until=screening.valid_until
        )


def _all_anew(screening: Screening, judgement: SendJudgement, register: LiveRegister, at: datetime) -> bool:
    """Tell whether something changed that no row carries."""
    if screening.judged_at is None or screening.register_version != register.version:
        return True
    before = judge_send(register.rules.plans[screening.campaign], register=register.rules, at=screening.judged_at)
    old, new = before.requirement, judgement.requirement
    return (
        screening.send_codes != _names(judgement.findings)
        or day_of(screening.judged_at) != day_of(at)
        or old is None
        or new is None
        or (old.scope_changed, old.separate_stale) != (new.scope_changed, new.separate_stale)
        or new.channel.identifier is not IDENTIFIER_TYPES[screening.subject_type]
    )


def _may_send(screening: Screening, numbers: Sequence[int]) -> set[int]:
    sendable = [number for number, outcome in OUTCOMES.items() if outcome.may_send]
    rows = ScreeningRow.objects.filter(screening=screening, row_no__any=numbers, outcome__in=sendable)
    return set(rows.values_list("row_no", flat=True))


def _count_again(screening: Screening, judgement: SendJudgement) -> None:
    kept = {name: screening.counts[name] for name in ("invalid", "duplicates")}
    counts: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    rows = ScreeningRow.objects.filter(screening=screening).values_list("subject_bits").annotate(n=Count("row_no"))
    for bits, n in rows:
        found = verdict_of(bits, judgement.findings, marketing=judgement.marketing)
        counts["allow" if found.outcome.may_send else found.outcome.value] += n
        codes.update({code.name: n for code in found.codes})
    screening.counts = {name: counts[name] for name in _COUNTS} | kept
    screening.by_code = dict(sorted(codes.items()))


def _write_changes(screening: Screening, recheck: Recheck) -> None:
    """Write removed.csv and added.csv: row number and identifier as it was given."""
    wanted = {"removed": set(recheck.removed), "added": set(recheck.added)}
    values: dict[int, str] = {}
    if recheck.removed or recheck.added:
        rows = read_audience(Path(screening.source), form=screening.source_format, column=screening.column, carry=())
        numbers = wanted["removed"] | wanted["added"]
        values = {row.number: clean(row.value or "") for row in rows if row.number in numbers}
    for name, numbers in wanted.items():
        lines = [_csv_line(["row_no", safe_cell(screening.column or "identifier")])]
        lines += [_csv_line([str(number), values.get(number, "")]) for number in sorted(numbers)]
        (screening_folder(screening.pk) / f"{name}.csv").write_bytes(b"".join(lines))


def _snapshot() -> int:
    """Return the oldest transaction that is still running: every later change is new to us."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        oldest: int = cursor.fetchone()[0]
        return oldest


def _names(findings: Findings) -> str:
    return ";".join(reason.name for reason in sorted(findings))[:400]


def _csv_line(cells: Sequence[str]) -> bytes:
    line = ",".join(cells)
    if '"' not in line and "\n" not in line and "\r" not in line and line.count(",") == len(cells) - 1:
        return f"{line}\n".encode(errors="replace")  # JSON may carry half a character
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode(errors="replace")


def safe_cell(cell: str) -> str:
    """Keep a spreadsheet from running a cell or header of the input as a formula (ASVS 1.2.10)."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def screenings_expire(*, at: datetime) -> int:
    """Delete the files of screenings a day old; their manifests stay. Returns how many."""
    limit = at - timedelta(hours=option("SCREENING_TTL_HOURS"))
    old = Screening.objects.filter(status__in=["done", "failed", "cancelled"], finished_at__lt=limit)
    count = 0
    for screening in old:
        shutil.rmtree(screening_folder(screening.pk), ignore_errors=True)
        screening.status = "expired"
        screening.save(update_fields=["status"])
        count += 1
    return count
