"""The marketing engineer asks: may this person be contacted? Through real HTTP."""

from __future__ import annotations

import json
import re

import pytest
import requests

from tests.demo_server import Api, DemoServer

CHECK = "/api/v1/decisions/check"
BATCH = "/api/v1/decisions/check-batch"


@pytest.fixture
def people(demo: DemoServer) -> tuple[str, str]:
    """Two people of the demo: one who may be written to, one who withdrew."""
    allowed = re.search(r'"id": "([^"]+)"}, "campaign": "demo-live"', demo.output)
    refused = re.search(r"The same for (\S+):", demo.output)
    assert allowed
    assert refused
    return allowed.group(1), refused.group(1)


def test_an_allowed_send_comes_with_its_duties_and_its_proof(api: Api, people: tuple[str, str]) -> None:
    answer = api.post(CHECK, {"subject": {"type": "email", "id": people[0]}, "campaign": "demo-live"})

    body = answer.json()
    assert answer.status_code == 200
    assert (body["decision"], body["outcome"]) == (True, "allow_with_obligations")
    assert [reason["code"] for reason in body["reasons"]] == ["ALLOW"]
    assert body["reasons"][0]["evidence"]["notice"]
    assert {"APPEND_OPTOUT_TEXT", "EMAIL_AD_PREFIX", "REPORT_SEND"} <= {duty["code"] for duty in body["obligations"]}
    assert body["expires_at"] > body["evaluated_at"]
    assert body["decision_id"].startswith("dec_")


def test_a_withdrawn_consent_is_a_200_with_all_its_reasons(api: Api, people: tuple[str, str]) -> None:
    answer = api.post(CHECK, {"subject": {"type": "email", "id": people[1]}, "campaign": "demo-live"})

    body = answer.json()
    assert answer.status_code == 200
    assert body["decision"] is False
    assert body["reasons"][0] | {"evidence": None, "sources": None} == {
        "code": "CONSENT_WITHDRAWN",
        "primary": True,
        "kind": "legal",
        "law": ["PIPL 15"],
        "message": body["reasons"][0]["message"],
        "evidence": None,
        "sources": None,
    }
    assert body["obligations"] == []
    assert body["remedies"][0]["code"] == "ASK_AGAIN"
    assert "expires_at" not in body


def test_a_stranger_answers_like_a_member_who_never_consented(api: Api) -> None:
    strangers = [
        api.post(CHECK, {"subject": {"type": "email", "id": f"nobody{n}@example.com"}, "campaign": "demo-live"}).json()
        for n in range(2)
    ]

    assert [s["reasons"][0]["code"] for s in strangers] == ["NO_CONSENT", "NO_CONSENT"]
    assert set(strangers[0]) == set(strangers[1])


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"campaign": "no-such-campaign"}, "POLICY_GAP"),
        ({"purpose": "marketing.promo", "channel": "sms"}, "POLICY_GAP"),
        ({"purpose": "marketing.promotion", "channel": "fax"}, "POLICY_GAP"),
        ({"campaign": "demo-live", "recipient": "nobody-ltd"}, "POLICY_GAP"),
        ({"campaign": "demo-live", "fields": ["email", "shoe_size"]}, "POLICY_GAP"),
        ({"campaign": "demo-live", "purpose": "marketing.personalised"}, "CAMPAIGN_NOT_APPROVED"),
        ({"campaign": "demo-live", "fields": ["email", "rfm_tag"]}, "CAMPAIGN_NOT_APPROVED"),
    ],
)
def test_what_nobody_registered_or_approved_is_denied(
    api: Api, people: tuple[str, str], named: dict[str, object], code: str
) -> None:
    body = api.post(CHECK, {"subject": {"type": "email", "id": people[0]}} | named).json()

    assert body["decision"] is False
    assert code in [reason["code"] for reason in body["reasons"]]


