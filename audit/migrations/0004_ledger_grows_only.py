from django.db import migrations

from audit.append_only import append_only

# The pending row is written by the database, whoever inserts the entry and however: no way around it.
PENDING = migrations.RunSQL(
    """
    CREATE FUNCTION zhixu_audit_pending() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO audit_pending (entry_id) SELECT id FROM added;
        RETURN NULL;
    END $$;
    CREATE TRIGGER audit_entry_pending AFTER INSERT ON audit_entry
        REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION zhixu_audit_pending();
    ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_entry_pending;
    INSERT INTO audit_pending (entry_id) SELECT id FROM audit_entry;
    INSERT INTO audit_tree (id, size, edge, root)
        VALUES (1, 0, '', '\\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    """,
    """
    DROP TRIGGER audit_entry_pending ON audit_entry;
    DROP FUNCTION zhixu_audit_pending();
    """,
)

# A tile only gains hashes at its end, up to 256; the tree only grows.
GROWS = migrations.RunSQL(
    """
    CREATE FUNCTION zhixu_tile_grows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.level <> OLD.level OR NEW.n <> OLD.n OR length(NEW.hashes) > 8192
            OR length(NEW.hashes) <= length(OLD.hashes)
            OR substring(NEW.hashes FROM 1 FOR length(OLD.hashes)) <> OLD.hashes THEN
            RAISE EXCEPTION 'a tile only grows' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER audit_tile_grows BEFORE UPDATE ON audit_tile FOR EACH ROW EXECUTE FUNCTION zhixu_tile_grows();
    CREATE TRIGGER audit_tile_kept BEFORE DELETE ON audit_tile FOR EACH ROW EXECUTE FUNCTION zhixu_append_only();
    CREATE TRIGGER audit_tile_no_truncate BEFORE TRUNCATE ON audit_tile
        FOR EACH STATEMENT EXECUTE FUNCTION zhixu_append_only();
    ALTER TABLE audit_tile ENABLE ALWAYS TRIGGER audit_tile_grows;
    ALTER TABLE audit_tile ENABLE ALWAYS TRIGGER audit_tile_kept;
    ALTER TABLE audit_tile ENABLE ALWAYS TRIGGER audit_tile_no_truncate;

    CREATE FUNCTION zhixu_tree_grows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.size <= OLD.size THEN
            RAISE EXCEPTION 'the tree only grows' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER audit_tree_grows BEFORE UPDATE ON audit_tree FOR EACH ROW EXECUTE FUNCTION zhixu_tree_grows();
    CREATE TRIGGER audit_tree_kept BEFORE DELETE ON audit_tree FOR EACH ROW EXECUTE FUNCTION zhixu_append_only();
    CREATE TRIGGER audit_tree_no_truncate BEFORE TRUNCATE ON audit_tree
        FOR EACH STATEMENT EXECUTE FUNCTION zhixu_append_only();
    ALTER TABLE audit_tree ENABLE ALWAYS TRIGGER audit_tree_grows;
    ALTER TABLE audit_tree ENABLE ALWAYS TRIGGER audit_tree_kept;
    ALTER TABLE audit_tree ENABLE ALWAYS TRIGGER audit_tree_no_truncate;
    """,
    """
    DROP FUNCTION zhixu_tile_grows() CASCADE;
    DROP FUNCTION zhixu_tree_grows() CASCADE;
    DROP TRIGGER audit_tile_kept ON audit_tile;
    DROP TRIGGER audit_tile_no_truncate ON audit_tile;
    DROP TRIGGER audit_tree_kept ON audit_tree;
    DROP TRIGGER audit_tree_no_truncate ON audit_tree;
    """,
)


# A payload is deleted when its person is erased, and never exchanged.
PAYLOADS = migrations.RunSQL(
    """
    CREATE TRIGGER audit_payload_kept BEFORE UPDATE ON audit_payload
        FOR EACH ROW EXECUTE FUNCTION zhixu_append_only();
    CREATE TRIGGER audit_payload_no_truncate BEFORE TRUNCATE ON audit_payload
        FOR EACH STATEMENT EXECUTE FUNCTION zhixu_append_only();
    ALTER TABLE audit_payload ENABLE ALWAYS TRIGGER audit_payload_kept;
    ALTER TABLE audit_payload ENABLE ALWAYS TRIGGER audit_payload_no_truncate;
    """,
    "DROP TRIGGER audit_payload_kept ON audit_payload; DROP TRIGGER audit_payload_no_truncate ON audit_payload;",
)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_ledger")]
    operations = [
        PENDING,
        GROWS,
        PAYLOADS,
        append_only("audit_leaf"),
        append_only("audit_checkpoint"),
        append_only("audit_anchor"),
    ]
