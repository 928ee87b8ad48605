"""影子审计 over real HTTP: each send beside the answer it rests on. What differs by a fact is found, no more."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.demo_server import Api, DemoServer
from tests.flows.test_api_consents import CHECK, given
from tests.flows.test_api_screening import finished, rows, upload
from tests.flows.test_api_send_receipts import allowed, command, line, report
from tests.flows.test_replays import owner_of

PERIODS = "/api/v1/send-reconciliations"
CAMPAIGN = "demo-live"
WITHDRAW = {"purpose": "marketing.promotion", "channel": "email", "act": "withdraw"}
MET = {"met": ["APPEND_OPTOUT_TEXT", "SHOW_SENDER_SIGNATURE", "EMAIL_AD_PREFIX"]}


@pytest.fixture(scope="module")
def database(demo: DemoServer) -> Iterator[psycopg.Connection[Any]]:
    with owner_of(demo) as connection:
        yield connection


@pytest.fixture(autouse=True)
def fresh(database: psycopg.Connection[Any]) -> None:
    """Begin with no findings of other tests in the period looked at."""
    database.execute("UPDATE consent_send_match SET sent_at = sent_at - interval '30 days'")


def found(api: Api, **query: str) -> dict[str, Any]:
    period = {"until": later(600).replace("+00:00", "Z")}  # a sender's clock may be ahead
    text = "&".join(f"{key}={value}" for key, value in (period | query).items())
    answer = api.get(f"{PERIODS}?{text}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def findings(api: Api, *lines: dict[str, Any]) -> list[list[str]]:
    """Report these sends and return the findings of each, in the order given."""
    marked = [one | {"message_id": f"order-{n}-{datetime.now(UTC).timestamp()}"} for n, one in enumerate(lines)]
    body = report(api, *marked)
    assert body["errors"] == []
    by_id = {row["message_id"]: row["findings"] for row in found(api, limit="200")["results"]}
    return [by_id[one["message_id"]] for one in marked]


def to(address: str, **more: Any) -> dict[str, Any]:
    named = {"subject": {"type": "email", "id": address}, "campaign": CAMPAIGN, "channel": "email"}
    return line(**named, obligations=MET) | more


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_send_with_its_decision_has_no_finding_and_one_without_is_a_shadow_send(api: Api) -> None:
    decision = allowed(api, "asked@example.com")

    by_id = findings(api, line(decision_id=decision, obligations=MET))
    by_receiver = findings(api, to("asked@example.com"))
    shadow = findings(api, to("nobody-asked@example.com"))
    unknown = findings(api, to("asked@example.com", decision_id="dec_" + "1" * 32))

    assert (by_id, shadow, unknown) == ([[]], [["NO_DECISION"]], [["NO_DECISION"]])
    assert by_receiver == [["DOUBLE"]]  # matched to the same decision, which is used up


def test_a_send_before_the_question_rests_on_nothing(api: Api) -> None:
    decision = allowed(api, "too-early@example.com")

    early, in_time = findings(
        api,
        line(decision_id=decision, obligations=MET, sent_at=later(-20)),
        line(decision_id=decision, obligations=MET, sent_at=later(0)),
    )

    assert (early, in_time) == (["NO_DECISION"], [])


def test_a_send_after_the_decision_expired_is_late(api: Api) -> None:
    decision = allowed(api, "late@example.com")

    late, in_time = findings(
        api,
        line(decision_id=decision, obligations=MET, sent_at=later(62)),
        line(decision_id=decision, obligations=MET, sent_at=later(50)),
    )

    assert late == ["LATE", "DOUBLE"]
    assert in_time == []


def test_a_send_despite_a_no_is_found(api: Api) -> None:
    address = "denied@example.com"
    assert api.post("/api/v1/consents", given(address, WITHDRAW)).status_code == 201
    answer = api.post(CHECK, {"subject": {"type": "email", "id": address}, "campaign": CAMPAIGN}).json()
    assert answer["decision"] is False

    assert findings(api, line(decision_id=answer["decision_id"])) == [["DENIED"]]


def test_a_send_after_a_withdrawal_is_found_and_one_before_it_is_not(api: Api) -> None:
    decision = allowed(api, "withdrew@example.com")
    before = later(0)
    no = given("withdrew@example.com", WITHDRAW, event_time="2026-11-20T13:00:00+08:00")
    assert api.post("/api/v1/consents", no).status_code == 201

    after = findings(
        api,
        line(decision_id=decision, obligations=MET, sent_at=before),
        line(decision_id=decision, obligations=MET, sent_at=later(1)),
    )

    assert after == [[], ["WITHDRAWN", "DOUBLE"]]


def test_duties_are_compared_with_what_was_reported(api: Api) -> None:
    decisions = [allowed(api, f"duty-{n}@example.com") for n in range(3)]
    unmet = {"met": MET["met"][:2], "unmet": ["EMAIL_AD_PREFIX"]}

    met, silent, broken = findings(
        api,
        line(decision_id=decisions[0], obligations=MET),
        line(decision_id=decisions[1], obligations={"met": MET["met"][:2]}),
        line(decision_id=decisions[2], obligations=unmet),
    )

    assert (met, silent, broken) == ([], ["UNREPORTED"], ["UNMET"])


def test_what_differs_from_the_decision_is_named(api: Api, database: psycopg.Connection[Any]) -> None:
    decisions = [allowed(api, f"differs-{n}@example.com") for n in range(5)]
    recipients = database.execute("SELECT code FROM governance_recipient ORDER BY code").fetchall()
    planned = database.execute("SELECT recipient FROM consent_campaign WHERE code = %s", [CAMPAIGN]).fetchall()
    own, other = planned[0][0], next(code for (code,) in recipients if code != planned[0][0])
    said = {"recipient": own or None, "obligations": MET}

    same, vendor, person, campaign, channel = findings(
        api,
        line(decision_id=decisions[0], **said),
        line(decision_id=decisions[1], **said | {"recipient": other}),
        line(decision_id=decisions[2], **said, subject={"type": "email", "id": "somebody@example.com"}),
        line(decision_id=decisions[3], **said, campaign="d11-sms"),
        line(decision_id=decisions[4], **said, channel="wx_sub"),
    )

    assert (same, vendor, person) == ([], ["OTHER_VENDOR"], ["OTHER_PERSON"])
    assert "OTHER_CAMPAIGN" in campaign
    assert "OTHER_CHANNEL" in channel


def test_one_decision_allows_one_message(api: Api) -> None:
    decision = allowed(api, "twice@example.com")
    now = datetime.now(UTC)

    second, first, failed = findings(
        api,
        line(decision_id=decision, obligations=MET, sent_at=(now + timedelta(seconds=2)).isoformat()),
        line(decision_id=decision, obligations=MET, sent_at=now.isoformat()),
        line(decision_id=decision, obligations=MET, sent_at=later(3), status="failed"),
    )

    assert (first, second, failed) == ([], ["DOUBLE"], [])


def test_a_service_message_needs_no_decision_unless_its_campaign_is_marketing(api: Api) -> None:
    order = {"subject": {"type": "email", "id": "order@example.com"}, "channel": "email", "kind": "service"}

    service, hidden = findings(api, line(**order), line(**order, campaign=CAMPAIGN))

    assert (service, hidden) == ([], ["NO_DECISION"])


def screened(api: Api, *addresses: str) -> dict[str, Any]:
    data = "\n".join(["email", *addresses]).encode()
    body = {"campaign": CAMPAIGN, "subject_type": "email", "input": {"upload": upload(api, data), "column": "email"}}
    return finished(api, api.post("/api/v1/screenings", body).json()["links"]["self"])


def test_the_rows_of_a_screening_allow_their_sends(api: Api) -> None:
    assert api.post("/api/v1/consents", given("row@example.com")).status_code == 201
    done = screened(api, "row@example.com", "no-row@example.com")
    [allow] = rows(api, done["files"]["allow"]["url"])

    by_row, not_in_it, denied, late = findings(
        api,
        line(screening=done["id"], row_no=int(allow["row_no"]), obligations=MET),
        to("not-in-the-file@example.com", screening=done["id"]),
        to("no-row@example.com"),
        to("row@example.com", sent_at=later(4 * 60)),
    )

    assert (by_row, not_in_it, denied) == ([], ["NO_DECISION"], ["DENIED"])
    assert late == ["DOUBLE"]  # still good for a quarter of an hour, but the row is used


def test_what_a_row_said_before_a_recheck_counts_for_what_was_sent_before_it(api: Api) -> None:
    people = [f"recheck-{n}@example.com" for n in range(2)]
    for address in people:
        assert api.post("/api/v1/consents", given(address)).status_code == 201
    done = screened(api, *people)
    before = later(0)
    for address in people:
        no = given(address, WITHDRAW, event_time="2026-11-20T13:00:00+08:00")
        assert api.post("/api/v1/consents", no).status_code == 201
    assert api.post(done["links"]["recheck"]).json()["changes"]["removed"]["rows"] == 2

    sent_before, sent_after = findings(api, to(people[0], sent_at=before), to(people[1], sent_at=later(1)))

    assert sent_before == []
    assert "DENIED" in sent_after


def test_a_simulation_allows_nothing(api: Api) -> None:
    assert api.post("/api/v1/consents", given("simulated@example.com")).status_code == 201
    data = b"email\nsimulated@example.com\n"
    body = {
        "campaign": CAMPAIGN,
        "subject_type": "email",
        "input": {"upload": upload(api, data), "column": "email"},
        "as_of": later(-1),
    }
    done = finished(api, api.post("/api/v1/screenings", body).json()["links"]["self"])

    assert findings(api, to("simulated@example.com", screening=done["id"])) == [["NO_DECISION"]]


def test_counts_add_up_by_finding_campaign_and_vendor(api: Api) -> None:
    decision = allowed(api, "counted@example.com")
    report(
        api,
        line(decision_id=decision, obligations=MET, message_id=f"c-{decision}"),
        to("shadow-1@example.com"),
        to("shadow-2@example.com"),
        to("shadow-3@example.com", campaign="never-registered"),
    )

    body = found(api)

    assert (body["sends"], body["found"], body["findings"]["NO_DECISION"]) == (4, 3, 3)
    assert [(c["campaign"], c["sends"], c["found"]) for c in body["campaigns"]] == [
        (CAMPAIGN, 3, 2),
        ("never-registered", 1, 1),
    ]
    assert sum(vendor["sends"] for vendor in body["recipients"]) == 4
    assert found(api, campaign="never-registered")["sends"] == 1
    assert found(api, until="2020-01-02T00:00:00Z")["sends"] == 0


def test_pages_go_on_and_back_and_name_nobody(api: Api) -> None:
    report(api, *(to(f"page-{n}@example.com", sent_at=later(n / 10)) for n in range(5)))

    seen, address = [], f"{PERIODS}?limit=2&until={later(600).replace('+00:00', 'Z')}"
    pages = []
    while address:
        body = api.get(address).json()
        pages.append([row["receipt"] for row in body["results"]])
        seen += body["results"]
        previous, address = body["previous"], body["next"]
    back = api.get(previous).json()

    assert [len(page) for page in pages] == [2, 2, 1]
    times = [row["sent_at"] for row in seen]
    assert times == sorted(times, reverse=True)
    assert [row["receipt"] for row in back["results"]] == pages[1]
    assert all(re.fullmatch(r"email:k\d+:[0-9a-f]{32}", row["receiver"]) for row in seen)
    assert "@" not in str(seen)


def test_only_the_findings_asked_for_are_listed(api: Api) -> None:
    decision = allowed(api, "listed@example.com")
    report(api, line(decision_id=decision, obligations=MET), to("shadow-listed@example.com"))

    assert len(found(api)["results"]) == 2
    assert len(found(api, found_only="true")["results"]) == 1
    assert len(found(api, finding="NO_DECISION")["results"]) == 1
    assert found(api, finding="LATE")["results"] == []


def test_the_table_to_take_away_names_nobody_and_runs_no_formula(api: Api, database: psycopg.Connection[Any]) -> None:
    report(api, to("table@example.com", message_id="=HYPERLINK(1)"))

    answer = api.get(f"{PERIODS}/file")
    [row] = list(csv.DictReader(io.StringIO(answer.text)))
    noted = database.execute("SELECT count(*) FROM audit_entry WHERE type = 'reconciliation.exported'").fetchone()

    assert answer.headers["Content-Type"].startswith("text/csv")
    assert row["message_id"] == "'=HYPERLINK(1)"
    assert row["findings"] == "NO_DECISION"
    assert "@" not in answer.text
    assert noted is not None
    assert noted[0] >= 1


@pytest.mark.parametrize(
    "query",
    [
        "since=2026-11-20T00:00:00Z&until=2026-11-19T00:00:00Z",
        "since=2024-01-01T00:00:00Z&until=2026-01-01T00:00:00Z",
        "since=yesterday",
        "finding=BAD",
        "cursor=abc",
        "limit=1000",
        "colour=red",
    ],
)
def test_a_question_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    answer = api.get(f"{PERIODS}?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_only_who_may_audit_reads_it(demo: DemoServer, api: Api, database: psycopg.Connection[Any]) -> None:
    sender = Api(demo.base, demo.token(scope="inbound:write"))
    auditor = Api(demo.base, demo.token(scope="audit:read"))

    assert [one.get(PERIODS).status_code for one in (sender, auditor)] == [403, 200]
    database.execute("UPDATE governance_api_client SET channels = '{email}' WHERE client_id = 'demo'")
    try:
        asked = ("", f"?campaign={CAMPAIGN}", "?campaign=d11-sms")
        limited = [auditor.get(f"{PERIODS}{query}").status_code for query in asked]
    finally:
        database.execute("UPDATE governance_api_client SET channels = NULL WHERE client_id = 'demo'")
    assert limited == [403, 200, 403]


def test_the_command_prints_a_table_and_its_exit_code_tells(
    demo: DemoServer, api: Api, database: psycopg.Connection[Any]
) -> None:
    database.execute("UPDATE consent_send_match SET findings = 4095")
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    decision = allowed(api, "command-ok@example.com")
    report(api, line(decision_id=decision, obligations=MET, sent_at=later(0)))

    clean = command(demo, "sends_reconcile", "--since", since)
    report(api, to("command-shadow@example.com"))
    shadow = command(demo, "sends_reconcile", "--since", since, "--campaign", CAMPAIGN)
    wrong = command(demo, "sends_reconcile", "--since", "soon")

    assert (clean.returncode, shadow.returncode, wrong.returncode) == (0, 2, 1), clean.stdout + clean.stderr
    assert "nothing found" in clean.stdout
    assert re.search(r"NO_DECISION +1", shadow.stdout)
    assert re.search(rf"{CAMPAIGN} +2 +1 +1", shadow.stdout)


def test_the_policy_hours_hold_for_what_is_sent(api: Api, database: psycopg.Connection[Any]) -> None:
    """Short messages have hours; a night send is found, a send at noon is not."""
    day = datetime.now(UTC).date() - timedelta(days=1)
    subject = {"type": "phone", "id": "13912340099"}
    night, noon = findings(
        api,
        line(subject=subject, campaign="d11-sms", channel="sms", sent_at=f"{day}T23:30:00+08:00"),
        line(subject=subject, campaign="d11-sms", channel="sms", sent_at=f"{day}T12:00:00+08:00"),
    )

    assert "OUTSIDE_WINDOW" in night
    assert "OUTSIDE_WINDOW" not in noon
