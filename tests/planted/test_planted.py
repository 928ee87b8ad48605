"""The tests notice what they are there to notice. Each fault alone: `pytest -m planted`, or `python -m tests.planted`.

The ordinary run plants only the quick one, and checks that all of them can still be planted.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.planted.faults import ROOT, Fault, faults_read, planted, run, tree_copy

FAULTS = faults_read()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree_copy(tmp_path_factory.mktemp("planted") / "tree")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.promise)
def test_a_fault_can_be_planted_and_its_test_exists(fault: Fault) -> None:
    source = (ROOT / fault.file).read_text()
    name, _, function = fault.test.partition("::")

    assert source.count(fault.find) == 1
    ast.parse(source.replace(fault.find, fault.plant))
    assert f"def {function}" in (ROOT / name).read_text()


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=[] if f.quick else pytest.mark.planted, id=f.promise) for f in FAULTS],
)
def test_a_planted_fault_is_noticed(fault: Fault, tree: Path) -> None:
    path = tree / fault.file
    sound = path.read_text()
    planted(fault, tree)
    try:
        assert run(fault.selection, tree, fresh_database=True).failed
    finally:
        path.write_text(sound)
