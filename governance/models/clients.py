"""API clients: who may call, for how long, and within which limits."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _
from oauth2_provider.models import AbstractApplication

from governance.domain.terms import Scope


class APIClient(AbstractApplication):
    """An OAuth 2.0 client (client credentials). Null limits nothing; an empty list allows nothing."""

    scopes = ArrayField(
        models.CharField(max_length=40, choices=[(s.value, s.value) for s in Scope]),
        verbose_name=_("scopes"),
        default=list,
    )
    brands = ArrayField(models.CharField(max_length=64), verbose_name=_("brands"), null=True, blank=True)
    purposes = ArrayField(models.CharField(max_length=64), verbose_name=_("purposes"), null=True, blank=True)
    channels = ArrayField(models.CharField(max_length=64), verbose_name=_("channels"), null=True, blank=True)
    fields = ArrayField(models.CharField(max_length=64), verbose_name=_("data fields"), null=True, blank=True)
    recipients = ArrayField(models.CharField(max_length=64), verbose_name=_("recipients"), null=True, blank=True)
    networks = ArrayField(
        models.CharField(max_length=43),
        verbose_name=_("IP ranges"),
        null=True,
        blank=True,
        help_text=_("CIDR notation."),
    )
    active = models.BooleanField(_("active"), default=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), default=6000)

    class Meta(AbstractApplication.Meta):
        db_table = "governance_api_client"
        swappable = "OAUTH2_PROVIDER_APPLICATION_MODEL"
        verbose_name = _("API client")
        verbose_name_plural = _("API clients")


class IdempotencyRecord(models.Model):
    """The answer to a write, kept for 24 hours to be given again (Idempotency-Key)."""

    client = models.ForeignKey(APIClient, models.CASCADE, related_name="+")
    key = models.CharField(max_length=128)
    request_hash = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "governance_idempotency_record"
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["client", "key"], name="idempotency_key_once")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_created")]
