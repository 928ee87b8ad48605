"""What the database lets its roles do."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from audit.domain.roles import CHANGES, is_ledger, may_change


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or sequence of ours. `kept`: what its append-only triggers refuse."""

    name: str
    kind: str  # r table, v view, S sequence
    owner: str
    free: bool  # belongs to no column of a table
    kept: frozenset[str]


_RELATIONS = """
    SELECT c.relname, c.relkind::text, pg_get_userbyid(c.relowner),
        NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
            AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0),
        coalesce((SELECT bit_or(t.tgtype::int) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE t.tgrelid = c.oid AND p.proname = 'zhixu_append_only' AND t.tgenabled = 'A'), 0)
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
    ORDER BY c.relname
"""
_DELETE, _UPDATE = 8, 16  # bits of pg_trigger.tgtype


def relations() -> list[Relation]:
    """Return every table, view and sequence of the schema `public`."""
    with connection.cursor() as cursor:
        cursor.execute(_RELATIONS)
        return [
            Relation(
                name,
                "S" if kind == "S" else "r",
                owner,
                free,
                frozenset(verb for verb, bit in (("DELETE", _DELETE), ("UPDATE", _UPDATE)) if events & bit),
            )
            for name, kind, owner, free, events in cursor.fetchall()
        ]


def role_faults(role: str) -> list[str]:
    """Return why the role of this connection has more power over the ledger than `role` should. Empty: all is well."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolreplication, rolname = current_user FROM pg_roles
            WHERE pg_has_role(current_user, oid, 'MEMBER')
            """
        )
        for name, superuser, bypass, creates, replicates, own in cursor.fetchall():
            powers = [
                word
                for word, has in (
                    ("is a superuser", superuser),
                    ("passes row security", bypass and not superuser),
                    ("creates roles", creates and not superuser),
                    ("replicates", replicates and not superuser),
                )
                if has
            ]
            found += [word if own else f"belongs to {name}, who {word}" for word in powers]
        if any("superuser" in fault for fault in found):
            return found  # who may do all may do the rest
        cursor.execute("SELECT has_schema_privilege('public', 'CREATE')")
        if cursor.fetchone()[0]:
            found.append("may create tables")
        cursor.execute(
            """
            SELECT count(*), min(relname) FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND pg_has_role(current_user, relowner, 'MEMBER')
            """
        )
        count, example = cursor.fetchone()
        if count:
            return [*found, f"owns {example} and {count - 1} more, and so can switch their triggers off"]
        for relation in relations():
            if relation.kind == "S" or not (relation.kept or is_ledger(relation.name)):
                continue
            for verb in CHANGES:
                if verb not in may_change(relation.name, role, relation.kept) and _may(relation.name, verb):
                    found.append(f"may {verb} {relation.name}")
    return found


def _may(table: str, verb: str) -> bool:
    column = "has_any_column_privilege(%s, %s)" if verb == "UPDATE" else "has_table_privilege(%s, %s)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column}", [f"public.{table}", verb])
        return bool(cursor.fetchone()[0])
