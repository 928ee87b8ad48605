"""Seal decisions into the ledger: one entry holds the root of a tree over all decisions since the last one.

A decision is proved in two steps: its place in the sealed tree, and the entry's place in the ledger. Decisions are
taken by transaction, up to the oldest one still running: none is missed and none is sealed twice, whatever committed
in what order.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction

from audit.actors import SYSTEM
from audit.domain.canonical import canonical_json
from audit.domain.merkle import CompactRange, inclusion_proof, leaf_hash, range_hash
from audit.services.record import Event, audit_record, database_now
from consent.models import DecisionSeal

INTERVAL = timedelta(seconds=10)
_LOCK = 0x7A78_6473  # "zxds"
_CHUNK = 10_000

# Every column of a decision, as text where JSON has no form for it. What a decision says is exactly this list.
_ROWS = """
    SELECT id::text, extract(epoch FROM decided_at)::text, extract(epoch FROM judged_at)::text, client_id, campaign,
        purpose, channel, encode(request_hash, 'hex'), type, encode(lookup, 'hex'), subject_id, subject_version,
        register_version, rule_set, send_codes, subject_bits, outcome, asked, ledger_size, snapshot::text
    FROM consent_decision WHERE row_xid >= %s::text::xid8 AND row_xid < %s::text::xid8 ORDER BY row_xid, id
"""


@dataclass(frozen=True, slots=True)
class SealedProof:
    """A decision's place in the tree that an entry of the ledger holds the root of."""

    entry_id: UUID
    body: bytes
    index: int
    count: int
    path: list[bytes]
    root: bytes


@transaction.atomic
def decisions_seal() -> int:
    """Seal what was decided since the last seal; returns how many decisions. At most every ten seconds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        until = cursor.fetchone()[0]
    last = DecisionSeal.objects.order_by("-until").first()
    if last and (last.until >= until or database_now() - last.sealed_at < INTERVAL):
        return 0
    since = last.until if last else 0
    tree = CompactRange()
    for body in _bodies(since, until):
        tree.append(leaf_hash(body))
    if tree.size == 0:
        return 0
    details = {"count": tree.size, "root": base64.b64encode(tree.root()).decode(), "since": since, "until": until}
    entry_id = audit_record(actor=SYSTEM, event=Event("decision.sealed", details=details))
    DecisionSeal.objects.create(
        entry_id=entry_id, since=since, until=until, count=tree.size, root=tree.root(), sealed_at=database_now()
    )
    return tree.size


def decision_prove(decision_id: UUID) -> SealedProof | None:
    """Return the proof of a decision, or None until it is sealed. Reads the decisions of its seal."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_xid::text::bigint FROM consent_decision WHERE id = %s", [decision_id])
        found = cursor.fetchone()
    seal = DecisionSeal.objects.filter(since__lte=found[0], until__gt=found[0]).first() if found else None
    if seal is None:
        return None
    bodies = list(_bodies(seal.since, seal.until))
    own = f'["{decision_id}",'.encode()
    index = next(place for place, body in enumerate(bodies) if body.startswith(own))
    leaves = [leaf_hash(body) for body in bodies]

    def subtree(level: int, place: int) -> bytes:
        tree = CompactRange()
        for leaf in leaves[place << level : (place + 1) << level]:
            tree.append(leaf)
        return tree.root()

    root = range_hash(0, len(leaves), subtree)
    return SealedProof(
        seal.entry_id, bodies[index], index, len(leaves), inclusion_proof(index, len(leaves), subtree), root
    )


def _bodies(since: int, until: int) -> Iterator[bytes]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(_ROWS, [str(since), str(until)])
        while rows := cursor.fetchmany(_CHUNK):
            for row in rows:
                yield canonical_json(row)
