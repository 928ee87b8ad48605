"""A real browser, and the pages served to it from the test's own transaction.

pytest-django's `live_server` empties the tables after each test, which our append-only tables refuse. Here the
server's threads share the test's connection, and everything is rolled back with the test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from unittest import mock

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from django.db import connections
from django.test.testcases import QuietWSGIRequestHandler
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PHONE = {"width": 390, "height": 844}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as installed on this machine. None: the tests are skipped, or fail with ZHIXU_REQUIRE_BROWSER=1."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        message = f"no browser on the PATH ({', '.join(NAMES)}); apt-get install chromium fonts-noto-cjk"
        if os.environ.get("ZHIXU_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    connection = connections["default"]
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, where Django would refuse to work and open a new connection.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        connections["default"] = connection
        chromium = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


class _Server(ThreadedWSGIServer):
    def _close_connections(self) -> None:
        """Keep the connection: it is the test's own."""


@pytest.fixture
def site(db: None) -> Iterator[str]:
    """Serve the pages on a free port, on the connection and in the transaction of the test."""
    connection = connections["default"]
    connection.inc_thread_sharing()
    server = _Server(
        ("127.0.0.1", 0),
        QuietWSGIRequestHandler,
        allow_reuse_address=False,
        connections_override={connection.alias: connection},
    )
    server.set_app(StaticFilesHandler(WSGIHandler()))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with mock.patch.object(connection, "close"):  # Django drops a connection it finds inside a transaction
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
    server.server_close()
    thread.join()
    connection.dec_thread_sharing()


@pytest.fixture
def phone(browser: Browser, site: str) -> Iterator[BrowserContext]:
    """A phone held upright, set to Chinese."""
    with browser.new_context(base_url=site, viewport=PHONE, device_scale_factor=2, has_touch=True, locale="zh-CN") as c:
        yield c


@pytest.fixture
def page(phone: BrowserContext) -> Iterator[Page]:
    """A page that must not complain: whatever the console says as an error or a warning fails the test."""
    complaints: list[str] = []
    page = phone.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []
