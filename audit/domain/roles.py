"""Which database role may do what with which table.

Roles are prevention: they stop a program that was taken over. Whoever owns the tables or the server can pass them, and
is found out by what is kept outside (audit/services/anchors.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

OWNER = "zx_owner"
WEB = "zx_web"
WORKER = "zx_worker"
SEQUENCER = "zx_seq"
ERASER = "zx_erase"
READER = "zx_read"
SERVICES = (WEB, WORKER, SEQUENCER, ERASER, READER)
ROLES = (OWNER, *SERVICES)

Privileges = frozenset[str]
_NONE: Privileges = frozenset()
_READ = frozenset({"SELECT"})
_ADD = _READ | {"INSERT"}
_ALL = _ADD | {"UPDATE", "DELETE"}
CHANGES = ("UPDATE", "DELETE", "TRUNCATE")

# The ledger's own tables. A role that is not named may read; nobody may TRUNCATE anything.
_LEDGER: Mapping[str, Mapping[str, Privileges]] = {
    "audit_entry": {WEB: _ADD, WORKER: _ADD, ERASER: _ADD, SEQUENCER: _ADD},
    "audit_pending": {SEQUENCER: _READ | {"DELETE"}},  # written by the database itself with each entry
    "audit_payload": {WEB: _ADD, WORKER: _ADD, ERASER: _ADD | {"DELETE"}, SEQUENCER: _NONE, READER: _NONE},
    "audit_leaf": {SEQUENCER: _ADD},
    "audit_tile": {SEQUENCER: _ADD | {"UPDATE"}},
    "audit_tree": {SEQUENCER: _READ | {"UPDATE"}},
    "audit_checkpoint": {SEQUENCER: _ADD},
    "audit_anchor": {SEQUENCER: _ADD},
    "audit_verification": {WEB: _ADD, WORKER: _ADD},
    "audit_row_history": {ERASER: _READ | {"DELETE"}, SEQUENCER: _NONE},  # written by the database itself
}


@dataclass(frozen=True, slots=True)
class Tables:
    """What the tables of the apps above hold. Names, or beginnings of names that end in `_`."""

    keys: Collection[str] = ()  # wrapped keys: made by all, destroyed by erasure only
    doors: Collection[str] = ()  # sign-in, sessions, tokens: the web's alone
    hidden: Collection[str] = ()  # not for the reading role
    staged: Mapping[str, Collection[str]] = field(default_factory=dict)  # what the sequencer's stagers need


def privileges(table: str, role: str, tables: Tables, *, kept: Collection[str] = ()) -> Privileges:
    """Return what a role may do with a table. `kept`: what the table's own triggers refuse (UPDATE, DELETE)."""
    if table in _LEDGER:
        return _LEDGER[table].get(role, _READ)
    if role == SEQUENCER:
        return frozenset(tables.staged.get(table, ())) | (_READ if table == "django_migrations" else _NONE)
    if table in ("django_migrations", "django_content_type"):
        return _READ
    if role == READER:
        hidden = _named(table, tables.keys) or _named(table, tables.doors) or _named(table, tables.hidden)
        return _NONE if hidden else _READ
    if _named(table, tables.doors) and role != WEB:
        return _NONE
    if _named(table, tables.keys) and role != ERASER:
        return _ADD
    return _ALL - frozenset(kept)


def may_change(table: str, role: str, kept: Collection[str]) -> Privileges:
    """Return how a role may change what is written in a table of the ledger; empty for nearly all."""
    if table in _LEDGER:
        return _LEDGER[table].get(role, _READ) & frozenset(CHANGES)
    return frozenset(CHANGES) - frozenset(kept) - {"TRUNCATE"}


def is_ledger(table: str) -> bool:
    return table in _LEDGER


def uses_sequence(sequence: str, role: str) -> bool:
    """Tell whether a role takes numbers from a sequence. Nobody sets one back."""
    return role in (WEB, WORKER, ERASER) and not sequence.startswith("audit_")


def _named(table: str, names: Collection[str]) -> bool:
    return any(table == name or (name.endswith("_") and table.startswith(name)) for name in names)
