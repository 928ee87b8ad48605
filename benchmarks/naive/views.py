"""The peer's check and batch: serializer in, OAuth token, ORM, decision rows, JSON out."""

from __future__ import annotations

import hashlib
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.naive.checks import Asked, check, check_many, identifier_read
from benchmarks.naive.rules import Decided
from consent.decisions.reasons import REASONS, RULE_SET
from consent.models import Campaign, Decision
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
        data = _read(CheckSerializer, request)
        decided, decision = check(_key_of(data["subject"]), _asked(request, data, data["subject"]["type"]))
        evaluated = {"rule_set": RULE_SET, "evaluated_at": decision.decided_at.isoformat()}
        return Response(_shown(decided, decision) | evaluated)


class BatchSerializer(serializers.Serializer):
    campaign = serializers.CharField(max_length=64)
    planned_at = serializers.DateTimeField(required=False)
    subjects = SubjectSerializer(many=True, allow_empty=False, max_length=1000)


class BatchView(APIView):
    """POST a campaign and up to 1,000 subjects of one kind; get the decisions in order. One check after the other."""

    required_scopes = ["decisions:check"]

    def post(self, request: Request) -> Response:
        data = _read(BatchSerializer, request)
        keys = [_key_of(subject) for subject in data["subjects"]]
        decisions = self.decide(keys, _asked(request, data, data["subjects"][0]["type"]))
        return Response({"results": [_shown(*decided) for decided in decisions], "rule_set": RULE_SET})

    def decide(self, keys: list[bytes], asked: Asked) -> list[tuple[Decided, Decision]]:
        return [check(key, asked) for key in keys]


class BatchInView(BatchView):
    """The same by a careful team: the campaign once, `__in` queries, dictionaries and `bulk_create`."""

    def decide(self, keys: list[bytes], asked: Asked) -> list[tuple[Decided, Decision]]:
        return check_many(keys, asked)


def _read(kind: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    digest = hashlib.blake2b(request.body, digest_size=16).digest()  # before the parser takes the stream
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    return {**serializer.validated_data, "digest": digest}


def _asked(request: Request, data: dict[str, Any], kind: str) -> Asked:
    client: APIClient = request.auth.application
    _refuse_beyond_limits(client, data["campaign"])
    return Asked(kind, data["campaign"], data.get("planned_at"), client, data["digest"])


def _key_of(subject: dict[str, str]) -> bytes:
    key = identifier_read(subject["type"], subject["id"])
    if key is None:
        raise ValidationError({"subject": {"id": "malformed"}})
    return key


def _shown(decided: Decided, decision: Decision) -> dict[str, object]:
    return {
        "decision": decided.outcome.may_send,
        "outcome": decided.outcome.value,
        "decision_id": f"dec_{decision.pk.hex}",
        "reasons": [
            {"code": code.name, "primary": code is decided.primary, "message": REASONS[code].zh}
            for code in decided.codes
        ],
    }


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
