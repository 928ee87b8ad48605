"""Find a person by a reference, and tell what he said."""

from __future__ import annotations

from datetime import datetime

from consent.domain.terms import SUBJECT_REF
from consent.models import DataSubject, Identifier
from consent.selectors.records import records_for
from consent.selectors.register import LiveRegister


def subject_find(kind: int, lookup: bytes) -> DataSubject | None:
    """Return the one person a reference names. A member is preferred to a guest; two members are nobody."""
    if kind == SUBJECT_REF:
        return DataSubject.objects.filter(ref=lookup.hex()).first()
    held = Identifier.objects.filter(type=kind, lookup=lookup).values("subject_id")
    people = list(DataSubject.objects.filter(id__in=held).order_by("is_guest", "id")[:2])
    if len(people) == 2 and people[0].is_guest == people[1].is_guest:
        return None
    return people[0] if people else None


def history_for(subject_id: int, register: LiveRegister, *, until: datetime | None = None) -> list[dict[str, object]]:
    """Return a person's acts in the order of their time, as the API shows them."""
    records = records_for([subject_id], register, until=until).get(subject_id, [])
    return [
        {
            "event": f"cev_{r.ref.replace('-', '')}",
            "act": r.act.value,
            "said_at": r.at,
            "purpose": r.purpose,
            "channel": r.channel,
            "recipient": r.recipient,
            "field_group": r.field_group,
            "separate": r.separate,
            "point": r.point,
            "notice": f"{r.notice.id}@{r.notice.version}" if r.notice else None,
        }
        for r in sorted(records, key=lambda r: (r.at, r.seq))
    ]
