"""The flagship over real HTTP: a file in, allow and deny lists and a signed manifest out."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from typing import Any

import pytest

from audit.signing import note_open
from tests.conftest import DEMO
from tests.demo_server import Api

AUDIENCE = DEMO / "audiences" / "d11-sms.csv"


def upload(api: Api, data: bytes) -> str:
    answer = api.send("/api/v1/uploads", data, "application/octet-stream")
    assert answer.status_code == 201, answer.text
    assert answer.json()["sha256"] == hashlib.sha256(data).hexdigest()
    return str(answer.json()["id"])


def screen(api: Api, upload_id: str, **more: Any) -> dict[str, Any]:
    body = {
        "campaign": "d11-sms",
        "subject_type": "phone",
        "input": {"upload": upload_id, "format": "csv", "column": "手机号"},
    } | more
    answer = api.post("/api/v1/screenings", body)
    assert answer.status_code == 202, answer.text
    return finished(api, answer.json()["links"]["self"])


def finished(api: Api, link: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        body: dict[str, Any] = api.get(link).json()
        if body["status"] not in ("queued", "running"):
            return body
        time.sleep(0.1)
    raise AssertionError("the screening does not end")


def rows(api: Api, url: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(api.get(url).content.decode())))


def test_every_row_stands_in_one_file_once_and_the_manifest_verifies(api: Api) -> None:
    data = AUDIENCE.read_bytes()

    done = screen(api, upload(api, data))

    total = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))[1:]
    numbers = sorted(int(row["row_no"]) for name in done["files"] for row in rows(api, done["files"][name]["url"]))
    assert numbers == list(range(1, len(total) + 1))
    assert done["rows"] == sum(done[name] for name in ("allow", "deny", "hold", "defer", "invalid", "duplicates"))
    manifest = api.get(done["links"]["manifest"]).text
    verifier = api.get("/api/v1/meta").json()["verifiers"]["manifest"]
    signed = json.loads(note_open(manifest, verifier))
    assert signed["input_sha256"] == hashlib.sha256(data).hexdigest()
    for name, file in done["files"].items():
        digest = hashlib.sha256(api.get(file["url"]).content).hexdigest()
        assert digest == file["sha256"] == signed["files"][name]["sha256"]


def test_the_past_is_screened_from_the_ledger_with_the_expected_answers(api: Api) -> None:
    done = screen(api, upload(api, AUDIENCE.read_bytes()), as_of="2026-11-10T10:00:00+08:00")

    with (DEMO / "expected" / "d11-sms.csv").open() as file:
        expected = {row["row_no"]: row for row in csv.DictReader(file)}
    assert done["simulated"] is True
    for name in ("allow", "deny"):
        for row in rows(api, done["files"][name]["url"]):
            assert (row["outcome"], row["codes"]) == (
                expected[row["row_no"]]["outcome"],
                expected[row["row_no"]]["codes"],
            )


def test_a_withdrawal_after_the_screening_is_found_by_the_recheck(api: Api) -> None:
    address = "recheck-me@example.com"
    notice = _notice(api)
    grant = {
        "subject": {"identifiers": [{"type": "email", "id": address}]},
        "point": "APP1",
        "notice": notice,
        "items": [{"purpose": "marketing.promotion", "channel": "email", "act": "grant"}],
        "event_time": "2026-11-20T12:00:00+08:00",
        "evidence": {"control": "button"},
    }
    assert api.post("/api/v1/consents", grant).status_code == 201
    body = {"campaign": "demo-live", "subject_type": "email"}
    audience = f"email\n{address}\nsomebody-else@example.com\n".encode()
    before = screen(api, upload(api, audience), **body, input={"upload": upload(api, audience), "column": "email"})
    assert (before["allow"], before["deny"]) == (1, 1)

    withdrawal = {
        "subject": {"identifiers": [{"type": "email", "id": address}]},
        "items": [{"act": "withdraw"}],
        "event_time": "2026-11-21T00:00:00+08:00",
    }
    assert api.post("/api/v1/consents", withdrawal).status_code == 201
    after = api.post(before["links"]["recheck"]).json()

    assert (after["allow"], after["deny"]) == (0, 2)
    assert [row["email"] for row in rows(api, after["changes"]["removed"]["url"])] == [address]
    assert after["changes"]["added"]["rows"] == 0
    assert after["valid_until"] > before["valid_until"]


def _notice(api: Api) -> dict[str, Any]:
    text = (DEMO / "notices" / "privacy-7.txt").read_bytes()
    return {"id": "privacy", "version": 7, "language": "zh-Hans", "text_sha256": hashlib.sha256(text).hexdigest()}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b"\x00\x01\x02binary", "not_text"),
        ("手机号\n".encode("utf-16"), "not_text"),
        (b"\xff\xfe\xff\xff\n", "not_text"),
        (b"phone\n\x81\x30\xff\n", "wrong_encoding"),
        (b"other\n13800138000\n", "missing_column"),
        ("手机号,手机号\n1,2\n".encode(), "duplicate_column"),
        ('手机号\n"13800138000\n'.encode() + b"x" * 200_000, "broken_csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_starts(api: Api, data: bytes, reason: str) -> None:
    body = {"campaign": "d11-sms", "subject_type": "phone"}

    answer = api.post("/api/v1/screenings", body | {"input": {"upload": upload(api, data), "column": "手机号"}})

    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["reason"]) == ("file_unreadable", reason)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"campaign": "no-such"}, 422, "campaign_not_found"),
        ({"purpose": "service.order"}, 422, "campaign_mismatch"),
        ({"subject_type": "passport"}, 400, "invalid_request"),
        ({"surprise": True}, 400, "invalid_request"),
        ({"input": {"upload": "upl_00000000000000000000000000000000"}}, 404, "upload_not_found"),
        ({"input": {"upload": "nonsense"}}, 404, "upload_not_found"),
        ({"input": {"upload": "x", "format": "xls"}}, 400, "invalid_request"),
    ],
)
def test_a_wrong_order_is_refused(api: Api, change: dict[str, Any], status: int, code: str) -> None:
    body = {
        "campaign": "d11-sms",
        "subject_type": "phone",
        "input": {"upload": upload(api, AUDIENCE.read_bytes()), "column": "手机号"},
    }

    answer = api.post("/api/v1/screenings", body | change)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_huge_cell_is_an_invalid_row_and_no_more(api: Api) -> None:
    data = f"手机号\n{'9' * 10_000}\n13800138000\n".encode()

    done = screen(api, upload(api, data))

    assert (done["rows"], done["invalid"]) == (2, 1)


def test_ndjson_and_parquet_give_the_same_answers_as_csv(api: Api) -> None:
    import pyarrow
    from pyarrow import parquet

    phones = ["13800138000", "13900139000", "not a phone", "13800138000"]
    table = io.BytesIO()
    parquet.write_table(pyarrow.table({"手机号": phones}), table)
    inputs = {
        "csv": ("手机号\n" + "\n".join(phones) + "\n").encode(),
        "ndjson": "".join(json.dumps({"手机号": phone}) + "\n" for phone in phones).encode(),
        "parquet": table.getvalue(),
    }

    done = {
        form: screen(api, upload(api, data), input={"upload": upload(api, data), "format": form, "column": "手机号"})
        for form, data in inputs.items()
    }

    counts = [{name: body[name] for name in ("rows", "deny", "invalid", "duplicates")} for body in done.values()]
    assert counts == [{"rows": 4, "deny": 2, "invalid": 1, "duplicates": 1}] * 3


def test_the_same_order_sent_twice_is_one_screening(api: Api) -> None:
    body = {
        "campaign": "d11-sms",
        "subject_type": "phone",
        "input": {"upload": upload(api, AUDIENCE.read_bytes()), "column": "手机号"},
    }

    first = api.post("/api/v1/screenings", body, headers={"Idempotency-Key": "order-1"})
    again = api.post("/api/v1/screenings", body, headers={"Idempotency-Key": "order-1"})
    other = api.post("/api/v1/screenings", body | {"campaign": "late-sms"}, headers={"Idempotency-Key": "order-1"})

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_a_finished_screening_cannot_be_cancelled_and_an_unknown_one_is_not_found(api: Api) -> None:
    done = screen(api, upload(api, AUDIENCE.read_bytes()))

    assert api.post(done["links"]["cancel"]).json()["status"] == "done"
    assert api.get("/api/v1/screenings/scr_00000000000000000000000000000000").status_code == 404
    assert api.get("/api/v1/screenings/nonsense").status_code == 404
