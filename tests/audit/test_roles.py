"""Every process has a database role of its own that can do its work, and nothing to the ledger that is not its work."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import requests
from psycopg import errors

from tests.conftest import DEMO
from tests.demo_server import ROOT, Api, free_port
from tests.flows.test_api_consents import given
from tests.flows.test_api_screening import AUDIENCE, upload
from tests.shop import Shop, database_made, execute

CHECK = "/api/v1/decisions/check"


pytestmark = pytest.mark.nightly  # a shop of its own, and a process for each role


@pytest.fixture(scope="module")
def open_shop(shop: Shop) -> Iterator[tuple[Shop, str]]:
    """The shop, served under the web's role; jobs wait for a worker."""
    with shop.copied() as copy:
        copy.manage("", "roles_create")  # rights on a database are not copied with it
        with copy.serving(ZHIXU_BROKER_URL="memory://") as base:
            yield copy, base


@pytest.fixture
def own(open_shop: tuple[Shop, str]) -> Shop:
    return open_shop[0]


@pytest.fixture
def base(open_shop: tuple[Shop, str]) -> str:
    return open_shop[1]


@pytest.fixture
def api(own: Shop, base: str) -> Api:
    return own.api(base)


def decided(api: Api, address: str) -> bool:
    answer = api.post(CHECK, {"subject": {"type": "email", "id": address}, "campaign": "demo-live"})
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["decision"])


def test_the_web_role_checks_and_records_consent(own: Shop, api: Api) -> None:
    assert decided(api, own.allowed)
    batch = {"defaults": {"campaign": "demo-live"}, "items": [{"subject": {"type": "email", "id": own.allowed}}] * 20}
    items = [item | {"cid": str(n)} for n, item in enumerate(batch["items"])]
    assert api.post("/api/v1/decisions/check-batch", batch | {"items": items}).json()["counts"]["allow"] == 20

    answer = api.post("/api/v1/consents", given("lin@example.com"))
    assert answer.status_code == 201, answer.text
    assert decided(api, "lin@example.com")
    no = {"purpose": "marketing.promotion", "channel": "email", "act": "withdraw"}
    answer = api.post("/api/v1/consents", given("lin@example.com", no, event_time="2026-11-20T13:00:00+08:00"))
    assert answer.status_code in (200, 201), answer.text
    assert not decided(api, "lin@example.com")


def test_a_customer_stops_everything_on_his_page(own: Shop, base: str) -> None:
    page = requests.Session()
    page.headers["Accept-Language"] = "en"

    opened = page.get(f"{base}{own.link}", timeout=30)
    form = re.search(r'<form[^>]*method="post".*?</form>', opened.text, re.S)
    assert opened.status_code == 200
    assert form
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form.group(0)))
    done = page.post(opened.url, data=fields, headers={"Referer": opened.url}, timeout=30)

    assert done.status_code == 200, done.text
    assert execute(own.superuser_url, "SELECT count(*) FROM audit_entry WHERE actor_kind = 'customer'")[0][0] > 0


def test_an_officer_signs_in_reads_and_changes_the_register(own: Shop, base: str) -> None:
    desk = requests.Session()
    desk.headers.update({"Referer": f"{base}/admin/login/"})
    desk.get(f"{base}/admin/login/", timeout=30)
    form = {"username": "officer", "password": own.password, "csrfmiddlewaretoken": desk.cookies["csrftoken"]}
    assert desk.post(f"{base}/admin/login/?next=/admin/", data=form, timeout=30).status_code == 200

    for page in ("", "consent/datasubject/", "consent/consentrecord/", "audit/auditentry/", "governance/purpose/"):
        assert desk.get(f"{base}/admin/{page}", timeout=30).status_code == 200, page
    page = desk.get(f"{base}/admin/governance/brand/add/", timeout=30)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token
    fields = {"csrfmiddlewaretoken": token.group(1), "code": "new", "name": "新品牌", "signature": "新品牌"}
    desk.post(f"{base}/admin/governance/brand/add/", data=fields, headers={"Referer": page.url}, timeout=30)
    assert execute(own.superuser_url, "SELECT name FROM governance_brand WHERE code = 'new'") == [("新品牌",)]


