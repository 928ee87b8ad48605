"""Make the database roles what audit/domain/roles.py says, whatever they were; and serve under no other one."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db import DatabaseError, connection, transaction

from audit.domain.roles import ERASER, OWNER, ROLES, SERVICES, WEB, WORKER, Tables, privileges, uses_sequence
from audit.errors import InvalidInputError
from audit.options import option
from audit.selectors.roles import Relation, relations, role_faults

_ATTRIBUTES = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
_EXIT = 3  # the code by which gunicorn's workers stop their master, too
_NOT_DONE = ("01006", "01007")  # privilege not revoked, not granted
_FUTURE = {"TABLES": ("r", "SELECT, INSERT"), "SEQUENCES": ("S", "USAGE")}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One statement and how it is told."""

    sql: str
    told: str


@transaction.atomic
def roles_create(*, passwords: Path | None = None, dry_run: bool = False) -> list[str]:
    """Make or correct the roles and exactly their rights, and return what was done. Run it after each `migrate` too.

    `passwords`: a folder with one file per role, mode 0600. A file that is missing is written with a new password; a
    role gets its password when it or its file is new. The server only sees a hash.

    Raises:
        InvalidInputError: the present role may not do this, or a password file is open to others.
    """
    told = []
    connection.ensure_connection()
    idle: list[str] = []  # what the server did not do, and only warns of
    connection.connection.add_notice_handler(
        lambda notice: idle.append(notice.message_primary or "") if notice.sqlstate in _NOT_DONE else None
    )
    for steps in (_roles, _passwords_for(passwords, dry_run), _owners, _schema, _rights, _future):
        for step in steps():  # each looks at what the ones before have done
            told.append(step.told)
            if step.sql and not dry_run:
                with connection.cursor() as cursor:
                    cursor.execute(step.sql)
                if idle:
                    raise InvalidInputError("this role may not do: %(what)s (%(why)s)", what=step.told, why=idle[0])
    return told


def _tables() -> Tables:
    return Tables(**option("ROLE_TABLES"))


def _roles() -> Iterator[Step]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname, rolcanlogin AND NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication"
            " OR rolbypassrls) FROM pg_roles WHERE rolname = ANY(%s)",
            [list(ROLES)],
        )
        known = dict(cursor.fetchall())
        cursor.execute(
            "SELECT pg_get_userbyid(roleid), pg_get_userbyid(member) FROM pg_auth_members"
            " WHERE pg_get_userbyid(member) = ANY(%s)",
            [list(ROLES)],
        )
        memberships = cursor.fetchall()
        cursor.execute("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
        may = cursor.fetchone()[0]
    wrong = [role for role in ROLES if not known.get(role)]
    if wrong and not may:
        raise InvalidInputError(
            "%(roles)s must be made or corrected, and this role may not make roles", roles=", ".join(wrong)
        )
    for role in wrong:
        yield _step(f"{'ALTER' if role in known else 'CREATE'} ROLE {role} {_ATTRIBUTES}")
    for group, member in memberships:
        yield _step(f"REVOKE {_quoted(group)} FROM {member}")


def _passwords_for(folder: Path | None, dry_run: bool) -> Callable[[], Iterator[Step]]:
    """Return the steps that give the roles their passwords; called before any role is made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)])
        known = {name for (name,) in cursor.fetchall()}

    def steps() -> Iterator[Step]:
        if folder is None:
            return
        for role in ROLES:
            path = folder / role
            new = not path.exists()
            if new and not dry_run:
                _password_write(path)
            if new:
                yield Step("", f"write a new password into {path}")
            elif path.stat().st_mode & 0o077:
                raise InvalidInputError("%(path)s is open to others: chmod 600", path=path)
            if new or role not in known:
                sql = "" if dry_run else f"ALTER ROLE {role} PASSWORD '{_hashed(path.read_text().strip(), role)}'"
                yield Step(sql, f"ALTER ROLE {role} PASSWORD (from {path})")

    return steps


def _password_write(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")


def _hashed(password: str, role: str) -> str:
    connection.ensure_connection()
    raw = connection.connection.pgconn
    return str(raw.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode())


def _owners() -> Iterator[Step]:
    for relation in relations():
        if relation.owner != OWNER and (relation.kind != "S" or relation.free):
            kind = "SEQUENCE" if relation.kind == "S" else "TABLE"
            yield _step(f"ALTER {kind} {_quoted(relation.name)} OWNER TO {OWNER}")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " AND pg_get_userbyid(proowner) <> %s"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_proc.oid AND d.deptype = 'e') ORDER BY 1",
            [OWNER],
        )
        functions = cursor.fetchall()
    for (function,) in functions:
        yield _step(f"ALTER FUNCTION {function} OWNER TO {OWNER}")


def _schema() -> Iterator[Step]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        database = cursor.fetchone()[0]
    everybody = frozenset({"CONNECT"})
    wanted = {
        role: everybody | ({"TEMPORARY"} if role in (OWNER, WEB, WORKER, ERASER) else frozenset()) for role in ROLES
    }
    yield from _difference(
        f"DATABASE {_quoted(database)}",
        "SELECT (aclexplode(coalesce(datacl, acldefault('d', datdba)))).* FROM pg_database"
        " WHERE datname = current_database()",
        wanted | {"PUBLIC": frozenset()},
    )
    yield from _difference(
        "SCHEMA public",
        "SELECT (aclexplode(coalesce(nspacl, acldefault('n', nspowner)))).* FROM pg_namespace WHERE nspname = 'public'",
        {role: frozenset({"USAGE"}) for role in SERVICES}
        | {OWNER: frozenset({"USAGE", "CREATE"}), "PUBLIC": frozenset()},
    )


def _rights() -> Iterator[Step]:
    tables = _tables()
    for relation in relations():
        yield from _difference(
            f"{'SEQUENCE' if relation.kind == 'S' else 'TABLE'} {_quoted(relation.name)}",
            f"SELECT (aclexplode(coalesce(relacl, acldefault('{'s' if relation.kind == 'S' else 'r'}', relowner)))).*"
            f" FROM pg_class WHERE oid = 'public.{_quoted(relation.name)}'::regclass"
            " UNION SELECT (aclexplode(attacl)).* FROM pg_attribute"
            f" WHERE attrelid = 'public.{_quoted(relation.name)}'::regclass AND attacl IS NOT NULL",
            {role: _wanted(relation, role, tables) for role in SERVICES} | {"PUBLIC": frozenset()},
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regprocedure::text FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) a"
            " WHERE pronamespace = 'public'::regnamespace AND a.grantee = 0"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_proc.oid AND d.deptype = 'e') ORDER BY 1"
        )
        functions = cursor.fetchall()
    for (function,) in functions:  # triggers fire without it, and nobody hangs ours on tables of his own
        yield _step(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")


def _wanted(relation: Relation, role: str, tables: Tables) -> frozenset[str]:
    if relation.kind == "S":
        return frozenset({"USAGE"}) if uses_sequence(relation.name, role) else frozenset()
    return privileges(relation.name, role, tables, kept=relation.kept)


def _future() -> Iterator[Step]:
    """Rights on tables to come, until this runs again: enough to read and add, never to change."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT defaclobjtype::text, pg_get_userbyid(grantee), privilege_type FROM pg_default_acl,"
            " aclexplode(defaclacl) WHERE pg_get_userbyid(defaclrole) = %s"
            " AND defaclnamespace = 'public'::regnamespace",
            [OWNER],
        )
        have = {tuple(row) for row in cursor.fetchall()}
        cursor.execute(
            "SELECT FROM pg_default_acl WHERE pg_get_userbyid(defaclrole) = %s AND defaclobjtype = 'f'"
            " AND defaclnamespace = 0",
            [OWNER],
        )
        functions_closed = bool(cursor.fetchall())
    start = f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER}"
    for objects, (kind, rights) in _FUTURE.items():
        for role in (WEB, WORKER, ERASER):
            if not {(kind, role, right) for right in rights.split(", ")} <= have:
                yield _step(f"{start} IN SCHEMA public GRANT {rights} ON {objects} TO {role}")
    if not functions_closed:
        yield _step(f"{start} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")


