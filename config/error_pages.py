"""Pages for what went wrong outside any view, in both languages. They need no database, session or manifest.

What calls the API is answered with a problem document instead.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import get_language, gettext, override
from django.utils.translation import gettext_noop as _

from audit.problems import ProblemError, problem_response, request_id_of

_API = ("/api/v1/", "/access/v1/")
_LANGUAGES = (("zh-hans", "zh-Hans"), ("en", "en"))
_CODES = {400: "invalid_request", 403: "insufficient_scope", 404: "not_found", 500: "internal_error"}
_WORDS = {
    "400": (_("This request cannot be read"), _("Go back, reload the page and try again. Nothing was changed.")),
    "403": (
        _("You may not see this"),
        _("Your account lacks the permission. Ask an administrator if you need it. Nothing was changed."),
    ),
    "404": (_("There is no such page"), _("The address may be incomplete, or what stood here was moved.")),
    "500": (
        _("Something went wrong on our side"),
        _("It has been noted and will be looked into. If you were saving something, check whether it was saved."),
    ),
    "csrf": (
        _("This form has expired"),
        _("The page was open too long, or cookies are blocked. Go back, reload and try again. Nothing was changed."),
    ),
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _page(request, 403, "csrf")


def _answer(request: HttpRequest, status: int) -> HttpResponse:
    if request.path.startswith(_API):
        return problem_response(ProblemError(status, _CODES[status]), request)
    return _page(request, status, str(status))


def _page(request: HttpRequest, status: int, name: str) -> HttpResponse:
    """Say it in the language of the reader, and below in the other one: it may have been guessed wrong."""
    spoken = sorted(_LANGUAGES, key=lambda language: language[0] != get_language())
    context: dict[str, Any] = {
        "said": [_said(name, code, tag) for code, tag in spoken],
        "style": f"{settings.STATIC_URL}zhixu/error.css",
        "request_id": request_id_of(request),
    }
    return HttpResponse(render_to_string("error.html", context), status=status, headers={"Cache-Control": "no-store"})


def _said(name: str, code: str, tag: str) -> dict[str, str]:
    with override(code):
        title, text = map(gettext, _WORDS[name])
        return {"lang": tag, "title": title, "text": text, "number": gettext("Request number")}
