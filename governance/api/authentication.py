"""OAuth 2.0 client credentials for the API (RFC 6749 section 4.4, RFC 6750)."""

from __future__ import annotations

from django.utils import timezone
from oauth2_provider.scopes import BaseScopes
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from audit.problems import ProblemError
from governance.api.calls import NEEDS_TOKEN, address_of, bearer_of, rate_limit
from governance.domain.terms import Scope
from governance.models import APIClient
from governance.selectors.clients import Principal, principal_for


class ClientScopes(BaseScopes):
    """A client is offered its own scopes and no others."""

    def get_all_scopes(self) -> dict[str, str]:
        return {scope.value: scope.value for scope in Scope}

    def get_available_scopes(
        self, application: APIClient | None = None, request: object = None, *args: object, **kwargs: object
    ) -> list[str]:
        return list(application.scopes) if application else []

    def get_default_scopes(
        self, application: APIClient | None = None, request: object = None, *args: object, **kwargs: object
    ) -> list[str]:
        return self.get_available_scopes(application, request)


class ClientAuthentication(BaseAuthentication):
    """`request.user` is the Principal of the token. A revoked token ends with the next request."""

    def authenticate(self, request: Request) -> tuple[Principal, str]:
        django_request = request._request
        token = bearer_of(django_request)
        principal = principal_for(token, ip=address_of(django_request), at=timezone.now())
        if principal is None:
            raise ProblemError(401, "not_authenticated", headers=NEEDS_TOKEN)
        limit = principal.client.requests_per_minute
        django_request.zhixu_headers = rate_limit.take(principal.ref, limit)  # type: ignore[attr-defined]
        return principal, token

    def authenticate_header(self, request: Request) -> str:
        return NEEDS_TOKEN["WWW-Authenticate"]
