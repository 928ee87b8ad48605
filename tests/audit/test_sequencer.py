"""The tree over the trail: every committed entry enters it once, and heads are signed that continue each other."""

from __future__ import annotations

import hashlib
import json
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.actors import SYSTEM
from audit.domain.checkpoint import head_read
from audit.domain.merkle import (
    EMPTY_ROOT,
    CompactRange,
    leaf_hash,
    range_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from audit.domain.tiles import subtree_reader, tile_path, tile_widths, tiles_grow
from audit.errors import LedgerBrokenError
from audit.models import AuditEntry, Checkpoint, Leaf, PendingEntry, Tile, Tree
from audit.selectors.ledger import consistency_between, inclusion_of, ledger_lag
from audit.services.receipts import receipt_sign
from audit.services.record import Event, SealedPayload, audit_record, audit_record_many, database_now
from audit.services.sequencer import BATCH, checkpoint_sign, ledger_sequence, ledger_signer, ledger_step, origin
from audit.signing import note_open

pytestmark = pytest.mark.django_db


def entries(count: int) -> list[str]:
    events = [Event("ledger.heartbeat") for _ in range(count)]
    return [str(entry) for entry in audit_record_many(actor=SYSTEM, events=events)]


def test_each_entry_enters_the_tree_once_and_is_proved_by_the_signed_head() -> None:
    entries(300)
    ledger_step()
    entries(7)
    ledger_step()

    checkpoint = Checkpoint.objects.order_by("-size").get(size=Tree.objects.get().size)
    head = head_read(note_open(checkpoint.note, ledger_signer("checkpoint").verifier))
    assert head.origin == origin()
    assert PendingEntry.objects.count() == 0
    assert sorted(Leaf.objects.values_list("idx", flat=True)) == list(range(head.size))
    leaves = [bytes(AuditEntry.objects.get(id=leaf.entry_id).leaf_hash) for leaf in Leaf.objects.order_by("idx")]
    assert head.root == tree_root(leaves)
    for entry in AuditEntry.objects.all():
        proof = inclusion_of(entry.id)
        assert proof is not None
        assert verify_inclusion(leaf_hash(bytes(entry.body)), proof.index, head.size, proof.path, head.root)


def test_heads_continue_each_other() -> None:
    for count in (1, 255, 2, 513):
        entries(count)
        ledger_step()
    heads = list(Checkpoint.objects.order_by("size"))

    assert len(heads) == 4
    for old in heads:
        for new in heads:
            if old.size <= new.size:
                proof = consistency_between(old.size, new.size)
                assert verify_consistency(old.size, new.size, proof, bytes(old.root), bytes(new.root))
                assert old.size == new.size or not verify_consistency(
                    old.size, new.size, proof, bytes(new.root), bytes(new.root)
                )


def test_nothing_is_signed_twice_and_nothing_when_nothing_came() -> None:
    ledger_step()

    assert ledger_step() == 0
    assert checkpoint_sign() is None
    assert Checkpoint.objects.count() == 1


def test_keys_are_announced_in_the_tree_before_the_first_head() -> None:
    ledger_step()

    announced = [json.loads(bytes(e.body))["d"] for e in AuditEntry.objects.filter(type="key.announced")]
    assert {d["use"]: d["verifier"] for d in announced} == {
        use: ledger_signer(use).verifier for use in ("checkpoint", "receipt", "manifest")
    }
    assert len({d["verifier"] for d in announced}) == 3


def test_a_receipt_promises_the_leaf_the_tree_then_holds() -> None:
    entry = audit_record(actor=SYSTEM, event=Event("ledger.heartbeat"))
    receipt = receipt_sign(entry)

    lines = note_open(receipt, ledger_signer("receipt").verifier).splitlines()

    assert lines[0] == f"{origin()} receipt"
    assert lines[1] == str(entry)
    assert receipt == receipt_sign(entry)
    with pytest.raises(ValueError, match="not signed"):
        note_open(receipt, ledger_signer("checkpoint").verifier)


def test_an_entry_s_time_is_the_database_s_and_not_its_transaction_s() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.05), now()")
        began = cursor.fetchone()[1]

    entry = AuditEntry.objects.get(id=audit_record(actor=SYSTEM, event=Event("ledger.heartbeat")))

    assert json.loads(bytes(entry.body))["t"] == entry.recorded_at.isoformat(timespec="microseconds").replace(
        "+00:00", "Z"
    )
    assert began < entry.recorded_at <= database_now()


def test_the_lag_is_the_age_of_the_oldest_that_waits() -> None:
    ledger_step()
    assert ledger_lag(database_now()).total_seconds() == 0

    entries(1)

    assert 0 < ledger_lag(database_now()).total_seconds() < 10


