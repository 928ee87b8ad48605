"""Send reconciliation on the officer's desk, and the letter to who asks "why did you text me?"."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from consent.decisions.reasons import REASONS, Reason
from consent.models import DataSubject, SendMatch, SendReport
from consent.selectors.register import register_live
from consent.services.letters import laws_verified
from tests.flows.sends import Sent, report, sent
from tests.flows.test_admin import entries, page


@pytest.fixture
def officer(retailer: Path, db: None) -> User:
    return User.objects.create_superuser("lan", first_name="兰")


@pytest.fixture
def desk(client: Client, officer: User) -> Client:
    client.force_login(officer)
    return client


@pytest.fixture
def sends(desk: Client) -> Sent:
    return sent()


def why(sends: Sent, receipt: object = "") -> str:
    address = page("consent_datasubject_why", sends.person)
    return f"{address}?campaign={sends.campaign}{f'&send={receipt}' if receipt else ''}"


def letter(desk: Client, sends: Sent, receipt: object, language: str = "") -> str:
    address = page("consent_datasubject_letter", sends.person) + language
    response = desk.post(address, {"campaign": sends.campaign, "send": str(receipt)})
    assert response.status_code == 200
    return str(response.content.decode())


def test_before_anything_is_reported_the_page_says_how_to_begin(desk: Client) -> None:
    html = desk.get(page("consent_reconciliation")).content.decode()

    assert "receipts_import" in html
    assert "zx-empty" in html


def test_a_shadow_send_is_found_and_the_allowed_one_is_not(desk: Client, sends: Sent) -> None:
    response = desk.get(page("consent_reconciliation"))

    tallies = {code: count for code, _words, _weight, count, _query in response.context["tiles"]}
    found = {row.receipt_id: [code for code, *_ in tags] for row, _c, _v, tags, *_ in response.context["rows"]}
    assert tallies["NO_DECISION"] == 1
    assert found == {sends.proper: [], sends.shadow: ["NO_DECISION"]}
    html = response.content.decode()
    assert page("consent_decision_change", sends.decision) in html
    assert page("consent_datasubject_change", sends.person) in html
    assert why(sends).split("?")[0] in html
    assert sends.address not in html


def test_period_campaign_and_finding_narrow_the_list(desk: Client, sends: Sent) -> None:
    def rows(query: str) -> list[object]:
        return [row.receipt_id for row, *_ in desk.get(f"{page('consent_reconciliation')}?{query}").context["rows"]]

    assert rows("finding=NO_DECISION&show=found") == [sends.shadow]
    assert rows("finding=LATE&show=found") == []
    assert len(rows(f"campaign={sends.campaign}")) == 2
    assert "rows" in desk.get(page("consent_reconciliation") + "?campaign=none").context
    assert desk.get(page("consent_reconciliation") + "?campaign=none").context["found"].total.sends == 0
    assert desk.get(page("consent_reconciliation") + "?since=2020-01-01&until=2020-01-07").context["rows"] == []


@pytest.mark.parametrize("query", ["since=9999-12-31&until=0001-01-01", "since=x&until=y", "after=x|y", "finding=NO"])
def test_a_question_that_makes_no_sense_is_answered_with_the_week(desk: Client, sends: Sent, query: str) -> None:
    response = desk.get(f"{page('consent_reconciliation')}?{query}")

    assert response.status_code == 200
    assert len(response.context["rows"]) == 2


def test_pages_open_in_a_fixed_number_of_queries(
    desk: Client, sends: Sent, django_assert_max_num_queries: object
) -> None:
    register_live()
    pages = {
        page("consent_reconciliation"): 10,
        page("consent_sendreceipt_changelist"): 9,
        page("consent_sendreceipt_change", sends.proper): 6,
        page("consent_sendreport_changelist"): 8,
        page("consent_sendreport_change", SendReport.objects.all()[0].pk): 5,
    }
    for address, most in pages.items():
        with django_assert_max_num_queries(most):  # type: ignore[operator]
            assert desk.get(address).status_code == 200


def test_the_table_to_take_away_leaves_an_entry(desk: Client, sends: Sent) -> None:
    refused = desk.get(page("consent_reconciliation_export"))
    taken = desk.post(page("consent_reconciliation_export") + "?finding=NO_DECISION&show=found")
    text = b"".join(taken.streaming_content).decode()  # type: ignore[attr-defined]

    assert refused.status_code == 302
    assert [line.split(",")[0] for line in text.splitlines()] == ["receipt", f"snd_{sends.shadow.hex}"]
    assert sends.address not in text
    [noted] = entries("reconciliation.exported")
    assert (noted["d"]["rows"], noted["d"]["finding"]) == (1, "NO_DECISION")


def test_the_overview_tells_of_shadow_sends(desk: Client, sends: Sent) -> None:
    response = desk.get(page("index"))

    assert response.context["shadows"] == 1
    assert page("consent_reconciliation") in response.content.decode()


def test_who_may_not_see_sends_sees_none(client: Client, sends: Sent) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    client.force_login(clerk)
    addresses = [page("consent_reconciliation"), page("consent_sendreceipt_changelist")]
    without = [client.get(address).status_code for address in addresses]
    posted = client.post(page("consent_datasubject_letter", sends.person), {"send": str(sends.proper)})

    clerk.user_permissions.add(Permission.objects.get(codename="view_sendreceipt"))
    seen = [client.get(address).status_code for address in addresses]

    assert (without, posted.status_code, seen) == ([403, 403], 403, [200, 200])


# -- why, and the letter -----------------------------------------------------------------------------------------------


def test_the_why_page_shows_the_consent_the_notice_and_the_decision_behind_a_send(desk: Client, sends: Sent) -> None:
    response = desk.get(why(sends, sends.proper))
    html, proof = response.content.decode(), response.context["proof"]

    assert proof.grant is not None
    assert proof.grant.subject_id == sends.person
    assert proof.decision.id == sends.decision
    assert proof.replay is not None
    assert proof.grant.notice_version.text.splitlines()[0] in html
    assert proof.consent_receipt.startswith("rcp_")
    assert f"snd_{sends.proper.hex}" in html
    assert sends.address not in html


def test_the_why_page_of_a_shadow_send_says_that_nobody_asked(desk: Client, sends: Sent) -> None:
    shown = desk.get(why(sends, sends.shadow)).context["proof"]

    assert shown.decision is None
    assert shown.screening is None
    assert shown.findings[0].name == "NO_DECISION"


def test_the_letter_says_what_was_sent_on_which_consent_and_how_to_withdraw(desk: Client, sends: Sent) -> None:
    html = letter(desk, sends, sends.proper)

    grant = desk.get(why(sends, sends.proper)).context["proof"].grant
    name, _, domain = sends.address.partition("@")
    for part in (
        "答复函",
        "兰花零售（上海）有限公司",
        f"{name[0]}***@{domain}",
        f"第 {grant.notice_version.version} 版",
        "《个人信息保护法》第十五条",
        "撤回同意",
        f"dec_{sends.decision.hex}",
        f"snd_{sends.proper.hex}",
    ):
        assert part in html, part
    assert "道歉" not in html
    assert sends.address not in html


def test_the_letter_about_a_shadow_send_claims_no_consent_check_and_apologises(desk: Client, sends: Sent) -> None:
    html = letter(desk, sends, sends.shadow)

    assert "道歉" in html
    assert "没有与我们的记录核对" in html
    assert "结果为可以" not in html
    assert "依据您的同意处理" not in html


def test_the_english_letter_says_the_same(desk: Client, sends: Sent) -> None:
    html = letter(desk, sends, sends.proper, "?lang=en")

    assert '<html lang="en">' in html
    assert "Your right to withdraw" in html
    assert "PIPL 15" in html
    assert "撤回" not in re.sub(r"“[^”]*”", "", html)


def test_a_letter_leaves_an_entry_and_is_kept_nowhere(desk: Client, sends: Sent, officer: User) -> None:
    response = desk.post(
        page("consent_datasubject_letter", sends.person), {"campaign": sends.campaign, "send": str(sends.proper)}
    )

    [noted] = entries("letter.exported")
    assert "no-store" in response["Cache-Control"]
    assert noted["subj"] == str(DataSubject.objects.get(pk=sends.person).ref)
    assert noted["actor"] == {"k": "user", "ref": str(officer.pk)}
    assert noted["d"]["decision"] == f"dec_{sends.decision.hex}"
    assert noted["obj"]["ref"] in response.content.decode()
    assert re.fullmatch(r"ZX-\d{8}-[0-9A-F]{8}", noted["obj"]["ref"])


def test_a_letter_is_written_by_post_for_a_message_of_that_person_only(desk: Client, sends: Sent) -> None:
    address = page("consent_datasubject_letter", sends.person)
    other = DataSubject.objects.exclude(pk=sends.person).earliest("pk").pk
    facts = {"campaign": sends.campaign, "send": str(sends.proper)}

    statuses = [
        desk.get(address).status_code,
        desk.post(page("consent_datasubject_letter", other), facts).status_code,
        desk.post(address, facts | {"campaign": "d11-sms"}).status_code,
        desk.post(address, facts | {"send": "x"}).status_code,
        desk.post(address, facts).status_code,
    ]

    assert statuses == [302, 404, 404, 404, 200]
    assert len(entries("letter.exported")) == 1


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_no_letter_cites_law_whose_text_was_not_read_or_house_policy(language: str) -> None:
    """Beside each other: an article that was read is cited, one from a secondary source is not."""
    cited = {reason: laws_verified(reason, language, channel="sms") for reason in Reason}

    assert cited[Reason.CONSENT_WITHDRAWN] == (["《个人信息保护法》第十五条"] if language == "zh-hans" else ["PIPL 15"])
    unread = [law.ref for law in REASONS[Reason.NO_CONSENT].law if law.confidence != "R1"]
    assert unread
    for reason, laws in cited.items():
        assert REASONS[reason].kind == "legal" or laws == []
        assert len(laws) <= sum(law.confidence == "R1" for law in REASONS[reason].law)
    assert not any("实施条例" in law or "CPLIR" in law for law in cited[Reason.NO_CONSENT])


def test_the_letter_and_the_page_have_no_inline_style_or_script(desk: Client, sends: Sent) -> None:
    for html in (letter(desk, sends, sends.proper), desk.get(page("consent_reconciliation")).content.decode()):
        assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=", html)


def test_what_is_sent_twice_on_one_decision_is_told(desk: Client, sends: Sent) -> None:
    proper = SendMatch.objects.get(pk=sends.proper)
    later = {"sent_at": proper.sent_at.isoformat(), "message_id": "again", "decision_id": f"dec_{sends.decision.hex}"}

    report(later)

    tallies = {
        code: count for code, _w, _x, count, _q in desk.get(reverse("admin:consent_reconciliation")).context["tiles"]
    }
    assert tallies["DOUBLE"] == 1
