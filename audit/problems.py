"""Errors on the wire: RFC 9457 problem documents in the caller's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, override
from django.utils.translation import gettext_noop as _

from audit.domain.ids import uuid7
from audit.errors import ConflictError, InvalidInputError, NotFoundError, NotPermittedError, ZhixuError

CONTENT_TYPE = "application/problem+json"

TITLES: dict[str, str] = {
    "invalid_request": _("The request is not well-formed."),
    "invalid_json": _("The body is not valid JSON."),
    "unsupported_media_type": _("This media type is not supported here."),
    "not_authenticated": _("A valid access token is needed."),
    "insufficient_scope": _("The access token lacks the scope for this."),
    "client_limit": _("The limits of this client do not allow this."),
    "not_found": _("There is nothing here."),
    "method_not_allowed": _("This method is not allowed here."),
    "too_many_items": _("Too many items in one call."),
    "body_too_large": _("The body is too large."),
    "upload_too_large": _("The file is too large."),
    "rate_limited": _("Too many requests; try again later."),
    "idempotency_key_reused": _("This idempotency key was used with another request."),
    "idempotency_key_in_use": _("A request with this idempotency key is still running."),
    "file_unreadable": _("The file cannot be read."),
    "format_unsupported": _("This file format is not supported."),
    "campaign_not_found": _("This campaign is not in the register."),
    "campaign_mismatch": _("The campaign is registered with another purpose or channel."),
    "screening_not_found": _("There is no such screening."),
    "screening_not_ready": _("The screening has no result to give."),
    "consent_import_not_found": _("There is no such import."),
    "upload_not_found": _("There is no such upload."),
    "subject_not_found": _("There is no such person."),
    "identifier_malformed": _("The identifier is malformed."),
    "identifier_ambiguous": _("The identifier does not name one person."),
    "consent_refused": _("The act of consent is refused."),
    "temporarily_unavailable": _("The service cannot answer now; treat this as a denial."),
    "internal_error": _("Something went wrong on our side; treat this as a denial."),
}

_STATUS: tuple[tuple[type[ZhixuError], int], ...] = (
    (NotFoundError, 404),
    (NotPermittedError, 403),
    (ConflictError, 409),
    (InvalidInputError, 422),
)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one part of the body. `pointer` is a JSON pointer (RFC 6901).

    `detail` is a message id with named places; it is translated when the answer is written.
    """

    pointer: str
    code: str
    detail: str
    places: Mapping[str, object] = field(default_factory=dict)

    def shown(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "detail": gettext(self.detail) % self.places}


class ProblemError(Exception):
    """A call that is answered with a problem document. Doors raise it; services never do."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
        places: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        self.places = dict(places or {})


def problem_of(error: ZhixuError) -> ProblemError:
    """Return the problem of a service error: one status per family, its own code, its words translated."""
    status = next((status for family, status in _STATUS if isinstance(error, family)), 500)
    reason = error.context.get("reason")
    extra = {"reason": str(reason)} if reason else {}
    return ProblemError(status, error.code, error.message, extra=extra, places=error.context)


def problem_document(problem: ProblemError, request_id: str) -> dict[str, Any]:
    """Return the document in the active language."""
    title = gettext(TITLES.get(problem.code, TITLES["invalid_request"]))
    document: dict[str, Any] = {
        "type": f"urn:zhixu:problem:{problem.code}",
        "title": title,
        "status": problem.status,
        "detail": gettext(problem.detail) % problem.places if problem.detail else title,
        "code": problem.code,
        "errors": [error.shown() for error in problem.errors],
        "request_id": request_id,
    }
    return document | problem.extra


def problem_response(problem: ProblemError, request: HttpRequest) -> HttpResponse:
    """Return the response outside DRF, in the language the request asks for."""
    with override(language_of(request)):
        body = orjson.dumps(problem_document(problem, request_id_of(request)))
    return HttpResponse(body, status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers)


def language_of(request: HttpRequest) -> str:
    """Return `en` if English is the first language asked for, else `zh-hans`."""
    return "en" if request.META.get("HTTP_ACCEPT_LANGUAGE", "").strip().lower().startswith("en") else "zh-hans"


def request_id_of(request: HttpRequest) -> str:
    """Return the caller's request id if it is usable in a header and a log, else a new one; the same all through."""
    known: str | None = getattr(request, "zhixu_request_id", None)
    if known is None:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        usable = 0 < len(given) <= 64 and all(ch.isascii() and (ch.isalnum() or ch in "-_.:") for ch in given)
        known = given if usable else uuid7().hex
        request.zhixu_request_id = known  # type: ignore[attr-defined]
    return known
