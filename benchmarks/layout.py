"""How consent states lie in the database: a row per (slot, subject), as the product keeps them, or a wide row each.

    python -m benchmarks.layout [--quick] [--subjects N] [--rounds N]

Both layouts hold the same facts of the same people (the sample's states, copied), once in full and once packed
into one integer per slot, which shows what the layout costs by itself but is no ledger's projection any more: it
has no room for instants and references. Both are asked the same questions; the answers must be equal.
"""

from __future__ import annotations

import os
import random
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.harness import Goals, Meter, WrongAnswerError, laboratory, machine, postmaster, say, spread, table
from benchmarks.retailer import retailer_load

GOAL = 1.5
_STRIDE = 1_000_000
_SCREENINGS = 3  # in one measure
FACTS = (
    "grant_id",
    "grant_purpose_id",
    "notice_version_id",
    "origin_at",
    "refusal_id",
    "refused_at",
    "confirmed",
    "bad_form",
    "bundled",
    "no_evidence",
    "expires_on",
    "declared",
    "lift_at",
    "narrower",
)
PACKED = """(grant_id IS NOT NULL)::int + ((refused_at IS NOT NULL)::int << 1) + (confirmed::int << 2)
    + ((bad_form OR bundled OR no_evidence)::int << 3) + ((expires_on IS NULL)::int << 4)
    + (coalesce(expires_on - DATE '2000-01-01', 0)::bigint << 5)"""
TODAY = "2026-11-21"


class Layout:
    """One table and how it is asked. `good` is true where a consent is in force."""

    def __init__(self, name: str, wide: bool, packed: bool) -> None:
        self.name, self.wide, self.packed = name, wide, packed
        self.table = f"lay_{'wide' if wide else 'narrow'}_{'packed' if packed else 'full'}"

    def columns(self, slot: int) -> list[str]:
        """Return the columns that hold a slot's facts."""
        facts = ("bits",) if self.packed else FACTS
        return [f"s{slot}_{fact}" for fact in facts] if self.wide else list(facts)

    def good(self, slot: int) -> str:
        if self.packed:
            [bits] = self.columns(slot)
            ends = f"(c.{bits} & 16 <> 0 OR c.{bits} >> 5 >= DATE '{TODAY}' - DATE '2000-01-01')"
            return f"(c.{bits} & 15 = 5 AND {ends}) IS TRUE"
        of = dict(zip(FACTS, self.columns(slot), strict=True))
        bad = f"c.{of['bad_form']} OR c.{of['bundled']} OR c.{of['no_evidence']}"
        return f"""(c.{of["grant_id"]} IS NOT NULL AND c.{of["refused_at"]} IS NULL AND c.{of["confirmed"]}
            AND NOT ({bad}) AND (c.{of["expires_on"]} IS NULL OR c.{of["expires_on"]} >= DATE '{TODAY}')) IS TRUE"""

    def place(self, slot: int, subject: str) -> str:
        return f"c.subject_id = {subject}" if self.wide else f"c.slot_id = {slot} AND c.subject_id = {subject}"

    def screen(self, slot: int) -> str:
        """Return a statement that counts the people of lay_audience whose consent is in force."""
        return f"""SELECT count(*) FILTER (WHERE {self.good(slot)})
            FROM lay_audience a LEFT JOIN {self.table} c ON {self.place(slot, "a.subject_id")}"""

    def look(self, slots: Sequence[int]) -> str:
        """Return a statement that tells of one person which of these consents are in force."""
        if self.wide:
            tests = ", ".join(self.good(slot) for slot in slots)
            return f"SELECT {tests} FROM (VALUES (1)) v LEFT JOIN {self.table} c ON c.subject_id = $1"
        tests = ", ".join(
            f"coalesce((SELECT {self.good(slot)} FROM {self.table} c WHERE {self.place(slot, '$1')}), false)"
            for slot in slots
        )
        return f"SELECT {tests}"

    def write(self, slots: Sequence[int]) -> str:
        """Return a statement that stores the states of a person's slots, from lay_new, as the projection does."""
        if not self.wide:
            names = self.columns(0)
            values = ", ".join(f"{name} = excluded.{name}" for name in names)
            return f"""INSERT INTO {self.table} (slot_id, subject_id, {", ".join(names)})
                SELECT slot_id, $1, {self.read("n")} FROM lay_new n WHERE slot_id IN ({", ".join(map(str, slots))})
                ON CONFLICT (slot_id, subject_id) DO UPDATE SET {values}"""
        names = [name for slot in slots for name in self.columns(slot)]
        sources = " CROSS JOIN ".join(f"(SELECT * FROM lay_new WHERE slot_id = {slot}) n{slot}" for slot in slots)
        return f"""INSERT INTO {self.table} (subject_id, {", ".join(names)})
            SELECT $1, {", ".join(self.read(f"n{slot}") for slot in slots)} FROM {sources}
            ON CONFLICT (subject_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in names)}"""

    def read(self, alias: str) -> str:
        return f"{alias}.bits" if self.packed else ", ".join(f"{alias}.{fact}" for fact in FACTS)


