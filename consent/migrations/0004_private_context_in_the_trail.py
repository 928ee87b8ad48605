from django.db import migrations


class Migration(migrations.Migration):
    """What was private about an act lies beside its audit entry (`audit_payload`), bound to it and committed to in it.

    No released version stored it here, and sealed values cannot move: they are bound to their place.
    """

    dependencies = [("consent", "0003_decisions_are_judged_again"), ("audit", "0004_ledger_grows_only")]
    operations = [
        migrations.RemoveField(model_name="consentrecord", name="context"),
        migrations.AlterModelOptions(
            name="consentrecord",
            options={
                "default_permissions": ("view",),
                "ordering": ["-id"],
                "permissions": [("reveal_consentrecord", "Can open the sealed evidence of a consent record")],
                "verbose_name": "consent record",
                "verbose_name_plural": "consent records",
            },
        ),
    ]
