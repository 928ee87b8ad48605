"""The ledger for those who audit us: entries, signed heads, proofs, and the tree itself as C2SP tlog-tiles."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils.module_loading import import_string
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.actors import Actor
from audit.api.inputs import StrictInput
from audit.domain.checkpoint import consistency_text
from audit.domain.details import EVENT_DETAILS
from audit.domain.merkle import HASH_BYTES
from audit.domain.tiles import TILE_WIDTH, tile_read
from audit.errors import CheckpointNotFoundError, EntryNotFoundError, LedgerLateError, TileNotFoundError
from audit.models import AuditEntry, Checkpoint
from audit.options import option
from audit.problems import FieldError, ProblemError, request_id_of
from audit.selectors.entries import entry_body
from audit.selectors.ledger import checkpoint_latest, consistency_between, inclusion_of, tile_hashes
from audit.selectors.trail import TrailEntry, TrailFilter, entries_page, entry_bundle
from audit.services.access import subject_view

SCOPE = "audit:read"
NOTE = "text/plain; charset=utf-8"
_FOREVER = "max-age=31536000, immutable"
_KINDS = ("customer", "user", "api", "system")


class _AnyAccept(BaseContentNegotiation):
    """Answer in the one form there is, whatever is asked for."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return next((p for p in parsers if p.media_type == (request.content_type or "").split(";")[0]), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class TrailInput(StrictInput):
    object_kind = serializers.CharField(max_length=24, required=False)
    object_ref = serializers.CharField(max_length=80, required=False)
    actor_kind = serializers.ChoiceField(_KINDS, required=False)
    actor_ref = serializers.CharField(max_length=64, required=False)
    type = serializers.ChoiceField(sorted(EVENT_DETAILS), required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    after = serializers.UUIDField(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)


class EntriesView(APIView):
    """GET entries, newest first. `after` is the `next` of the page before."""

    scope = SCOPE

    @extend_schema(
        operation_id="audit_entries", parameters=[TrailInput], responses={200: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    def get(self, request: Request) -> Response:
        data = TrailInput(data=request.query_params.dict())
        data.is_valid(raise_exception=True)
        return Response(_page(data.validated_data, None))


class EntryQueryView(APIView):
    """POST a subject and the same filters; get what the trail holds about that person. The look is an entry itself."""

    scope = SCOPE

    class Input(TrailInput):
        subject = serializers.JSONField()

    @extend_schema(
        operation_id="audit_entry_query", request=Input, responses={200: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        wanted = dict(data.validated_data)
        subject: UUID | None = import_string(option("SUBJECT_OF"))(wanted.pop("subject"))
        if subject is None:
            return Response({"subject": None, "results": [], "next": None, "previous": None})
        actor = Actor("api", str(request.user.ref))  # type: ignore[union-attr]  # the principal of the token
        subject_view(subject=subject, where="api.audit", actor=actor, request_id=request_id_of(request._request))
        return Response({"subject": f"sub_{subject.hex}"} | _page(wanted, subject))


def _page(wanted: dict[str, Any], subject: UUID | None) -> dict[str, object]:
    after, limit = wanted.pop("after", None), wanted.pop("limit")
    entries, more = entries_page(TrailFilter(**wanted, subject=subject), after=after, limit=limit)
    return {
        "results": [_entry(entry) for entry in entries],
        "next": str(entries[-1].row.id) if more else None,
        "previous": str(after) if after else None,
    }


def _entry(entry: TrailEntry) -> dict[str, object]:
    body = entry_body(entry.row)
    return {
        "id": str(entry.row.id),
        "type": entry.row.type,
        "recorded_at": body["t"],
        "actor": {"kind": entry.row.actor_kind, "ref": entry.row.actor_ref},
        "subject": f"sub_{entry.row.subject_ref.hex}" if entry.row.subject_ref else None,
        "version": body.get("ver"),
        "object": {"kind": entry.row.object_kind, "ref": entry.row.object_ref} if entry.row.object_kind else None,
        "details": body.get("d", {}),
        "request_id": body.get("req"),
        "sealed": "pc" in body,
        "body": base64.b64encode(bytes(entry.row.body)).decode(),
        "index": entry.index,
    }


class CheckpointsView(APIView):
    """GET the signed heads of the tree, the newest first. `after` is the `next` of the page before."""

    scope = SCOPE

    class Input(StrictInput):
        after = serializers.IntegerField(min_value=1, max_value=2**62, required=False)
        limit = serializers.IntegerField(min_value=1, max_value=200, default=50)

    @extend_schema(
        operation_id="audit_checkpoints", parameters=[Input], responses={200: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    def get(self, request: Request) -> Response:
        data = self.Input(data=request.query_params.dict())
        data.is_valid(raise_exception=True)
        after, limit = data.validated_data.get("after"), data.validated_data["limit"]
        rows = Checkpoint.objects.filter(size__lt=after) if after else Checkpoint.objects.all()
        page = list(rows.order_by("-size")[: limit + 1])
        return Response(
            {
                "results": [_head(row) for row in page[:limit]],
                "next": page[limit - 1].size if len(page) > limit else None,
                "previous": after,
            }
        )


def _head(row: Checkpoint) -> dict[str, object]:
    root = base64.b64encode(bytes(row.root)).decode()
    return {"size": row.size, "root": root, "signed_at": row.signed_at, "note": row.note}


class CheckpointView(APIView):
    """GET one signed head as it was signed (C2SP tlog-checkpoint); `latest` names the newest."""

    scope = SCOPE
    content_negotiation_class = _AnyAccept

    @extend_schema(operation_id="audit_checkpoint_get", responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request, size: str) -> HttpResponse:
        return HttpResponse(_checkpoint(size).note, content_type=NOTE)


class NewestCheckpointView(APIView):
    """GET the newest signed head, at the address where clients of tlog-tiles look for it."""

    scope = SCOPE
    content_negotiation_class = _AnyAccept

    @extend_schema(operation_id="audit_checkpoint_newest", responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(_checkpoint("latest").note, content_type=NOTE)


def _checkpoint(size: str) -> Checkpoint:
    found = checkpoint_latest() if size == "latest" else None
    if size.isascii() and size.isdigit() and len(size) < 19:
        found = Checkpoint.objects.filter(size=int(size)).first()
    if found is None:
        raise CheckpointNotFoundError("There is no checkpoint of this size.")
    return found


class ProofView(APIView):
    """GET the proof that an entry is in the tree (`entry`), or that one tree continues another (`from`, `to`).

    As JSON, or with `Accept: text/plain` as C2SP tlog-proof, or as a witness takes it.
    """

    scope = SCOPE
    content_negotiation_class = _AnyAccept

    @extend_schema(
        operation_id="audit_proof",
        parameters=[
            OpenApiParameter("entry", OpenApiTypes.UUID),
            OpenApiParameter("from", OpenApiTypes.INT),
            OpenApiParameter("to", OpenApiTypes.INT, description="size of a checkpoint; without it the newest"),
        ],
        responses={200: OpenApiResponse(OpenApiTypes.OBJECT), (200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> Response | HttpResponse:
        given = request.query_params.dict()
        as_text = "text/plain" in request.headers.get("Accept", "")
        if set(given) == {"entry"}:
            return _inclusion(given["entry"], as_text=as_text)
        if "from" in given and set(given) <= {"from", "to"}:
            return _consistency(given["from"], given.get("to", "latest"), as_text=as_text)
        errors = [FieldError("", "required", "Name an entry, or two sizes of the tree.")]
        raise ProblemError(400, "invalid_request", errors=errors)


def _inclusion(entry: str, *, as_text: bool) -> Response | HttpResponse:
    try:
        row = AuditEntry.objects.filter(id=UUID(hex=entry)).first()
    except ValueError:
        row = None
    if row is None:
        raise EntryNotFoundError("There is no such audit entry.")
    proof = inclusion_of(row.id)
    if proof is None:
        raise LedgerLateError("The ledger has not published this yet; ask again in a moment.")
    if as_text:
        return HttpResponse(proof.text, content_type=NOTE)
    return Response(
        {
            "entry": str(row.id),
            "index": proof.index,
            "leaf": base64.b64encode(bytes(row.leaf_hash)).decode(),
            "path": [base64.b64encode(step).decode() for step in proof.path],
            "checkpoint": proof.checkpoint.note,
        }
    )


def _consistency(old: str, new: str, *, as_text: bool) -> Response | HttpResponse:
    checkpoint = _checkpoint(new)
    size = int(old) if old.isascii() and old.isdigit() and len(old) < 19 else 0
    if not 0 < size <= checkpoint.size:
        errors = [FieldError("/from", "invalid", "A size between 1 and that of the newer tree is expected.")]
        raise ProblemError(400, "invalid_request", errors=errors)
    path = consistency_between(size, checkpoint.size)
    if as_text:
        return HttpResponse(consistency_text(size, path, checkpoint.note), content_type=NOTE)
    hashes = [base64.b64encode(step).decode() for step in path]
    return Response({"from": size, "to": checkpoint.size, "path": hashes, "checkpoint": checkpoint.note})


class TileView(APIView):
    """GET a piece of the tree, or the entries below it (level `entries`), as C2SP tlog-tiles lays them out."""

    scope = SCOPE
    content_negotiation_class = _AnyAccept

    @extend_schema(operation_id="audit_tile", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, level: str, place: str) -> HttpResponse:
        data, width, shared = _tile(level, place)
        if data is None:
            raise TileNotFoundError("The tree has no such tile.")
        cached = f"{'public' if shared else 'private'}, {_FOREVER}" if width == TILE_WIDTH else "no-store"
        return HttpResponse(data, content_type="application/octet-stream", headers={"Cache-Control": cached})


def _tile(level: str, place: str) -> tuple[bytes | None, int, bool]:
    """Return the bytes of a tile, its width, and whether everybody may keep it: hashes say nothing of anybody."""
    try:
        n, width = tile_read(level, place)
    except ValueError:
        return None, 0, False
    if level == "entries":
        return entry_bundle(n * TILE_WIDTH, width), width, False
    if not (level.isascii() and level.isdigit()) or len(level) > 2 or str(int(level)) != level:
        return None, 0, False
    data = tile_hashes(int(level), n)[: width * HASH_BYTES]
    return (data if len(data) == width * HASH_BYTES else None), width, True
