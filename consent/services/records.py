"""Acts of consent. One service appends, whatever door the act came through; state and trace go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.actors import Actor
from audit.bulk import copy_rows
from audit.domain.ids import uuid7
from audit.services.record import Event, ObjectRef, SealedPayload, audit_record_many
from consent.domain.records import Record
from consent.domain.terms import Act, Bundle, Control
from consent.models import DataSubject
from consent.selectors.register import LiveRegister, register_live
from consent.services.states import states_project

EVENTS = {
    Act.GRANT: "consent.granted",
    Act.RENEW: "consent.renewed",
    Act.CONFIRM: "consent.confirmed",
    Act.DENY: "consent.denied",
    Act.WITHDRAW: "consent.withdrawn",
}
_COLUMNS = (
    "ref",
    "subject_id",
    "subject_version",
    "act",
    "purpose_id",
    "channel_id",
    "separate",
    "field_group",
    "recipient_id",
    "said_at",
    "recorded_at",
    "point_id",
    "notice_version_id",
    "language",
    "text_hash",
    "control",
    "pre_checked",
    "bundle",
    "valid_until",
    "evidence",
    "proof",
    "actor_kind",
    "actor_ref",
    "source_key",
    "source_digest",
)


_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class NewRecord:
    """One act to append. `record.seq` says nothing yet: the ledger gives the order."""

    subject_id: int
    record: Record
    proof: str = ""
    text_hash: str = ""  # as much of it as was given
    language: str = ""
    entry: UUID = field(default_factory=uuid7)  # of the audit entry, for which a payload is sealed
    payload: SealedPayload | None = None  # address, browser and the like
    source_key: bytes | None = None
    source_digest: bytes | None = None


def records_append(
    new: Sequence[NewRecord], *, register: LiveRegister, actor: Actor, at: datetime, request_id: str = ""
) -> dict[int, int]:
    """Append acts in the order given and project them; returns each person's new version.

    In the caller's transaction. People are locked in one order first, so two writers never deadlock, and a
    check sees either none of the acts or all of them. Nothing is said in the future: later times become `at`.
    """
    locked = DataSubject.objects.select_for_update().filter(id__any={item.subject_id for item in new}).order_by("id")
    people = {key: (ref, version) for key, ref, version in locked.values_list("id", "ref", "version")}
    versions = {key: version for key, (_, version) in people.items()}
    governed = register.governed
    rows, events = [], []
    for item in new:
        record = item.record
        versions[item.subject_id] += 1
        version = versions[item.subject_id]
        said_at = min(record.at, at)
        rows.append(
            (
                record.ref,
                item.subject_id,
                version,
                record.act.value,
                governed.purpose_keys[record.purpose] if record.purpose else None,
                governed.channel_keys[record.channel] if record.channel else None,
                record.separate,
                record.field_group or "",
                governed.recipient_keys[record.recipient] if record.recipient else None,
                said_at,
                at,
                register.point_keys[record.point] if record.point else None,
                register.notice_keys[record.notice] if record.notice else None,
                item.language,
                item.text_hash or record.text_hash,
                record.control.value if record.control else "",
                record.pre_checked,
                record.bundle.value,
                record.valid_until,
                record.evidence,
                item.proof,
                actor.kind,
                actor.ref,
                item.source_key,
                item.source_digest,
            )
        )
        events.append(_event(item, people[item.subject_id][0], version, said_at))
    copy_rows("consent_record", _COLUMNS, rows)
    states_project(versions, register, versions=versions)
    audit_record_many(actor=actor, events=events, request_id=request_id)
    return versions


def _event(item: NewRecord, subject: UUID, version: int, said_at: datetime) -> Event:
    """Return the trace of an act: all that the fold of the ledger and its receipt read, so that neither needs more.

    It says what the row says: a replay of the trail gives the stored states.
    """
    record = item.record
    return Event(
        id=item.entry,
        payload=item.payload,
        type=EVENTS[record.act],
        subject=subject,
        version=version,
        object=ObjectRef("consent", record.ref),
        details={
            "purpose": record.purpose,
            "channel": record.channel,
            "recipient": record.recipient,
            "group": record.field_group,
            "notice": f"{record.notice.id}@{record.notice.version}" if record.notice else None,
            "point": record.point,
            "said_at": said_at.isoformat(),
            "separate": record.separate or None,
            "text_hash": (item.text_hash or record.text_hash)[:8],
            "text_sha256": item.text_hash if len(item.text_hash) == _SHA256_DIGITS else None,
            "language": item.language,
            "control": record.control.value if record.control else None,
            "pre_checked": record.pre_checked,
            "bundle": record.bundle.value,
            "valid_until": record.valid_until.isoformat() if record.valid_until else None,
            "evidence": record.evidence,
            "proof": bool(item.proof) or None,
        },
    )


@transaction.atomic
def consent_withdraw(
    *,
    subject_id: int,
    purpose: str | None,
    channel: str | None,
    actor: Actor,
    at: datetime,
    control: Control = Control.BUTTON,
    point: str | None = None,
    request_id: str = "",
) -> str:
    """Append a withdrawal and return the reference of its record; it takes effect at once.

    A "no" is always accepted: with no earlier consent it is recorded as a refusal all the same. `purpose` None
    means all marketing purposes, `channel` None all channels; both None also ends all separate consents. What
    was sent before stays lawful. Source: 个人信息保护法 第十五条.
    """
    register = register_live()
    record = Record(
        ref=str(uuid7()),
        seq=0,
        at=at,
        act=Act.WITHDRAW,
        purpose=purpose if purpose in register.rules.book.purposes else None,
        channel=channel if channel in register.rules.channels else None,
        separate=False,
        control=control,
        bundle=Bundle.OWN,
        point=point if point in register.rules.book.points else None,
    )
    records_append([NewRecord(subject_id, record)], register=register, actor=actor, at=at, request_id=request_id)
    return record.ref
