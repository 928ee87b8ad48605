"""Millions of people by SQL: every generated person is a copy of a sample person, with identifiers of his own.

So the mixture of consents, refusals, minors, shared numbers, lists and sends is the sample's. Look-up values are
real, sealed values are the originals' bytes and mean nothing, and the ledger behind the copied states is left out:
neither a screening nor its peers read it. Foreign keys are not checked while copying, and indexes are made after.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import say

_STRIDE = 1_000_000
"""Copy number g of a person has the key of the original + g * this."""

_COPIES = """
INSERT INTO consent_subject (id, ref, is_guest, version, status, sourcing, last_active_on, child_until, minor_until,
    personalisation_off_at, paused_until, restricted, granted, widely_listed, created_at)
SELECT s.id + g * {stride}, {uuid}, is_guest, version, status, sourcing, last_active_on, child_until,
    minor_until, personalisation_off_at, paused_until, restricted, granted, widely_listed, created_at
FROM generate_series(1, {copies}) g CROSS JOIN consent_subject s WHERE s.id < {stride};

INSERT INTO consent_identifier (id, subject_id, type, app, lookup, key_version, sealed, verified_at, bound_at,
    lost_on, created_at)
SELECT {uuid}, i.subject_id + m.g * {stride}, i.type, app, m.made, key_version, sealed, verified_at,
    bound_at, lost_on, created_at
FROM made_lookup m JOIN consent_identifier i ON i.type = m.type AND i.lookup = m.lookup WHERE i.subject_id < {stride}
ORDER BY m.g, i.subject_id;

INSERT INTO consent_state (slot_id, subject_id, grant_id, grant_purpose_id, notice_version_id, origin_at, refusal_id,
    refused_at, confirmed, bad_form, bundled, no_evidence, expires_on, declared, lift_at, narrower)
SELECT slot_id, subject_id + g * {stride}, grant_id, grant_purpose_id, notice_version_id, origin_at, refusal_id,
    refused_at, confirmed, bad_form, bundled, no_evidence, expires_on, declared, lift_at, narrower
FROM generate_series(1, {copies}) g CROSS JOIN consent_state WHERE subject_id < {stride};

INSERT INTO consent_suppression (id, type, lookup, kind, channel_id, said_at, removed_at, reason, source, recorded_at)
SELECT {uuid}, x.type, m.made, kind, channel_id, said_at, removed_at, reason, source, recorded_at
FROM made_lookup m JOIN consent_suppression x ON x.type = m.type AND x.lookup = m.lookup;

INSERT INTO consent_send_record (type, lookup, channel_id, sent_at, kind, template, campaign)
SELECT x.type, m.made, channel_id, sent_at, kind, template, campaign
FROM made_lookup m JOIN consent_send_record x ON x.type = m.type AND x.lookup = m.lookup;

INSERT INTO consent_guardianship (id, child_id, guardian, relation, purposes, given_at, withdrawn_at, proof)
SELECT {uuid}, child_id + g * {stride}, guardian, relation, purposes, given_at, withdrawn_at, proof
FROM generate_series(1, {copies}) g CROSS JOIN consent_guardianship WHERE child_id < {stride};
"""


_UUID = "lpad(to_hex(nextval('made_uuid')), 32, '0')::uuid"
_INDEXES = """
SELECT c.conname, format('ALTER TABLE %%I DROP CONSTRAINT %%I', t.relname, c.conname),
    format('ALTER TABLE %%I ADD CONSTRAINT %%I %%s', t.relname, c.conname, pg_get_constraintdef(c.oid))
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid WHERE c.contype = 'u' AND t.relname = ANY(%s)
UNION ALL
SELECT i.relname, format('DROP INDEX %%I', i.relname), pg_get_indexdef(x.indexrelid)
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
WHERE NOT x.indisprimary AND t.relname = ANY(%s)
    AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid AND c.contype = 'u')
"""
_TABLES = ["consent_identifier", "consent_state", "consent_suppression", "consent_send_record"]


def phone_of(copy: int, place: int) -> str:
    """Return the number that stands for the sample's number `place` in a copy."""
    return f"1{55_0000_0000 + copy * 10_000 + place:010d}"


def population_make(subjects: int) -> tuple[int, int]:
    """Copy the loaded retailer until there are this many people; returns (copies, phone numbers in each)."""
    from django.db import connection

    from consent.models import DataSubject, Identifier
    from governance.domain.identifiers import IdentifierType

    originals = DataSubject.objects.count()
    copies = max(round(subjects / originals) - 1, 1)
    contacts = list(Identifier.objects.order_by("type", "lookup").values_list("type", "lookup").distinct())
    say(f"copying {originals:,} people {copies:,} times")
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("CREATE TEMPORARY TABLE made_lookup (g int, type smallint, lookup bytea, made bytea)")
        with cursor.copy("COPY made_lookup FROM STDIN") as copy:
            for line in _lookups(copies, [(kind, bytes(lookup)) for kind, lookup in contacts]):
                copy.write(line)
        cursor.execute("ANALYZE made_lookup")
        cursor.execute("CREATE TEMPORARY SEQUENCE made_uuid")
        cursor.execute(_INDEXES, [_TABLES, _TABLES])
        indexes = cursor.fetchall()
        for _, drop, _ in indexes:
            cursor.execute(drop)
        for statement in _COPIES.format(stride=_STRIDE, copies=copies, uuid=_UUID).split(";\n"):
            cursor.execute(statement)
        for _, _, make in indexes:
            cursor.execute(make)
        cursor.execute("DROP TABLE made_lookup; DROP SEQUENCE made_uuid; SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    return copies, sum(kind == IdentifierType.PHONE for kind, _ in contacts)


def _lookups(copies: int, contacts: list[tuple[int, bytes]]) -> Iterator[str]:
    """Yield the lines of made_lookup, a copy at a time."""
    from governance.crypto.blind_index import lookup_maker
    from governance.domain.identifiers import IdentifierType

    makers = {kind: lookup_maker(IdentifierType(kind)) for kind, _ in contacts}
    for g in range(1, copies + 1):
        lines = []
        for place, (kind, lookup) in enumerate(contacts):  # phones come first
            value = f"+86{phone_of(g, place)}" if kind == IdentifierType.PHONE else f"copy-{g}-{place}"
            lines.append(f"{g}\t{kind}\t\\\\x{lookup.hex()}\t\\\\x{makers[kind](value).hex()}\n")
        yield "".join(lines)


def audience_write(path: Path, rows: int, copies: int, phones: int) -> None:
    """Write an audience: known numbers in random order, and of 100 rows 10 unknown, 2 repeated, 1 malformed."""
    choose = random.Random(20261122)  # noqa: S311 - test data
    with path.open("w", encoding="utf-8") as file:
        file.write("序号,手机号\n")
        known = choose.sample(range(copies * phones), min(rows, copies * phones))
        for number in range(1, rows + 1):
            place = known[number % len(known)]
            value = phone_of(1 + place // phones, place % phones)
            kind = choose.randrange(100)
            if kind < 10:
                value = f"166{number:08d}"
            elif kind < 12:
                value = phone_of(1 + known[0] // phones, known[0] % phones)
            elif kind < 13:
                value = "没有手机"
            elif kind < 20:
                value = f"+86 {value[:3]}-{value[3:7]}-{value[7:]}"
            file.write(f"{number},{value}\n")
