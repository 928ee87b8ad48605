"""Somebody was asked about, written to, and the message reported: for tests in the test's own transaction."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from audit.actors import SYSTEM
from consent.decisions.plans import Asked
from consent.models import SendReceipt
from consent.services.checks import SubjectRef
from consent.services.demo import demo_campaign_prepare, demo_people
from consent.services.send_reports import sends_report
from governance.crypto.blind_index import lookup
from governance.domain.identifiers import IdentifierType
from tests.consent.callers import caller_of, check_one, client_made

DUTIES = {"met": ["APPEND_OPTOUT_TEXT", "SHOW_SENDER_SIGNATURE", "EMAIL_AD_PREFIX"]}


@dataclass(frozen=True)
class Sent:
    campaign: str
    person: int
    address: str
    decision: UUID
    proper: UUID  # the receipt of a message that was allowed
    shadow: UUID  # of one that nobody asked about


def sent() -> Sent:
    """Send somebody who agreed one message as allowed and, an hour before, one that nobody asked about."""
    at = timezone.now()
    campaign = demo_campaign_prepare(actor=SYSTEM, at=at)
    people = demo_people(campaign)
    subject = SubjectRef(IdentifierType.EMAIL.value, lookup(IdentifierType.EMAIL, people.allowed))
    checked = check_one(subject, Asked(campaign=campaign), caller_of(client_made()), evidence=False)
    to = {"subject": {"type": "email", "id": people.allowed}, "campaign": campaign, "channel": "email"}
    report(
        {"decision_id": checked.decision_id, "sent_at": timezone.now().isoformat(), "obligations": DUTIES},
        to | {"sent_at": (at - timedelta(hours=1)).isoformat(), "message_id": "nobody-asked"},
    )
    decision = UUID(checked.decision_id.removeprefix("dec_"))
    return Sent(
        campaign,
        people.subject_id,
        people.allowed,
        decision,
        SendReceipt.objects.get(decision_id=decision).pk,
        SendReceipt.objects.get(message_id="nobody-asked").pk,
    )


def report(*lines: dict[str, Any], at: datetime | None = None) -> None:
    """Report sends as our own host does."""
    texts = [json.dumps(line).encode() for line in lines]
    taken = sends_report(
        lines=list(enumerate(texts, 1)),
        sha256=hashlib.sha256(b"\n".join(texts)).hexdigest(),
        actor=SYSTEM,
        at=at or timezone.now(),
    )
    assert taken.stored.refused == []
