"""Is the ledger whole? Every way to tamper with it is found, and what is whole is said to be."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit.actors import SYSTEM, Actor
from audit.models import Anchor, AuditEntry, Checkpoint, Leaf, Verification
from audit.services import verification
from audit.services.record import Event, SealedPayload, audit_record, audit_record_many, database_now
from audit.services.sequencer import ledger_sequence, ledger_step
from audit.services.standing import ledger_standing
from audit.services.verification import ledger_verify, verification_due

pytestmark = pytest.mark.django_db

TABLES = (
    "audit_entry",
    "audit_leaf",
    "audit_tile",
    "audit_tree",
    "audit_checkpoint",
    "audit_payload",
    "audit_anchor",
    "audit_pending",
)


@pytest.fixture
def ledger(db: None) -> None:
    """A ledger of 600 entries under four heads, one with a payload, one head kept outside."""
    sealed = SealedPayload(b"c" * 32, b"zx1" + b"\x07" * 100)
    audit_record(actor=SYSTEM, event=Event("ledger.heartbeat", subject=uuid4(), payload=sealed))
    for count in (1, 255, 2, 339):
        audit_record_many(actor=SYSTEM, events=[Event("ledger.heartbeat") for _ in range(count)])
        ledger_step()
    head = Checkpoint.objects.order_by("size")[1]
    Anchor.objects.create(size=head.size, kind="file", target="/mnt/other", note=head.note, succeeded=True)
    Anchor.objects.create(size=head.size, kind="file", target="/mnt/other", note="", succeeded=False)


def tamper(*statements: str) -> None:
    """Do as somebody who owns the database can."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def found() -> dict[str, int]:
    kept = ledger_verify(actor=SYSTEM)
    return {finding["code"]: finding["count"] for finding in kept.findings}


def test_a_whole_ledger_is_said_to_be_whole(ledger: None) -> None:
    kept = ledger_verify(actor=Actor("user", "7"))

    head = Checkpoint.objects.latest("size")
    assert (kept.result, kept.findings, kept.heads) == ("whole", [], 4)
    assert (kept.size, bytes(kept.root)) == (head.size, bytes(head.root))
    assert (kept.actor_kind, kept.actor_ref) == ("user", "7")
    noted = json.loads(bytes(AuditEntry.objects.get(type="ledger.verified").body))
    assert (noted["d"]["result"], noted["d"]["size"], noted["d"]["findings"]) == ("whole", kept.size, 0)


def test_what_came_after_the_last_head_is_no_trouble(ledger: None) -> None:
    audit_record(actor=SYSTEM, event=Event("ledger.heartbeat"))

    kept = ledger_verify(actor=SYSTEM)

    assert (kept.result, kept.pending) == ("whole", 1)


def test_an_empty_ledger_is_whole(db: None) -> None:
    assert ledger_verify(actor=SYSTEM).result == "whole"


