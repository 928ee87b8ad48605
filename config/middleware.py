"""Middleware of our own."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from audit.actors import Actor
from audit.problems import request_id_of
from audit.services.access import access_deny
from governance.selectors.clients import Principal

Handler = Callable[[HttpRequest], HttpResponse]


class LeanPaths:
    """Answer the paths of `settings.LEAN_PATHS` before any other middleware runs.

    The check path is called for every message sent: sessions, cookies, languages and templates have no part in
    it. Its views authenticate, limit and answer errors by themselves.
    """

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response
        self._views: dict[str, Handler] = {path: import_string(name) for path, name in settings.LEAN_PATHS.items()}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._views.get(request.path_info, self._get_response)(request)


class RequestId:
    """Echo the request id, and add what the API wants on every answer."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response["X-Request-ID"] = request_id_of(request)
        for name, value in getattr(request, "zhixu_headers", {}).items():
            response[name] = value
        return response


class DeniedAccess:
    """Write an entry for every refusal of somebody known, before it is answered: by scope, limit or permission."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        why = getattr(request, "zhixu_denied", None)
        actor = _known(request) if why else None
        if why and actor:
            match = request.resolver_match
            where = (match.view_name if match else "") or "unknown"
            access_deny(actor=actor, where=where, why=why, request_id=request_id_of(request))
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        if isinstance(error, PermissionDenied):
            request.zhixu_denied = "permission"  # type: ignore[attr-defined]


def _known(request: HttpRequest) -> Actor | None:
    user: object = getattr(request, "user", None)
    if isinstance(user, Principal):
        return Actor("api", user.ref)
    if isinstance(user, AbstractBaseUser):
        return Actor("user", str(user.pk))
    return None
