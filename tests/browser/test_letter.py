"""The letter that answers "why did you text me?", on paper as a browser prints it."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from tests.browser.test_admin_pages import PHONE, Desk, desk, lan, sticks_out
from tests.flows.sends import Sent, sent
from tests.flows.test_admin import page

__all__ = ["desk", "lan"]  # fixtures

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("retailer")]


def opened(desk: Desk, lan: User, sends: Sent, receipt: object, button: str, **more: object) -> Page:
    """Open the letter from the why page, as an officer does."""
    paper: Page = desk(lan, **more)
    paper.goto(f"{page('consent_datasubject_why', sends.person)}?campaign={sends.campaign}&send={receipt}")
    row = paper.locator(f"tr:has(input[value='{receipt}'])")
    with paper.expect_navigation():
        row.get_by_role("button", name=button).click()
    return paper


def printed(paper: Page) -> int:
    """Print to PDF and return the number of its pages."""
    pdf = paper.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF-")
    assert re.search(rb"/MediaBox \[0 0 59[45](\.\d+)? 84[12](\.\d+)?\]", pdf)  # A4 in points
    return len(re.findall(rb"/Type /Page\b", pdf))


@pytest.mark.parametrize(
    ("button", "language", "title"),
    [("答复函（中文）", "zh-Hans", "关于您询问消息来由的答复函"), ("答复函（英文）", "en", "Reply to your question")],
)
def test_the_letter_fits_on_paper_in_both_languages(
    desk: Desk, lan: User, button: str, language: str, title: str
) -> None:
    sends = sent()

    for receipt in (sends.proper, sends.shadow):
        paper = opened(desk, lan, sends, receipt, button)
        expect(paper.locator("html")).to_have_attribute("lang", language)
        expect(paper.locator("h1")).to_contain_text(title)
        expect(paper.locator("#print")).to_be_visible()
        assert printed(paper) in (1, 2)
        paper.emulate_media(media="print")
        expect(paper.locator("#print")).to_be_hidden()


def test_the_letter_can_be_read_on_a_phone_before_it_is_printed(desk: Desk, lan: User) -> None:
    sends = sent()

    paper = opened(desk, lan, sends, sends.proper, "答复函（中文）", size=PHONE)

    assert not sticks_out(paper)


@pytest.mark.parametrize("size", [{"width": 1280, "height": 860}, PHONE])
def test_the_reconciliation_stays_within_the_window(desk: Desk, lan: User, size: dict[str, int]) -> None:
    sends = sent()
    lan_desk = desk(lan, size=size)

    lan_desk.goto(page("consent_reconciliation"))

    expect(lan_desk.locator(".zx-tiles .zx-deny b").first).to_have_text("1")
    assert not sticks_out(lan_desk)
    lan_desk.locator(".zx-tiles .zx-deny a").first.click()
    expect(lan_desk.locator("table.zx-stacking tbody tr")).to_have_count(1)
    lan_desk.locator("table a[href*='/why/']").first.click()
    expect(lan_desk.locator("#h-proof")).to_be_visible()
    assert sends.address not in lan_desk.content()
