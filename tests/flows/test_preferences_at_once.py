"""Two things at once: a stop that is acknowledged is seen by every check that starts afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import TypeVar

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.actors import SYSTEM
from consent.decisions.reasons import Reason
from consent.models import ConsentRecord
from consent.selectors import register
from consent.services.preferences import preference_stop
from consent.services.register_files import register_load
from consent.services.samples import MEMBER_ID_PATTERN
from governance.domain.identifiers import IdentifierType
from tests.conftest import DEMO
from tests.flows.customers import LIN, PROMOTION, agreed, allowed, checks

ZHAO = {IdentifierType.PHONE: "+8613900010002"}
Answer = TypeVar("Answer")


pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    """A copy of the test database where other threads may commit: append-only tables cannot be emptied afterwards."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:  # type: ignore[attr-defined]
        name = connection.settings_dict["NAME"]
        copy = f"{name}_committed"
        connection.close()
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
        patch.setitem(connection.settings_dict, "NAME", copy)
        patch.setattr(register, "_held", None)
        register_load(folder=DEMO, member_id_pattern=MEMBER_ID_PATTERN, actor=SYSTEM, at=timezone.now())
        yield
        connection.close()
        patch.undo()
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def committing(work: Callable[[], Answer]) -> Callable[[], Answer]:
    """Wrap work for another thread: a connection and a transaction of its own, committed at the end."""

    def done() -> Answer:
        try:
            with transaction.atomic():
                return work()
        finally:
            connection.close()

    return done


def test_a_committed_stop_is_seen_by_the_next_statement_of_others(committed: None, pool: ThreadPoolExecutor) -> None:
    lin = pool.submit(committing(lambda: agreed(LIN, (PROMOTION, "sms")))).result()
    written, looked = Event(), Event()

    def stop() -> None:
        preference_stop(subject_id=lin.id, purpose=None, channel=None, actor=SYSTEM, at=timezone.now())
        written.set()
        assert looked.wait(20)

    stopping = pool.submit(committing(stop))
    assert written.wait(20)
    before_commit = allowed(checks(LIN, PROMOTION, "sms"))
    looked.set()
    stopping.result()
    after_commit = checks(LIN, PROMOTION, "sms")

    assert before_commit == [True, True]
    assert [verdict.primary for verdict in after_commit] == [Reason.CONSENT_WITHDRAWN] * 2


def test_a_double_tap_is_one_no(committed: None, pool: ThreadPoolExecutor) -> None:
    zhao = pool.submit(committing(lambda: agreed(ZHAO, (PROMOTION, "sms")))).result()
    together = Barrier(4)

    def tap() -> str:
        together.wait(20)
        return preference_stop(subject_id=zhao.id, purpose=PROMOTION, channel="sms", actor=SYSTEM, at=timezone.now())

    receipts = {tapped.result() for tapped in [pool.submit(committing(tap)) for _ in range(4)]}

    assert len(receipts) == 1
    assert ConsentRecord.objects.filter(subject=zhao, act="withdraw").count() == 1
