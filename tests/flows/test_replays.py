"""A past decision judged again: on what it saw, whatever has changed since."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.conftest import ROOT
from tests.demo_server import Api, DemoServer
from tests.flows.test_api_consents import CHECK, given

WITHDRAW = {"purpose": "marketing.promotion", "channel": "email", "act": "withdraw"}


def replayed(demo: DemoServer, *ids: str) -> tuple[int, str]:
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")}
    run = subprocess.run(
        [sys.executable, "manage.py", "decision_replay", *ids],
        cwd=ROOT,
        env=env | {"ZHIXU_HOME": str(demo.home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


@contextmanager
def owner_of(demo: DemoServer) -> Iterator[psycopg.Connection[Any]]:
    """A session of the owner, as a database administrator has it."""
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")}
    url = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", "import os; print(os.environ['DATABASE_URL'])"],
        cwd=ROOT,
        env=env | {"ZHIXU_HOME": str(demo.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def asked(api: Api, address: str, **more: Any) -> dict[str, Any]:
    body = {"subject": {"type": "email", "id": address}, "campaign": "demo-live"} | more
    answer: dict[str, Any] = api.post(CHECK, body).json()
    return answer


def test_decisions_stay_what_they_were_whatever_happens_later(api: Api, demo: DemoServer) -> None:
    """Facts of each kind change after the decision; asked now the answers differ, judged again they do not."""
    people = [f"replay-{n}@example.com" for n in range(4)]
    for address in people:
        assert api.post("/api/v1/consents", given(address)).status_code == 201
    before = [asked(api, address) for address in people]
    before.append(asked(api, "nobody-replay@example.com"))
    before.append(asked(api, people[0], campaign="no-such-campaign"))
    before.append(asked(api, people[0], personalised=False))
    assert [item["decision"] for item in before] == [True, True, True, True, False, False, True]

    no = given(people[0], WITHDRAW, event_time="2026-11-20T13:00:00+08:00")
    assert api.post("/api/v1/consents", no).status_code == 201
    with owner_of(demo) as database:
        database.execute(
            "UPDATE consent_subject SET paused_until = current_date + 30 WHERE id = (SELECT subject_id FROM"
            " consent_decision WHERE id = %s)",
            [before[1]["decision_id"].removeprefix("dec_")],
        )
        database.execute(
            "INSERT INTO consent_suppression (id, type, lookup, kind, reason, source, recorded_at) SELECT"
            " gen_random_uuid(), type, lookup, 'listed', 'test', 'test', now() FROM consent_decision WHERE id = %s",
            [before[2]["decision_id"].removeprefix("dec_")],
        )
        database.execute(
            "UPDATE consent_subject SET widely_listed = true WHERE id = (SELECT subject_id FROM consent_decision"
            " WHERE id = %s)",
            [before[2]["decision_id"].removeprefix("dec_")],
        )
        planned = database.execute("SELECT optout_tested_at FROM consent_content WHERE code = 'demo-live'").fetchone()
        database.execute("UPDATE consent_content SET optout_tested_at = NULL WHERE code = 'demo-live'")
        try:
            now = [asked(api, address) for address in people]
            code, output = replayed(demo, *(item["decision_id"] for item in before))
            again_code, again = replayed(demo, *(item["decision_id"] for item in now))
        finally:
            database.execute("UPDATE consent_content SET optout_tested_at = %s WHERE code = 'demo-live'", planned)

    assert [item["decision"] for item in now] == [False] * 4
    assert [item["reasons"][0]["code"] for item in now][:2] == ["CONSENT_WITHDRAWN", "PAUSED_BY_CUSTOMER"]
    assert code == 0, output
    assert output.count("yes, byte for byte") == len(before)
    assert again_code == 0, again
    assert re.findall(r'again +\{"findings":.*"outcome":"(\w+)"\}', output)[0].startswith("allow")


def test_a_state_changed_behind_our_back_shows_in_the_decision_made_from_it(api: Api, demo: DemoServer) -> None:
    address = "tampered@example.com"
    api.post("/api/v1/consents", given(address))
    api.post("/api/v1/consents", given(address, WITHDRAW, event_time="2026-11-20T13:00:00+08:00"))
    honest = asked(api, address)
    with owner_of(demo) as database:
        database.execute(
            "UPDATE consent_state SET refusal_id = NULL, refused_at = NULL FROM consent_subject s, consent_decision d"
            " WHERE d.id = %s AND s.id = d.subject_id AND consent_state.subject_id = s.id",
            [honest["decision_id"].removeprefix("dec_")],
        )
    bought = asked(api, address)

    assert (honest["decision"], bought["decision"]) == (False, True)
    assert replayed(demo, honest["decision_id"])[0] == 0
    code, output = replayed(demo, bought["decision_id"])
    assert code == 2
    assert "CONSENT_WITHDRAWN" in output
    assert "NO\n" in output


@pytest.mark.parametrize(
    ("text", "words"), [("dec_xyz", "is no decision id"), ("dec_" + "0" * 32, "decision_not_found")]
)
def test_what_was_never_decided_cannot_be_judged_again(demo: DemoServer, text: str, words: str) -> None:
    code, output = replayed(demo, text)

    assert code == 1
    assert words in output


def test_a_decision_is_sealed_into_the_ledger_and_proved_in_two_steps(api: Api, demo: DemoServer) -> None:
    answer = asked(api, "sealed@example.com")
    deadline = time.monotonic() + 40
    output = ""
    while "sealed in" not in output and time.monotonic() < deadline:
        time.sleep(2)
        code, output = replayed(demo, answer["decision_id"])

    assert code == 0
    assert re.search(r"sealed in +entry [0-9a-f-]{36}, \d+ of \d+, root sha256:[0-9a-f]{64}", output), output
    assert answer["ledger"]["size"] > 0
    assert re.fullmatch("sha256:[0-9a-f]{64}", answer["ledger"]["root"])
