"""Publishing what people are told. A version is written once and never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from audit.actors import Actor
from consent.errors import NoticeBackdatedError
from consent.models import NoticeTerms, NoticeVersion
from governance.services.register import register_save


@transaction.atomic
def notice_publish(version: NoticeVersion, *, terms: Sequence[NoticeTerms], actor: Actor, at: datetime) -> None:
    """Store a new version of a notice with its terms, under the next number and with the SHA-256 of its text.

    Raises:
        NoticeBackdatedError: it would take effect before now. Nobody was shown it then.
    """
    if version.effective_at < at:
        raise NoticeBackdatedError("A notice cannot take effect before it is published.")
    newest = NoticeVersion.objects.filter(notice=version.notice).aggregate(newest=Max("version"))["newest"] or 0
    version.version = newest + 1
    version.text_sha256 = hashlib.sha256(version.text.encode()).hexdigest()
    code = f"{version.notice.code}@{version.version}"
    register_save(version, code=code, parts=terms, action="published", actor=actor, at=at)
