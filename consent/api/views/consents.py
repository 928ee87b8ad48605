"""Consent given, asked about and imported."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import FileResponse
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.actors import Actor
from audit.api.inputs import StrictInput
from audit.problems import FieldError, ProblemError, request_id_of
from consent.api.ids import public_id, uuid_of
from consent.api.subjects import subject_of
from consent.domain.receipts import receipt_number
from consent.domain.records import Slot, State
from consent.domain.terms import Act, Bundle, Control
from consent.errors import ConsentRefusedError
from consent.models import ConsentImport
from consent.selectors.jobs import job_error
from consent.selectors.register import register_live
from consent.selectors.screenings import consent_import_for
from consent.selectors.states import states_for
from consent.selectors.subjects import history_for, subject_find
from consent.services.consents import GivenEvidence, GivenIdentifier, GivenItem, GivenNotice, consents_record
from consent.services.imports import consents_import_start, import_errors_path
from consent.services.jobs import job_start
from consent.services.preferences import preference_link_create
from consent.services.uploads import upload_find
from governance.api.calls import principal_of
from governance.api.idempotency import idempotent
from governance.domain.identifiers import IDENTIFIER_TYPES
from governance.domain.terms import Scope


class SubjectInput(serializers.JSONField):
    """A subject reference, read by the same function as on the check path."""


class ConsentView(APIView):
    """POST what a person said: grants, refusals, withdrawals, confirmations. All items or none."""

    scope = Scope.CONSENTS_WRITE

    class Input(StrictInput):
        class Subject(StrictInput):
            class Identifier(StrictInput):
                type = serializers.ChoiceField(sorted(IDENTIFIER_TYPES))
                id = serializers.CharField(max_length=200)
                app = serializers.CharField(max_length=40, default="", allow_blank=True)
                verified = serializers.CharField(max_length=20, default="", allow_blank=True)

            identifiers = Identifier(many=True, allow_empty=False)
            birth_date = serializers.CharField(max_length=20, default="", allow_blank=True)

        class Notice(StrictInput):
            id = serializers.CharField(max_length=64)
            version = serializers.IntegerField(min_value=1)
            language = serializers.CharField(max_length=10, default="", allow_blank=True)
            text_sha256 = serializers.RegexField(r"^[0-9A-Fa-f]{64}$")

        class Item(StrictInput):
            act = serializers.ChoiceField([act.value for act in Act])
            purpose = serializers.CharField(max_length=64, required=False)
            channel = serializers.CharField(max_length=64, required=False)
            recipient = serializers.CharField(max_length=64, required=False)
            field_group = serializers.CharField(max_length=40, required=False)
            separate = serializers.BooleanField(default=False)

        class Evidence(StrictInput):
            control = serializers.ChoiceField([control.value for control in Control], required=False)
            control_id = serializers.CharField(max_length=100, default="", allow_blank=True)
            pre_checked = serializers.BooleanField(required=False, allow_null=True, default=None)
            bundle = serializers.ChoiceField([bundle.value for bundle in Bundle], default=Bundle.OWN.value)
            ip = serializers.CharField(max_length=64, default="", allow_blank=True)
            user_agent = serializers.CharField(max_length=400, default="", allow_blank=True)
            attachment = serializers.CharField(max_length=64, default="", allow_blank=True)

        subject = Subject()
        point = serializers.CharField(max_length=64, required=False)
        notice = Notice(required=False)
        items = Item(many=True, allow_empty=False)
        event_time = serializers.DateTimeField()
        evidence = Evidence(required=False)

    @extend_schema(operation_id="consent_create", request=Input, responses={201: OpenApiResponse(OpenApiTypes.OBJECT)})
    @idempotent
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        wanted = data.validated_data
        _refuse_limits(request, wanted["items"])
        at = timezone.now()
        actor = Actor("api", principal_of(request).ref)
        try:
            with transaction.atomic():  # what the answer says is stored, or nothing is
                captured = consents_record(
                    identifiers=[
                        GivenIdentifier(IDENTIFIER_TYPES[i["type"]], i["id"], bool(i["verified"]), i["app"])
                        for i in wanted["subject"]["identifiers"]
                    ],
                    items=[_item(item) for item in wanted["items"]],
                    point=wanted.get("point"),
                    notice=GivenNotice(**wanted["notice"]) if "notice" in wanted else None,
                    evidence=_evidence(wanted.get("evidence", {})),
                    said_at=wanted["event_time"],
                    birth_date=wanted["subject"]["birth_date"],
                    actor=actor,
                    at=at,
                    request_id=request_id_of(request._request),
                )
                link = preference_link_create(subject_id=captured.subject_id, actor=actor, at=at)
        except ConsentRefusedError as refused:
            raise _refusal(refused) from None
        return Response(
            {
                "subject": public_id("sub", captured.subject_ref),
                "events": [
                    {"id": f"cev_{r.ref.replace('-', '')}", "state": r.state} | ({"needs": r.needs} if r.needs else {})
                    for r in captured.records
                ],
                "receipt": receipt_number(captured.entry),
                "preference_link": f"{settings.ZHIXU['BASE_URL']}{link}",
            },
            status=201,
        )


def _item(item: dict[str, Any]) -> GivenItem:
    return GivenItem(
        act=Act(item["act"]),
        purpose=item.get("purpose"),
        channel=item.get("channel"),
        recipient=item.get("recipient"),
        field_group=item.get("field_group"),
        separate=item["separate"],
    )


def _evidence(given: dict[str, Any]) -> GivenEvidence:
    private = {name: given[name] for name in ("ip", "user_agent", "attachment") if given.get(name)}
    return GivenEvidence(
        control=Control(given["control"]) if given.get("control") else None,
        control_id=given.get("control_id", ""),
        pre_checked=given.get("pre_checked"),
        bundle=Bundle(given.get("bundle", Bundle.OWN.value)),
        private=private,
    )


def _refusal(refused: ConsentRefusedError) -> ProblemError:
    place, reason = refused.context.get("item", 0), str(refused.context.get("reason", ""))
    error = FieldError(f"/items/{place}", reason, refused.message)
    return ProblemError(422, "consent_refused", errors=[error], extra={"reason": reason})


def _refuse_limits(request: Request, items: list[dict[str, Any]]) -> None:
    named = {key: [item[key] for item in items if item.get(key)] for key in ("purpose", "channel", "recipient")}
    allowed = principal_of(request).may(
        purposes=named["purpose"], channels=named["channel"], recipients=named["recipient"]
    )
    if not allowed:
        raise ProblemError(403, "client_limit")


class ConsentQueryView(APIView):
    """POST a subject; get where he stands, now or as of an instant, and his history."""

    scope = Scope.CONSENTS_READ

    class Input(StrictInput):
        subject = SubjectInput()
        as_of = serializers.DateTimeField(required=False)
        history = serializers.BooleanField(default=False)

    @extend_schema(operation_id="consent_query", request=Input, responses={200: OpenApiResponse(OpenApiTypes.OBJECT)})
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        wanted = data.validated_data
        as_of: datetime | None = wanted.get("as_of")
        person = subject_find(*subject_of(wanted["subject"]))
        register = register_live()
        states = states_for(person.id, register, as_of=as_of) if person else {}
        body: dict[str, object] = {
            "subject": public_id("sub", person.ref) if person else None,
            "version": person.version if person else 0,
            "as_of": (as_of or timezone.now()).isoformat(),
            "states": [_state(slot, state) for slot, state in sorted(states.items(), key=lambda pair: str(pair[0]))],
        }
        if wanted["history"]:
            body["history"] = history_for(person.id, register, until=as_of) if person else []
        return Response(body)


def _state(slot: Slot, state: State) -> dict[str, object]:
    grant, refusal = state.grant, state.refusal
    status = "refused" if refusal else "pending" if not state.confirmed else "granted"
    return {
        "purpose": slot.purpose,
        "channel": slot.channel,
        "field_group": slot.field_group,
        "recipient": slot.recipient,
        "state": status,
        "since": (refusal.at if refusal else grant.at if grant else None),
        "event": f"cev_{(refusal or grant).ref.replace('-', '')}" if (refusal or grant) else None,  # type: ignore[union-attr]
        "notice": f"{grant.notice.id}@{grant.notice.version}" if grant and grant.notice else None,
        "expires_on": state.expires_on,
    }


class ConsentImportListView(APIView):
    """POST an upload of historic consents; it runs as a job. It never raises a "no"."""

    scope = Scope.CONSENTS_WRITE

    class Input(StrictInput):
        class File(StrictInput):
            upload = serializers.CharField(max_length=64)
            format = serializers.ChoiceField(["csv"], default="csv")

        input = File()
        dry_run = serializers.BooleanField(default=False)
        imported_at = serializers.DateTimeField(required=False)

    @extend_schema(
        operation_id="consent_import_create", request=Input, responses={202: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    @idempotent
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        wanted = data.validated_data
        client = principal_of(request).client
        path = upload_find(upload_id=uuid_of("upl", wanted["input"]["upload"], "upload_not_found"), client_id=client.pk)
        now = timezone.now()
        job = consents_import_start(
            path=path,
            dry_run=wanted["dry_run"],
            imported_at=min(wanted.get("imported_at", now), now),
            actor=Actor("api", principal_of(request).ref),
            client_id=client.pk,
        )
        job_start("consent_import", job.pk)
        return Response(_import_body(job), status=202)


class ConsentImportView(APIView):
    """GET an import with its progress and counts."""

    scope = Scope.CONSENTS_WRITE

    @extend_schema(operation_id="consent_import_get", responses={200: OpenApiResponse(OpenApiTypes.OBJECT)})
    def get(self, request: Request, import_id: str) -> Response:
        return Response(_import_body(_own_import(request, import_id)))


class ConsentImportErrorsView(APIView):
    """GET the row-level error file: row number and code."""

    scope = Scope.CONSENTS_WRITE

    @extend_schema(operation_id="consent_import_errors", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, import_id: str) -> FileResponse:
        path = import_errors_path(_own_import(request, import_id))
        if not path.exists():
            raise ProblemError(404, "not_found")
        return FileResponse(path.open("rb"), as_attachment=True, filename="errors.csv", content_type="text/csv")


def _own_import(request: Request, import_id: str) -> ConsentImport:
    job = consent_import_for(
        uuid_of("imp", import_id, "consent_import_not_found"), client_id=principal_of(request).client.pk
    )
    if job is None:
        raise ProblemError(404, "consent_import_not_found")
    return job


def _import_body(job: ConsentImport) -> dict[str, object]:
    number = public_id("imp", job.pk)
    body: dict[str, object] = {
        "id": number,
        "status": job.status,
        "dry_run": job.dry_run,
        "progress": {"rows": job.rows_done, "of": job.rows_total},
        "accepted": job.accepted,
        "refused": job.refused,
        "replayed": job.replayed,
        "by_code": job.by_code,
        "sha256": job.sha256,
        "links": {
            "self": reverse("api:consent-import", args=[number]),
            "errors": reverse("api:consent-import-errors", args=[number]),
        },
    }
    if job.status == "failed":
        body["error"] = {"code": job.error_code, "detail": job_error(job)}
    return body


class PreferenceLinkView(APIView):
    """POST a subject; get a link to his own choices, ready for a message."""

    scope = Scope.CONSENTS_WRITE

    class Input(StrictInput):
        subject = SubjectInput()

    @extend_schema(
        operation_id="preference_link_create", request=Input, responses={201: OpenApiResponse(OpenApiTypes.OBJECT)}
    )
    @idempotent
    def post(self, request: Request) -> Response:
        data = self.Input(data=request.data)
        data.is_valid(raise_exception=True)
        person = subject_find(*subject_of(data.validated_data["subject"]))
        if person is None:
            raise ProblemError(404, "subject_not_found")
        link = preference_link_create(
            subject_id=person.id, actor=Actor("api", principal_of(request).ref), at=timezone.now()
        )
        return Response({"url": f"{settings.ZHIXU['BASE_URL']}{link}"}, status=201)
