"""The database as an earlier statement saw it.

Inside `database_seen_by` every table whose rows know their transaction (audit/history.py) is hidden behind a
temporary view of the same name, so that all reading code works on the past as it stands. Read only, and one
connection only: nothing outside the block notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE a.attname = 'row_xid' AND NOT a.attisdropped AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    ORDER BY c.relname
"""
_VIEW = """
    CREATE TEMPORARY VIEW {table} AS
    SELECT t.* FROM public.{table} t WHERE pg_visible_in_snapshot(t.row_xid, '{snapshot}'::pg_snapshot)
    UNION ALL
    SELECT (jsonb_populate_record(NULL::public.{table}, h.was)).* FROM public.audit_row_history h
    WHERE h.relation = '{table}' AND h.until >= '{oldest}'::xid8
        AND pg_visible_in_snapshot(h.since, '{snapshot}'::pg_snapshot)
        AND NOT pg_visible_in_snapshot(h.until, '{snapshot}'::pg_snapshot)
"""


class _LeaveError(Exception):
    """Ends the block's transaction, and the views with it."""


@contextmanager
def database_seen_by(snapshot: str) -> Iterator[None]:
    """Read the database as of a snapshot (the text form of pg_snapshot, as PostgreSQL stored it)."""
    oldest, _, rest = snapshot.partition(":")
    if not oldest.isdigit() or not set(rest) <= set("0123456789:,"):
        raise ValueError("no snapshot")
    connection.ensure_connection()
    session = connection.connection
    prepared, session.prepare_threshold = session.prepare_threshold, None  # a prepared statement knows the real tables
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(_TABLES)
                for (table,) in cursor.fetchall():
                    cursor.execute(_VIEW.format(table=table, snapshot=snapshot, oldest=oldest))
            yield
            raise _LeaveError
    except _LeaveError:
        pass
    finally:
        session.prepare_threshold = prepared
