"""Papers that run out: contracts, cross-border mechanisms, impact assessments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from governance.models import Agreement, ImpactAssessment, TransferMechanism


@dataclass(frozen=True, slots=True)
class Deadline:
    """One paper near or past its last valid day. `kind`: contract, mechanism or assessment."""

    kind: str
    model: str  # whose page shows it
    pk: int
    name: str
    last_day: date
    over: bool


def deadlines(*, today: date, days: int = 30) -> list[Deadline]:
    """Return what has run out or runs out within `days`, the most urgent first. Three queries."""
    until = today + timedelta(days=days)
    found = [
        Deadline("contract", "recipient", row.recipient_id, row.recipient.name, row.valid_to, row.valid_to < today)
        for row in Agreement.objects.select_related("recipient").filter(valid_to__lte=until)
        if row.valid_to
    ]
    found += [
        Deadline("mechanism", "recipient", row.recipient_id, row.recipient.name, row.valid_to, row.valid_to < today)
        for row in TransferMechanism.objects.select_related("recipient").filter(valid_to__lte=until)
    ]
    found += [
        Deadline("assessment", "impactassessment", row.pk, row.code, row.expires_on, row.expires_on < today)
        for row in ImpactAssessment.objects.filter(expires_on__lte=until)
        if row.expires_on
    ]
    return sorted(found, key=lambda item: (item.last_day, item.kind, item.name))
