"""The one mapper from errors to HTTP answers of the API."""

from __future__ import annotations

import logging
from typing import Any

from django.db import DatabaseError
from django.http import Http404
from django.utils.translation import override
from drf_standardized_errors.formatter import flatten_errors
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from audit.errors import ZhixuError
from audit.problems import (
    CONTENT_TYPE,
    FieldError,
    ProblemError,
    language_of,
    problem_document,
    problem_of,
    request_id_of,
)

_log = logging.getLogger("zhixu.api")


def problem_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Answer every error with a problem document (RFC 9457). Nobody ever sees a traceback."""
    request = context["request"]._request
    with override(language_of(request)):
        problem = _problem(error)
        document = problem_document(problem, request_id_of(request))
    set_rollback()
    if problem.status == 403:
        request.zhixu_denied = problem.code  # the middleware notes it in the trail
    if problem.status >= 500:
        _log.error("request %s failed: %s", request_id_of(request), type(error).__name__, exc_info=error)
    return Response(document, status=problem.status, headers=problem.headers, content_type=CONTENT_TYPE)


def _problem(error: Exception) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, ZhixuError):
        return problem_of(error)
    if isinstance(error, exceptions.ValidationError):
        return ProblemError(400, "invalid_request", errors=_field_errors(error))
    if isinstance(error, exceptions.ParseError | RecursionError):  # the latter: nested beyond all reason
        return ProblemError(400, "invalid_json")
    if isinstance(error, exceptions.MethodNotAllowed):
        return ProblemError(405, "method_not_allowed")
    if isinstance(error, exceptions.UnsupportedMediaType):
        return ProblemError(415, "unsupported_media_type")
    if isinstance(error, Http404 | exceptions.NotFound):
        return ProblemError(404, "not_found")
    if isinstance(error, exceptions.NotAcceptable):
        return ProblemError(406, "unsupported_media_type")
    if isinstance(error, DatabaseError):
        return ProblemError(503, "temporarily_unavailable", headers={"Retry-After": "1"})
    return ProblemError(500, "internal_error")


def _field_errors(error: exceptions.ValidationError) -> list[FieldError]:
    found = []
    for item in flatten_errors(error.detail):
        path = "" if item.attr in (None, "non_field_errors") else f"/{str(item.attr).replace('.', '/')}"
        found.append(FieldError(path, str(item.code), str(item.detail)))
    return found
