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
    """`view.scope` names the scope, or `view.scopes` one per method; of several in a tuple one is enough.

    A view without either is open to nobody.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        by_method = getattr(view, "scopes", {})
        wanted = by_method.get(request.method) or getattr(view, "scope", None) or ()
        scopes = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        if not principal_of(request).scopes & set(scopes):
            raise ProblemError(403, "insufficient_scope", extra={"scope": " ".join(scopes)})
        return True