def _difference(thing: str, query: str, wanted: dict[str, frozenset[str]]) -> Iterator[Step]:
    """Yield what takes the rights on a thing to those wanted, for the grantees named; others are left alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END, privilege_type, grantor"
            f" FROM ({query}) a"
        )
        have: dict[str, set[str]] = defaultdict(set)
        for grantee, right, _grantor in cursor.fetchall():
            have[grantee].add(right)
    for grantee, rights in wanted.items():
        if surplus := have[grantee] - rights:
            yield _step(f"REVOKE {', '.join(sorted(surplus))} ON {thing} FROM {grantee}")
        if missing := rights - have[grantee]:
            yield _step(f"GRANT {', '.join(sorted(missing))} ON {thing} TO {grantee}")


def _step(sql: str) -> Step:
    return Step(sql, sql)


def _quoted(name: str) -> str:
    return str(connection.ops.quote_name(name))


_guarded: set[str] = set()


def role_guard(role: str) -> None:
    """End this process if its database role has more power over the ledger than `role` should (production only).

    A database that does not answer ends nothing: without it nothing is served either, and `role_is_guarded` asks again.
    """
    if not option("GUARD_ROLES") or role in _guarded:
        return
    try:
        faults = role_faults(role)
    except DatabaseError as error:
        log.error("the database cannot be asked about its role yet: %s", type(error).__name__)
        return
    finally:
        connection.close()  # whoever forks after this has a connection of his own
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        sys.stderr.write(
            f"zhixu: not started: the database role of DATABASE_URL {'; '.join(faults[:3])}{more}."
            f" Use {role}, which manage.py roles_create makes (docs/deploy.md).\n"
        )
        sys.stderr.flush()
        raise SystemExit(_EXIT)
    _guarded.add(role)


def role_is_guarded(role: str) -> bool:
    """Tell whether this process was found to serve under a role that is fit for it."""
    if not option("GUARD_ROLES") or role in _guarded:
        return True
    try:
        if role_faults(role):
            return False
    except DatabaseError:
        return False
    _guarded.add(role)
    return True
