"""The AuthZEN face (OpenID Authorization API 1.0): the same decisions in the words of that standard.

subject → subject, action `contact` with properties.channel, resource `campaign` or `purpose`; context may hold
brand, fields, recipient, personalised and planned_at. The answer's context carries our reasons and duties.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext_noop as _
from django.utils.translation import override

from audit.options import option
from audit.problems import FieldError, ProblemError, language_of
from consent.api.lean import body_of, caller_of, full_answer, lean
from consent.api.shapes import CheckRequest, Errors, read_check, refuse_unknown
from consent.selectors.register import register_in_hand
from consent.services.checks import Caller, decisions_check

_PARTS = ("subject", "action", "resource", "context")
_CONTEXT = frozenset({"brand", "fields", "recipient", "personalised", "planned_at", "channel", "purpose"})
_SEMANTICS = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}
_EVALUATION = "/access/v1/evaluation"
_EVALUATIONS = "/access/v1/evaluations"


@lean
def evaluation(request: HttpRequest) -> HttpResponse:
    """POST one evaluation; get `decision` and `context`."""
    caller, headers = caller_of(request)
    body = body_of(request)
    if not isinstance(body, Mapping):
        raise ProblemError(400, "invalid_request", errors=[FieldError("", "invalid", _("An object is expected."))])
    errors = Errors()
    refuse_unknown(body, _PARTS, errors, "")
    wanted = _read(body, errors, "")
    if wanted is None:
        raise ProblemError(400, "invalid_request", errors=errors.found)
    return _answer(_decide(wanted, caller, request), headers)


@lean
def evaluations(request: HttpRequest) -> HttpResponse:
    """POST many evaluations with shared defaults; `options.evaluations_semantic` as in the standard."""
    caller, headers = caller_of(request)
    body = body_of(request)
    if not isinstance(body, Mapping):
        raise ProblemError(400, "invalid_request", errors=[FieldError("", "invalid", _("An object is expected."))])
    items, options = body.get("evaluations"), body.get("options") or {}
    semantic = options.get("evaluations_semantic", "execute_all") if isinstance(options, Mapping) else None
    if semantic not in _SEMANTICS:
        raise ProblemError(
            400,
            "invalid_request",
            errors=[
                FieldError(
                    "/options/evaluations_semantic",
                    "invalid",
                    _("One of these is expected: %(words)s."),
                    {"words": ", ".join(_SEMANTICS)},
                )
            ],
        )
    defaults = {key: body[key] for key in _PARTS if key in body}
    if not items:
        errors = Errors()
        wanted = _read(defaults, errors, "")
        if wanted is None:
            raise ProblemError(400, "invalid_request", errors=errors.found)
        return _answer(_decide(wanted, caller, request), headers)
    cap = option("BATCH_MAX_ITEMS")
    if not isinstance(items, list) or len(items) > cap:
        detail = _("At most %(cap)s items; for more use POST /api/v1/screenings.")
        raise ProblemError(413, "too_many_items", detail, extra={"max_items": cap}, places={"cap": cap})
    stop_at = _SEMANTICS[semantic]
    answers: list[dict[str, object]] = []
    for item in items:
        errors = Errors()
        merged = {**defaults, **item} if isinstance(item, Mapping) else {}
        wanted = _read(merged, errors, "")
        if wanted is None:
            with override(language_of(request)):
                found = [error.shown() for error in errors.found]
            answers.append({"decision": False, "context": {"error": {"status": 400, "errors": found}}})
        else:
            answers.append(_decide(wanted, caller, request))
        if stop_at is not None and answers[-1]["decision"] is stop_at:
            break
    return _answer({"evaluations": answers}, headers)


def _read(body: Mapping[str, object], errors: Errors, pointer: str) -> CheckRequest | None:
    action, resource, context = body.get("action"), body.get("resource"), body.get("context") or {}
    if not isinstance(action, Mapping) or action.get("name") != "contact":
        errors.add(f"{pointer}/action/name", "invalid", _('The one action is "contact".'))
        return None
    if not isinstance(resource, Mapping) or resource.get("type") not in ("campaign", "purpose"):
        errors.add(f"{pointer}/resource/type", "invalid", _('"campaign" or "purpose" is expected.'))
        return None
    if not isinstance(context, Mapping):
        errors.add(f"{pointer}/context", "invalid", _("An object is expected."))
        return None
    refuse_unknown(context, _CONTEXT, errors, f"{pointer}/context")
    if errors.found:
        return None
    properties = action.get("properties")
    channel = properties.get("channel") if isinstance(properties, Mapping) else None
    named = {key: value for key, value in context.items() if key in _CONTEXT}
    named[str(resource["type"])] = resource.get("id")
    if channel is not None:
        named["channel"] = channel
    subject = body.get("subject")
    named["subject"] = (
        {k: v for k, v in subject.items() if k != "properties"} if isinstance(subject, Mapping) else subject
    )
    return read_check(
        named,
        now=datetime.now(UTC),
        member_id_pattern=register_in_hand().governed.member_id_pattern,
        errors=errors,
        simulate=False,
    )


def _decide(wanted: CheckRequest, caller: Caller, request: HttpRequest) -> dict[str, object]:
    digest = hashlib.blake2b(request.body, digest_size=16).digest()
    result = decisions_check([wanted.subject], wanted.asked, caller=caller, request_hash=digest, evidence=True)
    answer = full_answer(result, result.items[0], language_of(request))
    return {"decision": answer.pop("decision"), "context": answer}


def _answer(body: Mapping[str, object], headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), content_type="application/json", headers=dict(headers))


def configuration(request: HttpRequest) -> JsonResponse:
    """GET the discovery document (/.well-known/authzen-configuration)."""
    base = option("BASE_URL").rstrip("/")
    return JsonResponse(
        {
            "policy_decision_point": base,
            "access_evaluation_endpoint": f"{base}{_EVALUATION}",
            "access_evaluations_endpoint": f"{base}{_EVALUATIONS}",
        }
    )
