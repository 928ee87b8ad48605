"""What people say, told over the API: recorded whole or not at all, and heard by the very next check."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.conftest import DEMO
from tests.demo_server import Api
from tests.flows.test_api_screening import finished

CHECK = "/api/v1/decisions/check"
NOTICE = {
    "id": "privacy",
    "version": 7,
    "language": "zh-Hans",
    "text_sha256": hashlib.sha256((DEMO / "notices" / "privacy-7.txt").read_bytes()).hexdigest(),
}


def given(address: str, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "subject": {"identifiers": [{"type": "email", "id": address}]},
        "point": "APP1",
        "notice": NOTICE,
        "items": list(items) or [{"purpose": "marketing.promotion", "channel": "email", "act": "grant"}],
        "event_time": "2026-11-20T12:00:00+08:00",
        "evidence": {"control": "checkbox", "pre_checked": False, "ip": "203.0.113.7", "user_agent": "curl"},
    } | more


def decision(api: Api, address: str) -> dict[str, Any]:
    body: dict[str, Any] = api.post(
        CHECK, {"subject": {"type": "email", "id": address}, "campaign": "demo-live"}
    ).json()
    return body


def test_a_grant_allows_and_a_withdrawal_stops_the_next_check(api: Api) -> None:
    address = "lin@example.com"
    assert decision(api, address)["decision"] is False

    answer = api.post("/api/v1/consents", given(address))
    assert (answer.status_code, answer.json()["events"][0]["state"]) == (201, "granted")
    assert decision(api, address)["decision"] is True

    no = given(
        address,
        {"purpose": "marketing.promotion", "channel": "email", "act": "withdraw"},
        event_time="2026-11-20T13:00:00+08:00",
    )
    assert api.post("/api/v1/consents", no).json()["events"][0]["state"] == "refused"
    assert decision(api, address)["reasons"][0]["code"] == "CONSENT_WITHDRAWN"


def test_a_double_opt_in_point_leaves_it_pending_until_it_is_confirmed(api: Api) -> None:
    address = "wei@example.com"

    asked = api.post("/api/v1/consents", given(address, point="WEB1")).json()["events"][0]
    waiting = decision(api, address)
    api.post(
        "/api/v1/consents",
        given(
            address,
            {"purpose": "marketing.promotion", "channel": "email", "act": "confirm"},
            point="WEB1",
            event_time="2026-11-20T12:10:00+08:00",
        ),
    )

    assert (asked["state"], asked["needs"]) == ("pending", "confirm_email")
    assert waiting["reasons"][0]["code"] == "CONSENT_PENDING"
    assert decision(api, address)["decision"] is True


REFUSALS = [
    ({"evidence": {"control": "checkbox", "pre_checked": True}}, "CONSENT_INVALID_FORM"),
    ({"evidence": {"control": "continue_to_use"}}, "CONSENT_INVALID_FORM"),
    ({"evidence": {"control": "button", "bundle": "terms"}}, "CONSENT_BUNDLED"),
    ({"notice": NOTICE | {"version": 99}}, "POLICY_GAP"),
    ({"notice": NOTICE | {"text_sha256": "0" * 64}}, "CONSENT_NO_EVIDENCE"),
    ({"point": "NOWHERE"}, "POLICY_GAP"),
    ({"event_time": "2099-01-01T00:00:00+08:00"}, "E_INPUT"),
    ({"items": [{"purpose": "marketing.promo", "channel": "email", "act": "grant"}]}, "POLICY_GAP"),
    ({"items": [{"purpose": "share.partner", "recipient": "yinhe-mall", "act": "grant"}]}, "CONSENT_BUNDLED"),
    ({"items": [{"purpose": "share.partner", "act": "grant", "separate": True}]}, "E_INPUT"),
    (
        {"subject": {"identifiers": [{"type": "email", "id": "kid@example.com"}], "birth_date": "2020-05-01"}},
        "CHILD_NO_GUARDIAN_CONSENT",
    ),
]


@pytest.mark.parametrize(("change", "reason"), REFUSALS)
def test_a_defective_yes_is_refused_with_its_code_and_changes_nothing(
    api: Api, change: dict[str, Any], reason: str
) -> None:
    address = "zhao@example.com"

    answer = api.post("/api/v1/consents", given(address) | change)

    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert answer.json()["errors"][0]["pointer"].startswith("/items/")
    assert decision(api, address)["reasons"][0]["code"] == "NO_CONSENT"


def test_a_good_separate_consent_is_taken(api: Api) -> None:
    item = {"purpose": "share.partner", "recipient": "yinhe-mall", "act": "grant", "separate": True}

    answer = api.post("/api/v1/consents", given("partner@example.com", item))

    assert answer.json()["events"][0]["state"] == "granted"


def test_one_bad_item_keeps_the_good_ones_out(api: Api) -> None:
    address = "half@example.com"
    good = {"purpose": "marketing.promotion", "channel": "email", "act": "grant"}
    bad = {"purpose": "share.partner", "recipient": "yinhe-mall", "act": "grant"}

    answer = api.post("/api/v1/consents", given(address, good, bad))

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/items/1")
    assert decision(api, address)["reasons"][0]["code"] == "NO_CONSENT"


def test_a_no_needs_no_papers(api: Api) -> None:
    body = {
        "subject": {"identifiers": [{"type": "email", "id": "never@example.com"}]},
        "items": [{"act": "deny"}],
        "event_time": "2026-11-20T12:00:00+08:00",
    }

    answer = api.post("/api/v1/consents", body)

    assert answer.status_code == 201
    assert decision(api, "never@example.com")["reasons"][0]["code"] == "CONSENT_WITHDRAWN"


def test_state_and_history_are_told_now_and_as_of_then(api: Api) -> None:
    address = "history@example.com"
    api.post("/api/v1/consents", given(address))
    api.post("/api/v1/consents", given(address, {"act": "withdraw"}, event_time="2026-11-20T18:00:00+08:00"))
    query = {"subject": {"type": "email", "id": address}, "history": True}

    now = api.post("/api/v1/consents/query", query).json()
    then = api.post("/api/v1/consents/query", query | {"as_of": "2026-11-20T13:00:00+08:00"}).json()

    email = [s for s in now["states"] if (s["purpose"], s["channel"]) == ("marketing.promotion", "email")]
    assert email[0]["state"] == "refused"
    assert [s["state"] for s in then["states"]] == ["granted"]
    assert [event["act"] for event in now["history"]] == ["grant", "withdraw"]


def test_the_same_consent_sent_twice_is_one_event(api: Api) -> None:
    body = given("told-twice@example.com")

    first = api.post("/api/v1/consents", body, headers={"Idempotency-Key": "consent-1"})
    again = api.post("/api/v1/consents", body, headers={"Idempotency-Key": "consent-1"})

    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    query = {"subject": {"type": "email", "id": "told-twice@example.com"}, "history": True}
    assert len(api.post("/api/v1/consents/query", query).json()["history"]) == 1


def test_an_import_over_the_api_reports_every_refused_row(api: Api) -> None:
    data = (DEMO / "consents.csv").read_bytes()
    upload = api.send("/api/v1/uploads", data, "text/csv").json()["id"]

    body = {"input": {"upload": upload}, "dry_run": True, "imported_at": "2026-11-20T22:00:00+08:00"}
    answer = api.post("/api/v1/consent-imports", body)

    done = finished(api, answer.json()["links"]["self"])
    errors = api.get(done["links"]["errors"]).text.splitlines()
    expected = (DEMO / "expected" / "import_errors.csv").read_text().splitlines()
    assert (done["status"], done["accepted"]) == ("done", 0)  # all in the ledger already
    assert errors == expected


def test_a_preference_link_opens_the_persons_page(api: Api) -> None:
    answer = api.post("/api/v1/preference-links", {"subject": {"type": "email", "id": "lin@example.com"}})

    assert answer.status_code in (201, 404)
    assert (
        api.post("/api/v1/preference-links", {"subject": {"type": "email", "id": "unknown@example.com"}}).status_code
        == 404
    )
