"""Receipts: every change of consent has one, anybody can check it, and no field of it can be altered unseen."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from audit.actors import SYSTEM
from audit.domain.checkpoint import head_read, proof_read
from audit.domain.merkle import leaf_hash, verify_inclusion
from audit.models import AuditEntry
from audit.services.sequencer import ledger_signer, ledger_step
from audit.signing import note_open
from consent.domain.terms import Act
from governance.models import APIClient
from governance.services.clients import client_create_or_reset
from tests.conftest import DEMO
from tests.flows.customers import LIN, PROMOTION, customer, link_of, say

NOTICE = {
    "id": "privacy",
    "version": 7,
    "language": "zh-Hans",
    "text_sha256": hashlib.sha256((DEMO / "notices" / "privacy-7.txt").read_bytes()).hexdigest(),
}
ITEMS = [
    {"purpose": "marketing.promotion", "channel": "email", "act": "grant"},
    {"purpose": "share.partner", "recipient": "yinhe-mall", "act": "grant", "separate": True},
]
ADDRESS = "receipt-lin@example.com"

pytestmark = pytest.mark.django_db


class Caller:
    """A client of the API within this process."""

    def __init__(self, *scopes: str, **limits: Any) -> None:
        name = f"caller-{'-'.join(scopes)}"
        client_create_or_reset(name=name, scopes=list(scopes), actor=SYSTEM, at=timezone.now())
        self.row = APIClient.objects.get(name=name)
        APIClient.objects.filter(pk=self.row.pk).update(**limits)
        token = f"token-{name}"
        get_access_token_model().objects.create(
            application=self.row, token=token, scope=" ".join(scopes), expires=timezone.now() + timedelta(hours=1)
        )
        self._http = Client(headers={"Authorization": f"Bearer {token}", "Accept-Language": "en"})

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self._http.post(path, json.dumps(body), content_type="application/json", headers=headers)

    def get(self, path: str, **headers: str) -> Any:
        return self._http.get(path, headers=headers)


@pytest.fixture
def writer(retailer: Any, db: None) -> Caller:
    return Caller("consents:write")


@pytest.fixture
def reader(retailer: Any, db: None) -> Caller:
    return Caller("consents:read")


def given(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "subject": {"identifiers": [{"type": "email", "id": ADDRESS}]},
        "point": "APP1",
        "notice": NOTICE,
        "items": list(items) or ITEMS,
        "event_time": "2026-11-20T12:00:00+08:00",
        "evidence": {"control": "checkbox", "pre_checked": False, "ip": "203.0.113.7", "user_agent": "curl"},
    } | more


@pytest.fixture
def receipt(writer: Caller) -> dict[str, Any]:
    """The receipt of two grants in one call, once the tree covers them."""
    number = writer.post("/api/v1/consents", given()).json()["receipt"]
    ledger_step()
    document: dict[str, Any] = json.loads(writer.get(f"/api/v1/receipts/{number}").content)
    return document


def verified(caller: Caller, body: object) -> dict[str, Any]:
    answer = caller.post("/api/v1/receipts/verify", body)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def codes(found: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in found["reasons"]}


# -- what it says ----------------------------------------------------------------------------------------------------


def test_a_receipt_says_what_was_agreed_to_in_the_words_of_the_standard(receipt: dict[str, Any]) -> None:
    email, partner = receipt["dpv:hasProcess"]

    assert receipt["@type"] == "dpv:ConsentReceipt"
    assert receipt["dct:conformsTo"] == "ISO/IEC TS 27560:2023"
    assert receipt["dpv:hasDataController"]["dpv:hasName"]
    assert receipt["zx:withdrawal"]["dpv:isExercisedAt"].endswith("/c/")
    assert (email["dpv:hasPurpose"], email["zx:channel"]) == ("marketing.promotion", "email")
    assert (partner["dpv:hasRecipient"], partner["zx:separateConsent"]) == (["yinhe-mall"], True)
    assert email["dpv:hasNotice"] == {
        "@type": "dpv:ConsentNotice",
        "dct:identifier": "privacy",
        "dct:hasVersion": "7",
        "dct:language": "zh-Hans",
        "zx:textSha256": NOTICE["text_sha256"],
    }
    status = email["dpv:hasConsentStatus"]
    assert (status["@type"], status["zx:act"]) == ("dpv:ConsentGiven", "grant")
    assert (status["dpv:hasIndicationMethod"], status["zx:preTicked"]) == ("checkbox", False)
    assert datetime.fromisoformat(status["dpv:isIndicatedAtTime"]) == datetime(2026, 11, 20, 4, tzinfo=UTC)
    assert receipt["zx:names"]["yinhe-mall"]


def test_it_holds_nothing_personal(receipt: dict[str, Any]) -> None:
    text = json.dumps(receipt) + "".join(
        base64.b64decode(entry["zx:body"]).decode() for entry in receipt["zx:proof"]["zx:entries"]
    )

    for private in (ADDRESS, "receipt-lin", "203.0.113.7", "curl"):
        assert private not in text


def test_its_proofs_hold_without_us(receipt: dict[str, Any]) -> None:
    for entry in receipt["zx:proof"]["zx:entries"]:
        leaf = leaf_hash(base64.b64decode(entry["zx:body"]))
        promised = note_open(entry["zx:receipt"], ledger_signer("receipt").verifier).split("\n")
        index, path, note = proof_read(entry["zx:inclusion"])
        head = head_read(note_open(note, ledger_signer("checkpoint").verifier))

        assert promised[2] == base64.b64encode(leaf).decode()
        assert verify_inclusion(leaf, index, head.size, path, head.root)


def test_before_the_tree_covers_it_a_receipt_is_a_promise(writer: Caller) -> None:
    number = writer.post("/api/v1/consents", given()).json()["receipt"]

    document = writer.get(f"/api/v1/receipts/{number}").json()
    found = verified(writer, document)

    assert [entry["zx:inclusion"] for entry in document["zx:proof"]["zx:entries"]] == [None, None]
    assert (found["valid"], [entry["included"] for entry in found["entries"]]) == (True, [False, False])


def test_a_withdrawal_has_its_own(writer: Caller, receipt: dict[str, Any]) -> None:
    answer = writer.post("/api/v1/consents", given({"act": "withdraw"}, event_time="2026-11-20T13:00:00+08:00")).json()

    document = writer.get(f"/api/v1/receipts/{answer['receipt']}").json()

    assert document["dct:identifier"] != receipt["dct:identifier"]
    assert document["dpv:hasDataSubject"] == receipt["dpv:hasDataSubject"]
    assert document["dpv:hasProcess"][0]["dpv:hasConsentStatus"]["@type"] == "dpv:ConsentWithdrawn"
    assert document["dpv:hasProcess"][0]["dpv:hasPurpose"] == "*"
    assert verified(writer, document)["valid"]


# -- who may have it -------------------------------------------------------------------------------------------------


def test_it_is_for_those_who_read_or_write_consents(receipt: dict[str, Any], reader: Caller) -> None:
    path = f"/api/v1/receipts/{receipt['dct:identifier']}"

    assert reader.get(path).status_code == 200
    assert reader.get(path)["Content-Type"] == "application/ld+json"
    refused = Caller("decisions:check").get(path)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert Client().get(path).status_code == 401


def test_a_client_of_other_purposes_is_told_it_does_not_exist(receipt: dict[str, Any]) -> None:
    path = f"/api/v1/receipts/{receipt['dct:identifier']}"
    near = Caller("consents:read", purposes=["marketing.promotion", "share.partner"])

    assert near.get(path).status_code == 200
    APIClient.objects.filter(pk=near.row.pk).update(purposes=["marketing.promotion"])
    assert near.get(path).json()["code"] == "receipt_not_found"


@pytest.mark.parametrize("number", ["rcp_0", "rcp_" + "0" * 32, "x", "cev_1"])
def test_unknown_and_malformed_numbers_look_the_same(reader: Caller, number: str) -> None:
    answer = reader.get(f"/api/v1/receipts/{number}")

    assert (answer.status_code, answer.json()["code"]) == (404, "receipt_not_found")


def test_no_other_entry_has_a_receipt(reader: Caller) -> None:
    entry = AuditEntry.objects.filter(type="subject.created").first()
    assert entry is not None

    assert reader.get(f"/api/v1/receipts/rcp_{entry.id.hex}").status_code == 404


# -- checking it -----------------------------------------------------------------------------------------------------


def test_a_genuine_receipt_is_valid_and_in_the_tree(reader: Caller, receipt: dict[str, Any]) -> None:
    found = verified(reader, receipt)

    assert (found["valid"], found["reasons"]) == (True, [])
    assert all(entry["included"] for entry in found["entries"])
    assert found["receipt"] == receipt["dct:identifier"]


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in a document."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*place, name))
    elif isinstance(value, list) and value:
        for n, item in enumerate(value):
            yield from leaves(item, (*place, n))
    else:
        yield place


def with_value(document: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    target = changed
    for name in place[:-1]:
        target = target[name]
    target[place[-1]] = value
    return changed


def other(value: Any) -> Any:
    """Return a value that is not this one, of the same kind where there is one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("1" if value[-1:] != "1" else "2")
    return ["x"] if value == [] else "x"


