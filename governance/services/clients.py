"""API clients: created, given a new secret. The secret is shown once and stored hashed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from audit.actors import Actor
from audit.services.record import Event, ObjectRef, audit_record
from governance.models import APIClient


@transaction.atomic
def client_create_or_reset(*, name: str, scopes: Sequence[str], actor: Actor, at: datetime) -> str:
    """Create an API client, or give it a new secret; returns the secret. Tokens issued before stay until they end."""
    secret = secrets.token_urlsafe(24)
    client = APIClient.objects.filter(client_id=name).first()
    action = "reset" if client else "created"
    client = client or APIClient(client_id=name, name=name)
    client.client_type = APIClient.CLIENT_CONFIDENTIAL
    client.authorization_grant_type = APIClient.GRANT_CLIENT_CREDENTIALS
    client.scopes = list(scopes)
    client.client_secret = secret
    client.save()
    event = Event(
        "api_client.changed",
        object=ObjectRef("api_client", str(client.pk)),
        details={"client": name, "action": action},
    )
    audit_record(actor=actor, event=event)
    return secret
