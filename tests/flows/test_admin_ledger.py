"""The officer's pages of the ledger: whole or not, entries with their proofs, sealed evidence opened for a reason."""

from __future__ import annotations

import base64
import hmac
import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.actors import SYSTEM
from audit.domain.checkpoint import head_read, proof_read
from audit.domain.merkle import leaf_hash, verify_inclusion
from audit.models import Anchor, AuditEntry, Checkpoint, Verification
from audit.selectors.entries import entry_body
from audit.selectors.payloads import payload_get
from audit.services import verification
from audit.services.record import Event, audit_record
from audit.services.sequencer import ledger_signer, ledger_step
from audit.signing import note_open
from consent.domain.terms import Act
from consent.models import ConsentRecord, DataSubject
from consent.services.consents import Captured, GivenEvidence, GivenIdentifier, GivenItem, consents_record
from governance.domain.identifiers import IdentifierType
from governance.services.payloads import payload_open
from tests.flows.customers import LIN, customer

ADDRESS = "198.51.100.77"

pytestmark = pytest.mark.django_db


@pytest.fixture
def officer(retailer: Path, db: None) -> User:
    return User.objects.create_superuser("lan", first_name="兰")


@pytest.fixture
def desk(client: Client, officer: User) -> Client:
    client.force_login(officer)
    return client


@pytest.fixture
def ledger(retailer: Path, db: None) -> Checkpoint:
    """The sample retailer's trail, sequenced and signed."""
    ledger_step()
    return Checkpoint.objects.latest("size")


@pytest.fixture
def lin(retailer: Path, db: None) -> Captured:
    """lin refused everything, from an address of her own."""
    at = timezone.now()
    return consents_record(
        identifiers=[GivenIdentifier(IdentifierType.EMAIL, "sealed-lin@example.com")],
        items=[GivenItem(Act.DENY)],
        point=None,
        notice=None,
        evidence=GivenEvidence(private={"ip": ADDRESS, "user_agent": "canary browser"}),
        said_at=at,
        birth_date="",
        actor=SYSTEM,
        at=at,
    )


