"""The compliance officer's desk (journeys 5.1), through Django's client."""

from __future__ import annotations

import csv
import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import models
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from audit.actors import Actor
from audit.admin_base import EVENTS, actor_of
from audit.domain.details import EVENT_DETAILS
from audit.models import AuditEntry
from audit.selectors.entries import entry_body
from consent.decisions.engine import judge_send
from consent.models import (
    Campaign,
    ConsentImport,
    ConsentRecord,
    Content,
    DataSubject,
    Guardianship,
    Identifier,
    Notice,
    NoticeVersion,
    Screening,
    SendRecord,
    Suppression,
    TemplateSubscription,
)
from consent.screening.reference import ReferenceBackend
from consent.selectors.audiences import contacts_sample
from consent.selectors.register import register_live
from consent.services.predictions import campaign_sample
from consent.services.screenings import screening_run
from governance.crypto.blind_index import lookup
from governance.domain.identifiers import IdentifierType, phone
from governance.models import (
    Agreement,
    DataField,
    ImpactAssessment,
    PolicyRevision,
    Purpose,
    Recipient,
    RegisterHead,
    WordList,
)

LEDGERS = (
    "audit_auditentry",
    "consent_consentrecord",
    "consent_consentimport",
    "consent_suppression",
    "consent_sendrecord",
    "consent_templatesubscription",
    "consent_datasubject",
)


@pytest.fixture
def officer(retailer: Path, db: None) -> User:
    return User.objects.create_superuser("lan", first_name="兰")


@pytest.fixture
def desk(client: Client, officer: User) -> Client:
    client.force_login(officer)
    return client


def entries(kind: str) -> list[dict[str, Any]]:
    """Return the bodies of the trail's entries of one type, the oldest first."""
    return [entry_body(row) for row in AuditEntry.objects.filter(type=kind).order_by("id")]


def held_phone(folder: Path, *, by: int) -> tuple[str, list[int]]:
    """Return a number of the sample that so many members hold, and their keys."""
    with (folder / "members.csv").open(encoding="gb18030", newline="") as members:
        numbers = [number for row in csv.DictReader(members) if (number := phone(row["手机号"] or ""))]
    for number in numbers:
        held = Identifier.objects.filter(type=IdentifierType.PHONE, lookup=lookup(IdentifierType.PHONE, number))
        people = list(held.values_list("subject_id", flat=True))
        if len(people) == by:
            return number, people
    raise AssertionError("the sample has no such number")


def form_data(response: Any) -> dict[str, Any]:
    """Return what a browser would send if nothing were changed on this page."""
    form = response.context["adminform"].form
    forms = [form]
    data: dict[str, Any] = {}
    for wrapped in response.context["inline_admin_formsets"]:
        forms += [wrapped.formset.management_form, *wrapped.formset.forms]
    for one in forms:
        for bound in one:
            value = bound.value()
            names = getattr(bound.field.widget, "widgets", None)
            if names:
                parts = bound.field.widget.decompress(value)
                data |= {f"{bound.html_name}_{place}": part or "" for place, part in enumerate(parts)}
            elif isinstance(value, list):
                data[bound.html_name] = [getattr(item, "pk", item) for item in value]
            elif value is True:
                data[bound.html_name] = "on"
            elif value is not None and value is not False:
                data[bound.html_name] = str(value).replace("\n", "\r\n")
    return data


# -- words -----------------------------------------------------------------------------------------------------------


def test_every_kind_of_event_has_words() -> None:
    assert set(EVENTS) == set(EVENT_DETAILS)


# -- opening pages ---------------------------------------------------------------------------------------------------


def most_said() -> int:
    """Return the key of the person with a phone who has said most."""
    reachable = ConsentRecord.objects.filter(subject__identifiers__type=IdentifierType.PHONE)
    counted = reachable.values("subject_id").annotate(said=models.Count("id")).order_by("-said")
    return int(counted[0]["subject_id"])


