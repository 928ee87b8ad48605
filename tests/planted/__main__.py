"""Plant every fault in turn: `python -m tests.planted [WORD …]`. Words choose faults by their promise or file.

Each is planted alone, and its test must fail. Run the tests of the sound tree first: what fails there proves nothing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import tests.postgres  # noqa: F401 - one throw-away server for all runs
from tests.planted.faults import Fault, faults_read, mended, planted, run, tree_copy


def main(words: list[str]) -> int:
    chosen = [fault for fault in faults_read() if all(word in f"{fault.promise} {fault.file}" for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        tree = tree_copy(Path(folder) / "tree")
        escaped = [fault for fault in chosen if not caught(fault, tree)]
    sys.stdout.write(f"{len(chosen) - len(escaped)} of {len(chosen)} faults caught\n")
    return 1 if escaped else 0


def caught(fault: Fault, tree: Path) -> bool:
    planted(fault, tree)
    try:
        ran = run(fault.selection, tree, fresh_database=fault.schema)
    finally:
        mended(fault, tree)
        if fault.schema:
            run(["tests/test_rules.py", "-k", "no such test", "--create-db"], tree)
    sys.stdout.write(f"{'caught  ' if ran.failed else 'ESCAPED '} {fault.promise} ({fault.test})\n")
    sys.stdout.flush()
    if not ran.failed:
        sys.stdout.write(f"{ran.output[-2000:]}\n")
    return bool(ran.failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
