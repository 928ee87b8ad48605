"""Open what is sealed about people. Every call decrypts; nothing here is for showing in lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from consent.models import Identifier, SubjectProfile
from consent.places import identifier_place, profile_place
from governance.selectors.keys import data_keys_get


def births_for(subject_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """Return the birth dates as they were given, for people who have any and whose key is alive."""
    rows = list(
        SubjectProfile.objects.filter(subject_id__any=subject_ids, births__isnull=False).values_list(
            "subject_id", "subject__ref", "row_version", "births"
        )
    )
    keys = data_keys_get([ref for _, ref, _, _ in rows])
    return {
        key: tuple(keys[ref].open(bytes(sealed or b""), profile_place("births", ref, row_version)).split("|"))
        for key, ref, row_version, sealed in rows
        if ref in keys
    }


def identifiers_open(rows: Iterable[Identifier]) -> dict[UUID, str]:
    """Return the values of identifiers in clear, by identifier. For sending to them and for reveal only."""
    rows = list(rows)
    keys = data_keys_get({row.subject.ref for row in rows})
    return {
        row.id: keys[row.subject.ref].open(bytes(row.sealed), identifier_place(row.id, row.subject.ref))
        for row in rows
        if row.subject.ref in keys
    }
