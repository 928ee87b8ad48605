"""The customer's pages: opened by a link, read by GET, changed by POST only. No login, no JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone, translation
from django.views.decorators.http import require_http_methods, require_safe

from audit.actors import Actor
from audit.errors import InvalidInputError, NotFoundError
from audit.problems import request_id_of
from audit.selectors.entries import acts_of_subject
from consent.domain.records import NoticeRef
from consent.selectors.preferences import (
    OpenLink,
    notice_title,
    notice_version_get,
    preference_link_get,
    preferences_for,
    stop_receipt_get,
)
from consent.selectors.register import register_in_hand
from consent.services.preferences import preference_stop
from consent.services.receipts import FAMILY, receipt_get
from consent.web.forms import StopForm
from consent.web.shown import shown_acts, shown_preferences, shown_receipt
from consent.web.words import ENGLISH

CHINESE: Final = "zh-hans"
COOKIE_SECONDS: Final = 30 * 60
ACTS: Final = 50
"""How many of a person's own words his page lists."""

View = Callable[..., HttpResponse]


def _customer_page(view: View) -> View:
    """Speak Chinese unless `?lang=en`, answer every dead link alike, and let no page be kept or indexed."""

    @wraps(view)
    def shown(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        language = ENGLISH if request.GET.get("lang") == ENGLISH else CHINESE
        with translation.override(language):
            try:
                response = view(request, **kwargs)
            except NotFoundError:
                response = _page(request, "not_found", {}, status=404)
        response["Content-Language"] = "en" if language == ENGLISH else "zh-Hans"
        response["Cache-Control"] = "no-store"
        response["X-Robots-Tag"] = "noindex"
        response.setdefault("Referrer-Policy", "no-referrer")
        return response

    return shown


@require_safe
@_customer_page
def open_link(request: HttpRequest, token: str) -> HttpResponse:
    """Take the secret out of the address: into a cookie, and on to the page without it. Stores nothing."""
    preference_link_get(token=token, at=timezone.now())
    response = _see_other(request)
    response.set_cookie(
        _cookie_name(),
        token,
        max_age=COOKIE_SECONDS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",  # Strict would not survive the way here from a message
    )
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@_customer_page
def preferences(request: HttpRequest) -> HttpResponse:
    """Show a person's choices (GET), or stop one or all of them (POST)."""
    at = timezone.now()
    link = preference_link_get(token=request.COOKIES.get(_cookie_name(), ""), at=at)
    if request.method == "POST":
        return _stop(request, link)
    receipt = stop_receipt_get(subject_id=link.subject_id, ref=ref) if (ref := _uuid(request.GET.get("done"))) else None
    found = preferences_for(subject_id=link.subject_id, at=at)
    context = {
        "link_id": link.id,
        "receipt": shown_receipt(receipt, found) if receipt else None,
        "preferences": shown_preferences(found),
        "acts": shown_acts(acts_of_subject(link.subject_ref, prefix=FAMILY, limit=ACTS), found),
    }
    response = _page(request, "preferences", context)
    # Not no-referrer: with it browsers send `Origin: null` with the form, which the CSRF check must refuse.
    response["Referrer-Policy"] = "same-origin"
    return response


def _stop(request: HttpRequest, link: OpenLink) -> HttpResponse:
    form = StopForm(request.POST)
    if not form.is_valid() or form.cleaned_data["link"] != link.id:
        return _page(request, "not_found", {}, status=400)
    actor = Actor("customer", str(link.subject_ref))
    try:
        ref = preference_stop(
            subject_id=link.subject_id,
            actor=actor,
            at=timezone.now(),
            request_id=request_id_of(request),
            **form.scope,
        )
    except InvalidInputError:
        return _page(request, "not_found", {}, status=400)
    return _see_other(request, done=ref)


@require_safe
@_customer_page
def receipt(request: HttpRequest, number: str) -> HttpResponse:
    """Hand a person the receipt of something he said, as a file. Other people's do not exist here."""
    link = preference_link_get(token=request.COOKIES.get(_cookie_name(), ""), at=timezone.now())
    entry = _uuid(number.removeprefix("rcp_"))
    found = receipt_get(entry=entry) if entry else None
    if found is None or found.subject != link.subject_ref:
        raise NotFoundError("Unknown receipt.")
    content = orjson.dumps(found.document, option=orjson.OPT_INDENT_2)
    day = timezone.localdate(datetime.fromisoformat(found.document["dct:issued"]))
    name = f"receipt-{day:%Y%m%d}-{found.number[-6:]}.json"
    return HttpResponse(
        content,
        content_type="application/ld+json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@require_safe
@_customer_page
def notice(request: HttpRequest, code: str, version: int) -> HttpResponse:
    """Show the full text of a notice as it was shown to those who agreed to it. Public."""
    found = notice_version_get(code=code, version=version, at=timezone.now())
    if found is None:
        raise NotFoundError("Unknown notice.")
    title = notice_title(found.notice.name, found.text, NoticeRef(code, version))
    return _page(request, "notice", {"notice": found, "title": title})


def _page(request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    governed = register_in_hand().governed
    english = translation.get_language() == ENGLISH
    other = {"lang": "zh" if english else ENGLISH, **({"done": request.GET["done"]} if "done" in request.GET else {})}
    everywhere = {
        "english": english,
        "other_language": f"?{urlencode(other)}",
        "entity": governed.entity,
        "brands": list(governed.brands.values()),
    }
    return render(request, f"consent/{name}.html", everywhere | context, status=status)


def _see_other(request: HttpRequest, **query: str) -> HttpResponse:
    """Send the browser on to the page with GET. The fragment moves focus to the confirmation."""
    if request.GET.get("lang") == ENGLISH:
        query["lang"] = ENGLISH
    address = reverse("preferences:page") + (f"?{urlencode(query)}" if query else "")
    return HttpResponse(status=303, headers={"Location": address + ("#done" if "done" in query else "")})


def _cookie_name() -> str:
    return "__Host-choices" if settings.SESSION_COOKIE_SECURE else "choices"


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