PHONE = {"type": "phone", "id": "+8613800138000"}
ASKED = {"subject": PHONE, "campaign": "d11-sms"}
NOT_JSON = ["", "{", "\ufeff{}", "{'a': 1}"]
NOT_A_CHECK: list[object] = [
    [],
    "text",
    None,
    {},
    {"subject": PHONE},
    ASKED | {"subject": {"type": "phone", "id": 13800138000}},
    ASKED | {"subject": {"type": "phone", "id": "12345"}},
    ASKED | {"subject": {"type": "passport", "id": "E1"}},
    ASKED | {"subject": PHONE | {"x": 1}},
    ASKED | {"override": True},
    ASKED | {"campaign": {"id": 1}},
    ASKED | {"fields": "phone"},
    ASKED | {"fields": ["x"] * 101},
    ASKED | {"personalised": "yes"},
    ASKED | {"planned_at": "tomorrow"},
    ASKED | {"planned_at": "2026-12-10T10:00:00"},
    ASKED | {"planned_at": "2020-01-01T10:00:00+08:00"},
    ASKED | {"rule_set": "other"},
]
BAD = [(text, "invalid_json") for text in NOT_JSON] + [(json.dumps(body), "invalid_request") for body in NOT_A_CHECK]


@pytest.mark.parametrize(("body", "code"), BAD)
def test_bad_input_gets_a_problem_document(api: Api, body: str, code: str) -> None:
    answer = api.send(CHECK, body.encode(), "application/json", **{"X-Request-ID": "req-1"})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(problem) >= {"type", "title", "status", "detail", "code", "errors", "request_id"}
    assert (problem["request_id"], answer.headers["X-Request-ID"]) == ("req-1", "req-1")
    assert "13800138000" not in answer.text


def test_problems_speak_the_language_that_is_asked_for(demo: DemoServer) -> None:
    token = demo.token()
    english = Api(demo.base, token, "en-GB,en;q=0.9").post(CHECK, {"x": 1}).json()
    chinese = Api(demo.base, token, "zh-CN,zh;q=0.9").post(CHECK, {"x": 1}).json()

    assert english["title"] != chinese["title"]
    assert all(ord(ch) < 128 for ch in english["title"] + english["errors"][0]["detail"])
    assert any("\u4e00" <= ch <= "\u9fff" for ch in chinese["title"])
    assert any("\u4e00" <= ch <= "\u9fff" for ch in chinese["errors"][0]["detail"])


def test_wrong_method_media_type_and_size(api: Api) -> None:
    assert api.get(CHECK).status_code == 405
    assert api.send(CHECK, b"{}", "text/plain").status_code == 415
    too_large = api.send(CHECK, b'{"subject": "' + b"x" * (1 << 20) + b'"}', "application/json")
    assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")


@pytest.fixture
def tokens(demo: DemoServer) -> dict[str, str]:
    return {"good": demo.token(), "narrow": demo.token(scope="consents:read")}


def test_no_token_a_wrong_token_and_a_narrow_token_are_told_apart(demo: DemoServer, tokens: dict[str, str]) -> None:
    body = {"subject": {"type": "email", "id": "a@example.com"}, "campaign": "demo-live"}
    nothing = requests.post(f"{demo.base}{CHECK}", json=body, timeout=30)
    wrong = Api(demo.base, "not-a-token").post(CHECK, body)
    narrow = Api(demo.base, tokens["narrow"]).post(CHECK, body)
    good = Api(demo.base, tokens["good"]).post(CHECK, body)

    assert (nothing.status_code, nothing.json()["code"]) == (401, "not_authenticated")
    assert (wrong.status_code, "Bearer" in wrong.headers["WWW-Authenticate"]) == (401, True)
    assert (narrow.status_code, narrow.json()["code"]) == (403, "insufficient_scope")
    assert good.status_code == 200


def test_the_past_needs_its_scope_and_says_it_is_a_simulation(demo: DemoServer, api: Api) -> None:
    body = {
        "subject": {"type": "phone", "id": "+8613800138000"},
        "campaign": "d11-sms",
        "as_of": "2026-11-10T10:00:00+08:00",
    }
    checker = Api(demo.base, demo.token(scope="decisions:check"))

    refused = checker.post(CHECK, body)
    answered = api.post(CHECK, body).json()

    assert refused.status_code == 403
    assert answered["simulated"] is True
    assert [reason["code"] for reason in answered["reasons"]] == ["NO_CONSENT"]
    assert "decision_id" not in answered


