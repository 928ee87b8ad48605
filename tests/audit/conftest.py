"""The shop whose ledger is exported and attacked: a database with real commits, made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit.actors import SYSTEM
from audit.models import AuditEntry, Checkpoint
from audit.services.anchor_targets import FileTarget
from audit.services.anchors import anchor_put
from audit.services.receipts import receipt_sign
from audit.services.record import Event, audit_record_many
from audit.services.sequencer import ledger_step
from consent.domain.terms import Act, Control
from consent.selectors.register import register_live
from consent.services.consents import GivenEvidence, GivenIdentifier, GivenItem, consents_record
from consent.services.records import consent_withdraw
from consent.services.subjects import members_find, members_store
from governance.domain.identifiers import IdentifierType
from tests.audit.evidence import OFFICER, database_drop, database_new, database_of, database_use
from tests.strategies import PERSONALISED, PROMOTION, rich_register
from tests.worlds import World, patched, people_store, register_store

PARTNER = {"purpose": "share.partner", "recipient": "partner"}
PEOPLE = {
    "lin": {
        "member_id": "M000001",
        "phone": "13800000001",
        "phone_bound_at": "2026-03-01 09:00",
        "records": {
            "before the phone was hers": {"at": "2026-02-20 09:00", "notice": "privacy@1"},
            "yes": {"at": "2026-10-01 12:00", "notice": "privacy@2"},
            "by mail": {"at": "2026-10-01 12:00", "channel": "email", "point": "web"},
            "the wide one": {"at": "2026-10-03 12:00", "purpose": PERSONALISED, "channel": "app_push"},
            "to a partner": {"at": "2026-10-03 12:00", "channel": "separate"} | PARTNER,
        },
    },
    "zhao": {
        "member_id": "M000002",
        "phone": "13800000002",
        "records": {
            "yes": {"at": "2026-10-01 12:00", "notice": "privacy@2"},
            "no": {"at": "2026-10-02 12:00", "act": "withdraw", "channel": "*", "purpose": "*"},
        },
    },
    "guest": {"phone": "13800000009", "records": {"yes": {"at": "2026-10-05 12:00"}}},
}


@dataclass(frozen=True)
class Books:
    """A database to copy, and what an outsider holds of its ledger."""

    database: str
    head: Path  # a signed head the auditor got by mail
    receipt: Path  # the receipt of a withdrawal
    entry: str  # the entry it promises


@pytest.fixture(scope="session")
def books(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Books]:
    """Three people, some acts with sealed evidence, four signed heads, an anchor, a receipt, 700 entries."""
    home = tmp_path_factory.mktemp("auditor")
    settled = str(connection.settings_dict["NAME"])
    with django_db_blocker.unblock():
        name = database_new()
        try:
            made = _books(name, home)
        finally:
            database_use(settled)
    yield made
    with django_db_blocker.unblock():
        database_drop(name)


def _books(name: str, home: Path) -> Books:
    world = World(patched(rich_register(), {"people": PEOPLE, "row": "phone:13800000001"}))
    with transaction.atomic():
        register_store(world)
        people_store([world])
    ledger_step()
    _more_members(world)
    members = members_find(["M000001", "M000002"])
    said = consents_record(
        identifiers=[GivenIdentifier(IdentifierType.MEMBER_ID, "M000001")],
        items=[GivenItem(Act.WITHDRAW, PROMOTION, "email")],
        point="app",
        notice=None,
        evidence=GivenEvidence(Control.BUTTON, private={"ip": "203.0.113.7"}),
        said_at=timezone.now(),
        birth_date="",
        actor=OFFICER,
        at=timezone.now(),
    )
    consent_withdraw(subject_id=members["M000001"], purpose=None, channel="phone", actor=OFFICER, at=timezone.now())
    _others_work(300)
    ledger_step()
    target = FileTarget(home / "anchors.jsonl", timedelta(seconds=60), elsewhere=True)
    assert anchor_put(target, at=None)
    _others_work(380)
    ledger_step()
    head, receipt = home / "head.txt", home / "receipt.txt"
    head.write_text(Checkpoint.objects.order_by("-size")[0].note)
    consent_withdraw(subject_id=members["M000002"], purpose=PROMOTION, channel="sms", actor=OFFICER, at=timezone.now())
    entry = AuditEntry.objects.get(object_kind="consent", object_ref=said.records[0].ref).id
    receipt.write_text(receipt_sign(entry))
    ledger_step()
    return Books(name, head, receipt, str(entry))


def _more_members(world: World) -> None:
    """An import that binds zhao's phone anew, and refreshes lin."""
    members = [person.member for person in world.people if not person.guest]
    later = timezone.now() - timedelta(days=20)
    members[1] = replace(members[1], phone_bound_at=later)
    members_store(members, register=register_live(), actor=OFFICER, at=timezone.now())


def _others_work(count: int) -> None:
    with transaction.atomic():
        events = [Event("subject.viewed", details={"where": f"page-{number}"}) for number in range(count)]
        audit_record_many(actor=SYSTEM, events=events)


@pytest.fixture
def ledger(books: Books, django_db_blocker: DjangoDbBlocker) -> Iterator[Books]:
    """A copy of the shop to do with as one likes."""
    with django_db_blocker.unblock(), database_of(books.database):
        yield books
