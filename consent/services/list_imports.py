"""Import the smaller lists of a retailer: members, guardians, opt-outs, suppressions, sends, subscriptions.

Each is one transaction, set-based and idempotent: a row has a keyed digest, and one that is stored already
is skipped. Rows that name nobody are left out, as samples/README says of each file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from django.db import transaction

from audit.actors import Actor
from audit.bulk import copy_models
from audit.services.record import Event, ObjectRef, audit_record, audit_record_many
from consent.domain.imports import ALWAYS, Cells, Member, merge_member
from consent.domain.optouts import EVERYTHING, optout_scope
from consent.domain.terms import SendKind, SuppressionKind
from consent.domain.vocabulary import (
    CARRIER_REASONS,
    GUARDIAN_COLUMNS,
    IDENTIFIERS,
    MEMBER_COLUMNS,
    NOT_SENT,
    OPTOUT_COLUMNS,
    SEND_COLUMNS,
    SEND_KINDS,
    SUBSCRIPTION_COLUMNS,
    SUPPRESSION_COLUMNS,
    WX_ACTIONS,
)
from consent.models import DataSubject, Guardianship, SendRecord, Suppression, TemplateSubscription
from consent.places import guardian_place
from consent.selectors.register import LiveRegister, register_live
from consent.services.imports import file_sha256, rows_of
from consent.services.send_reports import sends_unreported
from consent.services.subjects import holders_mark, members_find, members_store, versions_raise
from governance.crypto.blind_index import keyed_digest, lookup_maker
from governance.domain.calendar import start_of_day
from governance.domain.cells import parse_instant
from governance.domain.identifiers import IdentifierType, canonical_reader, member_id
from governance.services.keys import data_keys_ensure

_CHUNK = 5_000

Lookup = Callable[[str], bytes | None]
Row = TypeVar("Row", Guardianship, Suppression, SendRecord, TemplateSubscription)


@transaction.atomic
def members_import(*, path: Path, actor: Actor, at: datetime) -> dict[str, int]:
    """Read members.csv: rows of the same member id are one person; rows without one are skipped and counted."""
    register = register_live()
    pattern = register.governed.member_id_pattern
    members: dict[str, Member] = {}
    rows = skipped = 0
    for row in rows_of(path, MEMBER_COLUMNS, ("member_id",)):
        rows += 1
        number = member_id(row.cells["member_id"], pattern) if row.cells else None
        if number is None or row.cells is None:
            skipped += 1
            continue
        merge_member(members.setdefault(number, Member(number)), row.cells, register.words)
    people = list(members.values())
    for start in range(0, len(people), _CHUNK):
        members_store(people[start : start + _CHUNK], register=register, actor=actor, at=at)
    return _finish("members", path, actor, at, rows=rows, accepted=len(people), refused=skipped)


@transaction.atomic
def guardians_import(*, path: Path, actor: Actor, at: datetime) -> dict[str, int]:
    """Read guardians.csv. Only complete rows count; a withdrawal nobody can date counts from the beginning.

    A row that was read before and now names a withdrawal withdraws what was recorded then.
    """
    register = register_live()
    pattern = register.governed.member_id_pattern
    complete = []
    rows = 0
    for row in rows_of(path, GUARDIAN_COLUMNS, ("member_id", "given_at")):
        rows += 1
        cells = row.cells
        given_at = parse_instant(cells["given_at"]) if cells else None
        number = member_id(cells["member_id"], pattern) if cells else None
        if cells and given_at and number and cells["guardian"] and cells["relation"] and cells["proof"]:
            complete.append((number, given_at, cells))
    members = members_find({number for number, _, _ in complete})
    refs = _refs(members.values())
    keys = data_keys_ensure(refs.values())
    new = []
    for number, given_at, cells in complete:
        if number not in members:
            continue
        child = members[number]
        withdrawn_at = parse_instant(cells["withdrawn_at"]) or (start_of_day(ALWAYS) if cells["withdrawn_at"] else None)
        guardianship = Guardianship(
            child_id=child,
            relation=cells["relation"][:40],
            purposes=[
                register.governed.purpose_keys[p] for p in sorted(register.words.guardian_purposes(cells["purposes"]))
            ],
            given_at=given_at,
            withdrawn_at=withdrawn_at,
            proof=cells["proof"][:100],
            source_key=keyed_digest("guardian", *(cells[name] for name in GUARDIAN_COLUMNS if name != "withdrawn_at")),
        )
        guardianship.guardian = keys[refs[child]].seal(cells["guardian"], guardian_place(guardianship.id, refs[child]))
        new.append(guardianship)
    withdrawn = _withdraw_known(new)
    stored = _insert_new(new)
    changed = [*stored, *withdrawn]
    versions = versions_raise([g.child_id for g in changed])
    audit_record_many(
        actor=actor,
        events=[
            Event(
                "guardian.recorded",
                subject=refs[g.child_id],
                version=version,
                details={
                    "purposes": [register.purpose_codes[p] for p in g.purposes],
                    "withdrawn_at": g.withdrawn_at.isoformat() if g.withdrawn_at else None,
                },
            )
            for g, version in zip(changed, versions, strict=True)
        ],
    )
    return _finish("guardians", path, actor, at, rows=rows, accepted=len(stored), refused=rows - len(complete))


def _withdraw_known(read: list[Guardianship]) -> list[Guardianship]:
    """Withdraw those recorded before whose row says so now, and return them. The earliest withdrawal counts."""
    ends: dict[bytes, datetime] = {}
    for row in read:
        key = bytes(row.source_key or b"")
        if row.withdrawn_at:
            ends[key] = min(row.withdrawn_at, ends.get(key, row.withdrawn_at))
    for row in read:
        row.withdrawn_at = ends.get(bytes(row.source_key or b""))
    changed = []
    for known in Guardianship.objects.select_for_update().filter(source_key__any=list(ends)).order_by("id"):
        end = ends[bytes(known.source_key or b"")]
        if known.withdrawn_at is None or end < known.withdrawn_at:
            known.withdrawn_at = end
            changed.append(known)
    Guardianship.objects.bulk_update(changed, ["withdrawn_at"])
    return changed


@transaction.atomic
def optouts_import(*, path: Path, actor: Actor, at: datetime) -> dict[str, int]:
    """Read replies and unsubscribes. What is no opt-out is left out; a time nobody can read stands for ever."""
    register = register_live()
    find = {code: _lookup(channel.identifier, register) for code, channel in register.governed.channels.items()}
    counts: Counter[str] = Counter()
    new = []
    for row in rows_of(path, OPTOUT_COLUMNS, ("channel", "identifier")):
        counts["rows"] += 1
        channel = register.words.channel(row.cells["channel"]) if row.cells else None
        if channel is None or row.cells is None:
            continue
        scope = optout_scope(channel, row.cells["text"])
        value = find[channel](row.cells["identifier"])
        if scope is None or value is None:
            continue
        counts["opt_outs_all" if scope == EVERYTHING else "opt_outs_channel"] += 1
        new.append(
            Suppression(
                type=register.governed.channels[channel].identifier.value,
                lookup=value,
                kind=SuppressionKind.OPT_OUT.value,
                channel_id=None if scope == EVERYTHING else register.governed.channel_keys[scope],
                said_at=_not_later(parse_instant(row.cells["received_at"]), at),
                reason="reply" if channel == "sms" else "opt_out",
                source=path.name[:40],
                source_key=_row_key("optout", row.cells, counts),
            )
        )
    stored = _suppress(new, register, actor, at)
    _finish("optouts", path, actor, at, rows=counts["rows"], accepted=len(stored), refused=0)
    return {key: counts[key] for key in ("rows", "opt_outs_all", "opt_outs_channel")}


@transaction.atomic
def suppressions_import(*, path: Path, actor: Actor, at: datetime) -> dict[str, int]:
    """Read a suppression list. A scope that names no channel means everything."""
    register = register_live()
    counts: Counter[str] = Counter()
    find = {kind: _lookup(kind, register) for kind in IdentifierType}
    new = []
    for row in rows_of(path, SUPPRESSION_COLUMNS, ("type", "identifier")):
        counts["rows"] += 1
        kind = IDENTIFIERS.get(row.cells["type"].casefold()) if row.cells else None
        value = find[kind](row.cells["identifier"]) if kind and row.cells else None
        if kind is None or value is None or row.cells is None:
            counts["refused"] += 1
            continue
        carrier = row.cells["reason"].casefold() in CARRIER_REASONS
        scope = register.words.channel(row.cells["scope"])
        new.append(
            Suppression(
                type=kind.value,
                lookup=value,
                kind=(SuppressionKind.CARRIER if carrier else SuppressionKind.LISTED).value,
                channel_id=register.governed.channel_keys[scope] if scope else None,
                said_at=_not_later(parse_instant(row.cells["added_at"]), at),
                removed_at=parse_instant(row.cells["removed_at"]),
                reason=row.cells["reason"][:40],
                source=path.name[:40],
                source_key=_row_key("suppression", row.cells, counts),
            )
        )
    stored = _suppress(new, register, actor, at)
    return _finish(
        "suppressions", path, actor, at, rows=counts["rows"], accepted=len(stored), refused=counts["refused"]
    )


def _suppress(new: list[Suppression], register: LiveRegister, actor: Actor, at: datetime) -> list[Suppression]:
    stored = _insert_new(new)
    holders_mark({bytes(row.lookup) for row in stored})
    audit_record_many(
        actor=actor,
        events=[
            Event(
                "suppression.added",
                object=ObjectRef("suppression", str(row.id)),
                details={
                    "kind": row.kind,
                    "scope": register.channel_codes[row.channel_id] if row.channel_id else EVERYTHING,
                    "said_at": row.said_at.isoformat() if row.said_at else None,
                    "source": row.source,
                },
            )
            for row in stored
        ],
    )
    return stored


@transaction.atomic
def sends_import(*, path: Path, actor: Actor, at: datetime) -> dict[str, int]:
    """Read a send log: what did not go out, or cannot be read, is left out."""
    register = register_live()
    find = {code: _lookup(channel.identifier, register) for code, channel in register.governed.channels.items()}
    counts: Counter[str] = Counter()
    new = []
    for row in rows_of(path, SEND_COLUMNS, ("sent_at", "channel", "identifier")):
        counts["rows"] += 1
        cells = row.cells
        channel = register.words.channel(cells["channel"]) if cells else None
        sent_at = parse_instant(cells["sent_at"]) if cells else None
        if cells is None or channel is None or sent_at is None or cells["status"].casefold() in NOT_SENT:
            continue
        value = find[channel](cells["identifier"])
        if value is None:
            continue
        new.append(
            SendRecord(
                type=register.governed.channels[channel].identifier.value,
                lookup=value,
                channel_id=register.governed.channel_keys[channel],
                sent_at=sent_at,
                kind=SEND_KINDS.get(cells["kind"].casefold(), SendKind.MARKETING).value,
                template=cells["template"][:64],
                campaign=cells["campaign"][:64],
                source_key=_row_key("send", cells, counts),
            )
        )
    stored = _insert_new(sends_unreported(new))
    return _finish("sends", path, actor, at, rows=counts["rows"], accepted=len(stored), refused=0)


@transaction.atomic
def subscriptions_import(*, path: Path, actor: Actor, at: datetime) -> dict[str, int]:
    """Read answers to WeChat subscription prompts; unreadable rows are left out."""
    register = register_live()
    find = _lookup(IdentifierType.WECHAT_OPENID, register)
    counts: Counter[str] = Counter()
    new = []
    for row in rows_of(path, SUBSCRIPTION_COLUMNS, ("openid", "template", "action", "at")):
        counts["rows"] += 1
        cells = row.cells
        value = find(cells["openid"]) if cells else None
        said_at = parse_instant(cells["at"]) if cells else None
        action = WX_ACTIONS.get(cells["action"].casefold()) if cells else None
        if cells is None or value is None or said_at is None or action is None:
            continue
        new.append(
            TemplateSubscription(
                lookup=value,
                template=cells["template"][:64],
                action=action.value,
                said_at=said_at,
                source_key=_row_key("subscription", cells, counts),
            )
        )
    stored = _insert_new(new)
    return _finish("subscriptions", path, actor, at, rows=counts["rows"], accepted=len(stored), refused=0)


def _lookup(kind: IdentifierType, register: LiveRegister) -> Lookup:
    read = canonical_reader(kind, register.governed.member_id_pattern)
    make = lookup_maker(kind)

    def find(value: str) -> bytes | None:
        canonical = read(value)
        return make(canonical) if canonical else None

    return find


def _row_key(kind: str, cells: Cells, counts: Counter[str]) -> bytes:
    """Return the digest of a row; the n-th same row of a file has a digest of its own."""
    digest = keyed_digest(kind, *cells.values()).hex()
    counts[digest] += 1
    return keyed_digest(digest, str(counts[digest]))


def _insert_new(rows: list[Row]) -> list[Row]:
    """Insert the rows whose source key is not stored yet, and return them."""
    if not rows:
        return []
    model = type(rows[0])
    known: set[bytes] = set()
    for chunk in _chunks([bytes(row.source_key or b"") for row in rows]):
        known |= {
            bytes(key or b"")
            for key in model.objects.filter(source_key__any=chunk).values_list("source_key", flat=True)
        }
    new = list({row.source_key: row for row in rows if row.source_key not in known}.values())
    copy_models(new)
    return new


def _chunks(items: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _not_later(said_at: datetime | None, at: datetime) -> datetime | None:
    return min(said_at, at) if said_at else None


def _refs(subject_ids: Iterable[int]) -> dict[int, UUID]:
    return dict(DataSubject.objects.filter(id__any=list(subject_ids)).values_list("id", "ref"))


def _finish(kind: str, path: Path, actor: Actor, at: datetime, **counts: int) -> dict[str, int]:
    details: dict[str, object] = {"kind": kind, **counts, "sha256": file_sha256(path)}
    audit_record(actor=actor, event=Event("import.finished", object=ObjectRef("file", path.name[:80]), details=details))
    return counts
