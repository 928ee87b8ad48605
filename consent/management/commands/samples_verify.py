"""Load a folder in the sample format into a throw-away database and compare every answer with the expected one.

Exits 0 only at full agreement. The database is created for this and dropped afterwards, on the server of
DATABASE_URL or, without one, on a server of its own.
"""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.actors import SYSTEM
from audit.errors import ZhixuError
from audit.problems import words_of
from consent.management.scratch import scratch_database
from consent.management.tables import table
from consent.selectors.register import register_live
from consent.services.samples import audience_judge, sample_load

Rows = list[tuple[str, ...]]
ANSWER_HEAD = ("row_no", "outcome", "primary", "codes")
ERROR_HEAD = ("row", "code")


class Command(BaseCommand):
    help = "Check that a folder in the sample format gets the expected answer to every row."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--out", type=Path, help="write each campaign's answers and import_errors.csv here")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"]
        if not folder.is_dir():
            raise CommandError(f"{folder} is no folder")
        try:
            with scratch_database():
                answers, errors = self._answers(folder)
        except ZhixuError as error:
            raise CommandError(f"{error.code}: {words_of(error)}") from None
        if options["out"]:
            _write_all(options["out"], answers, errors)
        if not (folder / "expected").is_dir():
            self.stdout.write(f"{len(answers)} campaigns answered; there is no expected/ to compare with")
            return
        if not self._compare(folder / "expected", answers, errors):
            sys.exit(1)

    def _answers(self, folder: Path) -> tuple[dict[str, Rows], Rows]:
        def step(name: str, counts: dict[str, int]) -> None:
            self.stderr.write(f"· {name}: {', '.join(f'{n:,} {key}' for key, n in counts.items())}")

        error_file = sample_load(folder=folder, actor=SYSTEM, at=timezone.now(), on_step=step)
        errors = _read(error_file)
        answers: dict[str, Rows] = {}
        for campaign in register_live().rules.plans:
            answers[campaign] = [answer.cells() for answer in audience_judge(folder=folder, campaign=campaign)]
        return answers, errors

    def _compare(self, expected: Path, answers: dict[str, Rows], errors: Rows) -> bool:
        lines, agreed, by_code = [], True, {"right": Counter[str](), "wrong": Counter[str]()}
        for campaign, rows in sorted(answers.items()):
            path = expected / f"{campaign}.csv"
            if not path.exists():
                continue
            wanted = _read(path)
            wrong = [n for n, pair in enumerate(zip(wanted, rows, strict=False), 1) if pair[0] != pair[1]]
            good = not wrong and len(wanted) == len(rows)
            agreed &= good
            _count_codes(wanted, rows, by_code)
            first = f"first differing rows: {', '.join(map(str, wrong[:5]))}" if wrong else ""
            if len(wanted) != len(rows):
                first = f"{len(wanted)} rows expected, {len(rows)} given"
            lines.append([campaign, len(wanted), len(wanted) - len(wrong), "yes" if good else "NO", first])
        if (expected / "import_errors.csv").exists():
            wanted = _read(expected / "import_errors.csv")
            agreed &= wanted == errors
            same = len(set(wanted) & set(errors))
            lines.append(["import_errors", len(wanted), same, "yes" if wanted == errors else "NO", ""])
        self.stdout.write(table(["campaign", "rows", "agree", "all", ""], lines, right=(1, 2)))
        codes = sorted(by_code["right"] | by_code["wrong"])
        self.stdout.write("")
        self.stdout.write(
            table(
                ["code", "agree", "differ"],
                [[code, by_code["right"][code], by_code["wrong"][code]] for code in codes],
                right=(1, 2),
            )
        )
        self.stdout.write(f"\nfull agreement: {'yes' if agreed else 'NO'}")
        return agreed


def _count_codes(wanted: Rows, given: Rows, by_code: dict[str, Counter[str]]) -> None:
    """Count each code where both name it (agree) and where only one does (differ)."""
    for one, other in zip(wanted, given, strict=False):
        ours, theirs = set(filter(None, other[3].split(";"))), set(filter(None, one[3].split(";")))
        by_code["right"].update(ours & theirs)
        by_code["wrong"].update(ours ^ theirs)


def _read(path: Path) -> Rows:
    with path.open(newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


def _write_all(out: Path, answers: dict[str, Rows], errors: Rows) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for campaign, rows in answers.items():
        _write(out / f"{campaign}.csv", ANSWER_HEAD, rows)
    _write(out / "import_errors.csv", ERROR_HEAD, errors)


def _write(path: Path, head: tuple[str, ...], rows: Rows) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
