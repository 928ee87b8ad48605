from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from audit.domain.ids import uuid7


class AuditEntry(models.Model):
    """One thing that happened. Insert only: triggers refuse every change (migration 0002).

    `body` holds the canonical bytes that `leaf_hash` is the RFC 6962 leaf of; the other columns repeat
    parts of it for look-up and prove nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    body = models.BinaryField(_("canonical body"))
    leaf_hash = models.BinaryField(_("leaf hash"), max_length=32)
    type = models.CharField(_("event"), max_length=40)
    actor_kind = models.CharField(_("actor"), max_length=10)
    actor_ref = models.CharField(_("actor reference"), max_length=64, blank=True)
    subject_ref = models.UUIDField(_("person"), null=True)
    object_kind = models.CharField(_("object"), max_length=24, blank=True)
    object_ref = models.CharField(_("object reference"), max_length=80, blank=True)
    recorded_at = models.DateTimeField(_("recorded at"), db_default=Now())

    class Meta:
        db_table = "audit_entry"
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        default_permissions = ("view",)
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["subject_ref"], name="audit_entry_subject", condition=models.Q(subject_ref__isnull=False)
            ),
            models.Index(fields=["object_kind", "object_ref"], name="audit_entry_object"),
            models.Index(fields=["type", "recorded_at"], name="audit_entry_type"),
            models.Index(
                fields=["actor_kind", "actor_ref", "id"],
                name="audit_entry_who",
                condition=models.Q(actor_kind__in=["user", "api"]),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(actor_kind__in=["customer", "user", "api", "system"]), name="audit_entry_actor_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"
