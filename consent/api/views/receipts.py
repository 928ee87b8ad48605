"""Consent receipts: handed out, and checked whoever brings one."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.problems import ProblemError
from consent.api.ids import uuid_of
from consent.domain.receipts import receipt_number
from consent.services.receipts import REASONS, ReceiptCheck, receipt_check, receipt_get
from governance.api.calls import principal_of
from governance.domain.terms import Scope

JSON_LD = "application/ld+json"
_EITHER = (Scope.CONSENTS_READ, Scope.CONSENTS_WRITE)


class ReceiptView(APIView):
    """GET the receipt of one act: JSON-LD in the shape of ISO/IEC TS 27560, signed, with proofs that verify offline."""

    scope = _EITHER

    @extend_schema(operation_id="receipt_get", responses={(200, JSON_LD): OpenApiTypes.OBJECT})
    def get(self, request: Request, receipt_id: str) -> Response:
        receipt = receipt_get(entry=uuid_of("rcp", receipt_id, "receipt_not_found"))
        named = receipt.named
        allowed = principal_of(request).may(
            purposes=named["purpose"], channels=named["channel"], recipients=named["recipient"]
        )
        if not allowed:
            raise ProblemError(404, "receipt_not_found")  # what a client may not see does not exist for it
        return Response(receipt.document, content_type=JSON_LD)


class ReceiptVerifyView(APIView):
    """POST a receipt document, or `{"note": "…"}`; get whether it is genuine and whole, and if not, why."""

    scope = _EITHER

    @extend_schema(
        operation_id="receipt_verify",
        request=OpenApiTypes.OBJECT,
        responses={200: OpenApiResponse(OpenApiTypes.OBJECT)},
    )
    def post(self, request: Request) -> Response:
        given: object = request.data
        if isinstance(given, dict) and set(given) == {"note"}:
            given = given["note"]
        return Response(_answer(receipt_check(given, at=timezone.now())))


def _answer(check: ReceiptCheck) -> dict[str, object]:
    return {
        "valid": check.valid,
        "reasons": [{"code": t.code, "pointer": t.pointer, "detail": gettext(REASONS[t.code])} for t in check.troubles],
        "receipt": receipt_number(check.entries[0].id) if check.entries else None,
        "entries": [
            {"id": str(entry.id), "included": entry.index is not None, "index": entry.index} for entry in check.entries
        ],
    }
