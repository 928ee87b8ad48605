"""What was written stays as it was written: PostgreSQL refuses, whoever asks and however."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, models, transaction
from pytest_django import DjangoDbBlocker

from audit.models import Anchor, Verification
from audit.services.sequencer import ledger_step
from consent.models import Decision, DecisionSeal, SendReceipt, SendReport
from consent.services.records import consent_withdraw
from consent.services.subjects import guests_ensure
from governance.domain.identifiers import IdentifierType
from tests.worlds import ACTOR, World, base_world, constraints_now, people_store, register_store, undone

TABLES = {
    "audit_entry": "id",
    "audit_leaf": "idx",
    "audit_checkpoint": "size",
    "audit_anchor": "id",
    "audit_verification": "id",
    "consent_record": "id",
    "consent_notice_version": "id",
    "consent_notice_terms": "id",
    "consent_decision": "id",
    "consent_decision_seal": "entry_id",
    "consent_send_receipt": "id",
}
NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def one_row_in_each(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), undone():
        world = World(base_world())
        register_store(world)
        people_store([world])
        ledger_step()
        for model in (Anchor, Verification, Decision, DecisionSeal, SendReport, SendReceipt):
            model._base_manager.create(**values_for(model))
        constraints_now()
        yield


def values_for(model: type) -> dict[str, object]:
    """Return something for every field of a row that must be given."""
    given: dict[str, object] = {}
    for field in model._meta.concrete_fields:  # type: ignore[attr-defined]
        if isinstance(field, models.AutoField | models.BigAutoField) or field.null:
            continue
        if field.has_default() or field.has_db_default():
            continue
        if isinstance(field, models.ForeignKey):
            given[field.attname] = field.related_model._base_manager.values_list("pk", flat=True).first()
            continue
        if field.choices:
            given[field.attname] = next(iter(field.choices))[0]
            continue
        kinds: list[tuple[type, object]] = [
            (models.UUIDField, uuid4()),
            (models.DateTimeField, NOW),
            (models.BinaryField, b"x" * 16),
            (models.JSONField, []),
            (models.BooleanField, True),
            (models.IntegerField, 1),
            (models.CharField, {"result": "whole", "actor_kind": "system"}.get(field.name, "x")),
            (models.TextField, "x"),
        ]
        given[field.attname] = next(value for kind, value in kinds if isinstance(field, kind))
    return given


def refused(statement: str, *, as_replica: bool = False) -> None:
    with undone(), connection.cursor() as cursor:
        if as_replica:
            cursor.execute("SET LOCAL session_replication_role = replica")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(statement)


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("as_replica", [False, True], ids=["", "as a replica"])
@pytest.mark.parametrize("table", TABLES)
def test_a_row_is_neither_changed_nor_deleted(db: None, table: str, as_replica: bool) -> None:
    assert count(table) > 0
    key = TABLES[table]

    refused(f"UPDATE {table} SET {key} = {key}", as_replica=as_replica)
    refused(f"DELETE FROM {table}", as_replica=as_replica)
    refused(f"TRUNCATE {table} CASCADE", as_replica=as_replica)
    refused(
        f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1 ON CONFLICT ({key}) DO UPDATE SET {key} = excluded.{key}",
        as_replica=as_replica,
    )
    refused(
        f"MERGE INTO {table} t USING (SELECT * FROM {table}) s ON t.{key} = s.{key} WHEN MATCHED THEN DELETE",
        as_replica=as_replica,
    )


def test_beside_what_is_refused_writing_goes_on(db: None) -> None:
    before = {table: count(table) for table in ("consent_record", "audit_entry")}
    phone = (IdentifierType.PHONE, "+8613800000009")
    [guest] = guests_ensure([phone], actor=ACTOR, at=NOW).values()

    consent_withdraw(subject_id=guest, purpose=None, channel=None, actor=ACTOR, at=NOW)

    assert count("consent_record") == before["consent_record"] + 1
    assert count("audit_entry") == before["audit_entry"] + 2


def test_the_list_of_tables_is_that_of_the_database_and_no_trigger_sleeps_for_a_replica(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text, bool_and(tgenabled = 'A'), bit_or(tgtype::int) FROM pg_trigger"
            " WHERE tgfoid = 'zhixu_append_only'::regproc GROUP BY 1"
        )
        found = {table: (always, kinds) for table, always, kinds in cursor.fetchall()}

    assert all(always for always, _ in found.values())
    update_delete_truncate = 16 | 8 | 32
    whole = {table for table, (_, kinds) in found.items() if kinds & update_delete_truncate == update_delete_truncate}
    assert whole == set(TABLES)


def test_a_row_of_the_ledger_cannot_be_left_without_its_person(db: None) -> None:
    """Deleting the person would have to delete or change what he said."""
    with connection.cursor() as cursor, pytest.raises(DatabaseError), transaction.atomic():
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; DELETE FROM consent_subject")