def test_the_worker_role_screens_and_imports(own: Shop, api: Api) -> None:
    body = {
        "campaign": "d11-sms",
        "subject_type": "phone",
        "input": {"upload": upload(api, AUDIENCE.read_bytes()), "format": "csv", "column": "手机号"},
    }
    answer = api.post("/api/v1/screenings", body)
    assert answer.status_code == 202, answer.text
    link = answer.json()["links"]["self"]
    assert api.get(link).json()["status"] == "queued"
    [(job,)] = execute(own.superuser_url, "SELECT id FROM consent_screening WHERE status = 'queued'")

    own.manage("zx_worker", "shell", "-c", f"from consent.services.jobs import job_run; job_run('screening', '{job}')")

    assert api.get(link).json()["status"] == "done"
    own.manage("zx_worker", "consents_import", str(DEMO / "consents.csv"))
    own.manage("zx_worker", "jobs_sweep")
    own.manage("zx_worker", "consent_state_verify")


def test_the_sequencer_role_sequences(own: Shop) -> None:
    own.manage("zx_seq", "ledger_sequencer", "--once")

    [(pending, entries, leaves, size)] = execute(
        own.superuser_url,
        "SELECT (SELECT count(*) FROM audit_pending), (SELECT count(*) FROM audit_entry),"
        " (SELECT count(*) FROM audit_leaf), (SELECT max(size) FROM audit_checkpoint)",
    )
    assert (pending, leaves, size) == (0, entries, entries)


LEDGER = [
    "audit_entry",
    "audit_pending",
    "audit_leaf",
    "audit_tile",
    "audit_tree",
    "audit_checkpoint",
    "audit_anchor",
    "audit_payload",
    "audit_verification",
    "audit_row_history",
    "consent_record",
    "consent_decision",
    "consent_decision_seal",
    "consent_notice_version",
]
COLUMN = {
    "audit_entry": "type",
    "audit_pending": "entry_id",
    "audit_leaf": "idx",
    "audit_payload": "sealed",
    "audit_tile": "hashes",
    "audit_tree": "size",
    "audit_checkpoint": "note",
    "consent_record": "id",
    "consent_decision": "outcome",
}
SERVING = ["zx_web", "zx_worker", "zx_read"]
MAY = {("zx_seq", "DELETE FROM audit_pending"), ("zx_erase", "DELETE FROM audit_payload")} | {
    ("zx_seq", "UPDATE audit_tile"),
    ("zx_seq", "UPDATE audit_tree"),
    ("zx_erase", "DELETE FROM audit_row_history"),
}
REWRITES = [
    *(f"DELETE FROM {table}" for table in LEDGER),
    *(f"TRUNCATE {table} CASCADE" for table in LEDGER),
    *(f"UPDATE {table} SET {column} = {column}" for table, column in COLUMN.items()),
    *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in LEDGER),
    *(f"DROP TABLE {table}" for table in LEDGER),
]
FORGED = [
    "INSERT INTO audit_pending SELECT gen_random_uuid()",
    "INSERT INTO audit_leaf VALUES (99999, gen_random_uuid())",
    "INSERT INTO audit_tile VALUES (9, 9, '')",
    "INSERT INTO audit_checkpoint VALUES (99999, '', '')",
    "INSERT INTO audit_anchor (size, kind, target, note, reply, succeeded) VALUES (1, 'file', '', '', '', true)",
    "INSERT INTO audit_row_history (relation, row_key, was, since, until) VALUES ('x', '', '{}', '1', '2')",
]
NOT_THEIRS = [
    "CREATE TABLE mine (x int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SET session_replication_role = replica",
    "SET ROLE zx_owner",
    "ALTER FUNCTION zhixu_append_only() RESET ALL",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "COPY audit_entry TO PROGRAM 'cat'",
    "SELECT setval('consent_record_id_seq', 1)",
    "UPDATE django_migrations SET app = app",
]


def refused(url: str, statement: str) -> bool:
    try:
        with psycopg.connect(url) as connection:
            connection.execute(statement)
            connection.rollback()
    except errors.InsufficientPrivilege:
        return True
    except psycopg.IntegrityError:
        return False  # it was let in, and stumbled over a constraint
    return False


