"""Kills and faults: exactly one leaf per committed entry, no change without its entry, no allow without its row.

Each promise stands beside a planted fault that breaks it, and that the same check must find.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import requests

from config.embedded import SERVER_USER
from tests.audit.invariants import faults
from tests.demo_server import ROOT, Api
from tests.flows.test_api_consents import given
from tests.shop import Shop, execute

CHECK = "/api/v1/decisions/check"
POINTS = (
    "after the pending rows are taken",
    "after the bodies are checked",
    "before the leaves are written",
    "after the leaves are written",
    "after the tiles are written",
    "before the tree is stored",
    "before the commit",
    "after the commit",
    "before the head is checked",
    "before the head is signed",
    "after the head is signed",
    "before the head is stored",
    "after the head is stored",
    "after the head is committed",
    "in the middle of an anchor's line",
    "after an anchor's line",
    "before an anchor is committed",
)
KILLED, BROKEN = -9, 4


class Victims:
    """Processes under one role that do as they are told (tests/audit/sequencer_victim.py)."""

    def __init__(self, shop: Shop, role: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.audit.sequencer_victim"],
            cwd=ROOT,
            env=shop.env(role),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, shop: Shop, *orders: dict[str, Any]) -> list[int]:
        """Have orders done at the same time; returns how their processes ended. No order: wait for those behind."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        told = [order | {"database": shop.database} for order in orders]
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        ends: list[int] = json.loads(self._process.stdout.readline())
        return ends

    def end(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module")
def sequencers(shop: Shop) -> Iterator[Victims]:
    victims = Victims(shop, "zx_seq")
    yield victims
    victims.end()


@pytest.fixture(scope="module")
def busy(shop: Shop) -> Iterator[Victims]:
    victims = Victims(shop, "zx_worker")
    yield victims
    victims.end()


@pytest.fixture(scope="module")
def settled(shop: Shop, sequencers: Victims) -> Iterator[Shop]:
    """A shop whose ledger is sequenced and signed."""
    with shop.copied() as copy:
        assert sequencers.do(copy, {"do": "round"}) == [0]
        yield copy


@pytest.fixture(scope="module")
def verifier(settled: Shop) -> str:
    [(body,)] = execute(
        settled.superuser_url,
        "SELECT body FROM audit_entry WHERE type = 'key.announced' AND body::text <> ''"
        " AND convert_from(body, 'UTF8') LIKE '%\"use\":\"checkpoint\"%'",
    )
    return str(json.loads(body)["d"]["verifier"])


def test_a_sequencer_killed_anywhere_loses_and_doubles_nothing(
    settled: Shop, verifier: str, sequencers: Victims, busy: Victims, tmp_path: Path
) -> None:
    """SIGKILL at each place of its work while two writers go on; the next one takes up the work."""
    anchor, stop = tmp_path / "anchors.jsonl", tmp_path / "stop"
    tmp_path.chmod(0o755)
    writers: list[dict[str, Any]] = [
        {"do": "write", "behind": True, "seed": seed, "told": str(tmp_path / f"told-{seed}"), "stop": str(stop)}
        for seed in (1, 2)
    ]
    with settled.copied() as own:
        busy.do(own, *writers)
        try:
            for point in POINTS:
                [end] = sequencers.do(own, {"do": "round", "die": point, "anchor": str(anchor)})
                assert end == KILLED, f"{point}: ended with {end}"
                assert faults(own.superuser_url, verifier=verifier, idle=False) == [], point
                assert sequencers.do(own, {"do": "round", "anchor": str(anchor)}) == [0], point
        finally:
            stop.touch()
            assert busy.do(own) == [0, 0]
        assert sequencers.do(own, {"do": "round"}) == [0]

        assert faults(own.superuser_url, verifier=verifier) == []
        told = {line for seed in (1, 2) for line in (tmp_path / f"told-{seed}").read_text().split()}
        stored = {str(row[0]) for row in execute(own.superuser_url, "SELECT entry_id FROM audit_leaf")}
        assert len(told) > 100
        assert told <= stored
        kept = [json.loads(line)["size"] for line in anchor.read_text().splitlines() if _whole(line)]
        assert kept == sorted(set(kept))
        assert len(anchor.read_text().splitlines()) == len(kept) + 1  # and the half-written one


def _whole(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@pytest.mark.nightly
def test_two_sequencers_at_once_neither_lose_nor_double(
    settled: Shop, verifier: str, sequencers: Victims, busy: Victims, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"
    writer = {"do": "write", "behind": True, "seed": 3, "told": str(tmp_path / "told"), "stop": str(stop)}
    anchor = str(tmp_path / "anchors.jsonl")
    with settled.copied() as own:
        busy.do(own, writer)
        try:
            assert sequencers.do(own, *[{"do": "round", "seconds": 2, "anchor": anchor}] * 2) == [0, 0]
        finally:
            stop.touch()
            busy.do(own)
        assert sequencers.do(own, {"do": "round"}) == [0]

        assert faults(own.superuser_url, verifier=verifier) == []


@pytest.mark.nightly
def test_an_entry_that_commits_late_is_not_passed_over(settled: Shop, sequencers: Victims) -> None:
    with settled.copied() as own:
        assert sequencers.do(own, {"do": "write late"}) == [0]
        assert sequencers.do(own, {"do": "round"}) == [0]

        assert faults(own.superuser_url) == []


STORE = "ALTER TABLE {0} DISABLE TRIGGER USER; {1}; ALTER TABLE {0} ENABLE ALWAYS TRIGGER {2}"


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", ["takes entries by a cursor", ""])
def test_planted_a_cursor_loses_entries(settled: Shop, sequencers: Victims, mutant: str) -> None:
    with settled.copied() as own:
        sequencers.do(own, {"do": "write late", "mutant": mutant})
        sequencers.do(own, {"do": "round", "mutant": mutant})

        assert (faults(own.superuser_url) != []) == bool(mutant)


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", ["works without a transaction", ""])
def test_planted_without_a_transaction_a_kill_loses_entries(settled: Shop, sequencers: Victims, mutant: str) -> None:
    with settled.copied() as own:
        sequencers.do(own, {"do": "write late"})
        sequencers.do(own, {"do": "round", "mutant": mutant, "die": "after the pending rows are taken"})
        sequencers.do(own, {"do": "round"})

        assert (faults(own.superuser_url) != []) == bool(mutant)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("mutant", "bare", "broken"),
    [("takes no lock", True, True), ("takes no lock", False, False), ("", True, False)],
)
def test_planted_without_lock_and_keys_entries_stand_twice(
    settled: Shop, sequencers: Victims, mutant: str, bare: bool, broken: bool
) -> None:
    """The lock alone keeps two apart, and the tables' own rules alone do; without both it shows."""
    with settled.copied() as own:
        if bare:
            execute(
                own.superuser_url,
                "ALTER TABLE audit_leaf DROP CONSTRAINT audit_leaf_pkey",
                "ALTER TABLE audit_leaf DROP CONSTRAINT audit_leaf_entry_id_key",
                "ALTER TABLE audit_tree DISABLE TRIGGER audit_tree_grows",
                "ALTER TABLE audit_tile DISABLE TRIGGER audit_tile_grows",
                "ALTER TABLE audit_checkpoint DROP CONSTRAINT audit_checkpoint_pkey",
            )
        execute(own.superuser_url, ENTRIES)
        sequencers.do(own, *[{"do": "round", "mutant": mutant}] * 2)

        assert (faults(own.superuser_url, idle=False) != []) == broken


ENTRIES = """
    INSERT INTO audit_entry (id, body, leaf_hash, type, actor_kind, actor_ref, object_kind, object_ref)
    SELECT id, body, sha256('\\x00'::bytea || body), 'ledger.heartbeat', 'system', '', '', '' FROM (
        SELECT id, convert_to(format('{"id":"%s"}', id), 'UTF8') AS body
        FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 20)) ids) bodies
"""


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("mutant", "edit"),
    [
        (
            "does not hash bodies again",
            STORE.format(
                "audit_entry",
                "UPDATE audit_entry SET body = body || ' '::bytea"
                " WHERE id = (SELECT entry_id FROM audit_pending LIMIT 1)",
                "audit_entry_pending",
            ),
        ),
        (
            "signs before it checks",
            "ALTER TABLE audit_tree DISABLE TRIGGER audit_tree_grows;"
            " UPDATE audit_tree SET edge = set_byte(edge, 0, get_byte(edge, 0) # 1)",
        ),
    ],
)
def test_planted_a_sequencer_that_does_not_look_signs_what_was_changed(
    settled: Shop, sequencers: Victims, mutant: str, edit: str
) -> None:
    """The real one stops and signs nothing; the mutant signs a head that the entries do not have."""
    for name, end in (("", BROKEN), (mutant, 0)):
        with settled.copied() as own:
            execute(own.superuser_url, ENTRIES, edit)
            heads = execute(own.superuser_url, "SELECT count(*) FROM audit_checkpoint")

            assert sequencers.do(own, {"do": "round", "mutant": name}) == [end]

            signed_more = execute(own.superuser_url, "SELECT count(*) FROM audit_checkpoint") != heads
            assert signed_more == bool(name)
            assert any("head" in fault for fault in faults(own.superuser_url, idle=False)) == bool(name)


RAISE = """
    CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '{state}'; END $$;
    GRANT EXECUTE ON FUNCTION broken() TO PUBLIC;
    CREATE TRIGGER broken BEFORE INSERT ON {table} FOR EACH {each} EXECUTE FUNCTION broken()
"""
MEND = "DROP TRIGGER broken ON {table}; DROP FUNCTION broken()"
TRACE_FAULTS = {
    "disk full": (RAISE.format(table="audit_entry", state="53100", each="ROW"), MEND.format(table="audit_entry")),
    "an error in a trigger of the entry": (
        RAISE.format(table="audit_entry", state="P0001", each="STATEMENT"),
        MEND.format(table="audit_entry"),
    ),
    "an error in a trigger of the pending row": (
        RAISE.format(table="audit_pending", state="P0001", each="ROW"),
        MEND.format(table="audit_pending"),
    ),
    "the right to write entries revoked": (
        "REVOKE INSERT ON audit_entry FROM zx_web",
        "GRANT INSERT ON audit_entry TO zx_web",
    ),
}
DECISION_FAULTS = {
    "disk full": (
        RAISE.format(table="consent_decision", state="53100", each="ROW"),
        MEND.format(table="consent_decision"),
    ),
    "the right to keep decisions revoked": (
        "REVOKE INSERT ON consent_decision FROM zx_web",
        "GRANT INSERT ON consent_decision TO zx_web",
    ),
}


@pytest.fixture(scope="module")
def served(settled: Shop) -> Iterator[tuple[Shop, str]]:
    with settled.copied() as own, own.serving() as base:
        yield own, base


@contextmanager
def fault(shop: Shop, broken: str, mended: str) -> Iterator[None]:
    execute(shop.superuser_url, broken)
    try:
        yield
    finally:
        execute(shop.superuser_url, mended)


STATE = """
    SELECT (SELECT count(*) FROM consent_record), (SELECT count(*) FROM consent_subject),
        (SELECT count(*) FROM consent_identifier), (SELECT md5(string_agg(s::text, '|' ORDER BY s::text))
            FROM consent_state s), (SELECT sum(version) FROM consent_subject)
"""


def changed_without_entry(shop: Shop, api: Api, address: str) -> tuple[int, bool]:
    """Record a consent; returns the status, and whether anything changed although no entry was written."""
    look = "SELECT count(*) FROM audit_entry"
    state, entries = execute(shop.superuser_url, STATE), execute(shop.superuser_url, look)
    answer = api.post("/api/v1/consents", given(address))
    traced = execute(shop.superuser_url, look) != entries
    return answer.status_code, execute(shop.superuser_url, STATE) != state and not traced


def allowed_without_row(shop: Shop, api: Api) -> tuple[int, bool]:
    """Check somebody who may be written to; returns the status, and whether it was an allow that has no row."""
    rows = execute(shop.superuser_url, "SELECT count(*) FROM consent_decision")
    answer = api.post(CHECK, {"subject": {"type": "email", "id": shop.allowed}, "campaign": "demo-live"})
    kept = execute(shop.superuser_url, "SELECT count(*) FROM consent_decision") != rows
    return answer.status_code, answer.json().get("decision") is True and not kept


@pytest.mark.parametrize("name", TRACE_FAULTS)
def test_no_change_without_its_entry(served: tuple[Shop, str], name: str) -> None:
    shop, base = served
    api, address = shop.api(base), f"{uuid4().hex[:8]}@example.com"

    with fault(shop, *TRACE_FAULTS[name]):
        status, untraced = changed_without_entry(shop, api, address)

    assert (status, untraced) == (503, False)
    assert changed_without_entry(shop, api, address) == (201, False)


@pytest.mark.parametrize("name", DECISION_FAULTS)
def test_no_allow_without_its_row(served: tuple[Shop, str], name: str) -> None:
    shop, base = served
    api = shop.api(base)

    with fault(shop, *DECISION_FAULTS[name]):
        status, unkept = allowed_without_row(shop, api)

    assert (status, unkept) == (503, False)
    assert allowed_without_row(shop, api) == (200, False)


def test_a_fault_answers_with_a_problem_and_says_nothing_of_the_inside(served: tuple[Shop, str]) -> None:
    shop, base = served
    api = shop.api(base)

    with fault(shop, *TRACE_FAULTS["disk full"]), fault(shop, *DECISION_FAULTS["the right to keep decisions revoked"]):
        answers = [
            api.post("/api/v1/consents", given("lin@example.com")),
            api.post(CHECK, {"subject": {"type": "email", "id": shop.allowed}, "campaign": "demo-live"}),
        ]

    for answer in answers:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "temporarily_unavailable"
        assert answer.headers["Retry-After"] == "1"
        assert "space" not in answer.text


@pytest.mark.nightly
def test_planted_a_web_that_goes_on_without_a_trace_is_found(settled: Shop) -> None:
    """It swallows a trace that cannot be written, and allows without keeping the decision."""
    with settled.copied() as own, own.serving(app="tests.audit.planted_wsgi:application") as base:
        api = own.api(base)
        with fault(own, *TRACE_FAULTS["disk full"]):
            status, untraced = changed_without_entry(own, api, "wei@example.com")
        with fault(own, *DECISION_FAULTS["disk full"]):
            decided, unkept = allowed_without_row(own, api)

    assert (status, untraced) == (201, True)
    assert (decided, unkept) == (200, True)


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A disk of 12 MB that the database server can use; None where none can be mounted."""
    place = Path(tempfile.mkdtemp(prefix="zx-disk-"))
    mounted = (
        os.geteuid() == 0
        and "host=" in os.environ["DATABASE_URL"]  # the server is here, and runs as SERVER_USER
        and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", place], check=False).returncode == 0
    )
    try:
        if mounted:
            subprocess.run(["chown", SERVER_USER, place], check=True)
            place.chmod(0o700)
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", place], check=True)
        place.rmdir()


@pytest.mark.nightly
def test_a_full_disk_loses_nothing_that_was_acknowledged(served: tuple[Shop, str], sequencers: Victims) -> None:
    """The entries' table on a disk that fills up: errors only, and what was acknowledged is there, and nothing else."""
    with small_disk() as disk:
        if disk is None:
            pytest.skip("no small disk can be mounted; the fault itself is tested above")
        name = f"zx_small_{uuid4().hex[:8]}"
        shop, base = served
        execute(shop.superuser_url, f"CREATE TABLESPACE {name} LOCATION '{disk}'")
        try:
            _fill_up(shop, shop.api(base), name)
            assert sequencers.do(shop, {"do": "round"}) == [0]
            assert faults(shop.superuser_url) == []
        finally:
            execute(
                shop.superuser_url,
                "DROP TABLE IF EXISTS filler",
                "ALTER TABLE audit_entry SET TABLESPACE pg_default",
                f"DROP TABLESPACE {name}",
            )


def _fill_up(own: Shop, api: Api, tablespace: str) -> None:
    execute(
        own.superuser_url,
        "VACUUM FULL audit_entry",  # or it finds room in pages of its own
        f"ALTER TABLE audit_entry SET TABLESPACE {tablespace}",
        f"CREATE TABLE filler (x text) TABLESPACE {tablespace}",
        "ALTER TABLE filler ALTER x SET STORAGE PLAIN",
    )
    with psycopg.connect(own.superuser_url, autocommit=True) as connection:
        for rows in (1000, 100, 10, 1):
            with suppress(psycopg.errors.DiskFull):
                while True:
                    connection.execute(f"INSERT INTO filler SELECT repeat('x', 500) FROM generate_series(1, {rows})")
    count = (
        "SELECT (SELECT count(*) FROM consent_record),"
        " (SELECT count(*) FROM audit_entry WHERE type = 'consent.granted')"
    )
    [(records, grants)] = execute(own.superuser_url, count)
    statuses = []
    while statuses.count(503) < 5 and len(statuses) < 100:
        statuses.append(api.post("/api/v1/consents", given(f"{uuid4().hex[:8]}@example.com")).status_code)
    assert set(statuses) <= {201, 503}
    assert statuses.count(503) == 5
    [(records_after, grants_after)] = execute(own.superuser_url, count)
    assert (records_after - records, grants_after - grants) == (statuses.count(201),) * 2

    execute(own.superuser_url, "DROP TABLE filler")
    assert api.post("/api/v1/consents", given("after@example.com")).status_code == 201


ALWAYS = """
    ALTER TABLE audit_checkpoint ENABLE ALWAYS TRIGGER audit_checkpoint_append_only;
    ALTER TABLE audit_checkpoint ENABLE ALWAYS TRIGGER audit_checkpoint_no_truncate
"""
AGED = STORE.format(
    "audit_entry",
    "UPDATE audit_entry SET recorded_at = recorded_at - interval '{} s'"
    " WHERE id IN (SELECT entry_id FROM audit_pending)",
    "audit_entry_pending",
)


def test_without_a_sequencer_checks_and_withdrawals_go_on_and_readiness_tells_the_lag(
    served: tuple[Shop, str], sequencers: Victims
) -> None:
    own, base = served
    api = own.api(base)

    def ready() -> tuple[int, str, str]:
        answer = requests.get(f"{base}/readyz", timeout=30)
        return answer.status_code, answer.json()["status"], answer.json()["ledger"]

    assert api.post("/api/v1/consents", given("ying@example.com")).status_code == 201
    sequencers.do(own, {"do": "round"})
    assert ready() == (200, "ok", "ok")
    assert api.post("/api/v1/consents", given("yi@example.com")).status_code == 201
    execute(own.superuser_url, AGED.format(15))
    assert ready() == (200, "ok", "behind")
    execute(own.superuser_url, AGED.format(60))
    assert ready() == (200, "ok", "late")

    assert allowed_without_row(own, api) == (200, False)
    no = given(
        "ying@example.com",
        {"purpose": "marketing.promotion", "channel": "email", "act": "withdraw"},
        event_time="2026-11-20T13:00:00+08:00",
    )
    assert api.post("/api/v1/consents", no).json()["events"][0]["state"] == "refused"
    asked = {"subject": {"type": "email", "id": "ying@example.com"}, "campaign": "demo-live"}
    assert api.post(CHECK, asked).json()["decision"] is False

    sequencers.do(own, {"do": "round"})
    assert ready() == (200, "ok", "ok")
    assert "the ledger is late" in "".join(path.read_text() for path in own.home.glob("web-*.log"))

    # No entry waits; but a sequencer that runs would have signed a heartbeat.
    with fault(own, "ALTER TABLE audit_checkpoint DISABLE TRIGGER USER", ALWAYS):
        execute(own.superuser_url, "UPDATE audit_checkpoint SET signed_at = signed_at - interval '6 minutes'")
    assert ready() == (200, "ok", "late")


@pytest.mark.nightly
def test_a_sequencer_process_anchors_beside_its_rounds(settled: Shop, tmp_path: Path) -> None:
    """A target that hangs is no hindrance: the rounds go on, the other target is served, what failed is noted."""
    paper = tmp_path / "anchors.jsonl"
    anchors = [
        {"kind": "command", "name": "hangs", "argv": ["sleep", "60"], "timeout_seconds": 2},
        {"kind": "file", "path": str(paper)},
    ]
    with settled.copied() as own:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "ledger_sequencer", "--interval", "0.1"],
            cwd=ROOT,
            env=own.env("zx_seq", ZHIXU_ANCHORS=json.dumps(anchors)),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            deadline = time.monotonic() + 120
            while not execute(own.superuser_url, "SELECT 1 FROM audit_anchor WHERE NOT succeeded"):
                assert time.monotonic() < deadline
                execute(own.superuser_url, ENTRIES)
                time.sleep(0.1)
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=60)
        heads = execute(
            own.superuser_url, "SELECT count(*) FROM audit_checkpoint WHERE signed_at > now() - interval '1 m'"
        )
        rows = execute(own.superuser_url, "SELECT kind, succeeded FROM audit_anchor ORDER BY kind")

    assert process.returncode == 0
    assert rows == [("command", False), ("file", True)]
    assert "took longer than 2 s" in errors
    assert len(paper.read_text().splitlines()) == 1
    assert heads[0][0] > 3