def test_every_altered_field_is_found_one_by_one(reader: Caller, receipt: dict[str, Any]) -> None:
    around = ("zx:names", "zx:withdrawal")
    for place in [place for place in leaves(receipt) if place[0] != "zx:proof"]:
        value = receipt
        for name in place:
            value = value[name]
        found = verified(reader, with_value(receipt, place, other(value)))

        assert found["valid"] is False, place
        assert codes(found) == {"altered"}, place
        if place[0] not in around and place[-1] != "dpv:hasName":
            pointer = "/" + "/".join(str(part).replace("/", "~1") for part in place)
            assert any(reason["pointer"].startswith(pointer) for reason in found["reasons"]), place


def test_a_field_added_or_taken_away_is_found(reader: Caller, receipt: dict[str, Any]) -> None:
    less = {name: value for name, value in receipt.items() if name != "dct:issued"}

    assert verified(reader, receipt | {"dpv:hasRight": "x"})["reasons"][0]["pointer"] == "/dpv:hasRight"
    assert verified(reader, less)["reasons"][0]["pointer"] == "/dct:issued"


def test_an_act_taken_away_is_found(reader: Caller, receipt: dict[str, Any]) -> None:
    half = copy.deepcopy(receipt)
    half["dpv:hasProcess"].pop()
    half["zx:proof"]["zx:entries"].pop()

    assert codes(verified(reader, half)) == {"altered"}


