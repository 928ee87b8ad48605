from django.db import migrations, models

# The pending row is written with the owner's rights: who may write an entry needs none on the pending table, and cannot
# stage what is no entry, or hide an entry behind a temporary table of the same name. A function that only triggers of
# ours may call: a temporary table of anybody's own could have triggers too.
STAGED = migrations.RunSQL(
    """
    CREATE OR REPLACE FUNCTION zhixu_audit_pending() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = public, pg_temp AS $$
    BEGIN
        INSERT INTO audit_pending (entry_id) SELECT id FROM added;
        RETURN NULL;
    END $$;
    REVOKE EXECUTE ON FUNCTION zhixu_audit_pending() FROM PUBLIC;
    """,
    """
    CREATE OR REPLACE FUNCTION zhixu_audit_pending() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO audit_pending (entry_id) SELECT id FROM added;
        RETURN NULL;
    END $$;
    """,
)


class Migration(migrations.Migration):
    dependencies = [("audit", "0006_verifications")]
    operations = [
        migrations.AddConstraint(
            model_name="anchor",
            constraint=models.UniqueConstraint(
                condition=models.Q(("succeeded", True)), fields=("size", "kind", "target"), name="audit_anchor_once"
            ),
        ),
        STAGED,
    ]
