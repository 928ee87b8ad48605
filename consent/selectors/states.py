"""Where one person stands, folded from his records: now or as of an instant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from consent.domain.records import Slot, State, stand
from consent.models import Identifier
from consent.selectors.records import records_for
from consent.selectors.register import LiveRegister
from governance.domain.identifiers import IdentifierType


def states_for(subject_id: int, register: LiveRegister, *, as_of: datetime | None = None) -> Mapping[Slot, State]:
    """Return the state of every slot the person has one in. Three queries."""
    records = records_for([subject_id], register, until=as_of).get(subject_id, [])
    return stand(records, book=register.rules.book, phone_bound_at=phone_bound_at([subject_id]).get(subject_id)).states


def phone_bound_at(subject_ids: object) -> dict[int, datetime]:
    """Return when each person's phone was bound, where that is known. Of several phones the latest counts."""
    phones = Identifier.objects.filter(
        subject_id__any=subject_ids, type=IdentifierType.PHONE, bound_at__isnull=False
    ).order_by("bound_at")
    return {key: at for key, at in phones.values_list("subject_id", "bound_at") if at}
