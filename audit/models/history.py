"""What rows were before they changed (audit/history.py). Written by triggers only."""

from __future__ import annotations

from django.db import models


class RowHistory(models.Model):
    """One earlier version of one row. `since` and `until` (xid8, added in SQL): the transactions it lived between."""

    id = models.BigAutoField(primary_key=True)
    relation = models.CharField(max_length=63)
    row_key = models.CharField(max_length=64)
    was = models.JSONField()

    class Meta:
        db_table = "audit_row_history"
        default_permissions = ()