def test_the_entry_inside_cannot_be_exchanged(reader: Caller, receipt: dict[str, Any]) -> None:
    place = ("zx:proof", "zx:entries", 0, "zx:body")
    body = json.loads(base64.b64decode(receipt["zx:proof"]["zx:entries"][0]["zx:body"]))
    forged = base64.b64encode(json.dumps(body | {"type": "consent.denied"}).encode()).decode()

    assert "leaf" in codes(verified(reader, with_value(receipt, place, forged)))


def test_a_signature_of_somebody_else_is_none(reader: Caller, receipt: dict[str, Any]) -> None:
    entries = receipt["zx:proof"]["zx:entries"]
    for place, note in (
        (("zx:proof", "zx:signature"), entries[0]["zx:receipt"][:-6] + "AAAA\n"),
        (("zx:proof", "zx:entries", 1, "zx:receipt"), ledger_signer("manifest").sign("x\n")),
    ):
        assert "signature" in codes(verified(reader, with_value(receipt, place, note))), place
    swapped = with_value(receipt, ("zx:proof", "zx:entries", 0, "zx:receipt"), entries[1]["zx:receipt"])
    assert "leaf" in codes(verified(reader, swapped))


def test_a_proof_that_leads_nowhere_is_found(reader: Caller, receipt: dict[str, Any]) -> None:
    text = receipt["zx:proof"]["zx:entries"][0]["zx:inclusion"]
    place = ("zx:proof", "zx:entries", 0, "zx:inclusion")
    index = int(text.split("\n")[1].removeprefix("index "))

    for wrong in (
        text.replace(f"index {index}\n", f"index {index + 1}\n"),
        text.replace("\n", "\n" + base64.b64encode(b"x" * 32).decode() + "\n", 2),
        text[:-3],
        "",
        "index 1",
    ):
        assert codes(verified(reader, with_value(receipt, place, wrong))) == {"inclusion"}, wrong


