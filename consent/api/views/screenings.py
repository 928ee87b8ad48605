"""Uploads and screenings: a file of any size judged for one campaign."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.http import FileResponse, HttpResponse
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.actors import Actor
from audit.api.inputs import StrictInput
from audit.domain.note import split_note
from audit.problems import ProblemError
from consent.api.ids import public_id, uuid_of
from consent.decisions.reasons import RULE_SET
from consent.models import Screening
from consent.screening.audience import FORMATS
from consent.selectors.jobs import job_error
from consent.selectors.register import register_live
from consent.selectors.screenings import screening_for
from consent.services.jobs import job_start
from consent.services.screenings import (
    FILES,
    AudienceFile,
    screening_cancel,
    screening_file,
    screening_recheck,
    screening_start,
)
from consent.services.uploads import upload_find, upload_store
from governance.api.calls import principal_of
from governance.api.idempotency import idempotent
from governance.domain.identifiers import IDENTIFIER_TYPES
from governance.domain.terms import Scope

_CHUNK = 1 << 20


class StreamParser(BaseParser):
    """Leave the body alone: it is streamed to disk."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return stream


class UploadView(APIView):
    """POST a file as the raw body (or as multipart field `file`); it is streamed, capped and hashed."""

    scope = (Scope.SCREENINGS_RUN, Scope.CONSENTS_WRITE, Scope.INBOUND_WRITE)
    parser_classes = [MultiPartParser, StreamParser]

    @extend_schema(
        operation_id="upload_create",
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={
            201: inline_serializer(
                "Upload",
                {"id": serializers.CharField(), "sha256": serializers.CharField(), "size": serializers.IntegerField()},
            )
        },
    )
    def post(self, request: Request) -> Response:
        upload = upload_store(chunks=_chunks(request), client_id=principal_of(request).client.pk, at=timezone.now())
        return Response({"id": public_id("upl", upload.id), "sha256": upload.sha256, "size": upload.size}, status=201)


def _chunks(request: Request) -> Iterator[bytes]:
    if (request.content_type or "").startswith("multipart/"):
        file = request.FILES.get("file")
        if file is None:
            raise ProblemError(400, "invalid_request", "multipart needs a field named file")
        yield from file.chunks()
        return
    stream = request.stream
    while stream is not None and (chunk := stream.read(_CHUNK)):
        yield chunk


