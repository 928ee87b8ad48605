"""A million rows of an audience against two million people: rows per core-second of our screening and its peers.

    python -m benchmarks.screening [--quick] [--audience N] [--subjects N]

Ours is the whole service: reading, normalising, hashing, COPY, the set-based statement, rows stored, result files,
signed manifest. The peers read the same file, judge the same rules, store a row for each person and write a file.
"""

from __future__ import annotations

import csv
import os
import sys
from argparse import ArgumentParser
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks.harness import Goals, Meter, WrongAnswerError, laboratory, machine, postmaster, say, spread, table
from benchmarks.population import audience_write, population_make
from benchmarks.retailer import campaigns_move, retailer_load

CAMPAIGN, COLUMN = "d11-sms", "手机号"
GOALS = {"loop": 150, "batches": 5}


@dataclass
class Measured:
    name: str
    rows: int
    rates: list[float] = field(default_factory=list)  # rows per core-second
    wall: list[float] = field(default_factory=list)
    cpu: list[tuple[float, float]] = field(default_factory=list)  # own process, PostgreSQL


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 rows, 200,000 people")
    parser.add_argument("--audience", type=int)
    parser.add_argument("--subjects", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop-rows", type=int, default=300)
    parser.add_argument("--batch-rows", type=int, default=20_000)
    parser.add_argument("--ours-only", action="store_true", help="no peers: for work on the product")
    options = parser.parse_args()
    audience = options.audience or (100_000 if options.quick else 1_000_000)
    subjects = options.subjects or (200_000 if options.quick else 2_000_000)
    with laboratory(durable=True) as home:
        sys.exit(
            run(home, audience, subjects, options.rounds, options.loop_rows, options.batch_rows, options.ours_only)
        )


def run(home: Path, audience: int, subjects: int, rounds: int, loop_rows: int, batch_rows: int, ours_only: bool) -> int:
    from django.utils import timezone

    retailer_load()
    at = timezone.now()
    campaigns_move(at)
    windows_open()
    copies, phones = population_make(subjects)
    full = home / "audience.csv"
    audience_write(full, audience, copies, phones)
    parts = {"loop": part_write(full, loop_rows), "batches": part_write(full, batch_rows)}
    ours = Measured("ours, the whole service", audience)
    peers = {
        "batches": Measured("peer, ORM `IN` of 1,000", batch_rows),
        "loop": Measured("peer, ORM loop", loop_rows),
    }
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        answers, counts = ours_run(full, ours)
        if sum(counts.values()) != audience:
            raise WrongAnswerError(f"{audience} rows in, {sum(counts.values())} out")
        if ours_only:
            continue
        for kind, measured in peers.items():
            compare(answers, peer_run(kind, parts[kind], at, home, measured))
    return report(ours, [] if ours_only else list(peers.items()), counts)


def windows_open() -> None:
    """Let house policy have no quiet hours, so that the answers do not depend on the hour."""
    from governance.models import PolicyRevision

    policy = PolicyRevision.objects.get(state="published")
    policy.values["quiet_windows"] = {}
    policy.save()


def part_write(full: Path, rows: int) -> Path:
    part = full.with_name(f"first-{rows}.csv")
    with full.open(encoding="utf-8") as source, part.open("w", encoding="utf-8") as target:
        target.writelines(islice(source, rows + 1))
    return part


def ours_run(path: Path, measured: Measured) -> tuple[dict[int, tuple[str, str, str]], Counter[str]]:
    """Screen with the product's service; returns the answer of each row, read from the result files."""
    from django.utils import timezone

    from audit.actors import SYSTEM
    from consent.services.screenings import AudienceFile, screening_file, screening_run, screening_start

    own, pg = Meter(os.getpid()), Meter(postmaster())
    queued = screening_start(
        audience=AudienceFile(path, "csv", COLUMN),
        campaign=CAMPAIGN,
        subject_type="phone",
        actor=SYSTEM,
        at=timezone.now(),
    )
    done = screening_run(queued.pk)
    note(measured, own, pg)
    if done is None or done.status != "done":
        raise WrongAnswerError(f"the screening did not finish: {done and done.error_detail}")
    answers = {}
    for name in ("allow", "deny"):
        with screening_file(done, name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                codes = row["codes"].split(";")
                primary = row.get("primary") or next(code for code in codes)
                answers[int(row["row_no"])] = row["outcome"], primary, row["codes"]
    return answers, Counter(done.counts)


def peer_run(kind: str, path: Path, at: datetime, home: Path, measured: Measured) -> dict[int, tuple[str, str, str]]:
    from benchmarks.naive.screening import screen_batches, screen_loop
    from consent.models import Screening

    screening = Screening.objects.create(campaign=CAMPAIGN, purpose="", channel="", subject_type="phone")
    screen = {"loop": screen_loop, "batches": screen_batches}[kind]
    own, pg = Meter(os.getpid()), Meter(postmaster())
    answers = screen(path, COLUMN, CAMPAIGN, at, home / "peer.csv", screening)
    note(measured, own, pg)
    return answers


def note(measured: Measured, own: Meter, pg: Meter) -> None:
    (cpu, wall), (server, _) = own.read(), pg.read()
    measured.cpu.append((cpu, server))
    measured.rates.append(measured.rows / (cpu + server))
    measured.wall.append(wall)


def compare(ours: dict[int, tuple[str, str, str]], peer: dict[int, tuple[str, str, str]]) -> None:
    """Raises WrongAnswerError unless every row the peer judged has the same outcome, primary code and codes."""
    for number, answer in peer.items():
        if ours.get(number) != answer:
            raise WrongAnswerError(f"row {number}: ours {ours.get(number)}, peer {answer}")


def report(ours: Measured, peers: list[tuple[str, Measured]], counts: Counter[str]) -> int:
    print("\n".join(machine()))
    print("rows: " + ", ".join(f"{n:,} {name}" for name, n in counts.items()))
    if peers:
        print("every row the peers judged: same outcome, primary and codes as ours\n")
    best = median(ours.rates)
    goals = Goals()
    rows = []
    for kind, measured in [("", ours), *peers]:
        python, server = (median(part) for part in zip(*measured.cpu, strict=True))
        ratio = best / median(measured.rates)
        rows.append(
            [
                measured.name,
                f"{measured.rows:,}",
                f"{python:.1f} + {server:.1f}",
                f"{median(measured.wall):.1f}",
                f"{median(measured.rates):,.0f}",
                spread(measured.rates),
                f"{ratio:.1f}",
                goals.at_least(measured.name, ratio, GOALS[kind]) if kind else "",
            ]
        )
    print(table(["screening", "rows", "CPU s", "wall s", "rows / core-s", "spread", "ratio", "goal"], rows), end="\n\n")
    return goals.end()


if __name__ == "__main__":
    main()
