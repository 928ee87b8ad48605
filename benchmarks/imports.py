"""70,000 rows of historic consents: the whole import beside one that goes row by row with the ORM.

    python -m benchmarks.imports [--quick] [--rows N] [--rounds N]

The rows are the sample's, copied for people of their own. Every round imports for other people. The peer gets a
part; the same part for again other people goes through ours, and counts and stored states must be the same.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks.harness import (
    DEMO,
    Goals,
    Meter,
    WrongAnswerError,
    laboratory,
    machine,
    postmaster,
    say,
    spread,
    table,
)
from benchmarks.retailer import retailer_load

GOAL_SECONDS_A_ROW = 60 / 70_000
"""Judged by the CPU time of all processes: on a machine of our own the clock shows little more, on a shared one
it shows what the others do."""
_MEMBERS = 3_000
"""Member number n of the sample is number n + g * this in copy g."""

Cells = dict[str, str]


@dataclass
class Measured:
    name: str
    rows: int
    cpu: list[tuple[float, float]] = field(default_factory=list)  # own process, PostgreSQL
    wall: list[float] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Rows per core-second."""
        return [self.rows / sum(cpu) for cpu in self.cpu]

    def run(self, work: Callable[[], Counter[str]]) -> Counter[str]:
        own, pg = Meter(os.getpid()), Meter(postmaster())
        done = work()
        (python, wall), (server, _) = own.read(), pg.read()
        self.cpu.append((python, server))
        self.wall.append(wall)
        return done


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="7,000 rows")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--part", type=int, help="rows for the peer")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = options.rows or (7_000 if options.quick else 70_000)
    with laboratory(durable=True) as home:
        sys.exit(run(home, rows, options.part or (200 if options.quick else 1_000), options.rounds))