class ScreeningListView(APIView):
    """POST an upload and a campaign; the screening runs as a job. Poll `links.self`."""

    scope = Scope.SCREENINGS_RUN

    class Input(StrictInput):
        class File(StrictInput):
            upload = serializers.CharField(max_length=64)
            format = serializers.ChoiceField(FORMATS, default="csv")
            column = serializers.CharField(max_length=100, default="", allow_blank=True)
            encoding = serializers.ChoiceField(["auto"], default="auto")

        class Options(StrictInput):
            carry_columns = serializers.ListField(
                child=serializers.CharField(max_length=100), max_length=20, default=list
            )

        campaign = serializers.CharField(max_length=64)
        purpose = serializers.CharField(max_length=64, required=False)
        channel = serializers.CharField(max_length=64, required=False)
        subject_type = serializers.ChoiceField(sorted(IDENTIFIER_TYPES))
        input = File()
        options = Options(required=False)
        as_of = serializers.DateTimeField(required=False)

    @extend_schema(
        operation_id="screening_create", request=Input, responses={202: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    @idempotent
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        wanted = data.validated_data
        client = principal_of(request).client
        _refuse_limits(request, wanted)
        path = upload_find(upload_id=uuid_of("upl", wanted["input"]["upload"], "upload_not_found"), client_id=client.pk)
        screening = screening_start(
            audience=AudienceFile(
                path,
                wanted["input"]["format"],
                wanted["input"]["column"],
                tuple(wanted.get("options", {}).get("carry_columns", ())),
            ),
            campaign=wanted["campaign"],
            subject_type=wanted["subject_type"],
            actor=Actor("api", principal_of(request).ref),
            at=timezone.now(),
            as_of=wanted.get("as_of"),
            client_id=client.pk,
        )
        job_start("screening", screening.pk)
        return Response(screening_body(screening), status=202)


def _refuse_limits(request: Request, wanted: dict[str, Any]) -> None:
    """Refuse what lies beyond the client's limits, simulation without its scope, and a campaign named wrongly."""
    plan = register_live().rules.plans.get(wanted["campaign"])
    if plan is None:
        raise ProblemError(422, "campaign_not_found")
    named = (wanted.get("purpose", plan.purpose), wanted.get("channel", plan.channel))
    if named != (plan.purpose, plan.channel):
        raise ProblemError(422, "campaign_mismatch")
    if wanted.get("as_of") and Scope.DECISIONS_SIMULATE not in principal_of(request).scopes:
        raise ProblemError(403, "insufficient_scope", extra={"scope": Scope.DECISIONS_SIMULATE.value})
    allowed = principal_of(request).may(
        brand=plan.brand,
        purposes=[plan.purpose],
        channels=[plan.channel],
        fields=[*plan.fields, *plan.segment_fields],
        recipients=[plan.recipient] if plan.recipient else [],
    )
    if not allowed:
        raise ProblemError(403, "client_limit")


class ScreeningView(APIView):
    """GET a screening with its progress, counts and result files."""

    scope = Scope.SCREENINGS_RUN

    @extend_schema(operation_id="screening_get", responses={200: OpenApiResponse(OpenApiTypes.OBJECT)})
    def get(self, request: Request, screening_id: str) -> Response:
        return Response(screening_body(_own(request, screening_id)))


class ScreeningCancelView(APIView):
    """POST to stop a screening that is queued or running. One that is done stays done."""

    scope = Scope.SCREENINGS_RUN

    @extend_schema(operation_id="screening_cancel", request=None, responses={200: OpenApiResponse(OpenApiTypes.OBJECT)})
    @idempotent
    def post(self, request: Request, screening_id: str) -> Response:
        screening = _own(request, screening_id)
        screening_cancel(screening=screening, actor=Actor("api", principal_of(request).ref), at=timezone.now())
        screening.refresh_from_db()
        return Response(screening_body(screening))


class ScreeningRecheckView(APIView):
    """POST to learn which answers changed since: `removed` must not be sent any more, `added` now may."""

    scope = Scope.SCREENINGS_RUN

    @extend_schema(
        operation_id="screening_recheck", request=None, responses={200: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    @idempotent
    def post(self, request: Request, screening_id: str) -> Response:
        screening = _own(request, screening_id)
        changed = screening_recheck(
            screening=screening, actor=Actor("api", principal_of(request).ref), at=timezone.now()
        )
        screening.refresh_from_db()
        files = {
            name: {"url": _file_url(screening, name), "rows": len(rows)}
            for name, rows in (("removed", changed.removed), ("added", changed.added))
        }
        return Response(screening_body(screening) | {"changes": files})


class ScreeningManifestView(APIView):
    """GET the manifest: a signed note that verifies offline with the key of GET /api/v1/meta."""

    scope = Scope.SCREENINGS_RUN

    @extend_schema(operation_id="screening_manifest", responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request, screening_id: str) -> HttpResponse:
        screening = _own(request, screening_id)
        if not screening.manifest:
            raise ProblemError(409, "screening_not_ready", extra={"status_now": screening.status})
        return HttpResponse(screening.manifest, content_type="text/plain; charset=utf-8")


class ScreeningFileView(APIView):
    """GET a result file: `allow`, `deny`, `invalid`, and after a recheck `removed` and `added`."""

    scope = Scope.SCREENINGS_RUN

    @extend_schema(operation_id="screening_file", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, screening_id: str, name: str) -> FileResponse:
        screening = _own(request, screening_id)
        if name not in (*FILES, "removed", "added"):
            raise ProblemError(404, "not_found")
        path = screening_file(screening, name)
        filename = f"{public_id('scr', screening.pk)}-{name}.csv"
        return FileResponse(path.open("rb"), as_attachment=True, filename=filename, content_type="text/csv")


def _own(request: Request, screening_id: str) -> Screening:
    screening = screening_for(
        uuid_of("scr", screening_id, "screening_not_found"), client_id=principal_of(request).client.pk
    )
    if screening is None:
        raise ProblemError(404, "screening_not_found")
    return screening


def _url(name: str, screening: Screening, *more: str) -> str:
    return reverse(f"api:{name}", args=[public_id("scr", screening.pk), *more])


def _file_url(screening: Screening, name: str) -> str:
    return _url("screening-file", screening, name)


def screening_body(screening: Screening) -> dict[str, object]:
    """Return a screening as the contract shows it."""
    counts = screening.counts or {}
    body: dict[str, object] = {
        "id": public_id("scr", screening.pk),
        "status": screening.status,
        "campaign": screening.campaign,
        "purpose": screening.purpose,
        "channel": screening.channel,
        "progress": {"rows": screening.rows_done, "of": screening.rows_total},
        "rows": screening.rows_done,
        **{name: counts.get(name, 0) for name in ("invalid", "duplicates", "allow", "deny", "hold", "defer")},
        "by_code": screening.by_code,
        "created_at": screening.created_at.isoformat(),
        "links": {
            "self": _url("screening", screening),
            "cancel": _url("screening-cancel", screening),
            "recheck": _url("screening-recheck", screening),
            "manifest": _url("screening-manifest", screening),
        },
    }
    if screening.as_of:
        body |= {"simulated": True, "as_of": screening.as_of.isoformat()}
    if screening.status == "failed":
        body["error"] = {"code": screening.error_code, "detail": job_error(screening)}
    if screening.status == "done":
        body |= _result(screening)
    return body


def _result(screening: Screening) -> dict[str, object]:
    text, signatures = split_note(screening.manifest)
    manifest = json.loads(text)
    return {
        "files": {
            name: {
                "url": _file_url(screening, name),
                "sha256": manifest["files"][name]["sha256"],
                "rows": _rows(screening, name),
            }
            for name in FILES
        },
        "obligations": manifest["obligations"],
        "manifest": {
            "rule_set": RULE_SET,
            "ledger": manifest.get("ledger"),
            "input_sha256": screening.input_sha256,
            "started_at": manifest["started_at"],
            "finished_at": manifest["finished_at"],
            "signature": signatures[0].signature.hex(),
        },
        "valid_until": manifest["valid_until"],
    }


def _rows(screening: Screening, name: str) -> int:
    counts = screening.counts
    parts = {"allow": ("allow",), "deny": ("deny", "hold", "defer"), "invalid": ("invalid", "duplicates")}
    return sum(counts[part] for part in parts[name])
