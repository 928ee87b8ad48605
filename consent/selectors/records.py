"""Read the consent ledger for many people at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from consent.domain.records import Record
from consent.domain.terms import Act, Bundle, Control
from consent.models import ConsentRecord
from consent.selectors.register import LiveRegister

_FEW = 20  # people whose records are read at once; a cursor for them would cost more than it saves
_COLUMNS = (
    "subject_id",
    "ref",
    "id",
    "said_at",
    "act",
    "purpose_id",
    "channel_id",
    "separate",
    "field_group",
    "recipient_id",
    "point_id",
    "notice_version_id",
    "text_hash",
    "control",
    "pre_checked",
    "bundle",
    "valid_until",
    "evidence",
    "proof",
)


def records_for(
    subject_ids: Collection[int], register: LiveRegister, *, until: datetime | None = None
) -> dict[int, list[Record]]:
    """Return each person's records as the fold reads them. `until`: only what was said up to that instant."""
    rows = ConsentRecord.objects.filter(subject_id__any=subject_ids)
    if until is not None:
        rows = rows.filter(said_at__lte=until)
    found: dict[int, list[Record]] = defaultdict(list)
    ordered = rows.order_by("id").values_list(*_COLUMNS)
    for row in ordered if len(subject_ids) <= _FEW else ordered.iterator(chunk_size=10_000):
        found[row[0]].append(_record(row[1:], register))
    return found


def _record(row: tuple, register: LiveRegister) -> Record:  # type: ignore[type-arg]
    (ref, seq, at, act, purpose, channel, separate, group, recipient, point, notice, *shown) = row
    text_hash, control, pre_checked, bundle, valid_until, evidence, proof = shown
    return Record(
        ref=str(ref),
        seq=seq,
        at=at,
        act=Act(act),
        purpose=register.purpose_codes[purpose] if purpose else None,
        channel=register.channel_codes[channel] if channel else None,
        separate=separate,
        field_group=group or None,
        recipient=register.recipient_codes[recipient] if recipient else None,
        point=register.point_codes[point] if point else None,
        notice=register.notice_refs[notice] if notice else None,
        text_hash=text_hash[:8],
        control=Control(control) if control else None,
        pre_checked=pre_checked,
        bundle=Bundle(bundle),
        valid_until=valid_until,
        evidence=evidence,
        proof=bool(proof),
    )
