"""What is known of an identifier itself, whoever holds it: refusals, sends, subscriptions.

Keyed by look-up value, never by number. Refusals survive erasure and re-import.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.domain.ids import uuid7
from consent.domain.terms import SendKind, SuppressionKind, WxAction
from governance.domain.identifiers import IdentifierType
from governance.models import Channel
from governance.models.base import choices


class Suppression(models.Model):
    """A "no" to an identifier for the whole legal entity (拒收名单, 广告法 43).

    `channel` empty means everything. `said_at` empty means nobody can date it: it has always stood.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    type = models.SmallIntegerField(_("identifier"), choices=[(kind.value, kind.word) for kind in IdentifierType])
    lookup = models.BinaryField(_("look-up value"), max_length=16)
    kind = models.CharField(_("kind"), max_length=8, choices=choices(SuppressionKind))
    channel = models.ForeignKey(
        Channel, models.PROTECT, related_name="+", null=True, blank=True, verbose_name=_("scope")
    )
    said_at = models.DateTimeField(_("since"), null=True, blank=True)
    removed_at = models.DateTimeField(_("removed at"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    source = models.CharField(_("source"), max_length=40, blank=True)
    source_key = models.BinaryField(max_length=16, unique=True, null=True)
    recorded_at = models.DateTimeField(_("recorded at"), auto_now_add=True)

    class Meta:
        db_table = "consent_suppression"
        verbose_name = _("opt-out or suppression")
        verbose_name_plural = _("opt-outs and suppressions")
        default_permissions = ("view", "change")
        indexes = [models.Index(fields=["lookup"], name="suppression_lookup")]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in SuppressionKind]), name="suppression_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(kind="listed") | Q(kind="carrier") | Q(removed_at__isnull=True),
                name="suppression_optout_not_removed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class SendRecord(models.Model):
    """One message that went out, as the sender reports it. Feeds frequency caps and quotas."""

    id = models.BigAutoField(primary_key=True)
    type = models.SmallIntegerField(_("identifier"), choices=[(kind.value, kind.word) for kind in IdentifierType])
    lookup = models.BinaryField(_("look-up value"), max_length=16)
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="+", db_index=False, verbose_name=_("channel"))
    sent_at = models.DateTimeField(_("sent at"))
    kind = models.CharField(_("kind"), max_length=12, choices=choices(SendKind))
    template = models.CharField(_("template"), max_length=64, blank=True)
    campaign = models.CharField(_("campaign"), max_length=64, blank=True)
    source_key = models.BinaryField(max_length=16, unique=True, null=True)

    class Meta:
        db_table = "consent_send_record"
        verbose_name = _("send record")
        verbose_name_plural = _("send records")
        default_permissions = ("view",)
        indexes = [models.Index(fields=["lookup", "channel", "sent_at"], include=["kind"], name="send_record_lookup")]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in SendKind]), name="send_record_kind_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class TemplateSubscription(models.Model):
    """One answer to a WeChat subscription prompt. An acceptance buys one message of the template."""

    id = models.BigAutoField(primary_key=True)
    lookup = models.BinaryField(_("look-up value"), max_length=16)
    template = models.CharField(_("template"), max_length=64)
    action = models.CharField(_("action"), max_length=6, choices=choices(WxAction))
    said_at = models.DateTimeField(_("said at"))
    source_key = models.BinaryField(max_length=16, unique=True, null=True)

    class Meta:
        db_table = "consent_template_subscription"
        verbose_name = _("template subscription")
        verbose_name_plural = _("template subscriptions")
        default_permissions = ("view",)
        indexes = [models.Index(fields=["lookup", "template", "said_at"], name="subscription_lookup")]
        constraints = [
            models.CheckConstraint(
                condition=Q(action__in=[action.value for action in WxAction]), name="subscription_action_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"
