"""Decisions that are not about a person: which fields a send may use. And what this installation is."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.api.inputs import StrictInput
from audit.options import option
from audit.problems import ProblemError, language_of
from consent.decisions.field_use import ROLES, fields_usable
from consent.decisions.reasons import RULE_SET
from consent.screening.audience import FORMATS
from consent.selectors.register import register_live
from governance.api.calls import principal_of
from governance.domain.terms import Scope
from governance.services.signers import signer


class FieldsView(APIView):
    """POST a campaign (or purpose), a vendor and a role; learn which catalogue fields may be used, masked or not."""

    scope = Scope.DECISIONS_CHECK

    class Input(StrictInput):
        campaign = serializers.CharField(max_length=64, required=False)
        purpose = serializers.CharField(max_length=64, required=False)
        recipient = serializers.CharField(max_length=64, required=False, allow_null=True)
        role = serializers.ChoiceField(sorted(ROLES), default="marketer")

    @extend_schema(
        operation_id="decisions_fields", request=Input, responses={200: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        wanted = data.validated_data
        register = register_live().rules
        plan = register.plans.get(wanted["campaign"]) if "campaign" in wanted else None
        if "campaign" in wanted and plan is None:
            raise ProblemError(422, "campaign_not_found")
        purpose = wanted.get("purpose") or (plan.purpose if plan else "")
        if not purpose:
            raise ProblemError(400, "invalid_request", "name a campaign or a purpose")
        recipient = wanted.get("recipient", plan.recipient if plan else None)
        if not principal_of(request).may(purposes=[purpose], recipients=[recipient] if recipient else []):
            raise ProblemError(403, "client_limit")
        fields = fields_usable(
            register, purpose=purpose, recipient=recipient, role=wanted["role"], language=language_of(request._request)
        )
        return Response(
            {
                "purpose": purpose,
                "recipient": recipient,
                "role": wanted["role"],
                "fields": fields,
                "rule_set": RULE_SET,
                "evaluated_at": timezone.now().isoformat(),
            }
        )


class Anybody(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return True


class MetaView(APIView):
    """GET what a client should know before it calls: caps, versions, and the keys that verify what we sign."""

    authentication_classes: list[type] = []
    permission_classes = [Anybody]

    @extend_schema(
        operation_id="meta",
        auth=[],
        responses={200: OpenApiResponse(OpenApiTypes.OBJECT)},
    )
    def get(self, request: Request) -> Response:
        return Response(
            {
                "rule_set": RULE_SET,
                "caps": {
                    "batch_items": option("BATCH_MAX_ITEMS"),
                    "body_bytes": option("BODY_MAX_BYTES"),
                    "upload_bytes": option("UPLOAD_MAX_BYTES"),
                    "check_ttl_seconds": option("CHECK_TTL_SECONDS"),
                    "screening_files_hours": option("SCREENING_TTL_HOURS"),
                },
                "screening_formats": list(FORMATS),
                "languages": ["zh-Hans", "en"],
                "verifiers": {"manifest": signer("manifest").verifier},
            }
        )
