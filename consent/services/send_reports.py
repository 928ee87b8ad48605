"""Take in what senders report: every line once, good lines kept, and what each rests on found at once.

A call is one transaction. A file is a job: each chunk is one transaction that also moves the job's progress and the
end of its error file, so that a process killed at any point loses and doubles nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from audit.actors import Actor
from audit.bulk import copy_models, stage_rows, take_ids
from audit.options import option
from audit.services.record import Event, ObjectRef, audit_record
from consent.domain.sends import LineError, LineRefused, ReportedSend, SendStatus
from consent.domain.terms import SUBJECT_REF, SendKind
from consent.domain.vocabulary import RECEIPT_COLUMNS
from consent.errors import FileUnreadableError
from consent.models import Decision, ScreeningRow, SendReceipt, SendRecord, SendReport
from consent.selectors.register import LiveRegister, register_live
from consent.services.imports import file_refuse_changed, file_sha256
from consent.services.jobs import JobLostError, job_claim, job_fail, job_keep
from consent.services.reconciliation import campaigns_marketing, reports_lock, sends_match
from consent.services.send_lines import LineReader, Read
from governance.crypto.blind_index import keyed_digest
from governance.domain.tables import TableError, open_text, read_rows

CHUNK = 10_000
FORMATS = ("csv", "ndjson")
ERROR_HEAD = "row,code,field\n"

Progress = Callable[[int, int], None]
Permits = Callable[[ReportedSend], bool]


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of some lines."""

    accepted: int
    replayed: int
    refused: list[LineRefused]
    findings: dict[str, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """A report that was taken in, and what became of its lines."""

    report: SendReport
    stored: Stored


@transaction.atomic
def sends_report(
    *,
    lines: Sequence[tuple[int, bytes]],
    sha256: str,
    actor: Actor,
    at: datetime,
    client_id: int | None = None,
) -> Taken:
    """Take in the lines of one call. A line that was taken before is not taken again, whatever call it came in."""
    reports_lock()
    report = SendReport.objects.create(
        status="done",
        sha256=sha256,
        started_at=at,
        finished_at=at,
        client_id=client_id,
        actor_kind=actor.kind,
        actor_ref=actor.ref,
    )
    register = register_live()
    read = list(LineReader(register, at).json_lines(lines))
    stored = _store(read, report, register=register, at=at)
    _count(report, len(read), stored)
    report.rows_total = report.rows_done
    report.save(update_fields=["rows_done", "rows_total", "accepted", "refused", "replayed", "by_code"])
    _leave_trace(report, actor)
    return Taken(report, stored)


def _count(report: SendReport, lines: int, stored: Stored) -> None:
    report.rows_done += lines
    report.accepted += stored.accepted
    report.replayed += stored.replayed
    report.refused += len(stored.refused)
    codes = Counter(report.by_code) + Counter(item.error.value for item in stored.refused)
    report.by_code = dict(sorted(codes.items()))


def _leave_trace(report: SendReport, actor: Actor) -> None:
    details: dict[str, object] = {
        "rows": report.rows_done,
        "accepted": report.accepted,
        "refused": report.refused,
        "replayed": report.replayed,
        "sha256": report.sha256,
    }
    event = Event("sends.reported", object=ObjectRef("send_report", str(report.pk)), details=details)
    audit_record(actor=actor, event=event)


# -- storing -----------------------------------------------------------------------------------------------------------


def _store(read: Sequence[Read], report: SendReport, *, register: LiveRegister, at: datetime) -> Stored:
    permits = _limits(report, register)
    refused = [item for item in read if isinstance(item, LineRefused)]
    placed, replayed = _fresh([item for item in read if isinstance(item, ReportedSend)], refused)
    sends = []
    for send, key, digest in placed:
        if not send.channel or send.lookup is None:
            refused.append(LineRefused(send.number, LineError.INCOMPLETE, "subject" if send.channel else "channel"))
        elif not permits(send):
            refused.append(LineRefused(send.number, LineError.CLIENT_LIMIT))
        else:
            sends.append((send, key, digest))
    receipts = [_receipt(send, key, digest, report, register, at) for send, key, digest in sends]
    _record(receipts, register)
    copy_models(receipts)
    findings = sends_match(receipts) if receipts else {}
    refused.sort(key=lambda item: item.number)
    return Stored(len(receipts), replayed, refused, findings)


def _limits(report: SendReport, register: LiveRegister) -> Permits:
    """Return the limits of the client a report came from, as they are now. A file of our own host has none."""
    client = report.client
    if client is None:
        return lambda send: True

    def permits(send: ReportedSend) -> bool:
        plan = register.rules.plans.get(send.campaign)
        named = (
            (client.channels, send.channel),
            (client.recipients, send.recipient),
            (client.purposes, plan.purpose if plan else ""),
            (client.brands, plan.brand if plan else ""),
        )
        return all(limit is None or not value or value in limit for limit, value in named)

    return permits


Placed = tuple[ReportedSend, bytes, bytes]


def _fresh(sends: list[ReportedSend], refused: list[LineRefused]) -> tuple[list[Placed], int]:
    """Return the completed lines that were not taken before, and how many were.

    The key is the decision with the sender's message id, or else the whole line. The same key with another line is
    refused: what was reported once is not reported otherwise.
    """
    keys = [(send, *_key(send)) for send in sends]
    stored = SendReceipt.objects.filter(source_key__any=[key for _, key, _ in keys])
    known = {bytes(key): bytes(digest) for key, digest in stored.values_list("source_key", "source_digest")}
    fresh, replayed = [], 0
    for send, key, digest in keys:
        if key not in known:
            known[key] = digest
            fresh.append((send, key, digest))
        elif known[key] == digest:
            replayed += 1
        else:
            refused.append(LineRefused(send.number, LineError.REPORTED_OTHERWISE, "message_id"))
    whole = _completed([send for send, _, _ in fresh])
    return [(send, key, digest) for send, (_, key, digest) in zip(whole, fresh, strict=True)], replayed


def _key(send: ReportedSend) -> tuple[bytes, bytes]:
    parts = [
        send.sent_at.timestamp().hex(),
        send.decision_id.hex if send.decision_id else "",
        send.screening_id.hex if send.screening_id else "",
        str(send.row_no or ""),
        str(send.type) if send.type is not None else "",
        send.lookup.hex() if send.lookup else "",
        send.campaign,
        send.channel,
        send.recipient,
        str(send.in_house),
        send.kind.value,
        send.template,
        ",".join(send.met),
        ",".join(send.unmet),
        send.status.value,
        send.message_id,
    ]
    digest = keyed_digest("send receipt", *parts)
    if send.decision_id and send.message_id:
        return keyed_digest("send message", send.decision_id.hex, send.message_id), digest
    return digest, digest


def _completed(sends: list[ReportedSend]) -> list[ReportedSend]:
    """Fill in what a line leaves to the decision, or the row of a screening, that it names."""
    decisions = {
        row.pk: row
        for row in Decision.objects.filter(pk__any=list({s.decision_id for s in sends if s.decision_id})).only(
            "campaign", "channel", "type", "lookup"
        )
    }
    named = {(s.screening_id, s.row_no) for s in sends if s.screening_id and s.row_no}
    rows: dict[tuple[UUID | None, int | None], ScreeningRow] = {}
    for screening in {screening for screening, _ in named}:
        numbers = [number for one, number in named if one == screening]
        found = ScreeningRow.objects.filter(screening_id=screening, row_no__any=numbers).select_related("screening")
        rows |= {(screening, row.row_no): row for row in found}
    return [
        _complete(
            send,
            decisions.get(send.decision_id) if send.decision_id else None,
            rows.get((send.screening_id, send.row_no)),
        )
        for send in sends
    ]


def _complete(send: ReportedSend, decision: Decision | None, row: ScreeningRow | None) -> ReportedSend:
    known = decision or row
    if known is None:
        return send
    campaign, channel = (
        (decision.campaign, decision.channel) if decision else (row.screening.campaign, row.screening.channel)  # type: ignore[union-attr]
    )
    if send.lookup is None and known.lookup is not None:
        send = replace(send, type=known.type, lookup=bytes(known.lookup))
    return replace(send, campaign=send.campaign or campaign, channel=send.channel or channel)


def _receipt(
    send: ReportedSend, key: bytes, digest: bytes, report: SendReport, register: LiveRegister, at: datetime
) -> SendReceipt:
    plan = register.rules.plans.get(send.campaign)
    return SendReceipt(
        report=report,
        source_key=key,
        source_digest=digest,
        decision_id=send.decision_id,
        screening_id=send.screening_id,
        row_no=send.row_no,
        type=send.type or SUBJECT_REF,
        lookup=send.lookup,
        campaign=send.campaign,
        channel_id=register.governed.channel_keys[send.channel],
        recipient=send.recipient,
        in_house=send.in_house,
        sent_at=send.sent_at,
        kind=send.kind.value,
        template=send.template or (plan.template_id if plan else ""),
        met=list(send.met),
        unmet=list(send.unmet),
        status=send.status.value,
        message_id=send.message_id,
        reported_at=at,
    )


# -- what the frequency cap counts -------------------------------------------------------------------------------------

# A receiver named otherwise than by the channel's identifier is reached at the one he bound last, as a check takes it.
# A send that was imported from a log already is the same send: its row is taken, not made again.
_PLACES = """
    WITH placed AS (
        SELECT x.n, x.channel_id, x.sent_at, x.kind, c.identifier_type AS type,
            CASE WHEN x.type = c.identifier_type THEN x.lookup ELSE (
                SELECT i.lookup FROM consent_identifier i
                WHERE i.type = c.identifier_type AND i.subject_id = (
                    SELECT min(o.subject_id) FROM (
                        SELECT o.subject_id FROM consent_identifier o WHERE o.lookup = x.lookup AND o.type = x.type
                        UNION ALL
                        SELECT p.id FROM consent_subject p WHERE x.type = 0 AND p.ref = encode(x.lookup, 'hex')::uuid
                    ) o HAVING count(DISTINCT o.subject_id) = 1)
                ORDER BY i.bound_at DESC NULLS LAST, i.id DESC LIMIT 1) END AS lookup
        FROM {staged} x JOIN governance_channel c ON c.id = x.channel_id
    ),
    numbered AS (
        SELECT p.*, row_number() OVER (PARTITION BY p.lookup, p.channel_id, p.sent_at, p.kind ORDER BY p.n) AS place
        FROM placed p
    ),
    free AS (
        SELECT k.lookup, k.channel_id, k.sent_at, k.kind, k.id,
            row_number() OVER (PARTITION BY k.lookup, k.channel_id, k.sent_at, k.kind ORDER BY k.id) AS place
        FROM consent_send_record k
        WHERE (k.lookup, k.channel_id, k.sent_at, k.kind) IN (SELECT lookup, channel_id, sent_at, kind FROM placed)
            AND NOT EXISTS (SELECT FROM consent_send_receipt r WHERE r.record_id = k.id)
    )
    SELECT p.n, p.type, p.lookup, f.id FROM numbered p LEFT JOIN free f USING (lookup, channel_id, sent_at, kind, place)
"""


def _record(receipts: Sequence[SendReceipt], register: LiveRegister) -> None:
    """Give every message that was delivered the row that caps and quotas count, once."""
    delivered = [receipt for receipt in receipts if receipt.status == SendStatus.DELIVERED.value]
    if not delivered:
        return
    marketing = campaigns_marketing({receipt.campaign for receipt in delivered}, register)
    kinds = [SendKind.MARKETING.value if _hidden(receipt, marketing) else receipt.kind for receipt in delivered]
    staged = stage_rows(
        "sends",
        {
            "n": "int",
            "type": "smallint",
            "lookup": "bytea",
            "channel_id": "bigint",
            "sent_at": "timestamptz",
            "kind": "text",
        },
        [
            (n, receipt.type, receipt.lookup, receipt.channel_id, receipt.sent_at, kind)
            for n, (receipt, kind) in enumerate(zip(delivered, kinds, strict=True))
        ],
    )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {staged}")
        cursor.execute(_PLACES.format(staged=staged))
        places = cursor.fetchall()
    new: list[SendRecord] = []
    for n, type_, lookup, known in places:
        receipt = delivered[n]
        if known is not None:
            receipt.record_id = known
        elif lookup is not None:
            record = SendRecord(
                type=type_,
                lookup=bytes(lookup),
                channel_id=receipt.channel_id,
                sent_at=receipt.sent_at,
                kind=kinds[n],
                template=receipt.template,
                campaign=receipt.campaign,
                source_key=keyed_digest("receipt", bytes(receipt.source_key).hex()),
            )
            new.append(record)
            receipt.record = record
    for record, number in zip(new, take_ids("consent_send_record", len(new)), strict=True):
        record.id = number
    copy_models(new, ids=True)
    for receipt in delivered:
        if receipt.record_id is None and receipt.record is not None:
            receipt.record_id = receipt.record.id


def sends_unreported(rows: Sequence[SendRecord]) -> list[SendRecord]:
    """Return the rows of a send log that no receipt has reported: what a receipt counted is not counted again."""
    reported = SendRecord.objects.filter(lookup__any={bytes(row.lookup) for row in rows}, receipts__isnull=False)
    known = Counter(_sameness(row) for row in reported.distinct())
    left = []
    for row in rows:
        if known[_sameness(row)]:
            known[_sameness(row)] -= 1
        else:
            left.append(row)
    return left


def _sameness(row: SendRecord) -> tuple[object, ...]:
    return bytes(row.lookup), row.channel_id, row.sent_at, row.kind


def _hidden(receipt: SendReceipt, marketing: frozenset[str]) -> bool:
    """Tell whether a send of a marketing campaign is reported as a service message: it is what its campaign is."""
    return receipt.kind == SendKind.SERVICE.value and receipt.campaign in marketing


# -- files -------------------------------------------------------------------------------------------------------------


def report_errors_path(report: SendReport) -> Path:
    """Return where the row-level errors of a file are written: `row,code,field`."""
    return Path(option("STATE")) / "imports" / f"{report.pk}.errors.csv"


@contextmanager
def _rows_of(path: Path, form: str) -> Iterator[Iterator[tuple[int, Any]]]:
    with open_text(path) as stream:
        if form == "csv":
            rows = read_rows(stream, RECEIPT_COLUMNS, required=("sent_at",))
            yield ((row.number, row.cells) for row in rows)
        else:
            yield ((number, line) for number, line in enumerate(stream, 1) if line.strip())


def report_start(*, path: Path, form: str, actor: Actor, client_id: int | None = None) -> SendReport:
    """Check that a file can be read to its end and queue it.

    Raises:
        FileUnreadableError: empty, binary, wrong encoding, a column missing, a broken quote.
    """
    try:
        with _rows_of(path, form) as rows:
            total = sum(1 for _ in rows)
    except TableError as error:
        raise FileUnreadableError(error.message, what=error.what, reason=error.code, row=error.row) from None
    return SendReport.objects.create(
        source=str(path),
        source_format=form,
        sha256=file_sha256(path),
        rows_total=total,
        client_id=client_id,
        actor_kind=actor.kind,
        actor_ref=actor.ref,
    )


def report_run(report_id: UUID, on_progress: Progress | None = None) -> SendReport | None:
    """Take in a file to its end, or on from where a killed process left it. None: somebody else has it."""
    report = job_claim(SendReport, report_id, at=timezone.now())
    if report is None:
        return None
    try:
        _File(report, on_progress).run()
    except JobLostError:
        return None
    except (TableError, OSError) as error:
        code, what = (error.code, error.what) if isinstance(error, TableError) else ("file_unreadable", "")
        job_fail(report, code=code, what=what, at=timezone.now())
    return report


class _File:
    def __init__(self, report: SendReport, on_progress: Progress | None) -> None:
        self._report = report
        self._on_progress = on_progress
        self._actor = Actor(report.actor_kind, report.actor_ref)  # type: ignore[arg-type]
        self._errors = report_errors_path(report)

    def run(self) -> None:
        report = self._report
        self._errors.parent.mkdir(parents=True, exist_ok=True)
        if not self._errors.exists():
            self._errors.write_text(ERROR_HEAD)
        os.truncate(self._errors, report.errors_offset or len(ERROR_HEAD))
        source = Path(report.source)
        file_refuse_changed(source, report.sha256)
        with _rows_of(source, report.source_format) as rows:
            for _ in islice(rows, report.rows_done):
                pass
            while chunk := list(islice(rows, CHUNK)):
                self._chunk(chunk)
                if self._on_progress:
                    self._on_progress(report.rows_done, report.rows_total or 0)
        self._finish()

    def _chunk(self, rows: list[tuple[int, Any]]) -> None:
        report, at = self._report, timezone.now()
        with transaction.atomic():
            job_keep(report, at)
            reports_lock()
            register = register_live()
            reader = LineReader(register, at)
            read = reader.table_rows if report.source_format == "csv" else reader.json_lines
            stored = _store(list(read(rows)), report, register=register, at=at)
            with self._errors.open("a") as errors:
                errors.writelines(f"{item.number},{item.error.value},{item.field}\n" for item in stored.refused)
                errors.flush()
                os.fsync(errors.fileno())
                report.errors_offset = errors.tell()
            _count(report, len(rows), stored)
            report.save(update_fields=["rows_done", "accepted", "refused", "replayed", "by_code", "errors_offset"])

    def _finish(self) -> None:
        report, at = self._report, timezone.now()
        with transaction.atomic():
            job_keep(report, at)
            report.status, report.finished_at = "done", at
            report.save(update_fields=["status", "finished_at"])
            _leave_trace(report, self._actor)
