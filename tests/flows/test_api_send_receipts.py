"""Senders report what they really sent: over real HTTP, line by line, each message once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import ROOT
from tests.demo_server import Api, DemoServer
from tests.flows.test_api_consents import CHECK, given
from tests.flows.test_api_screening import finished, upload
from tests.flows.test_replays import owner_of

SENDS = "/api/v1/send-receipts"
CAMPAIGN = "demo-live"


@pytest.fixture(scope="module")
def database(demo: DemoServer) -> Iterator[psycopg.Connection[Any]]:
    with owner_of(demo) as connection:
        yield connection


def allowed(api: Api, address: str) -> str:
    """Let a person agree and ask about him; returns the id of the decision that allows one message."""
    assert api.post("/api/v1/consents", given(address)).status_code == 201
    answer = api.post(CHECK, {"subject": {"type": "email", "id": address}, "campaign": CAMPAIGN}).json()
    assert answer["decision"], answer
    return str(answer["decision_id"])


def now(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).isoformat()


def line(**facts: Any) -> dict[str, Any]:
    return {"sent_at": now(), "status": "delivered"} | facts


def report(api: Api, *lines: dict[str, Any] | str, **headers: str) -> dict[str, Any]:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in lines)
    answer = api.send(SENDS, text.encode(), "application/x-ndjson", **headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def codes(body: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(error["line"], error["code"], error["pointer"]) for error in body["errors"]]


def counted(database: psycopg.Connection[Any], decision: str) -> int:
    """Return how many messages of a decision's receiver the frequency cap counts."""
    row = database.execute(
        "SELECT count(*) FROM consent_send_record k JOIN consent_decision d ON d.lookup = k.lookup WHERE d.id = %s",
        [decision.removeprefix("dec_")],
    ).fetchone()
    assert row
    return int(row[0])


def test_a_send_is_taken_once_however_often_it_is_reported(api: Api, database: psycopg.Connection[Any]) -> None:
    decision = allowed(api, "once@example.com")
    sent = line(decision_id=decision, message_id="biz-1")

    first = report(api, sent)
    again = report(api, sent, sent)

    assert (first["accepted"], first["replayed"], first["refused"]) == (1, 0, 0)
    assert (again["accepted"], again["replayed"], again["refused"]) == (0, 2, 0)
    assert counted(database, decision) == 1


def test_a_line_without_a_message_id_is_known_by_what_it_says(api: Api, database: psycopg.Connection[Any]) -> None:
    decision = allowed(api, "plain@example.com")
    sent = line(decision_id=decision)
    written_otherwise = json.dumps(dict(reversed(sent.items())), indent=None, separators=(" , ", " : "))

    report(api, sent)
    again = report(api, written_otherwise, sent | {"sent_at": now(seconds=2)})

    assert (again["accepted"], again["replayed"]) == (1, 1)
    assert counted(database, decision) == 2


def test_what_was_reported_is_not_reported_otherwise(api: Api) -> None:
    decision = allowed(api, "otherwise@example.com")
    sent = line(decision_id=decision, message_id="biz-2")
    report(api, sent)

    changed = report(api, sent | {"status": "failed"})
    other = report(api, sent | {"message_id": "biz-3"})

    assert codes(changed) == [(1, "reported_otherwise", "/message_id")]
    assert (changed["accepted"], other["accepted"]) == (0, 1)


def test_a_message_that_failed_is_not_counted_by_the_cap(api: Api, database: psycopg.Connection[Any]) -> None:
    decision = allowed(api, "failed@example.com")

    report(api, line(decision_id=decision, message_id="a", status="failed"))
    before = counted(database, decision)
    report(api, line(decision_id=decision, message_id="b", status="delivered"))

    assert (before, counted(database, decision)) == (0, 1)