@pytest.mark.parametrize("chunk", [256, 512])
def test_it_is_the_same_in_chunks_of_any_size(ledger: None, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_CHUNK", chunk)
    assert found() == {}

    tamper("UPDATE audit_entry SET body = body || ' ' WHERE id = (SELECT entry_id FROM audit_leaf WHERE idx = 300)")

    assert found() == {"body_changed": 1, "tile_differs": 2, "root_differs": 1, "head_differs": 1}


THIRD = "(SELECT entry_id FROM audit_leaf WHERE idx = 3)"
TAMPERING = {
    "a body, its leaf too": (
        "UPDATE audit_entry SET body = set_byte(body, 5, 50),"
        f" leaf_hash = sha256('\\x00'::bytea || set_byte(body, 5, 50)) WHERE id = {THIRD}",
        "tile_differs",
    ),
    "a leaf hash": (f"UPDATE audit_entry SET leaf_hash = sha256('x') WHERE id = {THIRD}", "body_changed"),
    "the person beside the body": (
        f"UPDATE audit_entry SET subject_ref = gen_random_uuid() WHERE id = {THIRD}",
        "columns_differ",
    ),
    "the time beside the body": (
        f"UPDATE audit_entry SET recorded_at = recorded_at - interval '1 second' WHERE id = {THIRD}",
        "columns_differ",
    ),
    "an entry taken out": (f"DELETE FROM audit_entry WHERE id = {THIRD}", "entry_missing"),
    "a leaf taken out": ("DELETE FROM audit_leaf WHERE idx = 3", "leaf_missing"),
    "two leaves exchanged": (
        "UPDATE audit_leaf SET idx = CASE idx WHEN 3 THEN -1 ELSE 3 END WHERE idx IN (3);"
        "UPDATE audit_leaf SET idx = 3 WHERE idx = 4; UPDATE audit_leaf SET idx = 4 WHERE idx = -1",
        "tile_differs",
    ),
    "the last leaves cut off": ("DELETE FROM audit_leaf WHERE idx > 400", "leaf_missing"),
    "a leaf too many": ("INSERT INTO audit_leaf VALUES (100000, gen_random_uuid())", "leaf_beyond_tree"),
    "an entry that never entered": (
        "INSERT INTO audit_entry SELECT gen_random_uuid(), body, leaf_hash, type, actor_kind, actor_ref, subject_ref,"
        " object_kind, object_ref, recorded_at FROM audit_entry LIMIT 1",
        "entry_outside",
    ),
    "an entry that waits though it is in": (f"INSERT INTO audit_pending VALUES ({THIRD})", "pending_twice"),
    "a waiting entry that is gone": ("INSERT INTO audit_pending VALUES (gen_random_uuid())", "pending_orphan"),
    "a payload": ("UPDATE audit_payload SET sealed = sealed || 'x'", "payload_changed"),
    "a payload of nothing": (
        "INSERT INTO audit_payload VALUES (gen_random_uuid(), gen_random_uuid(), 'x')",
        "payload_orphan",
    ),
    "a bit of a tile": (
        "UPDATE audit_tile SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE level = 0 AND n = 1",
        "tile_differs",
    ),
    "a tile taken out": ("DELETE FROM audit_tile WHERE level = 1", "tile_count"),
    "the tree's root": ("UPDATE audit_tree SET root = sha256('x')", "root_differs"),
    "a head's root": (
        "UPDATE audit_checkpoint SET root = sha256('x') WHERE size = (SELECT min(size) FROM audit_checkpoint)",
        "head_differs",
    ),
    "a head's signature": (
        "UPDATE audit_checkpoint SET note = left(note, -6) || E'AAAA\\n'"
        " WHERE size = (SELECT min(size) FROM audit_checkpoint)",
        "head_unsigned",
    ),
    "a head of another size": (
        "UPDATE audit_checkpoint c SET note = o.note FROM audit_checkpoint o"
        " WHERE c.size = (SELECT min(size) FROM audit_checkpoint)"
        " AND o.size = (SELECT max(size) FROM audit_checkpoint)",
        "head_differs",
    ),
    "a tree that is shorter than a head": (
        "INSERT INTO audit_checkpoint SELECT size + 1, root, note, signed_at FROM audit_checkpoint"
        " ORDER BY size DESC LIMIT 1",
        "head_beyond_tree",
    ),
    "what was put outside": ("UPDATE audit_checkpoint SET root = sha256('x')", "anchor_differs"),
    "a head that was put outside": (
        "DELETE FROM audit_checkpoint WHERE size = (SELECT max(size) FROM audit_anchor)",
        "anchor_differs",
    ),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found(ledger: None, name: str) -> None:
    statement, code = TAMPERING[name]
    assert found() == {}

    tamper(statement)

    assert code in found()
    assert code in verification.FINDINGS
    assert ledger_standing(database_now()).colour == "deny"


def test_a_whole_level_of_rewritten_history_is_found_by_what_was_signed(ledger: None) -> None:
    """Bodies, leaves, tiles and tree made anew by somebody without the signing key."""
    entry = Leaf.objects.get(idx=3).entry_id
    tamper(
        "DELETE FROM audit_tile",
        "DELETE FROM audit_leaf",
        f"DELETE FROM audit_entry WHERE id = '{entry}'",
        "UPDATE audit_tree SET size = 0, edge = '',"
        " root = '\\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
        "INSERT INTO audit_pending SELECT id FROM audit_entry ON CONFLICT DO NOTHING",
    )
    ledger_sequence()

    assert {"head_differs", "head_beyond_tree"} <= set(found())


def test_one_kind_of_finding_names_a_few_places_and_counts_all(ledger: None) -> None:
    tamper("UPDATE audit_entry SET actor_ref = 'x' WHERE id IN (SELECT entry_id FROM audit_leaf WHERE idx < 50)")

    [finding] = ledger_verify(actor=SYSTEM).findings

    assert (finding["code"], finding["count"], len(finding["places"])) == ("columns_differ", 50, 20)


def test_answers_are_kept_and_never_changed(ledger: None) -> None:
    ledger_verify(actor=SYSTEM)

    with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
        cursor.execute("UPDATE audit_verification SET size = 0")


def test_it_is_due_once_a_day(ledger: None) -> None:
    at = database_now()
    assert verification_due(at)

    ledger_verify(actor=SYSTEM)

    assert not verification_due(at + timedelta(hours=23))
    assert verification_due(at + timedelta(hours=25))


def test_the_command_says_what_it_found_and_fails_if_it_is_not_whole(
    ledger: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("ledger_verify")
    assert capsys.readouterr().out.startswith("whole: ")

    tamper("UPDATE audit_tree SET root = sha256('x')")
    with pytest.raises(CommandError) as error:
        call_command("ledger_verify")

    assert error.value.returncode == 2
    assert "root_differs: 1" in capsys.readouterr().out


def test_how_the_ledger_stands_is_said_in_one_colour(ledger: None) -> None:
    at = database_now()
    assert ledger_standing(at).troubles == ["never_verified", "no_anchor"]

    ledger_verify(actor=SYSTEM)

    standing = ledger_standing(at)
    assert (standing.troubles, standing.colour) == (["no_anchor"], "hold")
    assert ledger_standing(at + timedelta(hours=30)).troubles == ["verification_old", "late", "no_anchor"]
    assert Verification.objects.count() == 1
