"""Every rule on its vectors, without a database: what fires, and what differs by one fact and does not."""

from __future__ import annotations

import pytest

from tests.worlds import Case, World, answers, cases_read, judge_pure

CASES = cases_read()


def case_id(case: Case) -> str:
    return f"{case.file}: {case.name}"


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_world_gets_its_answer(case: Case) -> None:
    verdict = judge_pure(World(case.world))

    assert answers(verdict) == case.answers
