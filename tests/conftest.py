"""Fixtures every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.actors import Actor
from consent.services.samples import sample_load
from tests.demo_server import Api, DemoServer, running_demo
from tests.shop import Shop, shop_built

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "samples" / "demo"
OFFICER = Actor("user", "officer-1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes unless it is asked for: planted faults, and the full count of kills and roles."""
    for marker in ("planted", "nightly"):
        if marker not in config.getoption("markexpr"):
            left_out = [item for item in items if item.get_closest_marker(marker)]
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]


class _UndoError(Exception):
    """Ends the transaction of the sample retailer without a trace."""


@pytest.fixture(scope="module")
def retailer(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[Path]:
    """The sample retailer, loaded once for all tests of a module and gone after them.

    Returns the folder it was loaded from. Use it together with the `db` fixture.
    """
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        try:
            with transaction.atomic():
                sample_load(folder=DEMO, actor=OFFICER, at=timezone.now())
                with connection.cursor() as cursor:  # or every test's end checks all deferred keys again
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
                    cursor.execute("ANALYZE")  # autovacuum sees none of it, and may call the tables empty
                yield DEMO
                raise _UndoError
        except _UndoError:
            pass


@pytest.fixture
def at() -> datetime:
    """The present, as the database sees it."""
    return timezone.now()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    """The running demo, shared by all journeys of the run."""
    home = tmp_path_factory.mktemp("demo-home")
    home.chmod(0o755)
    with running_demo(home) as server:
        yield server


@pytest.fixture
def api(demo: DemoServer) -> Api:
    return Api(demo.base, demo.token())


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An installation with the sample retailer, run under the roles of production. Copy it to change it."""
    home = tmp_path_factory.mktemp("shop")
    home.chmod(0o755)
    with shop_built(home) as built:
        yield built
