"""What senders report, and what it shows beside our answers."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import FileResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext, override
from django.utils.translation import gettext_noop as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.actors import Actor
from audit.api.inputs import StrictInput
from audit.options import option
from audit.problems import FieldError, ProblemError, language_of
from consent.api.ids import public_id, uuid_of
from consent.domain.sends import FINDINGS, LineError, LineRefused, SendFinding, findings_of
from consent.models import SendMatch, SendReport
from consent.selectors.jobs import job_error
from consent.selectors.reconciliations import (
    Place,
    Tally,
    counts_of,
    place_of,
    receiver_ref,
    reconciliation_get,
    sends_page,
)
from consent.selectors.register import register_live
from consent.selectors.screenings import send_report_for
from consent.services.jobs import job_start
from consent.services.reconciliation_files import reconciliation_export
from consent.services.send_reports import FORMATS, report_errors_path, report_start, sends_report
from consent.services.uploads import upload_find
from governance.api.calls import principal_of
from governance.api.idempotency import idempotent
from governance.domain.terms import Scope

PERIOD = timedelta(days=7)
LONGEST = timedelta(days=400)
FIRST = datetime(2000, 1, 1, tzinfo=UTC)
NDJSON = "application/x-ndjson"

LINE_ERRORS: dict[LineError, str] = {
    LineError.INVALID: _("The line, or a field of it, is not as expected."),
    LineError.UNKNOWN_FIELD: _("This field is not known."),
    LineError.IDENTIFIER_MALFORMED: _("The identifier is malformed."),
    LineError.HOLDS_IDENTIFIER: _(
        "This field holds a phone number or an address. Identifiers have one place: subject."
    ),
    LineError.CHANNEL_UNKNOWN: _("This channel is not in the register."),
    LineError.RECIPIENT_UNKNOWN: _("This recipient is not in the register."),
    LineError.DUTY_UNKNOWN: _("No decision has a duty of this code."),
    LineError.IN_FUTURE: _("The time lies ahead."),
    LineError.INCOMPLETE: _("Name a decision or the row of a screening that we know, or a subject and a channel."),
    LineError.CLIENT_LIMIT: _("The limits of this client do not allow this."),
    LineError.REPORTED_OTHERWISE: _("This message of this decision was reported with other facts before."),
}


class Lines(dict[str, str]):
    """A body of lines: what an idempotency key is compared by, and the lines themselves."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(sha256=hashlib.sha256(raw).hexdigest())
        self.raw = raw

    def numbered(self) -> list[tuple[int, bytes]]:
        return list(enumerate(self.raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1))


class NdjsonParser(BaseParser):
    """Lines of JSON, up to the cap on bodies."""

    media_type = NDJSON

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Lines:
        limit = option("BODY_MAX_BYTES")
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            extra = {"limit_bytes": limit, "use_instead": reverse("api:send-receipt-imports")}
            raise ProblemError(413, "body_too_large", extra=extra)
        return Lines(raw)


class JsonLinesParser(NdjsonParser):
    media_type = "application/jsonl"


class PlainNdjsonParser(NdjsonParser):
    media_type = "application/ndjson"


class SendReceiptsView(APIView):
    """POST what was really sent, a line of JSON for each message. Good lines are kept; a line sent again counts once.

    A line names the decision it rests on (`decision_id`), or the row of a screening (`screening`, `row_no`), or the
    receiver with campaign and channel (`subject`, `campaign`, `channel`), and when it went out (`sent_at`).
    """

    scope = Scope.INBOUND_WRITE
    parser_classes = [NdjsonParser, JsonLinesParser, PlainNdjsonParser]

    @extend_schema(
        operation_id="send_receipts",
        request={NDJSON: {"type": "array", "items": {"$ref": "#/components/schemas/SendReceiptLine"}}},
        responses={
            200: inline_serializer(
                "SendReceipts",
                {
                    "id": serializers.CharField(),
                    "lines": serializers.IntegerField(),
                    "accepted": serializers.IntegerField(),
                    "replayed": serializers.IntegerField(),
                    "refused": serializers.IntegerField(),
                    "errors": serializers.ListField(child=serializers.DictField()),
                },
            )
        },
    )
    @idempotent
    def post(self, request: Request) -> Response:
        body = request.data
        if not isinstance(body, Lines) or not body.raw.strip():
            raise ProblemError(400, "invalid_request", _("Lines of JSON are expected, one for each message."))
        client = principal_of(request).client
        taken = sends_report(
            lines=body.numbered(),
            sha256=body["sha256"],
            actor=Actor("api", principal_of(request).ref),
            at=timezone.now(),
            client_id=client.pk,
        )
        report = taken.report
        with override(language_of(request._request)):
            errors = [_line_error(item) for item in taken.stored.refused]
        return Response(
            {
                "id": public_id("srp", report.pk),
                "lines": report.rows_done,
                "accepted": report.accepted,
                "replayed": report.replayed,
                "refused": report.refused,
                "errors": errors,
            }
        )