def run(home: Path, rows: int, part: int, rounds: int) -> int:
    from consent.services.samples import imported_at

    retailer_load()
    at = imported_at(DEMO)
    copier = Copier(home)
    copies = -(-rows // len(copier.consents))
    members_load(copier, rounds * (copies + 2), at)
    ours = Measured("ours, the whole command", rows)
    peer = Measured("peer, row by row", part)
    totals: Counter[str] = Counter()
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        first = 1 + number * (copies + 2)
        big = copier.consents_write(range(first, first + copies), rows)
        totals = ours.run(lambda path=big: ours_import(path, at))
        twins = first + copies, first + copies + 1
        mine, theirs = (copier.consents_write([copy], part) for copy in twins)
        expected = ours_import(mine, at)
        counts = peer.run(lambda path=theirs: peer_import(path, at))
        if counts != expected:
            raise WrongAnswerError(f"ours {expected}, peer {counts}")
        states = [states_of(copier, copy) for copy in twins]
        if states[0] != states[1]:
            raise WrongAnswerError("the stored states differ")
    print("\n".join(machine()))
    print("rows: " + ", ".join(f"{n:,} {what}" for what, n in totals.most_common()))
    print(f"the peer's part: same counts and the same {sum(map(len, states[0].values())):,} states as ours\n")
    return report(ours, peer)


def members_load(copier: Copier, copies: int, at: datetime) -> None:
    from audit.actors import SYSTEM
    from consent.services.list_imports import guardians_import, members_import

    say(f"loading members of {copies} copies")
    for start in range(1, copies + 1, 10):
        part = range(start, min(start + 10, copies + 1))
        members_import(path=copier.write("members.csv", copier.members, part), actor=SYSTEM, at=at)
        guardians_import(path=copier.write("guardians.csv", copier.guardians, part), actor=SYSTEM, at=at)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def ours_import(path: Path, at: datetime) -> Counter[str]:
    """Import with the product's command; returns the counts it prints."""
    from django.core.management import call_command

    from consent.models import ConsentImport

    call_command("consents_import", str(path), imported_at=at.isoformat(), stdout=io.StringIO())
    job = ConsentImport.objects.get(source=str(path))
    return Counter({"accepted": job.accepted, "replayed": job.replayed, **job.by_code})


def peer_import(path: Path, at: datetime) -> Counter[str]:
    from audit.actors import SYSTEM
    from benchmarks.naive.imports import consents_import

    return consents_import(path, imported_at=at, actor=SYSTEM)


class Copier:
    """Writes the sample's files for other people: every readable identifier replaced, all else as it stands."""

    def __init__(self, home: Path) -> None:
        from consent.domain.vocabulary import CONSENT_COLUMNS, GUARDIAN_COLUMNS, MEMBER_COLUMNS
        from governance.domain import identifiers

        self._home = home
        self._read = identifiers
        self._phones: dict[str, int] = {}
        self._emails: dict[str, int] = {}
        self.members = _rows("members.csv", MEMBER_COLUMNS)
        self.guardians = _rows("guardians.csv", GUARDIAN_COLUMNS)
        self.consents = _rows("consents.csv", CONSENT_COLUMNS)

    def consents_write(self, copies: range | list[int], rows: int) -> Path:
        return self.write("consents.csv", self.consents, copies, rows)

    def write(self, name: str, rows: list[Cells], copies: range | list[int], most: int | None = None) -> Path:
        """Write a file with the rows of some copies, `most` of them."""
        path = self._home / f"{copies[0]}-{len(copies)}-{name}"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(islice(self._copied(rows, copies), most))
        return path

    def _copied(self, rows: list[Cells], copies: range | list[int]) -> Iterator[Cells]:
        for copy in copies:
            for cells in rows:
                yield self._of(cells, copy)

    def _of(self, cells: Cells, copy: int) -> Cells:
        from consent.services.samples import MEMBER_ID_PATTERN

        made = dict(cells)
        if number := self._read.member_id(cells["member_id"], MEMBER_ID_PATTERN):
            made["member_id"] = member_of(copy, number)
        if phone := self._read.phone(cells.get("phone", "")):
            made["phone"] = f"1{55_0000_0000 + copy * 10_000 + self._phones.setdefault(phone, len(self._phones)):010d}"
        if email := self._read.email(cells.get("email", "")):
            made["email"] = f"copy{copy}-{self._emails.setdefault(email, len(self._emails))}@example.com"
        if cells.get("event_id"):
            made["event_id"] = f"{cells['event_id']}-{copy}"
        if "wechat_openid" in cells:
            made["wechat_openid"] = ""
        return made


def member_of(copy: int, number: str) -> str:
    return f"M{int(number[1:]) + copy * _MEMBERS:06d}"


def _rows(name: str, columns: Mapping[str, tuple[str, ...]]) -> list[Cells]:
    """Read a sample file by its columns' own names. Rows nobody can read are left out."""
    from governance.domain.tables import open_text, read_rows

    with open_text(DEMO / name) as stream:
        return [dict(row.cells) for row in read_rows(stream, columns) if row.cells is not None]


def states_of(copier: Copier, copy: int) -> dict[str, list[tuple[object, ...]]]:
    """Return the members' states of a copy by the original's number; references count as there or not."""
    from django.db import connection

    from consent.services.samples import MEMBER_ID_PATTERN
    from consent.services.subjects import members_find
    from governance.domain.identifiers import member_id

    originals = {number for row in copier.members if (number := member_id(row["member_id"], MEMBER_ID_PATTERN))}
    keys = members_find([member_of(copy, number) for number in originals])
    names = {keys[member_of(copy, number)]: number for number in originals}
    found: dict[str, list[tuple[object, ...]]] = {number: [] for number in originals}
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT subject_id, slot_id, grant_id IS NULL, grant_purpose_id, notice_version_id, origin_at,
                refusal_id IS NULL, refused_at, confirmed, bad_form, bundled, no_evidence, expires_on, declared,
                lift_at, narrower FROM consent_state WHERE subject_id = ANY(%s) ORDER BY subject_id, slot_id""",
            [list(names)],
        )
        for subject, *state in cursor.fetchall():
            found[names[subject]].append(tuple(state))
    return found


def report(ours: Measured, peer: Measured) -> int:
    goals = Goals()
    rows = []
    for measured in (ours, peer):
        python, server = (median(part) for part in zip(*measured.cpu, strict=True))
        rows.append(
            [
                measured.name,
                f"{measured.rows:,}",
                f"{python:.1f} + {server:.1f}",
                goals.at_most("CPU s", python + server, GOAL_SECONDS_A_ROW * ours.rows) if measured is ours else "",
                f"{median(measured.wall):.1f}",
                f"{median(measured.rates):,.0f}",
                spread(measured.rates),
                f"{median(ours.rates) / median(measured.rates):.1f}",
            ]
        )
    head = ["consents_import", "rows", "CPU s", "goal", "wall s", "rows / core-s", "spread", "ratio"]
    print(table(head, rows), end="\n\n")
    return goals.end()


if __name__ == "__main__":
    main()
