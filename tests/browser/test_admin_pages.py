"""The officer's desk in a real browser: mouse and keyboard, light and dark, Chinese and English."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from consent.models import Campaign, ConsentRecord
from governance.models import Recipient
from tests.flows.test_admin import held_phone, most_said, page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("retailer")]

SMALLEST_TARGET = 44
WIDE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
ARTICLE = re.compile(r"《[^》]+》第[一二三四五六七八九十]+条")
AXE = {"preload": False, "resultTypes": ["violations"]}  # preloading writes styles into the page: our policy refuses
COLOURS = AXE | {"runOnly": ["color-contrast"]}  # all that changes with the scheme

Desk = Callable[..., Page]


@pytest.fixture
def lan(db: None) -> User:
    return User.objects.create_superuser("lan", password="orchid-7", first_name="兰")


@pytest.fixture
def bo(db: None) -> User:
    return User.objects.create_superuser("bo", password="bamboo-7", first_name="柏")


@pytest.fixture
def desk(browser: Browser, site: str) -> Iterator[Desk]:
    """Open a desk: a page for one officer. It must not complain, and must talk to nobody but us."""
    complaints: list[str] = []
    contexts = []

    def open_desk(user: User | None = None, language: str = "zh-CN", size: dict[str, int] = WIDE) -> Page:
        context = browser.new_context(
            base_url=site,
            viewport=size,
            locale=language,
            timezone_id="Asia/Shanghai",
            reduced_motion="reduce",  # a colour on its way to another is measured by nobody
        )
        contexts.append(context)
        if user is not None:
            client = Client()
            client.force_login(user)
            context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": site}])
        opened = context.new_page()
        opened.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on(
            "request",
            lambda request: complaints.append(request.url) if not request.url.startswith((site, "data:")) else None,
        )
        return opened

    yield open_desk
    for context in contexts:
        context.close()
    assert complaints == []


def sticks_out(opened: Page) -> bool:
    return bool(opened.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


# -- journeys --------------------------------------------------------------------------------------------------------


def test_why_did_you_text_me_is_answered_from_a_number(desk: Desk, lan: User, retailer: Path) -> None:
    number, [person] = held_phone(retailer, by=1)
    local = number.removeprefix("+86")
    lan_desk = desk()
    seen: list[str] = []
    lan_desk.on("request", lambda request: seen.append(request.url))

    lan_desk.goto("/admin/")
    lan_desk.get_by_label("用户名").fill("lan")
    lan_desk.get_by_label("密码").fill("orchid-7")
    lan_desk.get_by_role("button", name="登录").click()
    lan_desk.locator("#zx-identifier").fill(local)
    lan_desk.locator(".zx-search button").click()

    expect(lan_desk).to_have_url(re.compile(rf"/admin/consent/datasubject/{person}/change/$"))
    expect(lan_desk.locator(".zx-person")).to_contain_text(f"{local[:3]}****{local[-4:]}")
    lan_desk.locator("select[name=campaign]").select_option("d11-sms")
    lan_desk.locator("select[name=campaign] + button").click()
    expect(lan_desk.locator(".zx-verdict")).to_be_visible()
    reasons = lan_desk.locator(".zx-reasons tbody tr")
    assert reasons.count() >= 1
    assert ARTICLE.search(reasons.first.inner_text())
    expect(reasons.first.locator(".zx-tag")).to_be_visible()
    assert local not in lan_desk.content()
    assert [address for address in seen if local in address] == []


def test_a_campaign_says_what_to_expect_and_two_people_approve_it(desk: Desk, lan: User, bo: User) -> None:
    Campaign.objects.filter(code="push-reco").update(audience={}, approved_at=None, approved_by="", second_approver="")
    place = page("consent_campaign_change", Campaign.objects.get(code="push-reco").pk)
    first = desk(lan)

    first.goto(place)
    first.locator("form[action$='/predict/'] button").click()
    bars = first.locator("svg.zx-chart rect")
    lines = first.locator(".zx-pair tbody tr")
    expect(bars.first).to_be_visible()
    assert bars.count() == lines.count() >= 2
    assert first.locator(".zx-count").count() == 4

    first.goto(place)
    first.locator("form[action$='/approve/'] button").click()
    expect(first.locator(".messagelist .success")).to_be_visible()
    expect(first.locator(".zx-verdict")).to_contain_text("lan")
    first.locator("form[action$='/approve/'] button").click()
    expect(first.locator(".messagelist .error")).to_be_visible()
    second = desk(bo)
    second.goto(place)
    second.locator("form[action$='/approve/'] button").click()
    expect(second.locator(".messagelist .success")).to_be_visible()
    expect(second.locator(".zx-verdict")).to_contain_text("bo")
    expect(second.locator("form[action$='/approve/'] button")).to_have_count(0)


def test_nobody_writes_in_the_ledger(desk: Desk, lan: User) -> None:
    lan_desk = desk(lan)

    for name, row in (
        ("consent_consentrecord", ConsentRecord.objects.all()[0].pk),
        ("consent_decision", None),
        ("audit_auditentry", None),
    ):
        lan_desk.goto(page(f"{name}_changelist"))
        assert lan_desk.locator("#content a.addlink, #content select[name=action], .action-checkbox").count() == 0
        if row:
            lan_desk.goto(page(f"{name}_change", row))
            writing = lan_desk.locator("#content form[id$='_form'] :is(input:not([type=hidden]), select, textarea)")
            assert writing.count() == 0
            assert lan_desk.locator("#content :is(.deletelink, input[name=_save])").count() == 0


def test_filters_narrow_a_list_and_are_left_again(desk: Desk, lan: User) -> None:
    lan_desk = desk(lan)
    lan_desk.goto(page("consent_consentrecord_changelist"))
    before = lan_desk.locator(".paginator").inner_text()

    lan_desk.locator(".zx-filters a[href='?act=withdraw']").click()

    expect(lan_desk.locator(".zx-filter-row").first.locator("[aria-current]")).to_have_attribute(
        "href", "?act=withdraw"
    )
    rows = lan_desk.locator("#result_list tbody tr")
    assert 0 < rows.count() == lan_desk.locator("#result_list .zx-act-withdraw").count()
    assert lan_desk.locator(".paginator").inner_text() != before
    lan_desk.locator(".zx-filter-clear a").click()
    assert lan_desk.locator(".paginator").inner_text() == before


def test_the_keyboard_is_enough(desk: Desk, lan: User, retailer: Path) -> None:
    number, [person] = held_phone(retailer, by=1)
    lan_desk = desk(lan)
    lan_desk.goto("/admin/")

    lan_desk.keyboard.press("Tab")
    assert lan_desk.evaluate("document.activeElement.className") == "skip-to-content-link"
    lan_desk.keyboard.press("Enter")
    lan_desk.keyboard.press("Tab")
    assert lan_desk.evaluate("document.activeElement.id") == "zx-identifier"
    assert float(lan_desk.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")) >= 2
    lan_desk.keyboard.type(number.removeprefix("+86"))
    lan_desk.keyboard.press("Enter")

    expect(lan_desk).to_have_url(re.compile(rf"/datasubject/{person}/change/$"))
    for _ in range(80):
        lan_desk.keyboard.press("Tab")
        if lan_desk.evaluate("document.activeElement.name") == "campaign":
            break
    lan_desk.keyboard.press("ArrowDown")
    lan_desk.keyboard.press("Tab")
    lan_desk.keyboard.press("Enter")
    expect(lan_desk).to_have_url(re.compile(r"/why/\?campaign="))
    expect(lan_desk.locator(".zx-verdict")).to_be_visible()


def test_english_is_one_click_away_and_lasts(desk: Desk, lan: User) -> None:
    lan_desk = desk(lan)
    lan_desk.goto("/admin/")
    expect(lan_desk.locator("html")).to_have_attribute("lang", "zh-hans")

    lan_desk.get_by_role("button", name="English").click()
    expect(lan_desk.get_by_role("heading", level=1)).to_have_text("Overview")
    lan_desk.goto(page("consent_datasubject_changelist"))

    expect(lan_desk.get_by_role("heading", level=1)).to_have_text("People")


# -- for everybody ---------------------------------------------------------------------------------------------------


def main_pages() -> list[str]:
    person = most_said()
    return [
        "/admin/",
        page("consent_datasubject_changelist") + "?status=4",
        page("consent_datasubject_change", person),
        page("consent_datasubject_why", person) + "?campaign=fields-push",
        page("consent_campaign_changelist"),
        page("consent_campaign_change", Campaign.objects.get(code="d11-sms").pk),
        page("consent_consentrecord_changelist") + "?act=withdraw&separate__exact=1",
        page("consent_consentrecord_change", ConsentRecord.objects.all()[0].pk),
        page("governance_recipient_change", Recipient.objects.get(code="yunqiao").pk),
        page("governance_policyrevision_changelist"),
        page("audit_auditentry_changelist") + "?type=register.changed",
        page("consent_states") + "?said=no",
    ]


def axe_of(opened: Page, options: dict[str, Any]) -> list[str]:
    found = Axe().run(opened, options=options).response["violations"]
    return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"][:1]]


@pytest.mark.parametrize(("language", "pages"), [("zh-CN", slice(None)), ("en", slice(0, 4))])
def test_nothing_stands_in_the_way_of_anybody(desk: Desk, lan: User, language: str, pages: slice) -> None:
    """Rules of axe (WCAG 2 A and AA, best practices) in daylight, and its contrasts in the dark."""
    lan_desk = desk(lan, language)
    trouble = {}

    for place in main_pages()[pages]:
        lan_desk.emulate_media(color_scheme="light")
        lan_desk.goto(place)
        found = axe_of(lan_desk, AXE)
        lan_desk.emulate_media(color_scheme="dark")
        found += axe_of(lan_desk, COLOURS)
        if found:
            trouble[place] = found

    assert trouble == {}


def test_a_phone_shows_all_of_it(desk: Desk, lan: User) -> None:
    """Nothing sticks out, and fingers need 44 pixels."""
    lan_desk = desk(lan, size=PHONE)
    trouble = []

    for place in main_pages():
        lan_desk.goto(place)
        if sticks_out(lan_desk):
            trouble.append(f"{place} sticks out")
        for target in lan_desk.locator(
            "#user-tools :is(a, button), #content :is(button, .button, .zx-links a, .zx-filters a, .paginator a)"
        ).all():
            box = target.bounding_box()
            if box and box["height"] < SMALLEST_TARGET:
                trouble.append(f"{place} {target.inner_text()} {box['height']}")

    assert trouble == []
