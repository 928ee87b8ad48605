"""SQL that keeps what a row was, for migrations: with it, a decision of the past is judged again on what it saw.

Every row knows the transaction that made it what it is (`row_xid`); what it was before stands in `audit_row_history`
with the transactions it lived from and until. With a decision's snapshot that is the database as the decision saw it,
exactly, whatever committed in what order. Sealed values stay sealed; rows of a person are erased with him.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db.migrations import RunSQL

# SECURITY DEFINER: whoever changes a row needs no right on the history, and so cannot rewrite it.
FUNCTION = RunSQL(
    """
    CREATE FUNCTION zhixu_row_history() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = public, pg_temp AS $$
    DECLARE
        was jsonb := to_jsonb(OLD);
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF was - TG_ARGV[1]::text[] = to_jsonb(NEW) - TG_ARGV[1]::text[] THEN
                NEW.row_xid := OLD.row_xid;
                RETURN NEW;
            END IF;
            NEW.row_xid := pg_current_xact_id();
        END IF;
        IF OLD.row_xid <> pg_current_xact_id() THEN
            INSERT INTO audit_row_history (relation, row_key, was, since, until)
            VALUES (TG_TABLE_NAME, was ->> TG_ARGV[0], was, OLD.row_xid, pg_current_xact_id());
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END $$;
    """,
    "DROP FUNCTION zhixu_row_history();",
)


def knows_its_transaction(table: str) -> RunSQL:
    """Return the operation for a table whose rows never change."""
    return RunSQL(
        f"ALTER TABLE {table} ADD COLUMN row_xid xid8 NOT NULL DEFAULT pg_current_xact_id();",
        f"ALTER TABLE {table} DROP COLUMN row_xid;",
    )


def keeps_history(table: str, key: str = "id", ignored: Sequence[str] = ()) -> RunSQL:
    """Return the operation that keeps what rows were. `ignored`: columns no decision rests on."""
    passed = ",".join(["row_xid", *ignored])
    return RunSQL(
        f"""
        ALTER TABLE {table} ADD COLUMN row_xid xid8 NOT NULL DEFAULT pg_current_xact_id();
        CREATE TRIGGER {table}_history BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION zhixu_row_history('{key}', '{{{passed}}}');
        ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_history;
        """,
        f"DROP TRIGGER {table}_history ON {table}; ALTER TABLE {table} DROP COLUMN row_xid;",
    )
