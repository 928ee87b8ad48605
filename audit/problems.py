"""Errors on the wire: RFC 9457 problem documents in the caller's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, override
from django.utils.translation import gettext_noop as _
from django.utils.translation.trans_real import parse_accept_lang_header

from audit.domain.ids import uuid7
from audit.domain.worded import WordedError
from audit.errors import ConflictError, InvalidInputError, NotFoundError, NotPermittedError, ZhixuError

CONTENT_TYPE = "application/problem+json"

TITLES: dict[str, str] = {
    "invalid_input": _("The request asks for what cannot be."),
    "not_permitted": _("This is not permitted."),
    "conflict": _("This does not fit the present state."),
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
    "send_report_not_found": _("There is no such send report."),
    "upload_not_found": _("There is no such upload."),
    "subject_not_found": _("There is no such person."),
    "receipt_not_found": _("There is no such receipt."),
    "entry_not_found": _("There is no such audit entry."),
    "checkpoint_not_found": _("There is no checkpoint of this size."),
    "tile_not_found": _("The tree has no such tile."),
    "verification_running": _("A verification is under way."),
    "ledger_late": _("The ledger has not published this yet; ask again in a moment."),
    "identifier_malformed": _("The identifier is malformed."),
    "identifier_ambiguous": _("The identifier does not name one person."),
    "consent_refused": _("The act of consent is refused."),
    "link_invalid": _("This link is unknown or over."),
    "approval_refused": _("This approval would not count."),
    "content_not_found": _("This content is not in the register."),
    "content_changed": _("The text is not the one that was read."),
    "notice_backdated": _("A notice cannot take effect before it is published."),
    "notice_text_mismatch": _("The text of the notice does not have the digest stated."),
    "register_file_invalid": _("The register file cannot be used."),
    "policy_invalid": _("The policy is not valid."),
    "decision_not_found": _("There is no such decision."),
    "rule_set_unknown": _("The decision was made by other rules than these."),
    "api_client_not_found": _("There is no such API client."),
    "audit_outside_transaction": _("The trail could not be written, so nothing was done."),
    "ledger_broken": _("The ledger is not as it was written. Nothing more is signed until this is looked into."),
    "temporarily_unavailable": _("The service cannot answer now; treat this as a denial."),
    "internal_error": _("Something went wrong on our side; treat this as a denial."),
}

_STATUS: tuple[tuple[type[ZhixuError], int], ...] = (
    (NotFoundError, 404),
    (NotPermittedError, 403),
    (ConflictError, 409),
    (InvalidInputError, 422),
)
"""Of a family with no status nothing is told: it is our own trouble."""


_FAMILIES = {403: "not_permitted", 404: "not_found", 409: "conflict", 422: "invalid_input", 500: "internal_error"}
"""What is said of a code that has no words of its own."""


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


def words_of(error: ZhixuError | WordedError) -> str:
    """Return what an error says, in the active language."""
    places = error.context if isinstance(error, ZhixuError) else error.places
    return gettext(error.message) % places if places else gettext(error.message)


def problem_of(error: ZhixuError) -> ProblemError:
    """Return the problem of a service error: one status per family, its own code, its words translated."""
    status = next((status for family, status in _STATUS if isinstance(error, family)), 500)
    if status == 500:
        return ProblemError(status, "internal_error")  # keys and seals are nobody's business but the log's
    reason = error.context.get("reason")
    extra = {"reason": str(reason)} if reason else {}
    return ProblemError(status, error.code, error.message, extra=extra, places=error.context)


def problem_document(problem: ProblemError, request_id: str) -> dict[str, Any]:
    """Return the document in the active language."""
    title = gettext(TITLES.get(problem.code) or TITLES[_FAMILIES.get(problem.status, "invalid_request")])
    document: dict[str, Any] = {
        "type": f"urn:zhixu:problem:{problem.code}",
        "title": title,
        "status": problem.status,
        "detail": _detail(problem) or title,
        "code": problem.code,
        "errors": [error.shown() for error in problem.errors],
        "request_id": request_id,
    }
    return document | problem.extra


def _detail(problem: ProblemError) -> str:
    detail = gettext(problem.detail) if problem.detail else ""
    return detail % problem.places if problem.places else detail


def problem_response(problem: ProblemError, request: HttpRequest) -> HttpResponse:
    """Return the response outside DRF, in the language the request asks for."""
    with override(language_of(request)):
        body = orjson.dumps(problem_document(problem, request_id_of(request)))
    return HttpResponse(body, status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers)


def language_of(request: HttpRequest) -> str:
    """Return which of our two languages is asked for first, by the weights of Accept-Language; else `zh-hans`."""
    for tag, _weight in parse_accept_lang_header(request.META.get("HTTP_ACCEPT_LANGUAGE", "")):
        if tag.startswith(("zh", "en")):
            return "en" if tag.startswith("en") else "zh-hans"
    return "zh-hans"


def request_id_of(request: HttpRequest) -> str:
    """Return the caller's request id if it is usable in a header and a log, else a new one; the same all through."""
    known: str | None = getattr(request, "zhixu_request_id", None)
    if known is None:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        usable = 0 < len(given) <= 64 and all(ch.isascii() and (ch.isalnum() or ch in "-_.:") for ch in given)
        known = given if usable else uuid7().hex
        request.zhixu_request_id = known  # type: ignore[attr-defined]
    return known
