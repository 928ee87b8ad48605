from django.db import migrations

from audit.append_only import append_only


class Migration(migrations.Migration):
    """What a published notice promised is part of what people agreed to: a new version says it anew."""

    dependencies = [("consent", "0006_send_receipts")]
    operations = [append_only("consent_notice_terms")]
