"""What is private about an act lies sealed beside its entry: opened for that entry only, and nowhere in clear."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection

from audit.actors import SYSTEM
from audit.domain.canonical import canonical_json
from audit.models import AuditEntry, Payload
from audit.selectors.entries import entry_body
from audit.selectors.payloads import StoredPayload, payload_get
from consent.domain.terms import Act
from consent.models import ConsentRecord
from consent.services.consents import Captured, GivenEvidence, GivenIdentifier, GivenItem, consents_record
from governance.crypto.envelope import Place
from governance.domain.identifiers import IdentifierType
from governance.errors import SealBrokenError
from governance.models import DataKey
from governance.selectors.keys import data_keys_get
from governance.services.payloads import payload_open, payloads_seal

CANARY = "198.51.100.213"
BROWSER = "Mozilla/5.0 (canary browser of lin)"

pytestmark = pytest.mark.django_db


@pytest.fixture
def lin(at: datetime) -> Captured:
    """lin said no to everything, twice in one call, from an address of her own."""
    return consents_record(
        identifiers=[GivenIdentifier(IdentifierType.EMAIL, "canary-lin@example.com")],
        items=[GivenItem(Act.DENY), GivenItem(Act.WITHDRAW)],
        point=None,
        notice=None,
        evidence=GivenEvidence(private={"ip": CANARY, "user_agent": BROWSER}),
        said_at=at,
        birth_date="",
        actor=SYSTEM,
        at=at,
    )


def stored(entry: UUID) -> StoredPayload:
    found = payload_get(entry=entry)
    assert found is not None
    return found


def test_it_opens_for_its_entry_and_says_what_was_given(lin: Captured) -> None:
    assert payload_open(stored(lin.entry)) == {"ip": CANARY, "user_agent": BROWSER}


def test_it_opens_for_no_other_entry_and_no_other_person(lin: Captured) -> None:
    mine = stored(lin.entry)
    other = stored(Payload.objects.exclude(entry_id=lin.entry).get(subject_ref=lin.subject_ref).entry_id)

    for wrong in (
        replace(mine, entry=other.entry),
        replace(mine, sealed=other.sealed),
        replace(mine, commitment=other.commitment),
        replace(mine, subject=uuid4()),
        replace(mine, sealed=mine.sealed[:-1] + bytes([mine.sealed[-1] ^ 1])),
    ):
        with pytest.raises(SealBrokenError):
            payload_open(wrong)
    assert payload_open(other) == payload_open(mine)


def test_the_entry_commits_to_it_under_a_salt_that_only_the_sealed_text_has(lin: Captured) -> None:
    found = stored(lin.entry)
    key = data_keys_get([lin.subject_ref], use="evidence")[lin.subject_ref]

    text = json.loads(key.open(found.sealed, Place("test", "audit_payload", "sealed", lin.entry, lin.subject_ref)))

    salt = bytes.fromhex(text["salt"])
    body = entry_body(AuditEntry.objects.get(id=lin.entry))
    assert len(salt) == 32
    assert base64.b64decode(str(body["pc"])) == hmac.digest(salt, canonical_json(text["content"]), "sha256")
    assert len({stored(p.entry_id).commitment for p in Payload.objects.filter(subject_ref=lin.subject_ref)}) == 2


def test_it_stands_nowhere_in_clear(lin: Captured) -> None:
    needles = [needle.encode() for needle in (CANARY, BROWSER, "canary-lin@example.com", "canary browser")]

    assert everything(ConsentRecord._meta.db_table).count(str(lin.records[0].ref).encode()) == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        tables = [name for (name,) in cursor.fetchall()]
    for table in tables:
        content = everything(table)
        assert not [n for n in needles if n in content or n.hex().encode() in content], table


def everything(table: str) -> bytes:
    """Return all a table holds, as a dump writes it."""
    with connection.cursor() as cursor, cursor.copy(f'COPY "{table}" TO STDOUT') as copy:
        return b"".join(bytes(part) for part in copy)


def test_an_act_without_private_evidence_has_no_payload(lin: Captured, at: datetime) -> None:
    before = Payload.objects.count()
    plain = consents_record(
        identifiers=[GivenIdentifier(IdentifierType.EMAIL, "canary-zhao@example.com")],
        items=[GivenItem(Act.DENY)],
        point=None,
        notice=None,
        evidence=GivenEvidence(),
        said_at=at - timedelta(minutes=1),
        birth_date="",
        actor=SYSTEM,
        at=at,
    )

    assert (Payload.objects.count(), payload_get(entry=plain.entry)) == (before, None)


def test_with_its_key_it_is_gone_for_good(lin: Captured) -> None:
    found = stored(lin.entry)
    DataKey.objects.filter(owner=lin.subject_ref, use="evidence").delete()

    with pytest.raises(SealBrokenError, match="gone"):
        payload_open(found)


def test_what_was_sealed_is_padded(lin: Captured) -> None:
    entries = {uuid4(): {"ip": "1.1.1.1"}, uuid4(): {"ip": "198.51.100.214"}}

    sealed = payloads_seal(entries=entries, subject=lin.subject_ref)

    assert len({len(one.sealed) for one in sealed.values()}) == 1