def page(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


def entries(kind: str) -> list[dict[str, Any]]:
    return [entry_body(row) for row in AuditEntry.objects.filter(type=kind).order_by("id")]


def clerk_with(*codenames: str) -> Client:
    """Return a signed-in clerk who has these permissions and no others."""
    clerk, _new = User.objects.get_or_create(username="clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert clerk.user_permissions.count() == len(codenames)
    client = Client()
    client.force_login(clerk)
    return client


# -- is the ledger whole? --------------------------------------------------------------------------------------------


def test_the_page_says_that_the_ledger_is_whole_once_it_was_verified(desk: Client, ledger: Checkpoint) -> None:
    before = desk.get(page("audit_ledger"))
    Anchor.objects.create(size=ledger.size, kind="file", target="/mnt/other", note=ledger.note, succeeded=True)

    verified = desk.post(page("audit_ledger_verify"), follow=True)

    kept = Verification.objects.get()
    assert before.context["standing"].troubles == ["never_verified", "no_anchor"]
    assert (kept.result, kept.size, kept.actor_kind) == ("whole", ledger.size, "user")
    assert "never_verified" not in verified.context["standing"].troubles
    html = verified.content.decode()
    assert bytes(ledger.root).hex() in html
    assert "/mnt/other" in html
    assert all(ledger_signer(use).verifier.split("+")[1] in html for use in ("checkpoint", "receipt", "manifest"))
    assert entries("ledger.verified")[-1]["d"]["result"] == "whole"


def test_a_ledger_that_was_tampered_with_is_shown_in_red_here_and_on_the_overview(
    desk: Client, ledger: Checkpoint
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE audit_entry SET body = body || ' '::bytea"
            " WHERE id = (SELECT entry_id FROM audit_leaf WHERE idx = 7)"
        )
        cursor.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")

    shown = desk.post(page("audit_ledger_verify"), follow=True)

    assert shown.context["standing"].colour == "deny"
    assert "zx-verdict-deny" in shown.content.decode()
    assert "条目在写入之后被更改" in shown.content.decode()
    assert "zx-verdict-deny" in desk.get(page("index")).content.decode()
    assert desk.get(page("audit_verification_change", Verification.objects.get().pk)).status_code == 200


def test_the_overview_says_how_the_ledger_stands_to_those_who_may_know(desk: Client, ledger: Checkpoint) -> None:
    assert page("audit_ledger") in desk.get(page("index")).content.decode()
    assert page("audit_ledger") not in clerk_with("view_purpose").get(page("index")).content.decode()


def test_seeing_the_ledger_and_verifying_it_are_two_permissions(ledger: Checkpoint) -> None:
    nobody, reader = clerk_with("view_purpose"), None
    assert nobody.get(page("audit_ledger")).status_code == 403

    reader = clerk_with("view_checkpoint")
    assert page("audit_ledger_verify") not in reader.get(page("audit_ledger")).content.decode()
    assert reader.post(page("audit_ledger_verify")).status_code == 403
    assert Verification.objects.count() == 0

    auditor = clerk_with("view_checkpoint", "add_verification")
    assert auditor.post(page("audit_ledger_verify")).status_code == 302
    assert Verification.objects.count() == 1
    assert [entry["d"]["where"] for entry in entries("access.denied")] == [
        "admin:audit_ledger",
        "admin:audit_ledger_verify",
    ]


def test_a_large_ledger_is_verified_behind_the_page(
    desk: Client, ledger: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    monkeypatch.setattr("audit.admin_ledger.AT_ONCE", 0)
    monkeypatch.setattr("audit.admin_ledger.verification_begin", lambda *, actor: begun.append(actor))

    assert desk.post(page("audit_ledger_verify")).status_code == 302
    assert desk.get(page("audit_ledger_verify")).status_code == 302  # looking starts nothing

    assert len(begun) == 1
    assert not verification.verification_running()


@pytest.mark.parametrize("name", ["audit_checkpoint", "audit_anchor", "audit_verification"])
def test_lists_of_the_ledger_are_read_only(desk: Client, ledger: Checkpoint, name: str) -> None:
    Anchor.objects.create(size=ledger.size, kind="file", target="/x", note=ledger.note, reply="ok", succeeded=True)
    verification.ledger_verify(actor=SYSTEM)
    row = {"audit_checkpoint": Checkpoint, "audit_anchor": Anchor, "audit_verification": Verification}[name]
    pk = row.objects.all()[0].pk

    assert desk.get(page(f"{name}_changelist")).status_code == 200
    shown = desk.get(page(f"{name}_change", pk))
    assert shown.status_code == 200
    assert 'name="_save"' not in shown.content.decode()
    assert desk.get(page(f"{name}_add")).status_code == 403
    assert desk.post(page(f"{name}_change", pk), {}).status_code == 403


# -- entries and their proofs ----------------------------------------------------------------------------------------


def test_an_entry_s_page_hands_out_a_proof_and_the_head_it_leads_to(desk: Client, ledger: Checkpoint) -> None:
    entry = AuditEntry.objects.filter(type="subject.created")[0]

    html = desk.get(page("audit_auditentry_change", entry.pk)).content.decode()
    proof = desk.get(page("audit_auditentry_proof", entry.pk))
    head = desk.get(page("audit_checkpoint_note", ledger.size))

    assert page("audit_auditentry_proof", entry.pk) in html
    assert page("audit_checkpoint_note", ledger.size) in html
    index, path, note = proof_read(proof.content.decode())
    known = head_read(note_open(note, ledger_signer("checkpoint").verifier))
    assert verify_inclusion(leaf_hash(bytes(entry.body)), index, known.size, path, known.root)
    assert head.content.decode() == note
    assert proof["Content-Disposition"] == f'attachment; filename="proof-{entry.pk}.txt"'


def test_an_entry_that_waits_is_said_to_wait(desk: Client, ledger: Checkpoint) -> None:
    audit_record(actor=SYSTEM, event=Event("ledger.heartbeat"))
    entry = AuditEntry.objects.latest("recorded_at")

    assert (
        page("audit_auditentry_proof", entry.pk)
        not in desk.get(page("audit_auditentry_change", entry.pk)).content.decode()
    )
    assert desk.get(page("audit_auditentry_proof", entry.pk)).status_code == 302


def test_the_trail_of_a_person_is_found_by_a_number_that_stands_nowhere(
    desk: Client, retailer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lin = customer(LIN)
    number = LIN[IdentifierType.PHONE].removeprefix("+86")

    with caplog.at_level(logging.DEBUG):
        found = desk.post(page("audit_auditentry_person"), {"identifier": number})
        shown = desk.get(found["Location"])

    assert found["Location"] == f"{page('audit_auditentry_changelist')}?person={lin.ref}"
    assert {entry.subject_ref for entry in shown.context["cl"].result_list} == {lin.ref}
    assert number not in shown.content.decode() + caplog.text
    looks = [entry for entry in entries("subject.viewed") if entry["subj"] == str(lin.ref)]
    assert [look["d"]["where"] for look in looks] == ["admin.trail", "admin.trail"]


def test_who_is_not_found_has_no_trail(desk: Client, retailer: Path) -> None:
    answer = desk.post(page("audit_auditentry_person"), {"identifier": "13800000000"}, follow=True)

    assert "13800000000" not in answer.content.decode()
    assert "person" not in answer.request["QUERY_STRING"]
    assert desk.get(page("audit_auditentry_person")).status_code == 302


def test_the_trail_is_for_those_who_may_see_it(ledger: Checkpoint) -> None:
    entry = AuditEntry.objects.latest("recorded_at")
    places = [
        page("audit_auditentry_changelist"),
        page("audit_auditentry_change", entry.pk),
        page("audit_auditentry_proof", entry.pk),
    ]
    nobody = clerk_with("view_purpose")
    assert [nobody.get(place).status_code for place in places] == [403] * 3
    assert nobody.post(page("audit_auditentry_person"), {"identifier": "x"}).status_code == 403
    assert nobody.get(page("audit_checkpoint_note", ledger.size)).status_code == 403

    reader = clerk_with("view_auditentry")
    assert [reader.get(place).status_code for place in places] == [200] * 3


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("type=subject.created", {"subject.created"}),
        ("about=register", {"register.changed"}),
        ("days=1&type=import.finished", {"import.finished"}),
    ],
)
def test_the_trail_is_filtered(desk: Client, ledger: Checkpoint, query: str, kinds: set[str]) -> None:
    shown = desk.get(f"{page('audit_auditentry_changelist')}?{query}")

    assert {entry.type for entry in shown.context["cl"].result_list} == kinds


def test_an_actor_s_entries_are_found_by_his_reference(desk: Client, officer: User, ledger: Checkpoint) -> None:
    person = DataSubject.objects.all()[0]
    desk.get(page("consent_datasubject_change", person.pk))

    shown = desk.get(page("audit_auditentry_changelist"), {"q": str(officer.pk)})

    assert {(entry.actor_kind, entry.actor_ref) for entry in shown.context["cl"].result_list} == {
        ("user", str(officer.pk))
    }


# -- sealed evidence -------------------------------------------------------------------------------------------------


def reveal(client: Client, lin: Captured, **form: str) -> Any:
    record = ConsentRecord.objects.get(ref=lin.records[0].ref)
    return client.post(
        page("consent_consentrecord_reveal", record.pk), {"why": "complaint", "note": "客户张三来电投诉"} | form
    )


def test_sealed_evidence_is_masked_until_it_is_opened_with_a_reason(desk: Client, lin: Captured, officer: User) -> None:
    record = ConsentRecord.objects.get(ref=lin.records[0].ref)
    masked = desk.get(page("consent_consentrecord_change", record.pk)).content.decode()
    before = timezone.now()

    opened = reveal(desk, lin)

    assert ADDRESS not in masked
    assert ADDRESS in opened.content.decode()
    assert "no-store" in opened["Cache-Control"]
    [noted] = entries("subject.revealed")
    assert noted["actor"] == {"k": "user", "ref": str(officer.pk)}
    assert (noted["subj"], noted["obj"]["ref"]) == (str(lin.subject_ref), str(record.ref))
    assert noted["d"] == {"where": "admin.record", "why": "complaint"}
    assert datetime.fromisoformat(noted["t"]) > before - timedelta(seconds=1)
    assert ADDRESS not in desk.get(page("consent_consentrecord_change", record.pk)).content.decode()


def test_what_was_written_as_the_reason_is_sealed_as_well(desk: Client, lin: Captured) -> None:
    reveal(desk, lin)

    entry = AuditEntry.objects.get(type="subject.revealed")
    stored = payload_get(entry=entry.id)
    assert "张三" not in bytes(entry.body).decode()
    assert stored is not None
    assert payload_open(stored) == {"note": "客户张三来电投诉"}
    assert hmac.compare_digest(base64.b64decode(str(entry_body(entry)["pc"])), stored.commitment)


@pytest.mark.parametrize("form", [{"why": ""}, {"why": "curiosity"}, {"note": ""}, {"note": "x"}])
def test_without_a_reason_nothing_is_opened(desk: Client, lin: Captured, form: dict[str, str]) -> None:
    answer = reveal(desk, lin, **form)

    assert (answer.status_code, entries("subject.revealed")) == (302, [])


def test_opening_needs_its_own_permission_and_a_post(lin: Captured) -> None:
    reader = clerk_with("view_consentrecord")
    record = ConsentRecord.objects.get(ref=lin.records[0].ref)

    assert (
        page("consent_consentrecord_reveal", record.pk)
        not in reader.get(page("consent_consentrecord_change", record.pk)).content.decode()
    )
    assert reveal(reader, lin).status_code == 403
    assert entries("subject.revealed") == []

    opener = clerk_with("view_consentrecord", "reveal_consentrecord")
    assert opener.get(page("consent_consentrecord_reveal", record.pk)).status_code == 302
    assert entries("subject.revealed") == []
    assert ADDRESS in reveal(opener, lin).content.decode()
    assert len(entries("subject.revealed")) == 1


def test_if_the_look_cannot_be_noted_nothing_is_shown(
    desk: Client, lin: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("consent.services.evidence.audit_record", broken)
    desk.raise_request_exception = False

    answer = reveal(desk, lin)

    assert answer.status_code == 500
    assert ADDRESS not in answer.content.decode()


def test_a_record_without_private_evidence_offers_nothing_to_open(desk: Client, retailer: Path) -> None:
    record = ConsentRecord.objects.filter(act="grant")[0]

    html = desk.get(page("consent_consentrecord_change", record.pk)).content.decode()

    assert page("consent_consentrecord_reveal", record.pk) not in html


def test_pages_of_the_ledger_are_opened_in_a_fixed_number_of_queries(
    desk: Client, ledger: Checkpoint, django_assert_max_num_queries: Any
) -> None:
    verification.ledger_verify(actor=SYSTEM)
    entry = AuditEntry.objects.all()[0]

    for place, most in (
        (page("audit_ledger"), 16),
        (page("audit_auditentry_changelist"), 9),
        (page("audit_auditentry_change", entry.pk), 8),
        (page("audit_checkpoint_changelist"), 8),
    ):
        with django_assert_max_num_queries(most):
            assert desk.get(place).status_code == 200
