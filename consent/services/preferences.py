"""Links by which people open their own choices."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import transaction

from audit.actors import Actor
from audit.services.record import Event, audit_record
from consent.models import DataSubject, PreferenceLink

LIFETIME = timedelta(days=400)  # EmailReg 14(2) asks for 30 days


@transaction.atomic
def preference_link_create(*, subject_id: int, actor: Actor, at: datetime, lifetime: timedelta = LIFETIME) -> str:
    """Return the path of a new link to a person's choices. Only a hash of its secret is stored."""
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).digest()
    PreferenceLink.objects.create(subject_id=subject_id, token_sha256=digest, expires_at=at + lifetime)
    ref = DataSubject.objects.values_list("ref", flat=True).get(id=subject_id)
    audit_record(actor=actor, at=at, event=Event("preference_link.created", subject=ref, details={"scope": "withdraw"}))
    return f"/c/{token}/"
