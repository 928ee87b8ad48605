"""API clients for tests, and the check as such a client asks for it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from consent.decisions.plans import Asked
from consent.services.checks import Caller, Checked, SubjectRef, decisions_check
from governance.domain.terms import Scope
from governance.models import APIClient


def client_made(**limits: object) -> APIClient:
    """Register a client that may check, within the limits given."""
    return APIClient.objects.create(
        name="a campaign tool",
        client_type="confidential",
        authorization_grant_type="client-credentials",
        scopes=[Scope.DECISIONS_CHECK.value],
        **limits,
    )


def caller_of(
    client: APIClient, *, scope: str = Scope.DECISIONS_CHECK.value, expires: datetime | None = None
) -> Caller:
    """Give a client a token and return the caller that token makes."""
    token = f"token-{client.pk}-{scope}-{expires}"
    get_access_token_model().objects.create(
        application=client, token=token, scope=scope, expires=expires or timezone.now() + timedelta(hours=1)
    )
    return Caller(hashlib.sha256(token.encode()).hexdigest(), Scope.DECISIONS_CHECK.value, "203.0.113.7")


def check_one(subject: SubjectRef, asked: Asked, caller: Caller, *, evidence: bool = False) -> Checked:
    [item] = decisions_check([subject], asked, caller=caller, request_hash=b"\0" * 16, evidence=evidence).items
    return item