@pytest.mark.parametrize("role", ["zx_web", "zx_worker", "zx_seq", "zx_erase", "zx_read"])
def test_no_service_can_rewrite_the_ledger_or_give_itself_rights(own: Shop, role: str) -> None:
    url = own.url(role)
    allowed = [
        statement
        for statement in [*REWRITES, *NOT_THEIRS, *(FORGED if role != "zx_seq" else FORGED[:1])]
        if not any(role == who and statement.startswith(verb) for who, verb in MAY) and not refused(url, statement)
    ]

    assert allowed == []


@pytest.mark.parametrize(("role", "statement"), sorted(MAY))
def test_what_one_role_may_change_is_its_work(own: Shop, role: str, statement: str) -> None:
    """The permission beside the refusals: each differs from them by its role alone."""
    whole = {
        "UPDATE audit_tile": "UPDATE audit_tile SET n = n WHERE false",
        "UPDATE audit_tree": "UPDATE audit_tree SET size = size WHERE false",
    }
    assert not refused(own.url(role), whole.get(statement, f"{statement} WHERE false"))


def test_the_sequencer_can_sequence_and_nothing_else(own: Shop) -> None:
    url = own.url("zx_seq")
    tables = [
        name for (name,) in execute(own.superuser_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]

    read = {name for name in tables if not refused(url, f"SELECT FROM {name} LIMIT 1")}
    added = {name for name in tables if not refused(url, f"INSERT INTO {name} DEFAULT VALUES")}

    assert {name for name in read if not name.startswith("audit_")} == {
        "consent_decision",
        "consent_decision_seal",
        "django_migrations",
    }
    assert not read & {"audit_payload", "audit_row_history"}
    assert added == {
        "audit_entry",
        "audit_leaf",
        "audit_tile",
        "audit_checkpoint",
        "audit_anchor",
        "consent_decision_seal",
    }


def test_the_reading_role_sees_no_payloads_keys_passwords_or_tokens(own: Shop) -> None:
    url = own.url("zx_read")
    hidden = [
        "audit_payload",
        "governance_data_key",
        "governance_epoch_key",
        "auth_user",
        "django_session",
        "oauth2_provider_accesstoken",
        "governance_api_client",
        "governance_idempotency_record",
        "consent_preference_link",
    ]

    assert [name for name in hidden if not refused(url, f"SELECT FROM {name}")] == []
    for name in ("audit_entry", "audit_checkpoint", "consent_record", "consent_state", "governance_purpose"):
        assert not refused(url, f"SELECT FROM {name} LIMIT 1")
        assert refused(url, f"INSERT INTO {name} DEFAULT VALUES")


@pytest.mark.parametrize("role", ["zx_web", "zx_worker"])
def test_only_erasure_destroys_keys_and_payloads(own: Shop, role: str) -> None:
    for verb in (
        "DELETE FROM governance_data_key",
        "UPDATE governance_data_key SET state = 'destroyed'",
        "DELETE FROM audit_payload",
    ):
        assert refused(own.url(role), f"{verb} WHERE false")
        assert not refused(own.url("zx_erase"), f"{verb} WHERE false")


def test_a_worker_knows_no_passwords_and_no_tokens(own: Shop) -> None:
    for name in ("auth_user", "django_session", "oauth2_provider_accesstoken", "governance_api_client"):
        assert refused(own.url("zx_worker"), f"SELECT FROM {name}")
        assert not refused(own.url("zx_web"), f"SELECT FROM {name}")


ENTRY = (
    "INSERT INTO audit_entry (id, body, leaf_hash, type, actor_kind, actor_ref, object_kind, object_ref)"
    " VALUES (gen_random_uuid(), '{}', '', 'x', 'system', '', '', '')"
)


def test_an_entry_cannot_be_hidden_behind_a_table_of_one_s_own(own: Shop) -> None:
    """A temporary table shadows the real one for the session, but not for the trigger."""
    with psycopg.connect(own.url("zx_web")) as connection:
        connection.execute("CREATE TEMPORARY TABLE audit_pending (entry_id uuid)")
        connection.execute(ENTRY)
        staged = connection.execute("SELECT count(*) FROM public.audit_pending").fetchone()
        hidden = connection.execute("SELECT count(*) FROM pg_temp.audit_pending").fetchone()
        connection.rollback()

    assert (staged, hidden) == ((1,), (0,))


@pytest.mark.parametrize("function", ["zhixu_audit_pending", "zhixu_row_history"])
def test_nobody_hangs_the_owner_s_triggers_on_a_table_of_his_own(own: Shop, function: str) -> None:
    statement = (
        "CREATE TEMPORARY TABLE mine (id uuid); CREATE TRIGGER t AFTER INSERT ON mine REFERENCING NEW TABLE AS added"
    )

    assert refused(own.url("zx_web"), f"{statement} FOR EACH STATEMENT EXECUTE FUNCTION {function}()")


def test_a_second_run_has_nothing_to_do_and_repairs_what_drifted(own: Shop) -> None:
    assert "nothing to do" in own.manage("zx_owner", "roles_create").stdout
    execute(
        own.superuser_url,
        "GRANT UPDATE ON audit_entry TO zx_web",
        "GRANT UPDATE (note) ON audit_checkpoint TO zx_worker",
        "GRANT SELECT ON governance_data_key TO PUBLIC",
        "REVOKE INSERT ON audit_entry FROM zx_web",
        "ALTER ROLE zx_read CREATEDB",
        "GRANT zx_owner TO zx_worker",
        "CREATE TABLE stray (x int)",
    )

    would = own.manage("", "roles_create", "--dry-run").stdout
    assert "nothing was changed" in would
    assert 'REVOKE UPDATE ON TABLE "audit_entry" FROM zx_web' in would
    did = own.manage("", "roles_create").stdout

    for line in did.splitlines():
        assert line in would
    assert {
        'GRANT INSERT ON TABLE "audit_entry" TO zx_web',
        'REVOKE UPDATE ON TABLE "audit_checkpoint" FROM zx_worker',
        'REVOKE SELECT ON TABLE "governance_data_key" FROM PUBLIC',
        'REVOKE "zx_owner" FROM zx_worker',
        'ALTER TABLE "stray" OWNER TO zx_owner',
    } <= set(did.splitlines())
    assert "ALTER ROLE zx_read LOGIN NOSUPERUSER" in did
    assert "nothing to do" in own.manage("zx_owner", "roles_create").stdout
    execute(own.superuser_url, "DROP TABLE stray")


def test_a_table_of_the_next_release_can_be_read_and_added_to_but_not_changed(own: Shop) -> None:
    execute(own.url("zx_owner"), "CREATE TABLE next (id bigint GENERATED ALWAYS AS IDENTITY, x int)")
    try:
        for role in ("zx_web", "zx_worker"):
            assert not refused(own.url(role), "INSERT INTO next (x) VALUES (1)")
            assert refused(own.url(role), "UPDATE next SET x = 1")
            assert refused(own.url(role), "TRUNCATE next")
        assert refused(own.url("zx_seq"), "SELECT FROM next")
    finally:
        execute(own.url("zx_owner"), "DROP TABLE next")


def test_passwords_lie_in_files_nobody_else_may_read(own: Shop, tmp_path: Path) -> None:
    folder = own.home / "passwords"
    files = sorted(folder.iterdir())

    assert [file.name for file in files] == ["zx_erase", "zx_owner", "zx_read", "zx_seq", "zx_web", "zx_worker"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len({file.read_text() for file in files}) == 6
    stored = execute(own.superuser_url, "SELECT rolpassword FROM pg_authid WHERE rolname = 'zx_web'")
    assert stored[0][0].startswith("SCRAM-SHA-256$")
    (folder / "zx_read").chmod(0o644)
    try:
        refusal = own.manage("", "roles_create", "--passwords", str(folder), check=False)
        assert refusal.returncode == 1
        assert "open to others" in refusal.stderr
    finally:
        (folder / "zx_read").chmod(0o600)


def test_who_may_not_make_roles_is_told_so(own: Shop) -> None:
    execute(own.superuser_url, "ALTER ROLE zx_read CREATEDB")
    try:
        refusal = own.manage("zx_owner", "roles_create", check=False)
    finally:
        execute(own.superuser_url, "ALTER ROLE zx_read NOCREATEDB")

    assert refusal.returncode == 1
    assert "may not make roles" in refusal.stderr


def production(own: Shop) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "ZHIXU_SECRET_KEY": "x" * 60 + "abcdefghijk",
        "ZHIXU_ALLOWED_HOSTS": "127.0.0.1",
        "ZHIXU_BASE_URL": "https://zhixu.example.com",
        "ZHIXU_TENANT": "example",
        "ZHIXU_BROKER_URL": "redis://broker.example.com:6379/0",
        "ZHIXU_ANCHORS": '[{"kind":"file","path":"/x"},{"kind":"mail","to":["dpo@example.com"]}]',
    }


def checked(own: Shop, role: str) -> subprocess.CompletedProcess[str]:
    return own.manage(
        role, "check", "--deploy", "--database", "default", "--fail-level", "WARNING", check=False, **production(own)
    )


def test_the_deploy_check_wants_the_web_s_own_role(own: Shop) -> None:
    good, owner = checked(own, "zx_web"), checked(own, "zx_owner")

    assert good.returncode == 0, good.stderr
    assert owner.returncode == 1
    assert "audit.E011) The database role owns" in owner.stderr


DRIFT = {
    "GRANT DELETE ON audit_pending TO zx_web": "may DELETE audit_pending",
    "GRANT TRUNCATE ON audit_leaf TO zx_web": "may TRUNCATE audit_leaf",
    "GRANT UPDATE (outcome) ON consent_decision TO zx_web": "may UPDATE consent_decision",
    "GRANT UPDATE ON audit_payload TO PUBLIC": "may UPDATE audit_payload",
    "GRANT CREATE ON SCHEMA public TO zx_web": "may create tables",
    "ALTER ROLE zx_web BYPASSRLS": "passes row security",
    "CREATE ROLE zx_test_boss CREATEROLE; GRANT zx_test_boss TO zx_web": "belongs to zx_test_boss, who creates roles",
}


def test_each_right_too_many_is_found(own: Shop) -> None:
    show = "import django; django.setup()\nfrom audit.selectors.roles import role_faults\n"
    show += "print(*role_faults('zx_web'), sep='\\n')"
    assert own.run("zx_web", "-c", show).stdout.split() == []
    execute(own.superuser_url, *DRIFT)
    try:
        found = own.run("zx_web", "-c", show).stdout.splitlines()
    finally:
        execute(own.superuser_url, "DROP ROLE zx_test_boss", "REVOKE TRUNCATE ON audit_leaf FROM zx_web")
        own.manage("", "roles_create")

    assert sorted(found) == sorted(DRIFT.values())
    assert own.run("zx_web", "-c", show).stdout.split() == []


def test_production_does_not_start_under_a_role_that_can_rewrite_the_ledger(own: Shop) -> None:
    """The web server ends with one clear line; the same command under the web's role serves."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-w", "1", "config.wsgi:application"]
    done = subprocess.run(
        command, cwd=ROOT, env=own.env("", **production(own)), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 3
    assert "zhixu: not started: the database role of DATABASE_URL is a superuser. Use zx_web" in done.stderr
    with own.serving("zx_web", **production(own)) as base:
        ready = requests.get(f"{base}/readyz", headers={"X-Forwarded-Proto": "https"}, timeout=10)
    assert ready.json()["role"] is True


def test_the_sequencer_and_the_worker_do_not_start_under_another_role(own: Shop) -> None:
    sequencer = own.manage("zx_owner", "ledger_sequencer", "--once", check=False, **production(own))
    assert sequencer.returncode == 3
    assert "Use zx_seq" in sequencer.stderr
    assert own.manage("zx_seq", "ledger_sequencer", "--once", check=False, **production(own)).returncode == 0
    worker = own.run("zx_owner", "-m", "celery", "-A", "config.celery", "worker", check=False, **production(own))
    assert worker.returncode == 3
    assert "Use zx_worker" in worker.stderr


def test_nothing_is_created_by_a_dry_run(shop: Shop) -> None:
    with database_made(f"empty_{int(time.time())}") as name:
        empty = Shop(name, shop.home)
        told = empty.manage("", "roles_create", "--dry-run").stdout

        assert f'GRANT CONNECT, TEMPORARY ON DATABASE "{name}" TO zx_web' in told
        assert empty.manage("", "roles_create", "--dry-run").stdout == told
