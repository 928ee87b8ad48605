from django.db import migrations

from governance.register_version import REGISTER_VERSION, counts_as_register

TABLES = [
    "governance_controller",
    "governance_brand",
    "governance_channel",
    "governance_purpose",
    "governance_purpose_contains",
    "governance_data_field",
    "governance_data_field_allowed_purposes",
    "governance_word_list",
    "governance_cross_border_count",
    "governance_policy_revision",
    "governance_recipient",
    "governance_agreement",
    "governance_subprocessor",
    "governance_transfer_mechanism",
    "governance_impact_assessment",
    "governance_impact_assessment_purposes",
    "governance_impact_assessment_recipients",
]


class Migration(migrations.Migration):
    dependencies = [("governance", "0001_initial")]
    operations = [REGISTER_VERSION, *(counts_as_register(table) for table in TABLES)]
