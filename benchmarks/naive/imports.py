"""The peer's import: row by row, each in a transaction of its own, with the ORM.

It reads, judges and folds with the product's own functions, so what differs is only how it asks and writes.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

from django.db import transaction

from audit.actors import Actor
from audit.domain.ids import uuid7
from audit.services.record import Event, ObjectRef, audit_record
from consent.domain.imports import ImportContext, PersonRef, RowError, judge_consent_row
from consent.domain.records import Record, Slot, State, stand
from consent.domain.vocabulary import CONSENT_COLUMNS
from consent.models import ConsentRecord, ConsentState, DataSubject, Identifier
from consent.models import Slot as SlotRow
from consent.selectors.history import guardianships_for
from consent.selectors.profiles import births_for
from consent.selectors.records import records_for
from consent.selectors.register import LiveRegister, register_live
from consent.selectors.states import phone_bound_at
from consent.services.subjects import guests_ensure
from governance.crypto.blind_index import keyed_digest, lookup
from governance.domain.identifiers import IdentifierType
from governance.domain.tables import Row, open_text, read_rows


def consents_import(path: Path, *, imported_at: datetime, actor: Actor) -> Counter[str]:
    """Import a file; returns how many rows were accepted, replayed, and refused by code."""
    peer = _Import(register_live(), imported_at, actor)
    with open_text(path) as stream:
        for row in read_rows(stream, CONSENT_COLUMNS, required=("act", "event_time")):
            with transaction.atomic():
                peer.counts[peer.row(row)] += 1
    return peer.counts


class _Import:
    def __init__(self, register: LiveRegister, imported_at: datetime, actor: Actor) -> None:
        self.counts: Counter[str] = Counter()
        self._seen: dict[bytes, bytes] = {}
        self._repeats: Counter[bytes] = Counter()
        self._register = register
        self._actor = actor
        self._at = imported_at
        self._context = ImportContext(
            book=register.rules.book,
            words=register.words,
            recipients=frozenset(register.governed.recipients),
            field_groups=register.field_groups,
            member_id_pattern=register.governed.member_id_pattern,
            imported_at=imported_at,
            is_member=lambda number: _member(number).exists(),
            births=lambda number: births_for([_member(number).get().subject_id]).get(
                _member(number).get().subject_id, ()
            ),
            guardianships=lambda number: guardianships_for([_member(number).get().subject_id], register).get(
                _member(number).get().subject_id, ()
            ),
        )

    def row(self, row: Row) -> str:
        if row.cells is None:
            return RowError.E_INPUT
        digest = keyed_digest(*(row.cells[name] for name in CONSENT_COLUMNS))
        key = self._key(row.cells["event_id"], digest)
        if key in self._seen:
            return "replayed" if self._seen[key] == digest else RowError.E_INPUT
        self._seen[key] = digest
        stored = ConsentRecord.objects.filter(source_key=key).first()
        if stored:
            return "replayed" if bytes(stored.source_digest) == digest else RowError.E_INPUT
        judged = judge_consent_row(row.cells, seq=0, ref=str(uuid7()), ctx=self._context)
        if isinstance(judged, RowError):
            return judged
        self._append(self._subject(judged.person), judged.record, row.cells["proof"][:100], key, digest)
        return "accepted"

    def _key(self, event_id: str, digest: bytes) -> bytes:
        if event_id:
            return keyed_digest("event", event_id)
        self._repeats[digest] += 1
        return keyed_digest("row", digest.hex(), str(self._repeats[digest]))

    def _subject(self, person: PersonRef) -> DataSubject:
        if person.kind is IdentifierType.MEMBER_ID:
            key = _member(person.value).get().subject_id
        else:
            found = guests_ensure([(person.kind, person.value)], actor=self._actor, at=self._at)
            key = found[person.kind, person.value]
        return DataSubject.objects.select_for_update().get(pk=key)

    def _append(self, subject: DataSubject, record: Record, proof: str, key: bytes, digest: bytes) -> None:
        register, governed = self._register, self._register.governed
        subject.version += 1
        at = max(self._at, record.at)
        ConsentRecord.objects.create(
            ref=record.ref,
            subject=subject,
            subject_version=subject.version,
            act=record.act.value,
            purpose_id=governed.purpose_keys[record.purpose] if record.purpose else None,
            channel_id=governed.channel_keys[record.channel] if record.channel else None,
            separate=record.separate,
            field_group=record.field_group or "",
            recipient_id=governed.recipient_keys[record.recipient] if record.recipient else None,
            said_at=record.at,
            recorded_at=at,
            point_id=register.point_keys[record.point] if record.point else None,
            notice_version_id=register.notice_keys[record.notice] if record.notice else None,
            text_hash=record.text_hash,
            control=record.control.value if record.control else "",
            pre_checked=record.pre_checked,
            bundle=record.bundle.value,
            valid_until=record.valid_until,
            evidence=record.evidence,
            proof=proof,
            actor_kind=self._actor.kind,
            actor_ref=self._actor.ref,
            source_key=key,
            source_digest=digest,
        )
        self._project(subject)
        event = Event(
            "consent.granted",
            subject=subject.ref,
            version=subject.version,
            object=ObjectRef("consent", record.ref),
            details={"purpose": record.purpose, "channel": record.channel, "said_at": record.at.isoformat()},
        )
        audit_record(actor=self._actor, event=event)

    def _project(self, subject: DataSubject) -> None:
        register = self._register
        standing = stand(
            records_for([subject.pk], register).get(subject.pk, ()),
            book=register.rules.book,
            phone_bound_at=phone_bound_at([subject.pk]).get(subject.pk),
        )
        kept = [self._keep(subject, slot, state, narrower=False) for slot, state in standing.states.items()]
        kept += [self._keep(subject, slot, State(), narrower=True) for slot in standing.narrower]
        ConsentState.objects.filter(subject=subject).exclude(slot_id__in=kept).delete()
        subject.granted = sorted(register.governed.purpose_keys[p] for p in standing.granted) or None
        subject.save()

    def _keep(self, subject: DataSubject, slot: Slot, state: State, *, narrower: bool) -> int:
        governed, grant, refusal = self._register.governed, state.grant, state.refusal
        row, _ = SlotRow.objects.get_or_create(
            purpose_id=governed.purpose_keys[slot.purpose],
            channel_id=governed.channel_keys[slot.channel] if slot.channel else None,
            field_group=slot.field_group or "",
            recipient_id=governed.recipient_keys[slot.recipient] if slot.recipient else None,
        )
        values = {
            "grant_id": grant.seq if grant else None,
            "grant_purpose_id": governed.purpose_keys[state.grant_purpose] if state.grant_purpose else None,
            "notice_version_id": self._register.notice_keys[grant.notice] if grant and grant.notice else None,
            "origin_at": state.origin_at,
            "refusal_id": refusal.seq if refusal else None,
            "refused_at": refusal.at if refusal else None,
            "confirmed": state.confirmed,
            "bad_form": state.bad_form,
            "bundled": state.bundled,
            "no_evidence": state.no_evidence,
            "expires_on": state.expires_on,
            "declared": state.declared,
            "lift_at": state.lift_at,
            "narrower": narrower,
        }
        ConsentState.objects.update_or_create(slot=row, subject=subject, defaults=values)
        return row.pk


def _member(number: str):
    return Identifier.objects.filter(type=IdentifierType.MEMBER_ID, lookup=lookup(IdentifierType.MEMBER_ID, number))
