import importlib

from django.db import migrations

from audit.history import keeps_history

TABLES = importlib.import_module("governance.migrations.0002_register_version").TABLES


class Migration(migrations.Migration):
    dependencies = [("governance", "0002_register_version"), ("audit", "0005_row_history")]
    operations = [keeps_history(table) for table in ["governance_register_head", *TABLES]]