def _line_error(item: LineRefused) -> dict[str, object]:
    pointer = item.field if item.field.startswith("/") or not item.field else f"/{item.field}"
    return {
        "line": item.number,
        "pointer": pointer,
        "code": item.error.value,
        "detail": gettext(LINE_ERRORS[item.error]),
    }


class SendReceiptImportListView(APIView):
    """POST an upload of send receipts, as a table or as lines of JSON; it runs as a job."""

    scope = Scope.INBOUND_WRITE

    class Input(StrictInput):
        class File(StrictInput):
            upload = serializers.CharField(max_length=64)
            format = serializers.ChoiceField(FORMATS, default="csv")

        input = File()

    @extend_schema(
        operation_id="send_receipt_import_create", request=Input, responses={202: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    @idempotent
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        wanted = data.validated_data["input"]
        client = principal_of(request).client
        path = upload_find(upload_id=uuid_of("upl", wanted["upload"], "upload_not_found"), client_id=client.pk)
        report = report_start(
            path=path,
            form=wanted["format"],
            actor=Actor("api", principal_of(request).ref),
            client_id=client.pk,
        )
        job_start("send_report", report.pk)
        return Response(_report_body(report), status=202)


class SendReceiptImportView(APIView):
    """GET an import of send receipts with its progress and counts."""

    scope = Scope.INBOUND_WRITE

    @extend_schema(operation_id="send_receipt_import_get", responses={200: OpenApiResponse(OpenApiTypes.OBJECT)})
    def get(self, request: Request, report_id: str) -> Response:
        return Response(_report_body(_own_report(request, report_id)))


class SendReceiptImportErrorsView(APIView):
    """GET the row-level error file: row number, code and field."""

    scope = Scope.INBOUND_WRITE

    @extend_schema(operation_id="send_receipt_import_errors", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, report_id: str) -> FileResponse:
        path = report_errors_path(_own_report(request, report_id))
        if not path.exists():
            raise ProblemError(404, "not_found")
        return FileResponse(path.open("rb"), as_attachment=True, filename="errors.csv", content_type="text/csv")


def _own_report(request: Request, report_id: str) -> SendReport:
    report = send_report_for(
        uuid_of("srp", report_id, "send_report_not_found"), client_id=principal_of(request).client.pk
    )
    if report is None:
        raise ProblemError(404, "send_report_not_found")
    return report


def _report_body(report: SendReport) -> dict[str, object]:
    number = public_id("srp", report.pk)
    body: dict[str, object] = {
        "id": number,
        "status": report.status,
        "progress": {"rows": report.rows_done, "of": report.rows_total},
        "accepted": report.accepted,
        "replayed": report.replayed,
        "refused": report.refused,
        "by_code": report.by_code,
        "sha256": report.sha256,
        "links": {
            "self": reverse("api:send-receipt-import", args=[number]),
            "errors": reverse("api:send-receipt-import-errors", args=[number]),
        },
    }
    if report.status == "failed":
        body["error"] = {"code": report.error_code, "detail": job_error(report)}
    return body


class PeriodInput(StrictInput):
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    campaign = serializers.CharField(max_length=64, required=False)
    finding = serializers.ChoiceField([finding.name for finding in FINDINGS], required=False)
    found_only = serializers.BooleanField(default=False)


def _period(request: Request, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what to read: the week up to now unless said otherwise. Refuses what lies beyond the client's limits."""
    until: datetime = wanted.get("until") or timezone.now()
    since: datetime = wanted.get("since") or max(until, FIRST) - PERIOD
    if not since < until or until - since > LONGEST:
        detail = _("The period must begin before it ends, and be of %(most)s days at most.")
        raise ProblemError(
            400, "invalid_request", errors=[FieldError("/since", "invalid", detail, {"most": LONGEST.days})]
        )
    campaign = wanted.get("campaign", "")
    client = principal_of(request).client
    if any(limit is not None for limit in (client.brands, client.purposes, client.channels, client.recipients)):
        plan = register_live().rules.plans.get(campaign)
        if plan is None or not principal_of(request).may(
            brand=plan.brand,
            purposes=[plan.purpose],
            channels=[plan.channel],
            recipients=[plan.recipient] if plan.recipient else [],
        ):
            raise ProblemError(403, "client_limit")
    name = wanted.get("finding")
    return {
        "since": since,
        "until": until,
        "campaign": campaign,
        "finding": SendFinding[name] if name else None,
        "found_only": wanted["found_only"],
    }


class SendReconciliationView(APIView):
    """GET each reported send beside the answer of ours it rests on: counts for a period, and the sends page by page."""

    scope = Scope.AUDIT_READ

    class Input(PeriodInput):
        cursor = serializers.CharField(max_length=200, required=False)
        limit = serializers.IntegerField(min_value=1, max_value=200, default=50)

    @extend_schema(
        operation_id="send_reconciliation", parameters=[Input], responses={200: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    def get(self, request: Request) -> Response:
        data = self.Input(data=request.query_params.dict())
        data.is_valid(raise_exception=True)
        wanted = data.validated_data
        period = _period(request, wanted)
        back, place = _cursor_read(wanted["cursor"]) if "cursor" in wanted else (False, None)
        found = reconciliation_get(since=period["since"], until=period["until"], campaign=period["campaign"])
        page, more = sends_page(
            **period, after=None if back else place, before=place if back else None, limit=wanted["limit"]
        )
        address = {key: str(value) for key, value in wanted.items() if key != "cursor"}
        address |= {"since": period["since"].isoformat(), "until": period["until"].isoformat()}
        older = bool(page) and (back or more)
        newer = bool(page) and (more if back else place is not None)
        return Response(
            {
                "since": period["since"].isoformat(),
                "until": period["until"].isoformat(),
                "campaign": period["campaign"] or None,
                **_tally(found.total),
                "campaigns": [{"campaign": tally.name or None} | _tally(tally) for tally in found.campaigns],
                "recipients": [{"recipient": tally.name or None} | _tally(tally) for tally in found.recipients],
                "results": [_send(row) for row in page],
                "next": _link(address, False, page[-1]) if older else None,
                "previous": _link(address, True, page[0]) if newer else None,
            }
        )


class SendReconciliationFileView(APIView):
    """GET the sends of a period as CSV. Receivers are references; taking the file is an entry in the trail."""

    scope = Scope.AUDIT_READ

    @extend_schema(
        operation_id="send_reconciliation_file",
        parameters=[PeriodInput],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        data = PeriodInput(data=request.query_params.dict())
        data.is_valid(raise_exception=True)
        period = _period(request, data.validated_data)
        lines = reconciliation_export(**period, actor=Actor("api", principal_of(request).ref))
        response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="send-reconciliation.csv"'
        return response


def _tally(tally: Tally) -> dict[str, object]:
    return {"sends": tally.sends, "found": tally.found, "findings": counts_of(tally)}


def _send(row: SendMatch) -> dict[str, object]:
    receipt = row.receipt
    return {
        "receipt": public_id("snd", receipt.id),
        "sent_at": receipt.sent_at.isoformat(),
        "receiver": receiver_ref(receipt),
        "campaign": receipt.campaign or None,
        "channel": receipt.channel.code,
        "recipient": receipt.recipient or None,
        "kind": receipt.kind,
        "status": receipt.status,
        "message_id": receipt.message_id or None,
        "decision": public_id("dec", row.decision_id) if row.decision_id else None,
        "screening": public_id("scr", row.screening_id) if row.screening_id else None,
        "row_no": row.row_no,
        "expired_at": row.expires_at.isoformat() if row.expires_at else None,
        "findings": [finding.name for finding in findings_of(row.findings)],
    }


def _link(address: dict[str, str], back: bool, row: SendMatch) -> str:
    place = place_of(row)
    text = f"{'b' if back else 'f'}|{place.sent_at.isoformat()}|{place.id.hex}"
    cursor = base64.urlsafe_b64encode(text.encode()).decode()
    return f"{reverse('api:send-reconciliations')}?{urlencode(address | {'cursor': cursor})}"


def _cursor_read(text: str) -> tuple[bool, Place]:
    try:
        way, at, key = base64.urlsafe_b64decode(text.encode()).decode().split("|")
        place = Place(datetime.fromisoformat(at), UUID(hex=key))
        if way in ("b", "f") and place.sent_at.tzinfo:
            return way == "b", place
    except ValueError:
        pass
    raise ProblemError(
        400, "invalid_request", errors=[FieldError("/cursor", "invalid", _("This is no cursor of ours."))]
    )
