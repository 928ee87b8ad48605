"""`kill -9` in the middle of an import and of a screening: nothing is lost, nothing doubled, nothing half is done.

Each job runs as a process of its own on a database of its own. A trigger stops its transaction at the chosen place,
where a chunk is written but not committed, until the process is dead; then somebody else goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit.domain.note import split_note
from audit.signing import note_open
from tests.conftest import DEMO, ROOT

CHUNK = 400
ROWS = 1_000
WAIT_SECONDS = 300
LOCK = 4711

_PREPARE = """
from datetime import timedelta
from django.core.management import call_command
from django.utils import timezone
from audit.actors import SYSTEM
from consent.services.demo import demo_campaign_prepare
from governance.services.signers import signer
call_command("migrate", verbosity=0)
call_command("register_load", {folder!r}, verbosity=0)
at = timezone.now()
print(demo_campaign_prepare(actor=SYSTEM, at=at), signer("manifest").verifier, (at + timedelta(seconds=1)).isoformat())
"""
_COMMAND = """
from django.core.management import call_command
from consent.services import imports, screenings
imports.CHUNK = screenings.CHUNK = screenings.REFERENCE_CHUNK = {chunk}
call_command(*{args!r})
"""
_STOP = """
CREATE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock({lock});
    RETURN NULL;