def test_good_lines_are_kept_beside_bad_ones(api: Api) -> None:
    address = "good@example.com"
    good = {"subject": {"type": "email", "id": address}, "campaign": CAMPAIGN, "channel": "email"}
    lines: list[dict[str, Any] | str] = [
        line(**good),
        "",
        "not json",
        "[1]",
        line(**good, extra=1),
        line(**good) | {"sent_at": "2026-11-20 10:00:00"},
        line(**good) | {"sent_at": now(minutes=10)},
        line(**good | {"subject": {"type": "phone", "id": "12345"}}),
        line(**good | {"subject": {"type": "passport", "id": "1"}}),
        line(**good | {"channel": "pigeon"}),
        line(**good, recipient="nobody-knows"),
        line(**good, obligations={"met": ["DANCE"]}),
        line(**good, obligations={"met": ["DROP_FIELDS"], "unmet": ["DROP_FIELDS"]}),
        line(**good, status="lost"),
        line(**good, message_id="13800138000"),
        line(**good, message_id=address),
        line(campaign=CAMPAIGN, channel="email"),
        line(decision_id="dec_" + "0" * 32),
        line(decision_id="dec_xyz"),
        line(**good, row_no=3),
        line(subject=good["subject"]),
    ]

    body = report(api, *lines)

    assert (body["accepted"], body["refused"], body["lines"]) == (1, 19, 20)
    assert codes(body) == [
        (3, "invalid", ""),
        (4, "invalid", ""),
        (5, "unknown_field", "/extra"),
        (6, "invalid", "/sent_at"),
        (7, "in_future", "/sent_at"),
        (8, "identifier_malformed", "/subject/id"),
        (9, "invalid", "/subject/type"),
        (10, "channel_unknown", "/channel"),
        (11, "recipient_unknown", "/recipient"),
        (12, "duty_unknown", "/obligations/met"),
        (13, "invalid", "/obligations"),
        (14, "invalid", "/status"),
        (15, "holds_identifier", "/message_id"),
        (16, "holds_identifier", "/message_id"),
        (17, "incomplete", "/subject"),
        (18, "incomplete", "/channel"),
        (19, "invalid", "/decision_id"),
        (20, "incomplete", "/screening"),
        (21, "incomplete", "/channel"),
    ]
    assert all(error["detail"] for error in body["errors"])


def test_errors_are_told_in_the_language_asked_for(demo: DemoServer) -> None:
    chinese = Api(demo.base, demo.token(), language="zh-Hans")

    [error] = report(chinese, "{")["errors"]

    assert any("\u4e00" <= ch <= "\u9fff" for ch in error["detail"])


def test_identifiers_stand_nowhere_in_clear(api: Api, database: psycopg.Connection[Any]) -> None:
    report(
        api,
        line(subject={"type": "phone", "id": "13912345670"}, campaign="nobody-asked", channel="sms", message_id="m-9"),
    )

    found = database.execute("SELECT r::text FROM consent_send_receipt r WHERE message_id = 'm-9'").fetchall()
    assert len(found) == 1
    assert "13912345670" not in found[0][0]


def test_a_send_of_a_marketing_campaign_is_counted_as_marketing(api: Api, database: psycopg.Connection[Any]) -> None:
    decision = allowed(api, "hidden@example.com")

    report(api, line(decision_id=decision, kind="service"))

    kind = "SELECT k.kind FROM consent_send_record k JOIN consent_decision d ON d.lookup = k.lookup WHERE d.id = %s"
    assert database.execute(kind, [decision.removeprefix("dec_")]).fetchall() == [("marketing",)]


@pytest.mark.parametrize("body", [b"", b"\n \n"])
def test_a_body_without_lines_is_refused(api: Api, body: bytes) -> None:
    answer = api.send(SENDS, body, "application/x-ndjson")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_a_body_of_another_kind_or_too_large_is_refused(api: Api) -> None:
    json_body = api.post(SENDS, {"sent_at": now()})
    large = api.send(SENDS, b'{"sent_at": "x"}\n' * 100_000, "application/x-ndjson")

    assert (json_body.status_code, json_body.json()["code"]) == (415, "unsupported_media_type")
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    assert large.json()["use_instead"] == "/api/v1/send-receipt-imports"


def test_only_who_may_report_may(demo: DemoServer, api: Api) -> None:
    reader = Api(demo.base, demo.token(scope="audit:read"))
    nobody = Api(demo.base, "no-token")
    sender = Api(demo.base, demo.token(scope="inbound:write"))
    body = json.dumps(line(subject={"type": "email", "id": "x@example.com"}, channel="email")).encode()

    answers = [one.send(SENDS, body, "application/x-ndjson") for one in (reader, nobody, sender)]

    assert [answer.status_code for answer in answers] == [403, 401, 200]
    assert answers[0].json()["code"] == "insufficient_scope"


def test_a_client_reports_within_its_limits(demo: DemoServer, api: Api, database: psycopg.Connection[Any]) -> None:
    send = {"subject": {"type": "email", "id": "limits@example.com"}, "campaign": CAMPAIGN, "channel": "email"}
    database.execute("UPDATE governance_api_client SET channels = '{sms}' WHERE client_id = 'demo'")
    try:
        beyond = report(api, line(**send))
    finally:
        database.execute("UPDATE governance_api_client SET channels = NULL WHERE client_id = 'demo'")
    within = report(api, line(**send))

    assert codes(beyond) == [(1, "client_limit", "")]
    assert within["accepted"] == 1


def test_the_same_call_again_gets_the_same_answer(api: Api) -> None:
    decision = allowed(api, "again@example.com")
    text = json.dumps(line(decision_id=decision)).encode()

    first = api.send(SENDS, text, "application/x-ndjson", **{"Idempotency-Key": "sends-1"})
    second = api.send(SENDS, text, "application/x-ndjson", **{"Idempotency-Key": "sends-1"})
    other = api.send(SENDS, text + b" ", "application/x-ndjson", **{"Idempotency-Key": "sends-1"})

    assert second.json() == first.json()
    assert (second.headers["Idempotency-Replayed"], other.status_code) == ("true", 409)


