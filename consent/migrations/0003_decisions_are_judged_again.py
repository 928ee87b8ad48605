import importlib

from django.db import migrations, models

from audit.history import keeps_history, knows_its_transaction

REGISTER_TABLES = importlib.import_module("consent.migrations.0002_ledger_and_versions").REGISTER_TABLES

# What a decision saw: its snapshot; and its own transaction, by which decisions are sealed without a gap.
SNAPSHOT = migrations.RunSQL(
    """
    ALTER TABLE consent_decision
        ADD COLUMN snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
        ADD COLUMN row_xid xid8 NOT NULL DEFAULT pg_current_xact_id();
    CREATE INDEX decision_xid ON consent_decision (row_xid);
    """,
    "ALTER TABLE consent_decision DROP COLUMN snapshot, DROP COLUMN row_xid;",
)


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0002_ledger_and_versions"),
        ("audit", "0005_row_history"),
        ("governance", "0003_register_history"),
    ]
    operations = [
        migrations.AddField(
            "decision", "asked", models.TextField(blank=True, default="", verbose_name="what was asked")
        ),
        migrations.AddField(
            "decision", "ledger_size", models.BigIntegerField(null=True, verbose_name="size of the ledger")
        ),
        migrations.AlterField(
            "decision",
            "send_codes",
            models.CharField(blank=True, max_length=2000, verbose_name="findings on the send"),
        ),
        migrations.AlterField(
            "screening",
            "send_codes",
            models.CharField(blank=True, max_length=2000, verbose_name="findings on the send"),
        ),
        SNAPSHOT,
        *(keeps_history(table) for table in REGISTER_TABLES if table != "consent_notice_version"),
        keeps_history("consent_subject", ignored=["version", "granted", "changed_xid"]),
        keeps_history("consent_identifier"),
        keeps_history("consent_subject_profile", key="subject_id"),
        keeps_history("consent_guardianship"),
        keeps_history("consent_suppression", ignored=["changed_xid"]),
        keeps_history("consent_send_record", ignored=["changed_xid"]),
        keeps_history("consent_template_subscription", ignored=["changed_xid"]),
        knows_its_transaction("consent_record"),
        knows_its_transaction("consent_notice_version"),
    ]
