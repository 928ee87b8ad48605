"""The register in memory is the register in the database, whatever was rolled back in between."""

from __future__ import annotations

from django.db import transaction

from consent.models import SourceBatch
from consent.selectors.register import register_in_hand, register_live
from governance.selectors.register import register_version
from tests.worlds import undone


def test_every_statement_on_a_registered_table_is_a_new_version(db: None) -> None:
    versions = [register_version()]

    SourceBatch.objects.create(code="b", source="STORE_EVENT")
    versions.append(register_version())
    SourceBatch.objects.update(provenance_doc="a paper")
    versions.append(register_version())
    SourceBatch.objects.all().delete()
    versions.append(register_version())

    assert versions == sorted(set(versions))


def test_a_register_read_in_a_transaction_that_fails_is_never_taken_for_another(db: None) -> None:
    with undone():
        SourceBatch.objects.create(code="never", source="STORE_EVENT")
        assert "never" in register_live().source_batches

    with transaction.atomic():
        SourceBatch.objects.create(code="real", source="STORE_EVENT")

    assert set(register_live().source_batches) == {"real"}


def test_the_register_is_read_once_as_long_as_it_stands(db: None) -> None:
    first = register_live()

    assert register_live() is first
    assert register_in_hand() is first