def test_a_batch_answers_each_item_and_keeps_bad_ones_to_themselves(api: Api, people: tuple[str, str]) -> None:
    items = [
        {"cid": "yes", "subject": {"type": "email", "id": people[0]}},
        {"cid": "no", "subject": {"type": "email", "id": people[1]}},
        {"cid": "bad", "subject": {"type": "email", "id": "not an address"}},
    ]

    body = api.post(BATCH, {"defaults": {"campaign": "demo-live"}, "items": items}).json()

    assert body["results"]["yes"]["decision"] is True
    assert "APPEND_OPTOUT_TEXT" in body["results"]["yes"]["obligations"]
    assert body["results"]["no"]["codes"][0] == "CONSENT_WITHDRAWN"
    assert body["results"]["bad"]["error"]["status"] == 400
    assert body["counts"]["allow"] == 1
    assert body["counts"]["deny"] == 1
    assert body["counts"]["invalid"] == 1


def test_a_batch_equals_the_single_checks(api: Api, people: tuple[str, str]) -> None:
    subjects = [{"type": "email", "id": value} for value in (*people, "nobody@example.com")]
    singles = [api.post(CHECK, {"subject": s, "campaign": "demo-live"}).json() for s in subjects]

    items = [{"cid": str(n), "subject": s} for n, s in enumerate(subjects)]
    batch = api.post(BATCH, {"defaults": {"campaign": "demo-live"}, "items": items, "options": {"view": "full"}}).json()

    for n, single in enumerate(singles):
        assert batch["results"][str(n)]["outcome"] == single["outcome"]
        assert batch["results"][str(n)]["reasons"] == single["reasons"]


def test_a_batch_over_the_cap_names_the_cap_and_the_way_out(api: Api) -> None:
    items = [{"subject": {"type": "email", "id": "a@example.com"}}] * 1001

    answer = api.post(BATCH, {"defaults": {"campaign": "demo-live"}, "items": items})

    problem = answer.json()
    assert answer.status_code == 413
    assert (problem["max_items"], problem["use_instead"]) == (1000, "/api/v1/screenings")


def test_a_thousand_items_are_within_the_cap(api: Api) -> None:
    items = [{"cid": str(n), "subject": {"type": "email", "id": f"x{n}@example.com"}} for n in range(1000)]

    body = api.post(BATCH, {"defaults": {"campaign": "demo-live"}, "items": items}).json()

    assert body["counts"]["deny"] == 1000


def test_which_fields_a_campaign_may_use(api: Api) -> None:
    body = api.post("/api/v1/decisions/fields", {"campaign": "skin-push", "role": "vendor"}).json()

    uses = {line["field"]: line for line in body["fields"]}
    assert uses["push_token"]["use"] == "allowed"
    assert uses["skin_condition"]["separate_consent"] == "health"
    assert uses["cctv_visit"]["use"] == "forbidden"
    assert "CCTV_PURPOSE" in [reason["code"] for reason in uses["cctv_visit"]["reasons"]]


def test_the_authzen_face_gives_the_same_decision(api: Api, people: tuple[str, str]) -> None:
    direct = api.post(CHECK, {"subject": {"type": "email", "id": people[0]}, "campaign": "demo-live"}).json()

    question = {
        "subject": {"type": "email", "id": people[0]},
        "action": {"name": "contact", "properties": {"channel": "email"}},
        "resource": {"type": "campaign", "id": "demo-live"},
    }
    one = api.post("/access/v1/evaluation", question).json()
    refused = question | {"subject": {"type": "email", "id": people[1]}}
    many = api.post("/access/v1/evaluations", {"evaluations": [question, refused]}).json()

    assert one["decision"] is direct["decision"] is True
    assert one["context"]["reasons"] == direct["reasons"]
    assert [answer["decision"] for answer in many["evaluations"]] == [True, False]


def test_authzen_is_discoverable(demo: DemoServer) -> None:
    document = requests.get(f"{demo.base}/.well-known/authzen-configuration", timeout=30).json()

    assert document["access_evaluation_endpoint"] == f"{demo.base}/access/v1/evaluation"
    assert document["policy_decision_point"] == demo.base


def test_the_check_path_says_its_limits(api: Api) -> None:
    answer = api.post(CHECK, {"subject": {"type": "email", "id": "a@example.com"}, "campaign": "demo-live"})

    assert re.fullmatch(r'"default";q=\d+;w=60', answer.headers["RateLimit-Policy"])
    assert "r=" in answer.headers["RateLimit"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_caps_and_verifiers_are_public(demo: DemoServer) -> None:
    meta = requests.get(f"{demo.base}/api/v1/meta", timeout=30).json()

    assert meta["caps"]["batch_items"] == 1000
    assert meta["verifiers"]["manifest"].count("+") >= 2
    assert json.dumps(meta)
