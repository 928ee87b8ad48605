"""The customer's page in a real browser, on a phone of 390 by 844."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from consent.decisions.reasons import Reason
from consent.domain.terms import Act
from consent.models import DataSubject
from tests.browser.conftest import PHONE
from tests.flows.customers import LIN, PERSONALISED, PROMOTION, agreed, allowed, checks, link_of, say

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("browser", "retailer")]

STOP_SMS = "停止 促销 · 短信"
MOST_BYTES = 150_000
SMALLEST_TARGET = 44


@pytest.fixture
def lin(site: str) -> DataSubject:
    """Lin said yes to much, no to calls, and waits to confirm a survey by e-mail."""
    lin = agreed(LIN, (PROMOTION, "sms"), (PROMOTION, "email"), (PERSONALISED, "app_push"))
    say(lin, Act.DENY, PROMOTION, "phone")
    say(lin, Act.GRANT, "marketing.survey", "email", point="WEB1")
    say(lin, Act.GRANT, "share.partner", None, recipient="yinhe-mall")
    say(lin, Act.GRANT, "crossborder.transfer", None, recipient="lotus-mail")
    return lin


def traffic_of(page: Page) -> dict[str, Any]:
    """Count the bytes a page loads, and note every host it talks to."""
    seen: dict[str, Any] = {"bytes": 0, "addresses": []}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: seen.update(bytes=seen["bytes"] + event["encodedDataLength"]))
    page.on("request", lambda request: seen["addresses"].append(request.url))
    return seen


def axe_of(page: Page) -> list[str]:
    return [f"{found['id']}: {found['help']}" for found in Axe().run(page).response["violations"]]


def test_a_customer_stops_sms_with_one_tap(page: Page, site: str, lin: DataSubject, tmp_path: Path) -> None:
    traffic = traffic_of(page)
    before = allowed(checks(LIN, PROMOTION, "sms"))

    page.goto(link_of(lin))
    expect(page).to_have_url(f"{site}/c/")
    expect(page.get_by_role("heading", name="已开启")).to_be_visible()
    page.screenshot(path=tmp_path / "open.png", full_page=True)
    page.get_by_role("button", name=STOP_SMS).tap()
    expect(page.get_by_role("status")).to_contain_text("已停止：促销 · 短信")
    expect(page.get_by_role("status")).to_contain_text("cev_")
    expect(page.get_by_role("status")).to_be_focused()
    page.screenshot(path=tmp_path / "stopped.png", full_page=True)
    page.goto("/c/")
    page.reload()

    expect(page.get_by_role("button", name=STOP_SMS)).to_have_count(0)
    expect(page.get_by_role("button", name="停止 促销 · 电子邮件")).to_be_visible()
    assert before == [True, True]
    assert [verdict.primary for verdict in checks(LIN, PROMOTION, "sms")] == [Reason.CONSENT_WITHDRAWN] * 2
    assert allowed(checks(LIN, PROMOTION, "email")) == [True, True]
    assert 0 < traffic["bytes"] <= MOST_BYTES
    assert [address for address in traffic["addresses"] if not address.startswith((site, "data:"))] == []


def test_stop_everything_is_the_first_thing_and_takes_one_tap(page: Page, lin: DataSubject) -> None:
    page.goto(link_of(lin))
    everything = page.get_by_role("button", name="全部停止")
    expect(everything).to_be_in_viewport()
    assert page.get_by_role("button").first.text_content() == "全部停止"

    everything.tap()

    expect(page.get_by_role("status")).to_contain_text("已全部停止")
    assert page.get_by_role("button").count() == 1
    for channel in ("sms", "email"):
        assert allowed(checks(LIN, PROMOTION, channel)) == [False, False]


def test_the_keyboard_is_enough(page: Page, lin: DataSubject) -> None:
    page.goto(link_of(lin))
    button = page.get_by_role("button", name=STOP_SMS)

    for _ in range(40):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            break
    outline = button.evaluate("element => getComputedStyle(element).outlineWidth")
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("已停止：促销 · 短信")
    assert float(outline.removesuffix("px")) >= 2
    assert allowed(checks(LIN, PROMOTION, "sms")) == [False, False]


def test_it_works_without_javascript(browser: Browser, site: str, lin: DataSubject) -> None:
    with browser.new_context(base_url=site, viewport=PHONE, java_script_enabled=False) as plain:
        page = plain.new_page()
        page.goto(link_of(lin))

        page.get_by_role("button", name=STOP_SMS).click()

        expect(page.get_by_role("status")).to_contain_text("已停止：促销 · 短信")
    assert allowed(checks(LIN, PROMOTION, "sms")) == [False, False]


def test_english_is_one_tap_away_and_lasts_through_a_stop(page: Page, lin: DataSubject) -> None:
    page.goto(link_of(lin))
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")

    page.get_by_role("link", name="English").tap()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_role("button", name="Stop Promotions · SMS").tap()

    expect(page.get_by_role("status")).to_contain_text("Stopped: Promotions · SMS")
    page.get_by_role("link", name="中文").tap()
    expect(page.get_by_role("status")).to_contain_text("已停止：促销 · 短信")


def test_the_notice_can_be_read_and_left_again(page: Page, lin: DataSubject) -> None:
    page.goto(link_of(lin))

    page.get_by_role("link", name="《小程序用户须知》第2版").first.tap()
    expect(page.get_by_role("heading", level=1)).to_have_text("《小程序用户须知》第2版")
    expect(page.locator(".notice")).to_contain_text("兰花零售（上海）有限公司")

    page.go_back()
    expect(page.get_by_role("button", name="全部停止")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["", "?lang=en"])
def test_nothing_stands_in_the_way_of_anybody(phone: BrowserContext, lin: DataSubject, scheme: str, language: str):
    """Rules of axe (WCAG 2 A and AA, best practices) on every page and state, and fingers need 44 pixels."""
    page = phone.new_page()
    page.emulate_media(color_scheme=scheme)
    page.goto(link_of(lin))

    def look() -> None:
        assert axe_of(page) == []
        for target in page.locator("a, button").all():
            box = target.bounding_box()
            assert box
            assert box["height"] >= SMALLEST_TARGET, target.text_content()

    page.goto(f"/c/{language}")
    look()
    page.locator("button.stop").first.click()
    look()
    page.locator("button.stop-all").click()
    look()
    page.goto(f"/c/notices/mp/2/{language}")
    look()
    page.goto(f"/c/nobody/{language}")
    look()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out(phone: BrowserContext, lin: DataSubject, width: int) -> None:
    page = phone.new_page()
    page.set_viewport_size({"width": width, "height": 844})
    for address in (link_of(lin), "/c/?lang=en", "/c/notices/mp/2/", "/c/nobody/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