LAYOUTS = (
    Layout("(slot, subject), all facts: the product", wide=False, packed=False),
    Layout("wide row, all facts", wide=True, packed=False),
    Layout("(slot, subject), packed", wide=False, packed=True),
    Layout("wide row, packed", wide=True, packed=True),
)


@dataclass
class Measured:
    """CPU µs a piece (own process and PostgreSQL) and bytes of WAL, one value a round, for each layout."""

    name: str
    run: Callable[[Layout], Any]
    pieces: int
    reads: bool = True
    us: dict[str, list[float]] = field(default_factory=lambda: {layout.table: [] for layout in LAYOUTS})
    wal: dict[str, list[float]] = field(default_factory=lambda: {layout.table: [] for layout in LAYOUTS})

    def round(self, meter_of: Callable[[], Meter], keep: bool) -> None:
        answers = []
        for layout in LAYOUTS:
            before, meter = _wal(), meter_of()
            answers.append(self.run(layout))
            cpu, _ = meter.read()
            if keep:
                self.us[layout.table].append(1e6 * cpu / self.pieces)
                self.wal[layout.table].append((_wal() - before) / self.pieces)
        if any(answer != answers[0] for answer in answers):
            raise WrongAnswerError(f"{self.name}: the layouts answer differently")


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 people")
    parser.add_argument("--subjects", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with laboratory(durable=True):
        sys.exit(run(options.subjects or (100_000 if options.quick else 1_000_000), options.rounds))


def run(subjects: int, rounds: int) -> int:
    import psycopg
    from django.db import connection

    retailer_load()
    with connection.cursor() as cursor:
        people, slots, rows = tables_make(cursor, subjects)
        connection.connection.prepare_threshold = 1
        choose = random.Random(20261122)  # noqa: S311 - test data
        asked = choose.sample(people, min(5_000, len(people)))
        changed = choose.sample(people, min(2_000, len(people)))
        widest = max(slots, key=slots.get)
        five = sorted(slots, key=slots.get)[-5:]  # what a person of the sample has
        several = five[-3:]
        thin = min(slots, key=slots.get)
        cursor.execute("SELECT count(*) FROM lay_audience")
        rows_screened = cursor.fetchone()[0] * _SCREENINGS
        n = len(changed)

        def screened(statement: str) -> list[Any]:
            return [(cursor.execute(statement), cursor.fetchone())[1] for _ in range(_SCREENINGS)]

        def each(statement: str, keys: Sequence[int], fetch: bool) -> list[Any]:
            return [_execute(raw, statement, key, fetch) for key in keys]

        raw = psycopg.RawCursor(connection.connection)
        measured = [
            Measured("screening, a slot most people have", lambda it: screened(it.screen(widest)), rows_screened),
            Measured("screening, a slot few have", lambda it: screened(it.screen(thin)), rows_screened),
            Measured("check, one slot", lambda it: each(it.look([widest]), asked, True), len(asked)),
            Measured("check, three slots", lambda it: each(it.look(several), asked, True), len(asked)),
            Measured("write, one slot of a person", lambda it: each(it.write([widest]), changed, False), n, False),
            Measured("write, five slots of a person", lambda it: each(it.write(five), changed, False), n, False),
        ]
        roots = os.getpid(), postmaster()
        for number in range(rounds + 1):
            say(f"round {number} of {rounds}" if number else "warming up")
            for what in measured:
                what.round(lambda: Meter(*roots), keep=number > 0)
        sizes = {layout.table: _size(cursor, layout.table) for layout in LAYOUTS}
    return report(measured, sizes, len(people), len(slots), rows)


def _execute(raw: Any, statement: str, key: int, fetch: bool) -> Any:
    raw.execute(statement, [key], prepare=True)
    return raw.fetchone() if fetch else None


def tables_make(cursor: Any, subjects: int) -> tuple[list[int], dict[int, int], int]:
    """Fill the four tables with copies of the sample's states; returns people, slots with their rows, all rows."""
    cursor.execute("SELECT count(DISTINCT subject_id) FROM consent_state")
    copies = max(round(subjects / cursor.fetchone()[0]), 1)
    cursor.execute("SELECT id FROM consent_slot ORDER BY id")
    slots = [slot for (slot,) in cursor.fetchall()]
    say(f"copying the sample's states {copies:,} times into four tables")
    off = "WITH (autovacuum_enabled = false)"
    names = ", ".join(FACTS)
    kinds = dict(_kinds(cursor))
    cursor.execute(f"""
        SET max_parallel_workers_per_gather = 0;
        CREATE TABLE lay_narrow_full (LIKE consent_state INCLUDING INDEXES) {off};
        INSERT INTO lay_narrow_full (slot_id, subject_id, {names})
            SELECT slot_id, subject_id + g * {_STRIDE}, {names}
            FROM generate_series(1, {copies}) g CROSS JOIN (SELECT * FROM consent_state ORDER BY subject_id) s;
        CREATE TABLE lay_narrow_packed (slot_id int, subject_id bigint, bits bigint NOT NULL,
            PRIMARY KEY (slot_id, subject_id)) {off};
        INSERT INTO lay_narrow_packed SELECT slot_id, subject_id, {PACKED} FROM lay_narrow_full;
        CREATE INDEX ON lay_narrow_packed (subject_id);
        CREATE TABLE lay_new AS SELECT *, {PACKED} AS bits FROM consent_state WHERE subject_id =
            (SELECT subject_id FROM consent_state WHERE grant_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC LIMIT 1);
        INSERT INTO lay_new (slot_id, {names}, bits) SELECT DISTINCT ON (x.id) x.id, {names}, bits
            FROM consent_slot x CROSS JOIN lay_new n WHERE x.id NOT IN (SELECT slot_id FROM lay_new);
    """)
    for layout in LAYOUTS:
        if layout.wide:
            columns = [
                f"{name} {'bigint' if layout.packed else kinds[fact]}"
                for slot in slots
                for name, fact in zip(layout.columns(slot), FACTS, strict=False)
            ]
            facts = ("bits",) if layout.packed else FACTS
            values = ", ".join(
                f"(array_agg({fact}) FILTER (WHERE slot_id = {slot}))[1]" for slot in slots for fact in facts
            )
            cursor.execute(
                f"CREATE TABLE {layout.table} (subject_id bigint PRIMARY KEY, {', '.join(columns)}) {off};"
                f"INSERT INTO {layout.table} SELECT subject_id + g * {_STRIDE}, {', '.join(_named(layout, slots))}"
                f" FROM (SELECT subject_id, {values} FROM (SELECT *, {PACKED} AS bits FROM consent_state) s"
                f" GROUP BY subject_id ORDER BY subject_id) AS w(subject_id, {', '.join(_named(layout, slots))})"
                f" CROSS JOIN generate_series(1, {copies}) g ORDER BY g"
            )
    cursor.execute("SELECT subject_id FROM lay_wide_packed")
    people = [key for (key,) in cursor.fetchall()]
    cursor.execute("SELECT setseed(0.5)")
    cursor.execute(
        "CREATE TABLE lay_audience AS SELECT subject_id FROM lay_wide_packed WHERE random() < 0.5 ORDER BY random()"
    )
    cursor.execute("VACUUM ANALYZE")
    cursor.execute("CHECKPOINT")
    cursor.execute("SELECT slot_id, count(*) FROM lay_narrow_full GROUP BY 1")
    found = dict(cursor.fetchall())
    return people, found, sum(found.values())


def _named(layout: Layout, slots: Sequence[int]) -> list[str]:
    return [name for slot in slots for name in layout.columns(slot)]


def _kinds(cursor: Any) -> list[tuple[str, str]]:
    cursor.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'consent_state'")
    return cursor.fetchall()


def _wal() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        return cursor.fetchone()[0]


def _size(cursor: Any, name: str) -> int:
    cursor.execute("SELECT pg_total_relation_size(%s)", [name])
    return cursor.fetchone()[0]


def report(measured: Sequence[Measured], sizes: dict[str, int], people: int, slots: int, rows: int) -> int:
    print("\n".join(machine()))
    print(f"{people:,} people, {slots} slots, {rows:,} states ({rows / people:.1f} a person); all answers equal\n")
    goals = Goals()
    ours, wide = LAYOUTS[0], LAYOUTS[1]
    for what in measured:
        cost = {layout.table: median(what.us[layout.table]) for layout in LAYOUTS}
        lines = [
            [
                layout.name,
                f"{cost[layout.table]:.2f}",
                spread(what.us[layout.table]),
                f"{cost[layout.table] / cost[ours.table]:.2f}",
                goals.at_most(what.name, cost[ours.table] / cost[wide.table], GOAL)
                if what.reads and layout is ours
                else "",
                f"{median(what.wal[layout.table]):,.0f}" if not what.reads else "",
            ]
            for layout in LAYOUTS
        ]
        print(table([what.name, "CPU µs", "spread", "to ours", "goal", "WAL bytes"], lines), end="\n\n")
    lines = [[layout.name, f"{sizes[layout.table] / people:,.0f}"] for layout in LAYOUTS]
    print(table(["size with indexes, after the writes", "bytes a person"], lines), end="\n\n")
    return goals.end()


if __name__ == "__main__":
    main()