END $$;
CREATE TRIGGER stop_here AFTER UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION stop_here();
"""


@dataclass
class Place:
    """A database with the register loaded, the folder of its installation, and the key that checks manifests."""

    url: str
    home: Path
    campaign: str = ""
    verifier: str = ""
    planned_at: str = ""

    def start(self, script: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", f"import django; django.setup()\n{script}"],
            cwd=ROOT,
            env=os.environ
            | {
                "DATABASE_URL": self.url,
                "ZHIXU_HOME": str(self.home),
                "DJANGO_SETTINGS_MODULE": "config.settings.development",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *args: str) -> subprocess.Popen[str]:
        return self.start(_COMMAND.format(args=args, chunk=CHUNK))

    def run(self, *args: str) -> str:
        return ended(self.command(*args))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    def killed(self, table: str, when: str, *args: str) -> None:
        """Run a command until its transaction stands where `when` says, and kill it there."""
        with psycopg.connect(self.url, autocommit=True) as holder:
            holder.execute(_STOP.format(lock=LOCK, table=table, when=when))
            holder.execute(f"SELECT pg_advisory_lock({LOCK})")
            process = self.command(*args)
            until(lambda: process.poll() is not None or self._stopped(holder))
            assert process.poll() is None, ended(process)
            process.send_signal(signal.SIGKILL)
            process.wait()
            holder.execute(f"SELECT pg_advisory_unlock({LOCK})")
            until(lambda: self._alone(holder))
            holder.execute(f"DROP TRIGGER stop_here ON {table}; DROP FUNCTION stop_here()")

    @staticmethod
    def _stopped(holder: psycopg.Connection[Any]) -> bool:
        waiting = holder.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return waiting.fetchone() is not None

    @staticmethod
    def _alone(holder: psycopg.Connection[Any]) -> bool:
        others = holder.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return others.fetchone() is None

    def a_minute_later(self) -> None:
        for table in ("consent_import", "consent_screening"):
            self.rows(
                f"UPDATE {table} SET lease_until = lease_until - interval '61 s',"
                " created_at = created_at - interval '61 s' RETURNING id"
            )

    def swept(self) -> None:
        self.a_minute_later()
        self.run("jobs_sweep")


def ended(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, output + errors
    return output


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("kills")
    with database("kills", home) as place:
        said = ended(place.start(_PREPARE.format(folder=str(DEMO)))).split()
        place.campaign, place.verifier, planned_at = said[-3:]
        place.planned_at = planned_at.partition(".")[0] + "Z"
        yield place


@contextmanager
def database(name: str, home: Path, template: str = "template1") -> Iterator[Place]:
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield Place(server.replace("///zhixu?", f"///{name}?"), home)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def copied(prepared: Place, name: str, template: str = "kills") -> Iterator[Place]:
    with database(name, prepared.home, template) as place:
        yield replace(prepared, url=place.url)


@pytest.fixture
def place(prepared: Place) -> Iterator[Place]:
    with copied(prepared, "kills_one") as place:
        yield place


# -- imports ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def consents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grants, withdrawals, people with several acts, replays across chunks, and rows to refuse in every chunk."""
    path = tmp_path_factory.mktemp("files") / "consents.csv"
    digest = json.loads((DEMO / "notices.json").read_text())
    notices = digest["notices"] if isinstance(digest, dict) else digest
    sha = next(n["text_sha256"] for n in notices if (n["id"], n["version"]) == ("privacy", 7))[:8]
    lines = ["流水号,邮箱,用途,渠道,动作,时间,采集点,告知版本,文本哈希,控件,默认勾选,捆绑,证据级别,凭证号"]
    for n in range(ROWS):
        event, act = (n - 450 if n % 97 == 96 and n > 450 else n), "withdraw" if n % 7 == 3 else "grant"
        lines.append(
            f"E{event},u{event % 600}@example.com,marketing.promotion,email,{act},2026-10-{1 + event % 28:02} 12:00,"
            f"APP1,privacy@7,{sha},button,否,own,{'' if event % 11 == 5 else 'A'},X{event}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def import_of(consents: Path) -> tuple[str, ...]:
    return "consents_import", str(consents), "--imported-at", "2026-11-20 22:00:00"


def ledger(place: Place) -> dict[str, list[tuple[Any, ...]]]:
    """All that an import leaves, without what is drawn at random or read from the clock."""
    return {
        "people": place.rows(
            "SELECT i.lookup, s.version, s.is_guest FROM consent_subject s JOIN consent_identifier i"
            " ON i.subject_id = s.id ORDER BY 1, 2"
        ),
        "records": place.rows(
            "SELECT source_key, source_digest, i.lookup, subject_version, act, said_at, recorded_at, evidence, proof"
            " FROM consent_record r JOIN consent_identifier i USING (subject_id) ORDER BY 1"
        ),
        "states": place.rows(
            "SELECT i.lookup, s.purpose_id, s.channel_id, g.source_key, r.source_key, origin_at, refused_at, confirmed"
            " FROM consent_state JOIN consent_slot s ON s.id = slot_id JOIN consent_identifier i USING (subject_id)"
            " LEFT JOIN consent_record g ON g.id = grant_id LEFT JOIN consent_record r ON r.id = refusal_id"
            " ORDER BY 1, 2, 3"
        ),
        "trail": place.rows(
            "SELECT a.type, i.lookup, convert_from(body, 'UTF8')::json->>'ver' FROM audit_entry a"
            " LEFT JOIN consent_subject s ON s.ref = a.subject_ref LEFT JOIN consent_identifier i"
            " ON i.subject_id = s.id WHERE a.type LIKE 'consent.%' OR a.type LIKE 'subject.%' ORDER BY 1, 2, 3"
        ),
    }


def jobs(place: Place) -> list[tuple[Any, ...]]:
    return place.rows(
        "SELECT status, rows_done, accepted, refused, replayed, by_code FROM consent_import ORDER BY created_at"
    )


def errors(place: Place) -> bytes:
    [(job,)] = place.rows("SELECT id FROM consent_import ORDER BY created_at LIMIT 1")
    return (place.home / "imports" / f"{job}.errors.csv").read_bytes()


def finished(place: Place) -> int:
    return int(place.rows("SELECT count(*) FROM audit_entry WHERE type = 'import.finished'")[0][0])


@dataclass
class Undisturbed:
    ledger: dict[str, list[tuple[Any, ...]]]
    jobs: list[tuple[Any, ...]]
    errors: bytes


@pytest.fixture(scope="module")
def undisturbed(prepared: Place, consents: Path) -> Undisturbed:
    with copied(prepared, "kills_import") as place:
        place.run(*import_of(consents))
        return Undisturbed(ledger(place), jobs(place), errors(place))


_FIRST = "the first chunk written, not committed"


def in_the_gate(stops: Iterable[str]) -> list[Any]:
    """Of the places where a job is killed the hardest is in every run, the others in the nightly one."""
    return [pytest.param(stop, marks=() if stop == _FIRST else pytest.mark.nightly) for stop in stops]


IMPORT_STOPS = {
    "claimed": "new.attempt > old.attempt",
    "the first chunk written, not committed": f"new.rows_done = {CHUNK}",
    "between two chunks": f"old.rows_done = {CHUNK} AND new.rows_done = {CHUNK}",
    "all but done": "new.status = 'done'",
}


def test_the_file_of_the_import_tests_has_what_it_must_have(undisturbed: Undisturbed) -> None:
    [(status, rows, accepted, refused, replayed, _)] = undisturbed.jobs

    assert (status, rows) == ("done", ROWS)
    assert accepted + refused + replayed == ROWS
    assert min(accepted, refused, replayed) > 0
    assert len(undisturbed.ledger["records"]) == accepted


@pytest.mark.parametrize("stop", in_the_gate(IMPORT_STOPS))
def test_a_killed_import_goes_on_and_ends_as_if_nothing_had_been(
    place: Place, consents: Path, undisturbed: Undisturbed, stop: str
) -> None:
    place.killed("consent_import", IMPORT_STOPS[stop], *import_of(consents))
    [(status, *_)] = jobs(place)
    assert (status, finished(place)) == ("queued" if stop == "claimed" else "running", 0)

    place.swept()

    assert jobs(place) == undisturbed.jobs
    assert ledger(place) == undisturbed.ledger
    assert errors(place) == undisturbed.errors
    assert finished(place) == 1


@pytest.mark.nightly
def test_the_same_command_goes_on_with_the_import_that_was_killed(
    place: Place, consents: Path, undisturbed: Undisturbed
) -> None:
    place.killed("consent_import", f"new.rows_done = {2 * CHUNK}", *import_of(consents))
    place.a_minute_later()

    place.run(*import_of(consents))

    assert jobs(place) == undisturbed.jobs
    assert ledger(place) == undisturbed.ledger
    assert errors(place) == undisturbed.errors


@pytest.mark.nightly
def test_the_same_command_at_once_and_the_sweep_after_it_double_nothing(
    place: Place, consents: Path, undisturbed: Undisturbed
) -> None:
    place.killed("consent_import", f"new.rows_done = {2 * CHUNK}", *import_of(consents))

    place.run(*import_of(consents))
    assert ledger(place) == undisturbed.ledger
    place.swept()

    assert ledger(place) == undisturbed.ledger
    assert [status for status, *_ in jobs(place)] == ["done", "done"]


@pytest.mark.nightly
def test_a_dry_run_does_not_go_on_with_a_killed_import_nor_an_import_with_a_killed_dry_run(
    place: Place, consents: Path, undisturbed: Undisturbed
) -> None:
    place.killed("consent_import", f"new.rows_done = {CHUNK}", *import_of(consents))
    place.a_minute_later()
    before = ledger(place)
    assert place.run(*import_of(consents), "--dry-run").startswith("dry run: ")
    assert ledger(place) == before

    place.killed("consent_import", f"new.dry_run AND new.rows_done = {CHUNK}", *import_of(consents), "--dry-run")
    place.a_minute_later()
    assert not place.run(*import_of(consents)).startswith("dry run: ")
    assert ledger(place) == undisturbed.ledger


@pytest.mark.nightly
def test_a_file_that_was_mended_after_the_kill_is_imported_from_its_beginning(
    place: Place, consents: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Its first rows are other rows now; to skip as many as were done would lose them."""
    mended = tmp_path / "consents.csv"
    head, *rows = consents.read_text().splitlines(keepends=True)
    mended.write_text(head + "".join(rows))
    place.killed("consent_import", f"old.rows_done = {CHUNK} AND new.rows_done = {CHUNK}", *import_of(mended))
    place.a_minute_later()
    mended.write_text(head + "".join(rows[CHUNK:] + rows[:CHUNK]))

    place.run(*import_of(mended))
    place.swept()

    assert {row[0] for row in ledger(place)["records"]} == {row[0] for row in undisturbed.ledger["records"]}
    assert {status for status, *_ in jobs(place)} == {"failed", "done"}


# -- screenings ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audience(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People who agreed, refused, were never asked; malformed and repeated rows in every chunk."""
    path = tmp_path_factory.mktemp("files") / "audience.csv"
    values = [f"u{n % 700}@example.com" if n % 50 else f"no address {n}" for n in range(ROWS)]
    path.write_text("\n".join(["email,row", *(f"{value},{n}" for n, value in enumerate(values))]) + "\n")
    return path


@pytest.fixture(scope="module")
def retail(prepared: Place, consents: Path) -> Iterator[Place]:
    """The database after an import, to be copied."""
    with copied(prepared, "kills_retail") as place:
        place.run(*import_of(consents))
        yield place


MODES = ("now", "from the ledger")


def screening_of(place: Place, audience: Path, mode: str) -> tuple[str, ...]:
    more = ("--as-of", place.planned_at) if mode == "from the ledger" else ()
    columns = ("--column", "email", "--carry", "row")
    return "screen", str(audience), "--campaign", place.campaign, "--type", "email", *columns, *more


_OF_THE_RUN = ("screening", "started_at", "finished_at", "valid_until")


def results(place: Place) -> dict[str, Any]:
    """All that a screening leaves, without its number and its times."""
    [(key, manifest)] = place.rows("SELECT id, manifest FROM consent_screening")
    folder = place.home / "screenings" / str(key)
    signed = json.loads(note_open(manifest, place.verifier))
    return {
        "files": {name: (folder / f"{name}.csv").read_bytes() for name in ("allow", "deny", "invalid")},
        "manifest": {name: value for name, value in signed.items() if name not in _OF_THE_RUN},
        "job": place.rows("SELECT status, rows_done, counts, by_code, offsets FROM consent_screening"),
        "rows": place.rows(
            "SELECT row_no, type, lookup, subject_bits, outcome FROM consent_screening_row ORDER BY row_no"
        ),
        "trail": place.rows("SELECT type FROM audit_entry WHERE object_kind = 'screening' ORDER BY 1"),
    }


@pytest.fixture(scope="module")
def undisturbed_results(retail: Place, audience: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for mode in MODES:
        with copied(retail, "kills_screened", "kills_retail") as place:
            place.run(*screening_of(place, audience, mode))
            found[mode] = results(place)
    return found


@pytest.fixture
def shop(retail: Place) -> Iterator[Place]:
    with copied(retail, "kills_shop", "kills_retail") as place:
        yield place


SCREENING_STOPS = {
    "claimed": "new.attempt > old.attempt",
    "the heads of the files written": "old.snapshot_xid IS NULL AND new.snapshot_xid IS NOT NULL",
    "the first chunk written, not committed": f"new.rows_done = {CHUNK}",
    "between two chunks": f"old.rows_done = {CHUNK} AND new.rows_done = {CHUNK}",
    "all but done": "new.status = 'done'",
}


@pytest.mark.parametrize("mode", MODES)
def test_the_audience_of_the_screening_tests_has_what_it_must_have(
    undisturbed_results: dict[str, dict[str, Any]], mode: str
) -> None:
    counts = undisturbed_results[mode]["manifest"]["counts"]

    assert sum(counts.values()) == ROWS
    assert min(counts[name] for name in ("allow", "deny", "invalid", "duplicates")) > 0


@pytest.mark.parametrize(
    ("mode", "stop"),
    [
        *(pytest.param("now", *stop.values, marks=stop.marks) for stop in in_the_gate(SCREENING_STOPS)),
        pytest.param("from the ledger", _FIRST, marks=pytest.mark.nightly),
    ],
)
def test_a_killed_screening_goes_on_and_ends_as_if_nothing_had_been(
    shop: Place, audience: Path, undisturbed_results: dict[str, dict[str, Any]], mode: str, stop: str
) -> None:
    shop.killed("consent_screening", SCREENING_STOPS[stop], *screening_of(shop, audience, mode))
    [(status, manifest)] = shop.rows("SELECT status, manifest FROM consent_screening")
    assert (status, manifest) == ("queued" if stop == "claimed" else "running", "")

    shop.swept()

    assert results(shop) == undisturbed_results[mode]


@pytest.mark.nightly
def test_a_screening_killed_again_and_again_still_ends_as_if_nothing_had_been(
    shop: Place, audience: Path, undisturbed_results: dict[str, dict[str, Any]]
) -> None:
    shop.killed("consent_screening", f"new.rows_done = {CHUNK}", *screening_of(shop, audience, "now"))
    for stop in (f"new.rows_done = {2 * CHUNK}", f"new.rows_done = {ROWS}", "new.status = 'done'"):
        shop.a_minute_later()
        shop.killed("consent_screening", stop, "jobs_sweep")

    shop.swept()

    assert results(shop) == undisturbed_results["now"]


@pytest.mark.nightly
def test_an_audience_that_was_changed_after_the_kill_is_not_screened_on(shop: Place, tmp_path: Path) -> None:
    """The manifest names one file; half of one and half of another is none."""
    audience = tmp_path / "audience.csv"
    values = [f"u{n}@example.com" for n in range(ROWS)]
    audience.write_text("\n".join(["email,row", *(f"{value},1" for value in values)]) + "\n")
    shop.killed("consent_screening", SCREENING_STOPS["between two chunks"], *screening_of(shop, audience, "now"))
    audience.write_text("\n".join(["email,row", *(f"{value},1" for value in reversed(values))]) + "\n")

    shop.swept()

    [(status, code, manifest)] = shop.rows("SELECT status, error_code, manifest FROM consent_screening")
    assert (status, code, manifest) == ("failed", "file_changed", "")


def test_one_flipped_byte_of_a_manifest_is_found(shop: Place, audience: Path) -> None:
    shop.run(*screening_of(shop, audience, "now"))
    [(manifest,)] = shop.rows("SELECT manifest FROM consent_screening")
    text, _ = split_note(manifest)

    assert note_open(manifest, shop.verifier) == text
    with pytest.raises(ValueError, match="does not hold"):
        note_open(manifest.replace('"rows":1000', '"rows":1001'), shop.verifier)
