"""The main job: a real retailer's files in, the expected answer to every row out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from consent.services.samples import audience_judge
from tests.conftest import DEMO

CAMPAIGNS = sorted(path.stem for path in (DEMO / "expected").glob("*.csv") if path.stem != "import_errors")


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_every_row_gets_the_expected_answer(retailer: Path, db: None, campaign: str) -> None:
    with (DEMO / "expected" / f"{campaign}.csv").open() as file:
        expected = [tuple(row) for row in csv.reader(file)][1:]

    answers = [answer.cells() for answer in audience_judge(folder=DEMO, campaign=campaign)]

    assert answers == expected
