"""The sends of a reconciliation as a table to take away. Receivers stand in it as references, never in clear."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime

from django.db import transaction

from audit.actors import Actor
from audit.services.record import Event, audit_record
from consent.domain.sends import SendFinding, findings_of
from consent.models import SendMatch
from consent.selectors.reconciliations import receiver_ref, reconciliation_get, sends_walk
from consent.services.screenings import safe_cell
from governance.domain.calendar import SHANGHAI

HEAD = (
    "receipt",
    "sent_at",
    "campaign",
    "channel",
    "recipient",
    "kind",
    "status",
    "message_id",
    "receiver",
    "decision",
    "screening",
    "row_no",
    "expired_at",
    "findings",
)


def reconciliation_export(
    *,
    since: datetime,
    until: datetime,
    campaign: str = "",
    finding: SendFinding | None = None,
    found_only: bool = False,
    actor: Actor,
) -> Iterator[str]:
    """Return the table as lines of CSV, newest send first, and note who took it. Times are Beijing time."""
    with transaction.atomic():
        total = reconciliation_get(since=since, until=until, campaign=campaign).total
        rows = total.by_finding[finding] if finding is not None else total.found if found_only else total.sends
        details: dict[str, object] = {
            "since": since.isoformat(),
            "until": until.isoformat(),
            "campaign": campaign[:64],
            "finding": finding.name if finding is not None else None,
            "rows": rows,
        }
        audit_record(actor=actor, event=Event("reconciliation.exported", details=details))
    return _lines(sends_walk(since=since, until=until, campaign=campaign, finding=finding, found_only=found_only))


def _lines(rows: Iterator[SendMatch]) -> Iterator[str]:
    yield _line(HEAD)
    for row in rows:
        yield _line(_cells(row))


def _cells(row: SendMatch) -> tuple[str, ...]:
    receipt = row.receipt
    cells = (
        f"snd_{receipt.id.hex}",
        receipt.sent_at.astimezone(SHANGHAI).isoformat(),
        receipt.campaign,
        receipt.channel.code,
        receipt.recipient,
        receipt.kind,
        receipt.status,
        receipt.message_id,
        receiver_ref(receipt),
        f"dec_{row.decision_id.hex}" if row.decision_id else "",
        f"scr_{row.screening_id.hex}" if row.screening_id else "",
        str(row.row_no or ""),
        row.expires_at.astimezone(SHANGHAI).isoformat() if row.expires_at else "",
        ";".join(str(finding.name) for finding in findings_of(row.findings)),
    )
    return tuple(safe_cell(cell) for cell in cells)


def _line(cells: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