def test_a_report_leaves_one_entry_with_counts_and_digest(api: Api, database: psycopg.Connection[Any]) -> None:
    body = report(api, line(subject={"type": "email", "id": "trail@example.com"}, channel="email"), "{")

    found = database.execute(
        "SELECT convert_from(body, 'utf8')::jsonb -> 'd' FROM audit_entry WHERE type = 'sends.reported'"
        " AND object_ref = (SELECT id::text FROM consent_send_report WHERE replace(id::text, '-', '') = %s)",
        [body["id"].removeprefix("srp_")],
    ).fetchall()
    assert len(found) == 1
    details = found[0][0]
    assert (details["rows"], details["accepted"], details["refused"]) == (2, 1, 1)
    assert len(details["sha256"]) == 64


# -- files -------------------------------------------------------------------------------------------------------------

TABLE = """发送时间,渠道,接收人,活动,服务商,消息类型,状态,消息编号,已履行义务
2026-11-20 10:00:00,email,{0},demo-live,,营销,成功,f-1,退订语；签名
2026-11-20 10:00:01,email,bad-address,demo-live,,营销,成功,f-2,
2026-11-20 10:00:02,鸽子,{0},demo-live,,营销,成功,f-3,
2026-11-20 10:00:03,email,{0},demo-live,,营销,飞了,f-4,
2026-11-20 10:00:04,email,{0},demo-live,,营销,失败,f-5,
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_table_is_taken_with_its_errors_row_by_row(api: Api, encoding: str) -> None:
    data = TABLE.format(f"file-{encoding}@example.com").encode(encoding)

    started = api.post("/api/v1/send-receipt-imports", {"input": {"upload": upload(api, data), "format": "csv"}})
    done = finished(api, started.json()["links"]["self"])

    assert started.status_code == 202
    assert (done["status"], done["accepted"], done["refused"]) == ("done", 2, 3)
    errors = api.get(done["links"]["errors"]).text.split()
    assert errors == [
        "row,code,field",
        "2,identifier_malformed,identifier",
        "3,channel_unknown,channel",
        "4,invalid,status",
    ]


def test_the_same_send_as_a_line_and_in_a_file_is_one_send(api: Api, database: psycopg.Connection[Any]) -> None:
    decision = allowed(api, "both@example.com")
    sent_at = (datetime.now(UTC)).replace(microsecond=0)
    report(api, line(decision_id=decision, message_id="both-1", sent_at=sent_at.isoformat()))
    table = f"sent_at,decision_id,message_id\n{sent_at.isoformat()},{decision},both-1\n".encode()

    answer = api.post("/api/v1/send-receipt-imports", {"input": {"upload": upload(api, table)}})
    done = finished(api, answer.json()["links"]["self"])

    assert (done["accepted"], done["replayed"]) == (0, 1)
    assert counted(database, decision) == 1


@pytest.mark.parametrize(
    ("data", "form", "reason"),
    [
        (b"", "csv", "empty_file"),
        (b"\x00\x01", "ndjson", "not_text"),
        (b"campaign\nx\n", "csv", "missing_column"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(api: Api, data: bytes, form: str, reason: str) -> None:
    answer = api.post("/api/v1/send-receipt-imports", {"input": {"upload": upload(api, data), "format": form}})

    assert (answer.status_code, answer.json()["reason"]) == (422, reason)


def test_a_report_of_somebody_else_looks_like_none(api: Api) -> None:
    missing = api.get("/api/v1/send-receipt-imports/srp_" + "0" * 32)

    assert (missing.status_code, missing.json()["code"]) == (404, "send_report_not_found")


def command(demo: DemoServer, *args: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")}
    return subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=ROOT,
        env=env | {"ZHIXU_HOME": str(demo.home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_takes_a_file_and_says_what_it_refused(demo: DemoServer, tmp_path: Path) -> None:
    file, errors = tmp_path / "sends.ndjson", tmp_path / "errors.csv"
    good = line(subject={"type": "email", "id": "command@example.com"}, channel="email", campaign=CAMPAIGN)
    file.write_text(json.dumps(good) + "\n\n{\n")

    first = command(demo, "receipts_import", str(file), "--errors", str(errors))
    file.write_text(json.dumps(good) + "\n")
    second = command(demo, "receipts_import", str(file))
    missing = command(demo, "receipts_import", str(tmp_path / "none.csv"))

    assert (first.returncode, second.returncode, missing.returncode) == (2, 0, 1), first.stderr
    assert "2 lines: 1 taken, 0 known before, 1 refused" in first.stdout
    assert errors.read_text() == "row,code,field\n3,invalid,\n"
    assert "1 lines: 0 taken, 1 known before, 0 refused" in second.stdout
