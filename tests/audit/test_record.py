"""The trail: no act without its entry, no entry without its act, nothing personal in either."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit.actors import SYSTEM, Actor
from audit.domain.details import EVENT_DETAILS
from audit.domain.merkle import leaf_hash
from audit.errors import AuditOutsideTransactionError
from audit.models import AuditEntry
from audit.services.record import Event, ObjectRef, audit_record, audit_record_many
from consent.decisions.rules.content import content_digest
from consent.domain.imports import Member
from consent.domain.terms import Act as Said
from consent.domain.terms import Control
from consent.models import Campaign, Content, DataSubject, Notice, NoticeVersion, Screening
from consent.selectors.register import register_live
from consent.services import list_imports
from consent.services.campaigns import campaign_approve, content_review
from consent.services.consents import GivenEvidence, GivenIdentifier, GivenItem, consents_record
from consent.services.explanations import subject_explain
from consent.services.imports import consents_import_run, consents_import_start
from consent.services.notices import notice_publish
from consent.services.people import people_search, person_view
from consent.services.preferences import preference_link_create, preference_stop
from consent.services.records import consent_withdraw
from consent.services.screenings import (
    AudienceFile,
    screening_cancel,
    screening_recheck,
    screening_run,
    screening_start,
)
from consent.services.subjects import members_find, members_store
from governance.domain.identifiers import IdentifierType
from governance.models import PolicyRevision, Purpose
from governance.services.clients import client_create_or_reset
from governance.services.register import policy_draft_save, policy_publish, register_save
from tests.worlds import ACTOR, World, base_world, constraints_now, people_store, register_store, undone

PHONE = "13800000001"


@pytest.fixture(scope="module", autouse=True)
def retailer_of_one(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), undone():
        world = World(base_world())
        register_store(world)
        people_store([world])
        constraints_now()
        yield


def lin() -> int:
    return members_find(["M000001"])["M000001"]


def now() -> Any:
    return timezone.now()


def bodies() -> list[dict[str, Any]]:
    return [json.loads(bytes(entry.body)) for entry in AuditEntry.objects.order_by("recorded_at")]


# -- writing an entry ------------------------------------------------------------------------------------------------


def test_outside_a_transaction_there_is_no_entry_and_inside_there_is(db: None) -> None:
    event = Event("ledger.heartbeat")
    before = AuditEntry.objects.count()

    with ThreadPoolExecutor(1) as elsewhere:  # a thread has a connection of its own, with no transaction begun
        for write in (
            lambda: audit_record(actor=SYSTEM, event=event),
            lambda: audit_record_many(actor=SYSTEM, events=[]),
        ):
            with pytest.raises(AuditOutsideTransactionError):
                elsewhere.submit(write).result()
        elsewhere.submit(lambda: connection.close()).result()  # that of the thread
    assert AuditEntry.objects.count() == before

    audit_record(actor=SYSTEM, event=event)
    assert AuditEntry.objects.count() == before + 1


def test_an_entry_says_who_did_what_to_whom_and_its_digest_is_of_its_bytes(db: None) -> None:
    subject, actor = uuid4(), Actor("user", "7")
    event = Event("consent.granted", subject, 3, ObjectRef("consent", "cev_1"), {"purpose": "p", "channel": None})

    entry = AuditEntry.objects.get(pk=audit_record(actor=actor, event=event, request_id="r-1"))

    body = json.loads(bytes(entry.body))
    assert {name: body[name] for name in ("type", "actor", "subj", "ver", "obj", "req", "d")} == {
        "type": "consent.granted",
        "actor": {"k": "user", "ref": "7"},
        "subj": str(subject),
        "ver": 3,
        "obj": {"k": "consent", "ref": "cev_1"},
        "req": "r-1",
        "d": {"purpose": "p"},
    }
    assert bytes(entry.leaf_hash) == leaf_hash(bytes(entry.body))
    assert (entry.subject_ref, entry.object_ref, entry.actor_ref) == (subject, "cev_1", "7")


@pytest.mark.parametrize(
    "event",
    [
        Event("consent.granted", details={"phone": PHONE}),
        Event("consent.granted", details={"purpose": "p", "name": "林"}),
        Event("consent.invented"),
        Event("ledger.heartbeat", details={"note": "x"}),
        Event("consent.granted", details={"purpose": 1.5}),
        Event("consent.granted", details={"purpose": "\ud800"}),
        Event("consent.granted", details={"purpose": "x" * 9000}),
        Event("consent.granted", details={"purpose": {"ключ": 1}}),
        Event("import.finished", details={"rows": 2**53 + 1}),
    ],
)
def test_what_has_no_key_or_no_canonical_form_is_refused_and_nothing_is_written(db: None, event: Event) -> None:
    before = AuditEntry.objects.count()

    with pytest.raises(ValueError, match=r"."):
        audit_record_many(actor=SYSTEM, events=[Event("ledger.heartbeat"), event])
    assert AuditEntry.objects.count() == before


def test_no_event_has_a_key_for_personal_data() -> None:
    personal = {"phone", "email", "name", "value", "identifier", "address", "ip", "user_agent", "birth_date", "text"}

    assert not {key for keys in EVENT_DETAILS.values() for key in keys} & personal


# -- every act -------------------------------------------------------------------------------------------------------


@dataclass
class Desk:
    """What an act needs that is not there yet: files to read, an audience that was screened."""

    folder: Path

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def audience(self) -> AudienceFile:
        return AudienceFile(self.file("audience.csv", f"phone\n{PHONE}\n"))

    def started(self) -> Screening:
        return screening_start(audience=self.audience(), campaign="d11", subject_type="phone", actor=ACTOR, at=now())

    def screened(self) -> Screening:
        done = screening_run(self.started().pk)
        assert done is not None
        return done


Act = Callable[[], object]


def capture(desk: Desk) -> Act:
    return lambda: consents_record(
        identifiers=[GivenIdentifier(IdentifierType.PHONE, "13800000009")],
        items=[GivenItem(Said.WITHDRAW)],
        point=None,
        notice=None,
        evidence=GivenEvidence(control=Control.BUTTON),
        said_at=now(),
        birth_date="",
        actor=ACTOR,
        at=now(),
    )


def run(desk: Desk) -> Act:
    key = desk.started().pk
    return lambda: screening_run(key)


def recheck(desk: Desk) -> Act:
    done = desk.screened()
    return lambda: screening_recheck(screening=done, actor=ACTOR, at=now())


def cancel(desk: Desk) -> Act:
    screening = desk.started()
    return lambda: screening_cancel(screening=screening, actor=ACTOR, at=now())


def consents_file(desk: Desk) -> Act:
    path = desk.file("consents.csv", "phone,act,event_time\n13800000009,withdraw,2026-07-01\n")
    key = consents_import_start(path=path, dry_run=False, imported_at=now(), actor=ACTOR).pk
    return lambda: consents_import_run(key)


def listed(load: Callable[..., object], name: str, text: str) -> Callable[[Desk], Act]:
    return lambda desk: lambda: load(path=desk.file(name, text), actor=ACTOR, at=now())


def approval(desk: Desk) -> Act:
    Campaign.objects.update(approved_at=None)
    return lambda: campaign_approve(campaign="d11", name="Zhou", actor=ACTOR, at=now())


def review(desk: Desk) -> Act:
    row = Content.objects.get()
    digest = content_digest(row.subject, row.body, row.landing_url)
    return lambda: content_review(content=row.code, digest=digest, approve=True, name="Zhou", actor=ACTOR, at=now())


def publication(desk: Desk) -> Act:
    notice = Notice.objects.get()
    version = NoticeVersion(notice=notice, text="new words", effective_at=now() + timedelta(days=1))
    return lambda: notice_publish(version, terms=[], actor=ACTOR, at=now())


def draft(desk: Desk) -> Act:
    row = PolicyRevision(values=PolicyRevision.objects.get().values)
    return lambda: policy_draft_save(row, actor=ACTOR, at=now())


def policy(desk: Desk) -> Act:
    draft(desk)()
    return lambda: policy_publish(revision=2, actor=ACTOR, at=now())


def purpose_changed(desk: Desk) -> Act:
    row = Purpose.objects.get(code="marketing.promotion")
    row.name = "Promotion"
    return lambda: register_save(row, code=row.code, actor=ACTOR, at=now())


def member(desk: Desk) -> Act:
    new = [Member("M000002", phone="+8613800000002", births=["1990-01-01"], batches=[""])]
    return lambda: members_store(new, register=register_live(), actor=ACTOR, at=now())


GUARDIANS = "member_id,guardian,relation,purposes,given_at,proof\nM000001,周梅,母,marketing.promotion,2026-03-01,G1\n"
ACTS: dict[str, tuple[Callable[[Desk], Act], list[str]]] = {
    "withdraw": (
        lambda desk: lambda: consent_withdraw(subject_id=lin(), purpose=None, channel=None, actor=ACTOR, at=now()),
        ["consent.withdrawn"],
    ),
    "stop": (
        lambda desk: lambda: preference_stop(subject_id=lin(), purpose=None, channel=None, actor=ACTOR, at=now()),
        ["consent.withdrawn"],
    ),
    "record what a new person said": (capture, ["consent.withdrawn", "subject.created"]),
    "store a member": (member, ["subject.created"]),
    "make a link": (
        lambda desk: lambda: preference_link_create(subject_id=lin(), actor=ACTOR, at=now()),
        ["preference_link.created"],
    ),
    "start a screening": (lambda desk: desk.started, ["screening.started"]),
    "run a screening": (run, ["screening.finished"]),
    "recheck a screening": (recheck, ["screening.rechecked"]),
    "cancel a screening": (cancel, ["screening.cancelled"]),
    "import consents": (consents_file, ["consent.withdrawn", "import.finished", "subject.created"]),
    "import members": (
        listed(list_imports.members_import, "members.csv", "member_id,phone\nM000002,13800000002\n"),
        ["import.finished", "subject.created"],
    ),
    "import guardians": (
        listed(list_imports.guardians_import, "guardians.csv", GUARDIANS),
        ["guardian.recorded", "import.finished"],
    ),
    "import opt-outs": (
        listed(list_imports.optouts_import, "optouts.csv", f"channel,identifier,text\nsms,{PHONE},R\n"),
        ["import.finished", "suppression.added"],
    ),
    "import suppressions": (
        listed(list_imports.suppressions_import, "suppression.csv", f"type,identifier\nphone,{PHONE}\n"),
        ["import.finished", "suppression.added"],
    ),
    "import sends": (
        listed(list_imports.sends_import, "sends.csv", f"sent_at,channel,identifier\n2026-07-01,sms,{PHONE}\n"),
        ["import.finished"],
    ),
    "import subscriptions": (
        listed(
            list_imports.subscriptions_import,
            "subscriptions.csv",
            f"openid,template,action,at\no{'a' * 27},T1,accept,2026-07-01\n",
        ),
        ["import.finished"],
    ),
    "look at a person": (
        lambda desk: lambda: person_view(subject_id=lin(), where="page", actor=ACTOR, at=now()),
        ["subject.viewed"],
    ),
    "search a person": (
        lambda desk: lambda: people_search(text=PHONE, where="search", actor=ACTOR, at=now()),
        ["subject.viewed"],
    ),
    "explain a person": (
        lambda desk: lambda: subject_explain(subject_id=lin(), campaign="d11", as_of=None, actor=ACTOR, at=now()),
        ["subject.viewed"],
    ),
    "approve a campaign": (approval, ["register.changed"]),
    "review a text": (review, ["register.changed"]),
    "publish a notice": (publication, ["register.changed"]),
    "draft a policy": (draft, ["register.changed"]),
    "publish a policy": (policy, ["register.changed", "register.changed"]),
    "change a purpose": (purpose_changed, ["register.changed"]),
    "make a client": (
        lambda desk: lambda: client_create_or_reset(name="tool", scopes=["decisions:check"], actor=ACTOR, at=now()),
        ["api_client.changed"],
    ),
}


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("name", ACTS)
def test_every_act_leaves_its_entries_with_who_did_it_and_nothing_personal(desk: Desk, name: str) -> None:
    prepare, types = ACTS[name]
    act = prepare(desk)
    before = {body["id"] for body in bodies()}

    act()

    new = [body for body in bodies() if body["id"] not in before]
    assert sorted(body["type"] for body in new) == types
    assert all(body["actor"] == {"k": ACTOR.kind, "ref": ACTOR.ref} for body in new)
    text = json.dumps(new, ensure_ascii=False)
    assert not any(word in text for word in ("1380000000", "周梅", "o" + "a" * 27, "new words"))


def everything() -> dict[str, list[str]]:
    return {
        model._meta.db_table: sorted(map(repr, model._base_manager.values_list()))
        for label in ("audit", "consent", "governance")
        for model in apps.get_app_config(label).get_models()
    }


@pytest.mark.parametrize("name", ACTS)
def test_an_act_and_its_entries_are_undone_together(desk: Desk, name: str) -> None:
    act = ACTS[name][0](desk)
    before = everything()

    with undone():
        act()
        assert everything() != before

    assert everything() == before


@pytest.mark.parametrize("name", sorted(set(ACTS) - {"run a screening", "import consents"}))
def test_what_cannot_be_traced_does_not_happen(desk: Desk, name: str) -> None:
    act = ACTS[name][0](desk)
    before = everything()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION no_trail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$;"
            "CREATE TRIGGER no_trail BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION no_trail()"
        )

    with pytest.raises(DatabaseError, match="disk full"), transaction.atomic():
        act()

    assert everything() == before


@pytest.mark.parametrize(("name", "table"), [("run a screening", Screening), ("import consents", DataSubject)])
def test_a_job_that_cannot_be_traced_is_never_done(desk: Desk, name: str, table: Any) -> None:
    act = ACTS[name][0](desk)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION no_trail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$;"
            "CREATE TRIGGER no_trail BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION no_trail()"
        )

    with pytest.raises(DatabaseError, match="disk full"):
        act()

    jobs = [row["status"] for model in ("screening", "consentimport") for row in _jobs(model)]
    assert jobs == ["running"]


def _jobs(model: str) -> list[dict[str, Any]]:
    return list(apps.get_model("consent", model)._base_manager.values("status"))
