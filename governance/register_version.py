"""SQL that raises the register's version with every change of a registered row, whoever makes it.

A trigger and not a line in each service: an admin form, a shell or a migration must not be able to forget it,
because every process decides from the register it holds in memory until the version changes. The number comes
from a sequence, which no rollback takes back: a process that read the register inside a transaction that failed
must not meet its number again under other content.
"""

from __future__ import annotations

from django.db.migrations import RunSQL

REGISTER_VERSION = RunSQL(
    """
    INSERT INTO governance_register_head (id, version) VALUES (1, 1);
    CREATE SEQUENCE governance_register_version START 2;
    CREATE FUNCTION zhixu_register_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE governance_register_head SET version = nextval('governance_register_version') WHERE id = 1;
        RETURN NULL;
    END $$;
    """,
    "DROP FUNCTION zhixu_register_changed(); DROP SEQUENCE governance_register_version;",
)


def counts_as_register(table: str) -> RunSQL:
    """Return the operation that makes every change of a table a new version of the register."""
    return RunSQL(
        f"""
        CREATE TRIGGER {table}_register AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION zhixu_register_changed();
        ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_register;
        """,
        f"DROP TRIGGER {table}_register ON {table};",
    )
