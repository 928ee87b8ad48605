"""What an auditor can ask for: entries, heads, proofs and the tree itself; and that asking leaves a trace."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.domain.checkpoint import head_read, proof_read
from audit.domain.merkle import consistency_proof, leaf_hash, verify_consistency, verify_inclusion
from audit.domain.tiles import subtree_reader
from audit.models import AuditEntry, Checkpoint
from audit.selectors.entries import entry_body
from audit.selectors.ledger import consistency_between
from audit.services.sequencer import ledger_signer, ledger_step
from audit.signing import note_open
from consent.domain.terms import Act
from consent.models import DataSubject
from governance.domain.identifiers import IdentifierType
from tests.demo_server import Api, DemoServer
from tests.flows.customers import LIN, PROMOTION, customer, say
from tests.flows.test_api_receipts import Caller

AUDIT = "/api/v1/audit"
QUERY = f"{AUDIT}/entries/query"

pytestmark = pytest.mark.django_db


@pytest.fixture
def auditor(retailer: Any, db: None) -> Caller:
    return Caller("audit:read")


@pytest.fixture
def lin(retailer: Any, db: None) -> DataSubject:
    """lin agreed to promotion by SMS, then stopped everything; all of it is in the tree."""
    subject = customer(LIN)
    say(subject, Act.GRANT, PROMOTION, "sms")
    ledger_step()
    say(subject, Act.WITHDRAW, None, None, at=timezone.now())
    ledger_step()
    return subject


def head_of(note: str) -> Any:
    return head_read(note_open(note, ledger_signer("checkpoint").verifier))


def about_lin(**more: Any) -> dict[str, Any]:
    return {"subject": {"type": "phone", "id": LIN[IdentifierType.PHONE]}} | more


# -- entries ---------------------------------------------------------------------------------------------------------


def test_the_entries_of_a_person_are_found_by_a_number_in_the_body(auditor: Caller, lin: DataSubject) -> None:
    found = auditor.post(QUERY, about_lin()).json()

    assert found["subject"] == f"sub_{lin.ref.hex}"
    assert [entry["type"] for entry in found["results"]][-3:] == [
        "consent.withdrawn",
        "consent.granted",
        "subject.created",
    ]
    assert LIN[IdentifierType.PHONE].removeprefix("+86") not in json.dumps(found)


def test_looking_at_a_person_is_an_entry_that_the_look_already_shows(auditor: Caller, lin: DataSubject) -> None:
    first = auditor.post(QUERY, about_lin()).json()["results"][0]

    assert (first["type"], first["details"]) == ("subject.viewed", {"where": "api.audit"})
    assert first["actor"] == {"kind": "api", "ref": str(auditor.row.pk)}
    assert AuditEntry.objects.filter(type="subject.viewed", subject_ref=lin.ref).count() == 1
    auditor.get(f"{AUDIT}/entries?type=consent.granted")
    assert AuditEntry.objects.filter(type="subject.viewed", subject_ref=lin.ref).count() == 1


def test_who_is_unknown_has_no_entries(auditor: Caller, lin: DataSubject) -> None:
    found = auditor.post(QUERY, {"subject": {"type": "phone", "id": "+8613912345678"}}).json()

    assert (found["subject"], found["results"]) == (None, [])


def test_the_body_of_an_entry_is_what_was_hashed(auditor: Caller, lin: DataSubject) -> None:
    entry = auditor.post(QUERY, about_lin(type="consent.granted")).json()["results"][0]

    body = base64.b64decode(entry["body"])
    assert leaf_hash(body) == bytes(AuditEntry.objects.get(id=entry["id"]).leaf_hash)
    assert json.loads(body)["id"] == entry["id"]
    assert entry["index"] is not None


def test_entries_are_filtered(auditor: Caller, lin: DataSubject) -> None:
    withdrawn = AuditEntry.objects.get(subject_ref=lin.ref, type="consent.withdrawn")
    now = timezone.now()

    def ids(**query: Any) -> set[str]:
        answer = auditor._http.get(f"{AUDIT}/entries", query | {"limit": 200})
        assert answer.status_code == 200, answer.content
        return {entry["id"] for entry in answer.json()["results"]}

    for near, far in (
        ({"object_kind": "consent", "object_ref": withdrawn.object_ref}, {"object_ref": "other"}),
        ({"type": "consent.withdrawn"}, {"type": "consent.denied"}),
        ({"actor_kind": "system"}, {"actor_kind": "customer"}),
        ({"since": (now - timedelta(minutes=5)).isoformat()}, {"since": (now + timedelta(minutes=5)).isoformat()}),
        ({"until": (now + timedelta(minutes=5)).isoformat()}, {"until": (now - timedelta(minutes=5)).isoformat()}),
    ):
        assert str(withdrawn.id) in ids(**near), near
        assert str(withdrawn.id) not in ids(**near | far), far


def test_pages_join_without_a_gap_or_a_repeat(auditor: Caller, lin: DataSubject) -> None:
    seen, after = [], None
    for _ in range(4):
        page = auditor.get(f"{AUDIT}/entries?limit=3" + (f"&after={after}" if after else "")).json()
        seen += [entry["id"] for entry in page["results"]]
        assert page["previous"] == after
        after = page["next"]

    newest = [str(pk) for pk in AuditEntry.objects.order_by("-id").values_list("id", flat=True)[:12]]
    assert seen == newest


@pytest.mark.parametrize(
    "query", ["type=x", "actor_kind=x", "limit=0", "limit=201", "after=1", "since=x", "phone=13800138000"]
)
def test_a_filter_that_is_none_is_refused(auditor: Caller, query: str) -> None:
    answer = auditor.get(f"{AUDIT}/entries?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_a_subject_is_no_part_of_an_address(auditor: Caller) -> None:
    assert auditor.get(f"{AUDIT}/entries?subject=sub_1").status_code == 400
    assert auditor.post(QUERY, {"subject": {"type": "phone", "id": "x"}}).status_code == 400


# -- heads and proofs ------------------------------------------------------------------------------------------------


def test_heads_are_listed_and_given_as_they_were_signed(auditor: Caller, lin: DataSubject) -> None:
    listed = auditor.get(f"{AUDIT}/checkpoints?limit=1").json()
    newest = listed["results"][0]

    older = auditor.get(f"{AUDIT}/checkpoints?limit=1&after={listed['next']}").json()["results"]
    note = auditor.get(f"{AUDIT}/checkpoints/{newest['size']}")

    assert older == [] or older[0]["size"] < newest["size"]
    assert (note["Content-Type"], note.content.decode()) == ("text/plain; charset=utf-8", newest["note"])
    assert head_of(newest["note"]).size == newest["size"]
    for alias in ("checkpoints/latest", "checkpoint"):
        assert auditor.get(f"{AUDIT}/{alias}").content == note.content
    for missing in ("1000000", "0", "x", "1" * 30):
        assert auditor.get(f"{AUDIT}/checkpoints/{missing}").json()["code"] == "checkpoint_not_found"


def test_an_entry_is_proved_as_json_and_as_text(auditor: Caller, lin: DataSubject) -> None:
    entry = AuditEntry.objects.get(subject_ref=lin.ref, type="consent.granted")

    proof = auditor.get(f"{AUDIT}/proofs?entry={entry.id}").json()
    text = auditor.get(f"{AUDIT}/proofs?entry={entry.id}", Accept="text/plain").content.decode()

    head = head_of(proof["checkpoint"])
    path = [base64.b64decode(step) for step in proof["path"]]
    assert verify_inclusion(leaf_hash(bytes(entry.body)), proof["index"], head.size, path, head.root)
    assert proof_read(text) == (proof["index"], path, proof["checkpoint"])


def test_an_entry_that_waits_has_no_proof_yet(auditor: Caller, lin: DataSubject) -> None:
    say(lin, Act.GRANT, PROMOTION, "email", at=timezone.now())
    entry = AuditEntry.objects.filter(subject_ref=lin.ref, type="consent.granted").latest("id")

    waiting = auditor.get(f"{AUDIT}/proofs?entry={entry.id}")
    ledger_step()

    assert (waiting.status_code, waiting.json()["code"]) == (409, "ledger_late")
    assert auditor.get(f"{AUDIT}/proofs?entry={entry.id}").status_code == 200


def test_two_trees_are_proved_to_continue_each_other(auditor: Caller, lin: DataSubject) -> None:
    old, new = Checkpoint.objects.order_by("size")[:2]

    proof = auditor.get(f"{AUDIT}/proofs?from={old.size}&to={new.size}").json()
    newest = auditor.get(f"{AUDIT}/proofs?from={old.size}").json()
    text = auditor.get(f"{AUDIT}/proofs?from={old.size}&to={new.size}", Accept="text/plain").content.decode()

    path = [base64.b64decode(step) for step in proof["path"]]
    assert path == consistency_between(old.size, new.size)
    assert verify_consistency(old.size, new.size, path, bytes(old.root), bytes(new.root))
    assert newest["to"] == Checkpoint.objects.latest("size").size
    assert text.startswith(f"old {old.size}\n")
    assert text.endswith(new.note)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("entry=x", 404),
        ("entry=00000000-0000-0000-0000-000000000000", 404),
        ("from=0", 400),
        ("from=-1", 400),
        ("from=99999999", 400),
        ("from=1&to=99999999", 404),
        ("entry=x&from=1", 400),
        ("to=1", 400),
    ],
)
def test_a_proof_of_nothing_is_refused(auditor: Caller, lin: DataSubject, query: str, status: int) -> None:
    assert auditor.get(f"{AUDIT}/proofs?{query}").status_code == status


# -- the tree itself -------------------------------------------------------------------------------------------------


def test_the_tree_can_be_built_again_from_its_tiles(auditor: Caller, lin: DataSubject) -> None:
    head = head_of(auditor.get(f"{AUDIT}/checkpoint").content.decode())
    old = Checkpoint.objects.earliest("size")

    def tile(level: int, n: int) -> bytes:
        whole = head.size // 256**level
        width = min(256, whole - n * 256)
        part = "" if width == 256 else f".p/{width}"
        return bytes(auditor.get(f"{AUDIT}/tile/{level}/{path_of(n)}{part}").content)

    proof = consistency_proof(old.size, head.size, subtree_reader(tile))
    assert verify_consistency(old.size, head.size, proof, bytes(old.root), head.root)


def path_of(n: int) -> str:
    return f"{n:03d}" if n < 1000 else f"x{n // 1000:03d}/{n % 1000:03d}"


def test_the_entries_below_a_tile_are_what_the_tile_hashes(auditor: Caller, lin: DataSubject) -> None:
    bundle = auditor.get(f"{AUDIT}/tile/entries/000")
    tile = auditor.get(f"{AUDIT}/tile/0/000")

    data, leaves = bytes(bundle.content), []
    while data:
        size = int.from_bytes(data[:2], "big")
        leaves.append(leaf_hash(data[2 : 2 + size]))
        data = data[2 + size :]
    assert b"".join(leaves) == bytes(tile.content)
    assert (len(leaves), hashlib.sha256(tile.content).digest_size) == (256, 32)
    assert tile["Cache-Control"] == "public, max-age=31536000, immutable"
    assert bundle["Cache-Control"] == "private, max-age=31536000, immutable"
    assert auditor.get(f"{AUDIT}/tile/0/000.p/5")["Cache-Control"] == "no-store"
    assert bytes(auditor.get(f"{AUDIT}/tile/0/000.p/5").content) == bytes(tile.content)[:160]


NO_TILES = (
    *("0/0", "0/00", "0/x000/000", "0/x001", "0/001/002", "0/999", "64/000", "00/000", "-1/000", "x/000"),
    *("0/000.p/0", "0/000.p/257", "0/000.p/256", "0/000.p/x", "0/000.p/\u0661", "0/\u0661\u0661\u0661"),
    *("entries/999", "0/" + "x" * 99),
)


@pytest.mark.parametrize("place", NO_TILES)
def test_no_other_path_leads_to_a_tile(auditor: Caller, lin: DataSubject, place: str) -> None:
    answer = auditor.get(f"{AUDIT}/tile/{place}")

    assert (answer.status_code, answer.json()["code"]) == (404, "tile_not_found")


# -- who may ask -----------------------------------------------------------------------------------------------------

PATHS = (
    "/entries",
    "/checkpoint",
    "/checkpoints",
    "/checkpoints/latest",
    "/proofs?from=1",
    "/tile/0/000",
    "/tile/entries/000",
)


def test_all_of_it_is_for_auditors_only_and_a_refusal_is_an_entry(auditor: Caller, lin: DataSubject) -> None:
    marketer = Caller("decisions:check", "consents:read")
    denied = AuditEntry.objects.filter(type="access.denied")

    for path in PATHS:
        before = denied.count()
        assert auditor.get(AUDIT + path).status_code == 200, path
        assert denied.count() == before
        assert marketer.get(AUDIT + path).json()["code"] == "insufficient_scope", path
        assert denied.count() == before + 1
        assert Client().get(AUDIT + path).status_code == 401
    assert marketer.post(QUERY, about_lin()).status_code == 403
    body = entry_body(denied.latest("id"))
    assert body["actor"] == {"k": "api", "ref": str(marketer.row.pk)}
    assert body["d"] == {"where": "audit:entry-query", "why": "insufficient_scope"}
    assert denied.count() == len(PATHS) + 1


def test_an_officer_who_is_refused_leaves_a_trace_and_one_who_is_not_leaves_none(retailer: Any, db: None) -> None:
    clerk, officer = User.objects.create_user("clerk", is_staff=True), User.objects.create_superuser("lan")
    denied = AuditEntry.objects.filter(type="access.denied")
    client = Client()

    for user, status in ((officer, 200), (clerk, 403)):
        client.force_login(user)
        assert client.get("/admin/consent/datasubject/").status_code == status

    [entry] = denied
    assert entry_body(entry)["actor"] == {"k": "user", "ref": str(clerk.pk)}
    assert entry_body(entry)["d"] == {"where": "admin:consent_datasubject_changelist", "why": "permission"}


def test_a_check_without_its_scope_is_noted_once_a_minute(demo: DemoServer, api: Api) -> None:
    body = {"subject": {"type": "email", "id": "lin@example.com"}, "campaign": "demo-live"}
    blind = Api(demo.base, demo.token(scope="audit:read"))

    refused = [blind.post("/api/v1/decisions/check", body).status_code for _ in range(3)]
    noted = blind.get(f"{AUDIT}/entries?type=access.denied").json()["results"]

    assert refused == [403] * 3
    assert [entry["details"] for entry in noted if entry["details"]["where"] == "api:check"] == [
        {"where": "api:check", "why": "insufficient_scope"}
    ]
    assert api.post("/api/v1/decisions/check", body).status_code == 200