def page(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


PAGES: dict[str, tuple[Callable[[], str], int]] = {
    "overview": (lambda: page("index"), 20),
    "people": (lambda: page("consent_datasubject_changelist"), 10),
    "person": (lambda: page("consent_datasubject_change", most_said()), 17),
    "child": (lambda: page("consent_datasubject_change", Guardianship.objects.values_list("child", flat=True)[0]), 17),
    "who looked": (lambda: page("consent_datasubject_history", most_said()), 4),
    "why": (lambda: page("consent_datasubject_why", most_said()) + "?campaign=d11-sms", 29),
    "why, then": (
        lambda: page("consent_datasubject_why", most_said()) + "?campaign=d11-sms&as_of=2026-11-10T10:00",
        28,
    ),
    "ask why": (lambda: page("consent_why"), 3),
    "states": (lambda: page("consent_states"), 5),
    "records": (lambda: page("consent_consentrecord_changelist"), 10),
    "record": (lambda: page("consent_consentrecord_change", ConsentRecord.objects.all()[0].pk), 10),
    "decisions": (lambda: page("consent_decision_changelist"), 8),
    "screenings": (lambda: page("consent_screening_changelist"), 8),
    "imports": (lambda: page("consent_consentimport_changelist"), 8),
    "import": (lambda: page("consent_consentimport_change", ConsentImport.objects.all()[0].pk), 4),
    "suppressions": (lambda: page("consent_suppression_changelist"), 8),
    "suppression": (lambda: page("consent_suppression_change", Suppression.objects.all()[0].pk), 4),
    "sends": (lambda: page("consent_sendrecord_changelist"), 9),
    "send": (lambda: page("consent_sendrecord_change", SendRecord.objects.all()[0].pk), 5),
    "subscriptions": (lambda: page("consent_templatesubscription_changelist"), 8),
    "subscription": (lambda: page("consent_templatesubscription_change", TemplateSubscription.objects.all()[0].pk), 4),
    "trail": (lambda: page("audit_auditentry_changelist"), 8),
    "entry": (lambda: page("audit_auditentry_change", AuditEntry.objects.all()[0].pk), 6),
    "campaigns": (lambda: page("consent_campaign_changelist"), 9),
    "campaign": (lambda: page("consent_campaign_change", Campaign.objects.get(code="d11-sms").pk), 12),
    "contents": (lambda: page("consent_content_changelist"), 8),
    "content": (lambda: page("consent_content_change", Content.objects.get(code="C01").pk), 4),
    "purposes": (lambda: page("governance_purpose_changelist"), 8),
    "purpose": (lambda: page("governance_purpose_change", Purpose.objects.all()[0].pk), 6),
    "fields": (lambda: page("governance_datafield_changelist"), 8),
    "field": (lambda: page("governance_datafield_change", DataField.objects.all()[0].pk), 6),
    "recipients": (lambda: page("governance_recipient_changelist"), 8),
    "recipient": (lambda: page("governance_recipient_change", Recipient.objects.get(code="yunqiao").pk), 8),
    "assessment": (lambda: page("governance_impactassessment_change", ImpactAssessment.objects.all()[0].pk), 9),
    "words": (lambda: page("governance_wordlist_change", WordList.objects.all()[0].pk), 4),
    "policies": (lambda: page("governance_policyrevision_changelist"), 8),
    "new policy": (lambda: page("governance_policyrevision_add"), 4),
    "entity": (lambda: page("governance_controller_change", 1), 4),
    "notice": (lambda: page("consent_notice_change", Notice.objects.get(code="privacy").pk), 5),
    "notice version": (
        lambda: page("consent_noticeversion_change", NoticeVersion.objects.get(notice__code="privacy", version=5).pk),
        12,
    ),
    "new notice version": (lambda: page("consent_noticeversion_add"), 4),
    "points": (lambda: page("consent_collectionpoint_changelist"), 8),
    "batches": (lambda: page("consent_sourcebatch_changelist"), 8),
    "clients": (lambda: page("governance_apiclient_changelist"), 8),
}


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_in_a_fixed_number_of_queries(
    desk: Client, name: str, django_assert_max_num_queries: Any
) -> None:
    address, bound = PAGES[name]
    place = address()
    register_live()  # in memory, as it is on any page but the first after a change

    with django_assert_max_num_queries(bound):
        response = desk.get(place)

    assert response.status_code == 200


def test_who_is_not_signed_in_is_asked_to(client: Client, db: None) -> None:
    for place in (page("index"), page("consent_datasubject_changelist"), page("consent_why"), page("consent_states")):
        response = client.get(place)

        assert response.status_code == 302
        assert response["Location"].startswith(page("login"))


def test_an_officer_without_permission_sees_nothing_of_people(client: Client, retailer: Path, db: None) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_purpose"))
    client.force_login(clerk)

    refused = [
        client.get(page("consent_datasubject_changelist")),
        client.get(page("consent_datasubject_change", most_said())),
        client.get(page("consent_datasubject_why", most_said()) + "?campaign=d11-sms"),
        client.get(page("consent_states")),
        client.post(page("consent_datasubject_search"), {"identifier": "13800138000"}),
        client.post(page("consent_campaign_predict", Campaign.objects.all()[0].pk)),
        client.post(page("consent_campaign_approve", Campaign.objects.all()[0].pk)),
    ]

    assert [response.status_code for response in refused] == [403] * len(refused)
    assert client.get(page("governance_purpose_changelist")).status_code == 200
    assert "双11新品短信" not in client.get(page("index")).content.decode()


def test_no_page_can_show_sealed_values_or_look_up_bytes() -> None:
    for model, model_admin in admin.site._registry.items():
        binary = {field.name for field in model._meta.concrete_fields if isinstance(field, models.BinaryField)}
        named = {str(name) for name in (*model_admin.list_display, *(model_admin.fields or ()))}
        assert not binary & named, model
    assert "subjectprofile" not in {model._meta.model_name for model in admin.site._registry}


def test_every_answer_forbids_foreign_resources_and_has_no_inline_style_or_script(desk: Client) -> None:
    for name in ("overview", "person", "why", "campaign", "recipient", "records"):
        response = desk.get(PAGES[name][0]())
        html = response.content.decode()

        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert "unsafe" not in response["Content-Security-Policy"]
        assert not re.search(
            r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|https?://(?!www\.w3\.org|m\.example)", html
        )


# -- people ----------------------------------------------------------------------------------------------------------


def test_a_phone_number_finds_its_person_and_stands_nowhere_afterwards(
    desk: Client, retailer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    number, [person] = held_phone(retailer, by=1)
    digits = number.removeprefix("+86")

    with caplog.at_level(logging.DEBUG):
        written = f"０086 {digits[:3]}-{digits[3:7]} {digits[7:]}"
        found = desk.post(page("consent_datasubject_search"), {"identifier": written})
        shown = desk.get(found["Location"])

    assert found["Location"] == page("consent_datasubject_change", person)
    assert digits not in shown.content.decode()
    assert f"{digits[:3]}****{digits[7:]}" in shown.content.decode()
    assert digits not in caplog.text


def test_people_who_share_a_number_are_shown_together(desk: Client, retailer: Path) -> None:
    number, people = held_phone(retailer, by=2)
    seen = len(entries("subject.viewed"))

    html = desk.post(page("consent_datasubject_search"), {"identifier": number}).content.decode()

    assert all(f'href="{page("consent_datasubject_change", person)}"' in html for person in people)
    assert number.removeprefix("+86") not in html
    assert len(entries("subject.viewed")) == seen + 2


def test_who_is_not_found_is_answered_without_an_echo(desk: Client) -> None:
    response = desk.post(page("consent_datasubject_search"), {"identifier": "13800000000"})

    assert response.context["people"] == []
    assert "13800000000" not in response.content.decode()


def test_what_is_no_identifier_is_said_to_be_none(desk: Client) -> None:
    response = desk.post(page("consent_datasubject_search"), {"identifier": "?"})

    assert response.context["read_as"] == []


def test_an_opt_out_of_a_number_nobody_holds_is_still_found(desk: Client) -> None:
    Suppression.objects.create(
        type=IdentifierType.PHONE, lookup=lookup(IdentifierType.PHONE, "+8613800000001"), kind="opt_out"
    )

    response = desk.post(page("consent_datasubject_search"), {"identifier": "13800000001"})

    assert [touch.kind for touch, _words in response.context["touches"]] == ["opt_out"]


def test_the_list_of_people_is_masked_and_offers_no_search_by_address(desk: Client) -> None:
    html = desk.get(page("consent_datasubject_changelist")).content.decode()

    assert not re.search(r"1[3-9]\d{9}", html)
    assert not re.search(r"[a-z0-9.]{2,}@example", html)
    assert re.search(r"1[3-9]\d\*{4}\d{4}", html)
    assert 'name="q"' not in html
    assert desk.get(page("consent_datasubject_search")).status_code == 302


def test_opening_a_person_is_noted(desk: Client, officer: User) -> None:
    person = DataSubject.objects.get(pk=most_said())

    desk.get(page("consent_datasubject_change", person.pk))

    noted = entries("subject.viewed")[-1]
    assert noted["subj"] == str(person.ref)
    assert noted["actor"] == {"k": "user", "ref": str(officer.pk)}
    assert noted["d"] == {"where": "admin.person"}


def test_the_page_of_a_person_shows_where_he_stands_and_what_he_said(desk: Client) -> None:
    person = most_said()

    response = desk.get(page("consent_datasubject_change", person))

    shown = response.context["person"]
    assert [name for name, _code, _cells in response.context["matrix"]][:1] == ["个性化"]
    assert len(shown.records) == ConsentRecord.objects.filter(subject_id=person).count()
    assert shown.records == sorted(shown.records, key=lambda row: (row.said_at, row.pk), reverse=True)


def test_nobody_is_an_error_page_and_no_entry(desk: Client) -> None:
    seen = len(entries("subject.viewed"))

    assert desk.get(page("consent_datasubject_change", 999_999_999)).status_code == 404
    assert desk.get(page("consent_datasubject_why", 999_999_999) + "?campaign=d11-sms").status_code == 404
    assert len(entries("subject.viewed")) == seen


# -- why -------------------------------------------------------------------------------------------------------------

WHY = ("d11-sms", "vip-sms", "edm-nov", "tel-vip", "push-reco", "wx-new", "skin-push", "order-sms")


def expected_rows(folder: Path, campaign: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield identifiers of an audience with the answer each must get."""
    audience = Campaign.objects.get(code=campaign).audience
    with (folder / audience["file"]).open(encoding=audience["encoding"], newline="") as given:
        values = [row[audience["column"]] for row in csv.DictReader(given)]
    with (folder / "expected" / f"{campaign}.csv").open(newline="") as known:
        for row in csv.DictReader(known):
            if row["primary"]:
                yield values[int(row["row_no"]) - 1], row


@pytest.mark.parametrize("campaign", WHY)
def test_the_why_page_names_the_reason_the_sample_expects(desk: Client, retailer: Path, campaign: str) -> None:
    planned = timezone.localtime(Campaign.objects.get(code=campaign).planned_at).isoformat(timespec="seconds")
    asked = 0
    for value, row in expected_rows(retailer, campaign):
        found = desk.post(page("consent_datasubject_search"), {"identifier": value, "campaign": campaign})
        if found.status_code != 302:
            continue  # nobody, or several people
        response = desk.get(found["Location"], {"campaign": campaign, "as_of": planned})
        verdict = response.context["found"].verdict

        assert (verdict.outcome.value, verdict.primary.name) == (row["outcome"], row["primary"]), row
        assert [line.code for line in response.context["reasons"] if line.primary] == [row["primary"]]
        assert f"<code>{row['primary']}</code>" in response.content.decode()
        asked += 1
        if asked == 8:
            break
    assert asked == 8


def test_now_the_why_page_judges_as_a_check_does_and_agrees_with_the_ledger(desk: Client, retailer: Path) -> None:
    asked = 0
    for value, _row in expected_rows(retailer, "d11-sms"):
        found = desk.post(page("consent_datasubject_search"), {"identifier": value, "campaign": "d11-sms"})
        if found.status_code == 302:
            assert desk.get(found["Location"]).context["found"].agrees
            asked += 1
        if asked == 20:
            break


def test_asking_why_is_noted_with_the_campaign(desk: Client) -> None:
    desk.get(page("consent_datasubject_why", most_said()) + "?campaign=d11-sms")

    noted = entries("subject.viewed")[-1]
    assert noted["d"] == {"where": "admin.why"}
    assert noted["obj"] == {"k": "campaign", "ref": "d11-sms"}


def test_house_policy_is_never_shown_as_law(desk: Client, retailer: Path) -> None:
    late = (
        page("consent_datasubject_why", held_phone(retailer, by=1)[1][0])
        + "?campaign=late-sms&as_of=2026-11-20T21:00:00"
    )

    lines = {line.code: line for line in desk.get(late).context["reasons"]}
    assert lines["QUIET_HOURS"].kind == "policy"
    assert lines["QUIET_HOURS"].laws == []
    assert all(line.laws for line in lines.values() if line.kind == "legal")


def test_reasons_come_in_chinese_first_and_in_english_if_asked(desk: Client) -> None:
    place = page("consent_campaign_change", Campaign.objects.get(code="late-sms").pk)
    first = desk.get(place).context["findings"]

    desk.post(reverse("set_language"), {"language": "en", "next": place})
    second = desk.get(place).context["findings"]

    assert [(line.message, line.other) for line in first] == [(line.other, line.message) for line in second]
    assert "《" in first[0].laws[0].text


# -- campaigns -------------------------------------------------------------------------------------------------------


def test_predicting_screens_the_audience_file_and_shows_its_counts(desk: Client) -> None:
    campaign = Campaign.objects.get(code="d11-sms")
    desk.post(page("consent_campaign_predict", campaign.pk))
    screening = Screening.objects.get(campaign="d11-sms")

    screening_run(screening.pk)

    screening.refresh_from_db()
    response = desk.get(page("consent_campaign_change", campaign.pk))
    shown = {item.outcome: item.count for item in response.context["counts"]}
    assert shown == {name: screening.counts[name] for name in ("allow", "deny", "hold", "defer")}
    assert {bar.code: bar.count for bar in response.context["chart"].bars} == screening.by_code
    html = response.content.decode()
    assert html.count('<rect class="zx-bar') == len(screening.by_code)
    assert all(f"<code>{code}</code>" in html for code in screening.by_code)
    assert desk.get(page("consent_screening_change", screening.pk)).status_code == 200


def test_without_a_file_a_sample_is_judged_and_nothing_is_stored(desk: Client) -> None:
    Campaign.objects.filter(code="push-reco").update(audience={})
    campaign = Campaign.objects.get(code="push-reco")
    version = RegisterHead.objects.get().version

    response = desk.post(page("consent_campaign_predict", campaign.pk))

    assert response.context["sample"].size == Identifier.objects.filter(type=IdentifierType.MEMBER_ID).count()
    assert sum(item.count for item in response.context["counts"]) == response.context["sample"].size
    assert not Screening.objects.exists()
    assert RegisterHead.objects.get().version == version


def test_a_sample_gets_the_answers_of_the_reference_rules(retailer: Path, db: None) -> None:
    at = timezone.now()
    found = campaign_sample(campaign="vip-sms", at=at, size=300)

    register = register_live()
    judgement = judge_send(register.rules.plans["vip-sms"], register=register.rules, at=at)
    verdicts = ReferenceBackend(register).screen(contacts_sample(IdentifierType.PHONE, 300), judgement)
    assert found.counts["allow"] == sum(verdict.outcome.may_send for verdict in verdicts)
    assert found.by_code["NO_CONSENT"] == sum(
        "NO_CONSENT" in [code.name for code in verdict.codes] for verdict in verdicts
    )


def test_an_audience_file_outside_its_folder_is_not_read(desk: Client, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("手机号\n13800138000\n")
    audience = {"file": str(tmp_path / "people.csv"), "column": "手机号", "identifier": "phone"}
    Campaign.objects.filter(code="d11-sms").update(audience=audience)

    response = desk.post(page("consent_campaign_predict", Campaign.objects.get(code="d11-sms").pk))

    assert response.context["sample"] is not None
    assert not Screening.objects.exists()


def test_a_campaign_is_approved_by_two_and_a_change_ends_it(desk: Client, client: Client) -> None:
    Campaign.objects.filter(code="draft").update(approved_at=None, approved_by="", second_approver="")
    campaign = Campaign.objects.get(code="draft")
    approve = page("consent_campaign_approve", campaign.pk)
    desk.post(approve)
    desk.post(approve)  # the same person counts once
    second = Client()
    second.force_login(User.objects.create_superuser("mei"))
    second.post(approve)
    campaign.refresh_from_db()
    assert (campaign.approved_by, campaign.second_approver) == ("lan", "mei")

    place = page("consent_campaign_change", campaign.pk)
    renamed = form_data(desk.get(place)) | {"name": "未定时间的草稿二"}
    assert desk.post(place, renamed).status_code == 302
    campaign.refresh_from_db()
    assert campaign.approved_by == "lan"

    changed = form_data(desk.get(place)) | {"recipient_count": "999999"}
    assert desk.post(place, changed).status_code == 302
    campaign.refresh_from_db()
    assert (campaign.approved_at, campaign.approved_by, campaign.second_approver) == (None, "", "")


def test_codes_that_are_not_registered_survive_a_save(desk: Client) -> None:
    campaign = Campaign.objects.get(code="typo")
    place = page("consent_campaign_change", campaign.pk)

    response = desk.post(place, form_data(desk.get(place)))

    assert response.status_code == 302
    before = (campaign.purpose, campaign.fields, campaign.audience, campaign.planned_at, campaign.approved_at)
    campaign.refresh_from_db()
    assert (campaign.purpose, campaign.fields, campaign.audience, campaign.planned_at, campaign.approved_at) == before


def test_a_text_is_approved_as_it_was_read_and_saving_it_unchanged_changes_no_byte(desk: Client) -> None:
    content = Content.objects.get(code="C05")
    place = page("consent_content_change", content.pk)
    digest = desk.get(place).context["digest"]
    desk.post(page("consent_content_review", content.pk), {"digest": digest, "approve": "1"})

    desk.post(place, form_data(desk.get(place)))
    kept = Content.objects.get(code="C05")
    assert (kept.body, kept.exceptions, kept.claims) == (content.body, content.exceptions, content.claims)
    assert (kept.review_state, kept.review_sha256, kept.reviewer) == ("approved", digest, "lan")

    desk.post(place, form_data(desk.get(place)) | {"body": content.body + "！"})
    response = desk.get(place)
    assert response.context["changed"]
    desk.post(page("consent_content_review", content.pk), {"digest": digest, "approve": "1"})
    assert Content.objects.get(code="C05").review_sha256 == digest  # not the text that was read: refused


# -- the register ----------------------------------------------------------------------------------------------------


def test_saving_a_purpose_is_noted_and_makes_a_new_version_of_the_register(desk: Client, officer: User) -> None:
    purpose = Purpose.objects.get(code="marketing.survey")
    place = page("governance_purpose_change", purpose.pk)
    version = RegisterHead.objects.get().version
    narrower = Purpose.objects.get(code="marketing.promotion")

    response = desk.post(
        place,
        form_data(desk.get(place)) | {"legal_basis": "consent", "aliases": "调研\r\n问卷", "contains": [narrower.pk]},
    )

    assert response.status_code == 302
    purpose.refresh_from_db()
    assert (purpose.legal_basis, purpose.aliases) == ("consent", ["调研", "问卷"])
    assert list(purpose.contains.all()) == [narrower]
    noted = entries("register.changed")[-1]
    assert noted["actor"] == {"k": "user", "ref": str(officer.pk)}
    assert (noted["d"]["kind"], noted["d"]["code"], noted["d"]["action"]) == ("purpose", "marketing.survey", "changed")
    assert re.fullmatch("[0-9a-f]{64}", noted["d"]["sha256"])
    assert RegisterHead.objects.get().version > version
    assert register_live().rules.book.purposes["marketing.survey"].legal_basis == "consent"


def test_the_digest_of_a_change_covers_the_parts(desk: Client) -> None:
    recipient = Recipient.objects.get(code="yunqiao")
    place = page("governance_recipient_change", recipient.pk)

    desk.post(place, form_data(desk.get(place)))
    desk.post(place, form_data(desk.get(place)) | {"agreement-0-valid_to": "2028-12-31"})
    desk.post(place, form_data(desk.get(place)))

    first, second, third = [entry["d"]["sha256"] for entry in entries("register.changed")[-3:]]
    assert first != second == third
    assert Agreement.objects.get(recipient=recipient).valid_to.isoformat() == "2028-12-31"
    assert Recipient.objects.get(code="yunqiao").allowed_fields is None


def test_a_refused_form_leaves_no_trace(desk: Client) -> None:
    place = page("governance_recipient_change", Recipient.objects.get(code="yunqiao").pk)
    noted = len(entries("register.changed"))

    response = desk.post(place, form_data(desk.get(place)) | {"country": "cn"})

    assert response.status_code == 200
    assert len(entries("register.changed")) == noted


def test_the_history_of_a_thing_is_its_trail(desk: Client) -> None:
    purpose = Purpose.objects.get(code="marketing.survey")
    place = page("governance_purpose_change", purpose.pk)
    desk.post(place, form_data(desk.get(place)) | {"name": "有奖调研"})

    html = desk.get(page("governance_purpose_history", purpose.pk)).content.decode()

    assert "register.changed" in html
    assert "兰" in html


def test_a_policy_is_drafted_checked_and_put_in_force(desk: Client) -> None:
    add = page("governance_policyrevision_add")
    wrong = desk.post(add, {"values": '{"reask_cooldown_days": "long"}'})
    assert wrong.context["adminform"].form.errors["values"]
    assert desk.post(add, {"values": '{"reask_cooldown_days": 90}'}).status_code == 302
    draft = PolicyRevision.objects.get(state="draft")
    assert register_live().rules.policy.reask_cooldown_days == 180

    desk.post(page("governance_policyrevision_publish", draft.pk))

    assert register_live().rules.policy.reask_cooldown_days == 90
    states = PolicyRevision.objects.order_by("revision").values_list("state", flat=True)
    assert list(states) == ["retired", "published"]
    assert [entry["d"]["action"] for entry in entries("register.changed")[-3:]] == ["created", "retired", "published"]
    again = desk.post(page("governance_policyrevision_change", draft.pk), {"values": "{}"})
    assert again.status_code == 403  # in force, it is not edited


def test_a_notice_version_is_published_once_and_not_backwards(desk: Client) -> None:
    notice = Notice.objects.get(code="privacy")
    add = page("consent_noticeversion_add")
    data = form_data(desk.get(f"{add}?notice={notice.pk}")) | {
        "notice": notice.pk,
        "text": "第一行\r\n第二行",
        "terms-0-purpose": "marketing.promotion",
        "terms-0-valid_months": "24",
        "terms-0-categories": "contact",
        "terms-0-declared_per_month": "sms = 4",
    }
    yesterday = timezone.localtime() - timedelta(days=1)
    backwards = data | {"effective_at_0": yesterday.date().isoformat(), "effective_at_1": "08:00"}
    assert desk.post(add, backwards).context["adminform"].form.errors["effective_at"]
    tomorrow = timezone.localtime() + timedelta(days=1)
    assert (
        desk.post(add, data | {"effective_at_0": tomorrow.date().isoformat(), "effective_at_1": "08:00"}).status_code
        == 302
    )

    version = NoticeVersion.objects.get(notice=notice, version=8)
    assert version.text == "第一行\n第二行"
    assert version.text_sha256 == hashlib.sha256("第一行\n第二行".encode()).hexdigest()
    [terms] = version.terms.all()
    assert (terms.valid_months, terms.categories, terms.declared_per_month) == (24, ["contact"], {"sms": 4})
    assert entries("register.changed")[-1]["d"]["code"] == "privacy@8"
    assert desk.post(page("consent_noticeversion_change", version.pk), {"text": "x"}).status_code == 403


def test_nothing_registered_can_be_deleted(desk: Client) -> None:
    for model in admin.site._registry:
        if model._meta.app_label in ("governance", "consent", "audit"):
            row = model._default_manager.first()
            if row is not None:
                place = page(f"{model._meta.app_label}_{model._meta.model_name}_delete", row.pk)
                assert desk.post(place, {"post": "yes"}).status_code == 403, model


@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_ledger_refuses_to_be_added_to_changed_or_deleted(desk: Client, ledger: str) -> None:
    model = next(m for m in admin.site._registry if f"{m._meta.app_label}_{m._meta.model_name}" == ledger)
    row = model._default_manager.first()

    assert desk.post(page(f"{ledger}_add"), {}).status_code == 403
    assert desk.post(page(f"{ledger}_change", row.pk), {}).status_code in (403, 405)
    assert desk.post(page(f"{ledger}_delete", row.pk), {"post": "yes"}).status_code == 403


# -- what is on fire -------------------------------------------------------------------------------------------------


def test_the_overview_names_what_is_due_and_what_is_wrong(desk: Client) -> None:
    soon = timezone.now() + timedelta(days=3)
    Campaign.objects.filter(code__in=["d11-sms", "draft"]).update(planned_at=soon)
    Campaign.objects.filter(code="d11-sms").update(approved_at=None)
    Agreement.objects.filter(recipient__code="qingyou").update(valid_to=(soon + timedelta(days=7)).date())
    Agreement.objects.filter(recipient__code="anxin-call").update(valid_to=(soon + timedelta(days=70)).date())
    Screening.objects.create(
        campaign="d11-sms", status="failed", finished_at=timezone.now(), error_code="file_unreadable"
    )

    context = desk.get(page("index")).context

    found = {row.code: [line.code for line in findings] for row, findings in context["campaigns"]}
    assert "CAMPAIGN_NOT_APPROVED" in found["d11-sms"]
    assert "winback-sms" not in found
    assert "轻邮" in [item.name for item in context["deadlines"]]
    assert "安心外呼" not in [item.name for item in context["deadlines"]]
    assert [(job.kind, job.error_code) for job, _word in context["jobs"]] == [("screening", "file_unreadable")]


def test_a_huge_list_is_estimated_and_not_counted(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.admin_base._rows_about", lambda table: 12_345_678)

    response = desk.get(page("consent_consentrecord_changelist"))

    assert response.context["cl"].paginator.num_pages == 200
    assert "12,000,000" in response.content.decode()


def test_states_are_paged_along_their_key(desk: Client) -> None:
    seen: list[int] = []
    place: str | None = page("consent_states")
    while place:
        context = desk.get(place).context
        seen += [row.subject_id for row, *_rest in context["rows"]]
        after = context["next"]
        place = f"{page('consent_states')}?slot={context['chosen']}&after={after}" if after else None
    assert seen == sorted(set(seen))
    assert len(seen) > 100


def test_actors_in_the_trail_are_references(officer: User) -> None:
    request = RequestFactory().get("/")
    request.user = officer

    assert actor_of(request) == Actor("user", str(officer.pk))