def test_the_note_alone_can_be_checked_too(reader: Caller, receipt: dict[str, Any]) -> None:
    note = receipt["zx:proof"]["zx:entries"][0]["zx:receipt"]

    assert verified(reader, {"note": note})["valid"]
    assert codes(verified(reader, {"note": note.replace("receipt\n", "receipt \n", 1)})) == {"signature"}
    assert codes(verified(reader, {"note": ledger_signer("checkpoint").sign("x\n")})) == {"signature"}


def test_a_genuine_receipt_whose_entry_the_ledger_lost_proves_that(
    reader: Caller, writer: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = writer.post("/api/v1/consents", given()).json()["receipt"]
    document = reader.get(f"/api/v1/receipts/{number}").json()
    later = timezone.now() + timedelta(minutes=2)
    monkeypatch.setattr("consent.api.views.receipts.timezone.now", lambda: later)

    assert codes(verified(reader, document)) == {"promise_broken"}


@pytest.mark.parametrize(
    "garbage",
    [
        {},
        [],
        "x",
        7,
        None,
        {"note": None},
        {"note": "x\n\n— a b\n"},
        {"note": "\ud800"},
        {"zx:proof": {}},
        {"zx:proof": {"zx:entries": [], "zx:signature": ""}},
        {"zx:proof": {"zx:entries": [{"zx:body": "!", "zx:receipt": 3, "zx:inclusion": {}}], "zx:signature": 1}},
        {"zx:proof": {"zx:entries": [{"zx:body": "WzFd", "zx:receipt": "", "zx:inclusion": None}], "zx:signature": 1}},
        {"zx:proof": {"zx:entries": [{}] * 201, "zx:signature": ""}},
    ],
    ids=str,
)
def test_garbage_is_answered_and_never_breaks_anything(reader: Caller, garbage: Any) -> None:
    assert verified(reader, garbage)["valid"] is False


def test_what_is_nested_beyond_all_reason_is_refused(reader: Caller) -> None:
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000

    answer = reader._http.post("/api/v1/receipts/verify", deep, content_type="application/json")

    assert answer.status_code == 400


# -- on the customer's own page --------------------------------------------------------------------------------------


def test_a_customer_finds_his_receipts_and_takes_them_with_him(retailer: Any, client: Client) -> None:
    lin = customer(LIN)
    say(lin, Act.GRANT, PROMOTION, "sms")
    say(lin, Act.WITHDRAW, None, None, at=timezone.now())
    client.get(link_of(lin))

    html = client.get(reverse("preferences:page")).content.decode()
    numbers = [part.split("/")[0] for part in html.split("/c/receipts/")[1:]]
    file = client.get(reverse("preferences:receipt", args=[numbers[0]]))

    assert len(numbers) == 2
    assert file["Content-Disposition"].startswith('attachment; filename="receipt-')
    assert json.loads(file.content)["dpv:hasProcess"][0]["dpv:hasConsentStatus"]["zx:act"] == "withdraw"
    assert file["Cache-Control"] == "no-store"


def test_nobody_gets_the_receipt_of_another(retailer: Any, client: Client) -> None:
    lin, wei = customer(LIN), customer({})
    say(lin, Act.GRANT, PROMOTION, "sms")
    say(wei, Act.GRANT, PROMOTION, "sms")
    entry = AuditEntry.objects.get(subject_ref=lin.ref, type="consent.granted")
    place = reverse("preferences:receipt", args=[f"rcp_{entry.id.hex}"])

    assert client.get(place).status_code == 404  # no link was opened
    client.get(link_of(wei))
    assert client.get(place).status_code == 404
    client.get(link_of(lin))
    assert client.get(place).status_code == 200
