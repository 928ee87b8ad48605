"""One permission: the token has the scope the view asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from audit.problems import ProblemError
from governance.api.calls import principal_of

if TYPE_CHECKING:  # views read this module while they are being imported
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """`view.scope` names the scope, or `view.scopes` one per method. A view without either is open to nobody."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        by_method = getattr(view, "scopes", {})
        scope = by_method.get(request.method) or getattr(view, "scope", None)
        if scope is None or scope not in principal_of(request).scopes:
            raise ProblemError(403, "insufficient_scope", extra={"scope": str(scope or "")})
        return True
