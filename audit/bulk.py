"""Writing many rows with one statement. Table and column names are our own, never a user's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import AutoField, BigAutoField, Field, ForeignKey, Lookup, Model
from django.utils import timezone

FEW = 12
"""Up to here rows travel as parameters of a prepared statement; beyond, COPY and a staged table are faster."""


def copy_rows(table: str, columns: Collection[str], rows: Iterable[Sequence[object]]) -> None:
    """Insert rows in the order given: with one COPY, or one INSERT if they are few."""
    if isinstance(rows, Sequence) and len(rows) <= FEW:
        if rows:
            line = f"({', '.join(['%s'] * len(columns))})"
            text = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([line] * len(rows))}"
            with connection.cursor() as cursor:
                cursor.execute(text, [value for row in rows for value in row])
        return
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def copy_models(rows: Sequence[Model], *, ids: bool = False) -> None:
    """Insert new model objects with one COPY. `ids`: they carry their own keys (`take_ids`) already."""
    if not rows:
        return
    now = timezone.now()
    fields = [f for f in rows[0]._meta.concrete_fields if ids or not isinstance(f, AutoField | BigAutoField)]
    for row in rows:
        for f in fields:
            if getattr(f, "auto_now_add", False):
                setattr(row, f.attname, now)
    names = [f.attname for f in fields]
    copy_rows(
        rows[0]._meta.db_table, [str(f.column) for f in fields], ([getattr(row, n) for n in names] for row in rows)
    )


def take_ids(table: str, count: int) -> list[int]:
    """Take the next `count` values of a table's id sequence."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count])
        return [value for (value,) in cursor.fetchall()]


def stage_rows(name: str, columns: Mapping[str, str], rows: Iterable[Sequence[object]]) -> str:
    """Copy rows into a temporary table of this session, emptied first, and return its name.

    The table is made once a session and emptied at commit.
    """
    table = f"pg_temp.staged_{name}"
    definition = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS staged_{name} ({definition}) ON COMMIT DELETE ROWS;TRUNCATE {table}"
        )
    copy_rows(table, columns, rows)
    return table


def rows_source(name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """Return a query that gives these rows, and its parameters: a VALUES list of a few, a staged table of many."""
    if len(rows) > FEW:
        return f"SELECT * FROM {stage_rows(name, columns, rows)}", []
    if not rows:
        return f"SELECT {', '.join(f'NULL::{kind}' for kind in columns.values())} WHERE false", []
    line = f"({', '.join(f'%s::{kind}' for kind in columns.values())})"
    return f"VALUES {', '.join([line] * len(rows))}", [value for row in rows for value in row]


def update_rows(table: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
    """Update rows by key with one statement. `columns`: name → SQL type; the first one is the key."""
    if not rows:
        return
    key, *values = columns
    source, parameters = rows_source(f"{table}_{len(columns)}", columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} t SET {', '.join(f'{name} = n.{name}' for name in values)}"
            f" FROM ({source}) AS n ({', '.join(columns)}) WHERE t.{key} = n.{key}",
            parameters,
        )


@ForeignKey.register_lookup
@Field.register_lookup
class AnyOf(Lookup):
    """`field__any=[…]`: one array parameter where `in` would make thousands."""

    lookup_name = "any"

    def get_prep_lookup(self) -> list[Any]:
        return [self.lhs.output_field.get_prep_value(value) for value in self.rhs]

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        lhs, params = self.process_lhs(compiler, connection)
        kind = self.lhs.output_field.db_type(connection).split(" ")[0]
        return f"{lhs} = ANY(%s::{kind}[])", (*params, self.rhs)
