"""Wrapped keys. The root keys that open them are outside the database."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

_STATES = ["active", "decrypt_only", "destroyed"]


class EpochKey(models.Model):
    """A key-encryption key of one period, wrapped by the root. Destroying it ends all data keys under it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    root_id = models.CharField(_("root key"), max_length=40)
    wrapped = models.BinaryField(_("wrapped key"))
    state = models.CharField(_("state"), max_length=12, choices=[(s, s) for s in _STATES], default="active")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        db_table = "governance_epoch_key"
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=Q(state="active"), name="epoch_key_one_active"),
            models.CheckConstraint(condition=Q(state__in=_STATES), name="epoch_key_state_known"),
        ]


class DataKey(models.Model):
    """A data key, wrapped by an epoch key. `owner` is a subject's or a dataset's reference."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.UUIDField(_("owner"))
    use = models.CharField(_("use"), max_length=10)
    version = models.PositiveIntegerField(default=1)
    epoch = models.ForeignKey(EpochKey, models.PROTECT, related_name="data_keys")
    wrapped = models.BinaryField(_("wrapped key"))
    state = models.CharField(_("state"), max_length=12, choices=[(s, s) for s in _STATES], default="active")

    class Meta:
        db_table = "governance_data_key"
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "use"], condition=Q(state="active"), name="data_key_one_active_per_use"
            ),
            models.CheckConstraint(condition=Q(use__in=["profile", "evidence", "data"]), name="data_key_use_known"),
            models.CheckConstraint(condition=Q(state__in=_STATES), name="data_key_state_known"),
        ]