def test_a_payload_is_committed_to_and_never_in_the_clear() -> None:
    sealed = b"zx1" + b"\x07" * 100
    event = Event("ledger.heartbeat", subject=uuid4(), payload=SealedPayload(b"c" * 32, sealed))

    body = json.loads(bytes(AuditEntry.objects.get(id=audit_record(actor=SYSTEM, event=event)).body))

    assert set(body) == {"v", "id", "t", "type", "tenant", "actor", "subj", "pc", "px"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT sealed FROM audit_payload WHERE entry_id = %s", [event.id])
        assert bytes(cursor.fetchone()[0]) == sealed


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE audit_entry SET body = body || ' '::bytea WHERE id = %s",
        "UPDATE audit_entry SET leaf_hash = sha256('x') WHERE id = %s",
        "DELETE FROM audit_entry WHERE id = %s",
    ],
)
def test_an_entry_changed_before_it_was_sequenced_stops_the_ledger(edit: str) -> None:
    ledger_step()
    heads = Checkpoint.objects.count()
    [entry] = entries(1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry DISABLE TRIGGER audit_entry_append_only")
        cursor.execute(edit, [entry])

    with pytest.raises(LedgerBrokenError):
        ledger_step()

    assert Checkpoint.objects.count() == heads


def test_a_changed_edge_of_the_tree_is_never_signed_over() -> None:
    entries(300)
    ledger_step()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_tile DISABLE TRIGGER audit_tile_grows")
        cursor.execute("UPDATE audit_tile SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE n = 1")
    entries(1)

    with pytest.raises(LedgerBrokenError):
        ledger_step()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_tile SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1)",
        "UPDATE audit_tile SET hashes = substring(hashes FROM 1 FOR 32)",
        "DELETE FROM audit_tile",
        "TRUNCATE audit_tile",
        "UPDATE audit_tree SET size = size - 1",
        "UPDATE audit_tree SET root = sha256('x')",
        "DELETE FROM audit_tree",
        "UPDATE audit_leaf SET idx = idx + 1000",
        "DELETE FROM audit_leaf",
        "TRUNCATE audit_leaf",
        "UPDATE audit_checkpoint SET note = ''",
        "DELETE FROM audit_checkpoint",
        "TRUNCATE audit_checkpoint",
        "INSERT INTO audit_checkpoint SELECT size, sha256('x'), note, signed_at FROM audit_checkpoint"
        " ON CONFLICT (size) DO UPDATE SET root = excluded.root",
    ],
)
def test_the_ledger_s_tables_refuse_to_be_rewritten(statement: str) -> None:
    entries(3)
    ledger_step()

    with (
        pytest.raises(DatabaseError, match=r"append-only|only grows"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_the_pending_row_comes_with_the_entry_however_it_was_inserted() -> None:
    body = b"{}"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "INSERT INTO audit_entry (id, body, leaf_hash, type, actor_kind, actor_ref, object_kind, object_ref)"
            " VALUES (gen_random_uuid(), %s, %s, 'x', 'system', '', '', '')",
            [body, hashlib.sha256(body).digest()],
        )

    assert PendingEntry.objects.count() == 1


def test_more_than_a_batch_is_sequenced_in_one_step() -> None:
    entries(BATCH + 10)

    assert ledger_step() == BATCH + 10 + 3  # and the keys
    assert ledger_sequence() == 0


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_tiles_grown_in_any_steps_are_those_of_the_tree(steps: list[int]) -> None:
    tree, tiles, leaves = CompactRange(), {}, []
    for step in steps:
        new = [hashlib.sha256(f"{len(leaves) + n}".encode()).digest() for n in range(step)]
        leaves += new
        for place, data in tiles_grow(tree, new).items():
            tiles[place] = tiles.get(place, b"") + data

    assert {(level, n): width * 32 for level, n, width in tile_widths(len(leaves))} == {
        place: len(data) for place, data in tiles.items()
    }
    subtree = subtree_reader(lambda level, n: tiles.get((level, n), b""))
    assert range_hash(0, len(leaves), subtree) == tree.root() == tree_root(leaves)


def test_tile_paths_are_those_of_the_specification() -> None:
    """C2SP tlog-tiles, section Merkle Tree: the examples there."""
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(0, 273, 112) == "tile/0/273.p/112"
    assert tile_path(1, 1, 17) == "tile/1/001.p/17"
    assert tile_path("entries", 0) == "tile/entries/000"


def test_the_empty_tree_has_the_root_of_nothing() -> None:
    assert bytes(Tree.objects.get().root) == EMPTY_ROOT == hashlib.sha256(b"").digest()
    assert Tile.objects.count() == 0
