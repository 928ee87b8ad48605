"""The check path: plain views behind no other middleware, one statement each (docs/architecture.md).

They authenticate inside the statement that decides, limit and answer errors by themselves. Any error, time-out or
unknown is a denial for the caller: 4xx means called wrongly, 5xx means treat it as deny.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps

import orjson
from django.db import DatabaseError, close_old_connections, connection
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_noop as _
from django.utils.translation import override

from audit.actors import Actor
from audit.errors import ZhixuError
from audit.options import option
from audit.problems import (
    FieldError,
    ProblemError,
    language_of,
    problem_document,
    problem_of,
    problem_response,
    request_id_of,
)
from audit.services.access import access_deny
from consent.api.shapes import CHECK_KEYS, CheckRequest, Errors, read_check, refuse_unknown
from consent.decisions.answers import obligations, reasons, remedies
from consent.decisions.plans import Asked
from consent.decisions.reasons import RULE_SET
from consent.selectors.register import register_in_hand
from consent.services.checks import Caller, CallerRefusedError, Checked, CheckResult, decisions_check
from consent.services.simulations import decision_simulate
from governance.api.calls import NEEDS_TOKEN, address_of, bearer_of, rate_limit
from governance.domain.terms import Scope
from governance.selectors.clients import principal_for_checksum, token_checksum

_log = logging.getLogger("zhixu.api")
_BATCH_KEYS = frozenset({"defaults", "items", "options"})
_DENIAL_SECONDS = 60.0
_MOST_DENIED = 10_000
_DEFAULT_LIMIT = 60_000  # calls a minute and process before the client is known

View = Callable[[HttpRequest], HttpResponse]


def lean(view: View) -> View:
    """Answer errors with problem documents and give every answer its headers."""

    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        close_old_connections()
        try:
            if request.method != "POST":
                raise ProblemError(405, "method_not_allowed", headers={"Allow": "POST"})
            response = view(request)
        except ProblemError as problem:
            response = problem_response(problem, request)
        except ZhixuError as error:
            answered = problem_of(error)
            if answered.status >= 500:
                _log.error("request %s failed: %s", request_id_of(request), error.code, exc_info=error)
            response = problem_response(answered, request)
        except CallerRefusedError as refused:
            response = problem_response(_refused(refused, request), request)
        except DatabaseError as error:
            _log.error("request %s: database: %s", request_id_of(request), type(error).__name__)
            connection.close()
            unavailable = ProblemError(503, "temporarily_unavailable", headers={"Retry-After": "1"})
            response = problem_response(unavailable, request)
        except Exception as error:
            _log.error("request %s failed: %s", request_id_of(request), type(error).__name__, exc_info=error)
            response = problem_response(ProblemError(500, "internal_error"), request)
        response["X-Request-ID"] = request_id_of(request)
        response["Cache-Control"] = "no-store"
        response["X-Content-Type-Options"] = "nosniff"
        return response

    return answer


def _refused(refused: CallerRefusedError, request: HttpRequest) -> ProblemError:
    """Return the refusal; one a minute per client and reason is noted in the trail before it is answered."""
    if refused.why == "token":
        return ProblemError(401, "not_authenticated", headers=NEEDS_TOKEN)
    code = "insufficient_scope" if refused.why == "scope" else "client_limit"
    try:
        _note_denial(token_checksum(bearer_of(request)), code, request)
    except DatabaseError as error:
        _log.error("request %s: database: %s", request_id_of(request), type(error).__name__)
        return ProblemError(503, "temporarily_unavailable", headers={"Retry-After": "1"})
    return ProblemError(403, code)


_denied: dict[tuple[str, str], float] = {}


def _note_denial(checksum: str, code: str, request: HttpRequest) -> None:
    if time.monotonic() - _denied.get((checksum, code), -math.inf) < _DENIAL_SECONDS:
        return
    principal = principal_for_checksum(checksum, ip=address_of(request), at=datetime.now(UTC))
    if principal is None:
        return
    actor = Actor("api", principal.ref)
    access_deny(actor=actor, where="api:check", why=code, request_id=request_id_of(request))
    if len(_denied) > _MOST_DENIED:
        _denied.clear()
    _denied[checksum, code] = time.monotonic()


def body_of(request: HttpRequest) -> object:
    """Return the JSON body. Raises ProblemError: too large, not JSON, not declared as JSON."""
    limit = option("BODY_MAX_BYTES")
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if not declared.isdigit() or int(declared) > limit:
        raise ProblemError(413, "body_too_large", extra={"limit_bytes": limit})
    if request.content_type != "application/json":
        raise ProblemError(415, "unsupported_media_type", headers={"Accept": "application/json"})
    try:
        body: object = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise ProblemError(400, "invalid_json") from None
    return body


def _json(body: object, headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), content_type="application/json", headers=dict(headers))


def caller_of(request: HttpRequest) -> tuple[Caller, dict[str, str]]:
    """Return who calls and the rate-limit headers. The token itself is judged by the deciding statement."""
    checksum = token_checksum(bearer_of(request))
    headers = rate_limit.take(checksum, _DEFAULT_LIMIT)
    return Caller(checksum, Scope.DECISIONS_CHECK.value, address_of(request)), headers


@lean
def check(request: HttpRequest) -> HttpResponse:
    """POST one subject and one send; get the decision with all its reasons and duties."""
    caller, headers = caller_of(request)
    errors = Errors()
    register = register_in_hand()
    wanted = read_check(
        body_of(request),
        now=datetime.now(UTC),
        member_id_pattern=register.governed.member_id_pattern,
        errors=errors,
    )
    if wanted is None:
        raise ProblemError(400, "invalid_request", errors=errors.found)
    language = language_of(request)
    if wanted.as_of or wanted.draft:
        answer = decision_simulate(
            wanted.subject, wanted.asked, as_of=wanted.as_of, draft=wanted.draft, caller=caller, language=language
        )
        return _json(answer, headers)
    digest = hashlib.blake2b(request.body, digest_size=16).digest()
    result = decisions_check([wanted.subject], wanted.asked, caller=caller, request_hash=digest, evidence=True)
    return _json(full_answer(result, result.items[0], language), headers)


def full_answer(result: CheckResult, item: Checked, language: str) -> dict[str, object]:
    """Return one decision as the contract shows it."""
    verdict, rules = item.verdict, result.register.rules
    answer: dict[str, object] = {
        "decision": verdict.outcome.may_send,
        "outcome": verdict.outcome.value,
        "decision_id": item.decision_id,
        "reasons": reasons(verdict, language, item.evidence),
        "obligations": obligations(result.plan, result.judgement, verdict, rules, item.evidence),
    }
    if helpful := remedies(verdict, rules, item.evidence):
        answer["remedies"] = helpful
    answer |= {
        "rule_set": RULE_SET,
        "policy": rules.policy.revision,
        "subject_version": item.subject_version or 0,
        "ledger": ledger_shown(result),
        "evaluated_at": result.decided_at.isoformat(),
    }
    if verdict.outcome.may_send:
        answer["expires_at"] = _expiry(result)
    return answer


def ledger_shown(result: CheckResult) -> dict[str, object] | None:
    """Return the newest signed head of the ledger when it was decided; None before the first."""
    return {"size": result.ledger.size, "root": f"sha256:{result.ledger.root.hex()}"} if result.ledger else None


def _expiry(result: CheckResult) -> str:
    return (result.decided_at + timedelta(seconds=option("CHECK_TTL_SECONDS"))).isoformat()


@lean
def check_batch(request: HttpRequest) -> HttpResponse:
    """POST up to 1,000 subjects; get a decision each. A bad item is that item's error, not the call's."""
    caller, headers = caller_of(request)
    body = body_of(request)
    defaults, items, full = _batch(body)
    register = register_in_hand()
    now = datetime.now(UTC)
    results: dict[str, object] = {}
    groups: dict[Asked, list[tuple[str, CheckRequest]]] = {}
    language = language_of(request)
    for place, item in enumerate(items):
        errors = Errors()
        cid, merged = _item(item, defaults, place, errors)
        if cid in results:
            raise ProblemError(
                400,
                "invalid_request",
                errors=[FieldError(f"/items/{place}/cid", "duplicate", _("This cid stands twice."))],
            )
        wanted = read_check(
            merged,
            now=now,
            member_id_pattern=register.governed.member_id_pattern,
            errors=errors,
            simulate=False,
        )
        results[cid] = None
        if wanted is None or errors.found:
            problem = ProblemError(400, "invalid_request", errors=errors.found)
            with override(language):
                results[cid] = {"error": problem_document(problem, request_id_of(request))}
        else:
            groups.setdefault(wanted.asked, []).append((cid, wanted))
    digest = hashlib.blake2b(request.body, digest_size=16).digest()
    counts: Counter[str] = Counter()
    by_code: Counter[str] = Counter()
    latest: CheckResult | None = None
    for asked, members in groups.items():
        latest = decisions_check(
            [wanted.subject for _, wanted in members], asked, caller=caller, request_hash=digest, evidence=full
        )
        for (cid, _wanted), checked in zip(members, latest.items, strict=True):
            verdict = checked.verdict
            counts["allow" if verdict.outcome.may_send else verdict.outcome.value] += 1
            by_code.update([code.name for code in verdict.codes])
            results[cid] = full_answer(latest, checked, language) if full else _basic_answer(latest, checked)
    if latest is None:
        decisions_check([], Asked(), caller=caller, request_hash=digest, evidence=False)  # is the caller allowed?
    answer: dict[str, object] = {
        "results": results,
        "counts": {name: counts[name] for name in ("allow", "deny", "hold", "defer")}
        | {"invalid": len(items) - sum(counts.values()), "by_code": dict(sorted(by_code.items()))},
        "rule_set": RULE_SET,
        "evaluated_at": (latest.decided_at if latest else now).isoformat(),
    }
    if latest:
        answer["ledger"] = ledger_shown(latest)
        answer["expires_at"] = _expiry(latest)
    return _json(answer, headers)


def _batch(body: object) -> tuple[Mapping[str, object], list[object], bool]:
    errors = Errors()
    cap = option("BATCH_MAX_ITEMS")
    if not isinstance(body, Mapping):
        raise ProblemError(400, "invalid_request", errors=[FieldError("", "invalid", _("An object is expected."))])
    refuse_unknown(body, _BATCH_KEYS, errors, "")
    defaults, items, options = body.get("defaults") or {}, body.get("items"), body.get("options") or {}
    if not isinstance(defaults, Mapping):
        errors.add("/defaults", "invalid", _("An object is expected."))
        defaults = {}
    refuse_unknown(defaults, CHECK_KEYS - {"as_of", "rule_set"}, errors, "/defaults")
    if not isinstance(items, list):
        errors.add("/items", "required", _("A list is expected."))
        items = []
    if (
        not isinstance(options, Mapping)
        or set(options) - {"view"}
        or options.get("view", "basic") not in ("basic", "full")
    ):
        errors.add("/options", "invalid", _('Only view: "basic" or "full" is known.'))
        options = {}
    if errors.found:
        raise ProblemError(400, "invalid_request", errors=errors.found)
    if len(items) > cap:
        extra = {"max_items": cap, "use_instead": "/api/v1/screenings"}
        detail = _("At most %(cap)s items; for more use POST /api/v1/screenings.")
        raise ProblemError(413, "too_many_items", detail, extra=extra, places={"cap": cap})
    return defaults, items, options.get("view") == "full"


def _item(item: object, defaults: Mapping[str, object], place: int, errors: Errors) -> tuple[str, object]:
    if not isinstance(item, Mapping):
        errors.add("", "invalid", _("An object is expected."))
        return str(place), {}
    cid = item.get("cid", str(place))
    if not isinstance(cid, str) or not 0 < len(cid) <= 64:
        errors.add("/cid", "invalid", _("A text of 1 to %(most)s characters is expected."), most=64)
        cid = str(place)
    return cid, {**defaults, **{key: value for key, value in item.items() if key != "cid"}}


def _basic_answer(result: CheckResult, item: Checked) -> dict[str, object]:
    verdict = item.verdict
    if verdict.outcome.may_send:
        duties = obligations(result.plan, result.judgement, verdict, result.register.rules, item.evidence)
        return {
            "decision": True,
            "outcome": verdict.outcome.value,
            "decision_id": item.decision_id,
            "obligations": [duty["code"] for duty in duties],
        }
    return {
        "decision": False,
        "outcome": verdict.outcome.value,
        "decision_id": item.decision_id,
        "codes": [code.name for code in verdict.codes],
    }
