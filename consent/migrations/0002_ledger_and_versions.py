from django.db import migrations

from audit.append_only import append_only
from governance.register_version import counts_as_register

REGISTER_TABLES = [
    "consent_notice",
    "consent_notice_version",
    "consent_notice_terms",
    "consent_collection_point",
    "consent_source_batch",
    "consent_content",
    "consent_campaign",
    "consent_slot",
]

# The transaction of a person's last change: what committed after a screening began is found exactly by it,
# never by id or time (serial order is not commit order).
CHANGED = migrations.RunSQL(
    """
    CREATE FUNCTION zhixu_changed_xid() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.changed_xid := pg_current_xact_id();
        RETURN NEW;
    END $$;
    ALTER TABLE consent_subject ADD COLUMN changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id();
    ALTER TABLE consent_suppression ADD COLUMN changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id();
    ALTER TABLE consent_send_record ADD COLUMN changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id();
    ALTER TABLE consent_template_subscription ADD COLUMN changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id();
    CREATE TRIGGER consent_subject_changed BEFORE UPDATE ON consent_subject
        FOR EACH ROW EXECUTE FUNCTION zhixu_changed_xid();
    CREATE TRIGGER consent_suppression_changed BEFORE UPDATE ON consent_suppression
        FOR EACH ROW EXECUTE FUNCTION zhixu_changed_xid();
    CREATE INDEX subject_changed ON consent_subject (changed_xid);
    CREATE INDEX suppression_changed ON consent_suppression (changed_xid);
    CREATE INDEX send_record_changed ON consent_send_record (changed_xid);
    CREATE INDEX template_subscription_changed ON consent_template_subscription (changed_xid);
    """,
    """
    ALTER TABLE consent_subject DROP COLUMN changed_xid;
    ALTER TABLE consent_suppression DROP COLUMN changed_xid;
    ALTER TABLE consent_send_record DROP COLUMN changed_xid;
    ALTER TABLE consent_template_subscription DROP COLUMN changed_xid;
    DROP FUNCTION zhixu_changed_xid() CASCADE;
    """,
)


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0001_initial"),
        ("audit", "0002_entries_are_append_only"),
        ("governance", "0002_register_version"),
    ]
    operations = [
        append_only("consent_record"),
        append_only("consent_notice_version"),
        append_only("consent_decision"),
        *(counts_as_register(table) for table in REGISTER_TABLES),
        CHANGED,
    ]
