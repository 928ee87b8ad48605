"""The peer's check: serializer in, OAuth token, ORM, a decision row, JSON out."""

from __future__ import annotations

import hashlib

from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.naive.checks import check, identifier_read
from consent.decisions.reasons import REASONS, RULE_SET
from consent.models import Campaign
from governance.domain.identifiers import IDENTIFIER_TYPES
from governance.models import APIClient


class SubjectSerializer(serializers.Serializer):
    type = serializers.ChoiceField(choices=sorted(IDENTIFIER_TYPES))
    id = serializers.CharField(max_length=200)


class CheckSerializer(serializers.Serializer):
    subject = SubjectSerializer()
    campaign = serializers.CharField(max_length=64)
    planned_at = serializers.DateTimeField(required=False)


class CheckView(APIView):
    """POST a subject and a campaign; get the decision with its reasons."""

    required_scopes = ["decisions:check"]

    def post(self, request: Request) -> Response:
        digest = hashlib.blake2b(request.body, digest_size=16).digest()
        serializer = CheckSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        kind, value = data["subject"]["type"], data["subject"]["id"]
        key = identifier_read(kind, value)
        if key is None:
            raise ValidationError({"subject": {"id": "malformed"}})
        client: APIClient = request.auth.application
        _refuse_beyond_limits(client, data["campaign"])
        decided, decision = check(
            key=key,
            kind=kind,
            campaign=data["campaign"],
            planned_at=data.get("planned_at"),
            client=client,
            request_hash=digest,
        )
        return Response(
            {
                "decision": decided.outcome.may_send,
                "outcome": decided.outcome.value,
                "decision_id": f"dec_{decision.pk.hex}",
                "reasons": [
                    {"code": code.name, "primary": code is decided.primary, "message": REASONS[code].zh}
                    for code in decided.codes
                ],
                "rule_set": RULE_SET,
                "evaluated_at": decision.decided_at.isoformat(),
            }
        )


def _refuse_beyond_limits(client: APIClient, code: str) -> None:
    if not client.active:
        raise PermissionDenied
    limited = (client.brands, client.purposes, client.channels, client.fields, client.recipients)
    if all(limit is None for limit in limited):
        return
    campaign = Campaign.objects.filter(code=code).first()
    if campaign is None:
        raise PermissionDenied
    wanted = ([campaign.brand], [campaign.purpose], [campaign.channel], campaign.fields, [campaign.recipient])
    for limit, named in zip(limited, wanted, strict=True):
        if limit is not None and not set(named) <= set(limit):
            raise PermissionDenied
