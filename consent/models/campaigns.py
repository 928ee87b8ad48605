"""Campaigns and their messages, as planned. A part nobody registered is a finding, not a lost row."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from governance.models.base import CodeField


def _codes(label: Any) -> ArrayField[Any, Any]:
    return ArrayField(models.CharField(max_length=64), verbose_name=label, default=list, blank=True)


class Content(models.Model):
    """A message: what it says, who says it, and what was reviewed."""

    code = CodeField(unique=True)
    subject = models.CharField(_("subject"), max_length=200, blank=True)
    body = models.TextField(_("body"), blank=True)
    landing_url = models.CharField(_("landing page"), max_length=500, blank=True)
    sender_name = models.CharField(_("sender"), max_length=100, blank=True)
    contact = models.CharField(_("contact"), max_length=100, blank=True)
    optout_route = models.CharField(_("opt-out route"), max_length=20, blank=True)
    optout_tested_at = models.DateTimeField(_("opt-out tested at"), null=True, blank=True)
    optout_requires_login = models.BooleanField(_("opt-out needs a login"), default=False)
    optout_valid_until = models.DateField(_("opt-out works until"), null=True, blank=True)
    review_state = models.CharField(
        _("review"),
        max_length=10,
        default="pending",
        choices=[("pending", _("pending")), ("approved", _("approved")), ("rejected", _("rejected"))],
    )
    reviewer = models.CharField(_("reviewer"), max_length=100, blank=True)
    review_sha256 = models.CharField(_("SHA-256 approved"), max_length=64, blank=True)
    exceptions = models.JSONField(_("absolute terms with exception"), default=list, blank=True)
    claims = models.JSONField(_("claims and their proof"), default=list, blank=True)
    approval_no = models.CharField(_("advertising approval no."), max_length=60, blank=True)
    from_domain = models.CharField(_("sender domain"), max_length=100, blank=True)
    one_click_close = models.BooleanField(_("closes with one click"), default=False)

    class Meta:
        db_table = "consent_content"
        verbose_name = _("content")
        verbose_name_plural = _("contents")
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(review_state__in=["pending", "approved", "rejected"]), name="content_review_state_known"
            )
        ]

    def __str__(self) -> str:
        return str(self.code)


class Campaign(models.Model):
    """One planned send (活动). Purpose, channel, recipient and fields are codes of the register."""

    code = CodeField(unique=True)
    name = models.CharField(_("name"), max_length=200)
    brand = models.CharField(_("brand"), max_length=64, blank=True)
    kind = models.CharField(_("kind"), max_length=20, blank=True)
    purpose = models.CharField(_("purpose"), max_length=64, blank=True)
    channel = models.CharField(_("channel"), max_length=64, blank=True)
    planned_at = models.DateTimeField(_("planned at"), null=True, blank=True)
    approved_at = models.DateTimeField(_("approved at"), null=True, blank=True)
    approved_by = models.CharField(_("approved by"), max_length=100, blank=True)
    second_approver = models.CharField(_("second approver"), max_length=100, blank=True)
    recipient_count = models.PositiveBigIntegerField(_("expected recipients"), default=0)
    personalised = models.BooleanField(_("personalised"), default=False)
    generic_variant = models.BooleanField(_("has a generic variant"), default=False)
    adm_refusal_link = models.BooleanField(_("has a link to refuse personalisation"), default=False)
    fields = _codes(_("fields sent"))
    required_fields = _codes(_("fields it cannot do without"))
    segment_fields = _codes(_("fields that choose people"))
    recipient = models.CharField(_("recipient"), max_length=64, blank=True)
    route = models.CharField(_("route"), max_length=20, blank=True)
    suppression_synced_at = models.DateTimeField(_("opt-outs synced to the vendor at"), null=True, blank=True)
    content = models.ForeignKey(
        Content, models.PROTECT, related_name="campaigns", null=True, blank=True, verbose_name=_("content")
    )
    product_categories = _codes(_("product categories"))
    price_rule_fields = _codes(_("fields that make prices"))
    assessment = models.CharField(_("impact assessment"), max_length=64, blank=True)
    template_id = models.CharField(_("template"), max_length=64, blank=True)
    asks_for_purpose = models.CharField(_("asks for consent to"), max_length=64, blank=True)
    asks_for_channel = models.CharField(_("asks for consent over"), max_length=64, blank=True)
    audience = models.JSONField(_("audience file"), default=dict, blank=True)

    class Meta:
        db_table = "consent_campaign"
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        ordering = ["-planned_at", "code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(asks_for_purpose="", asks_for_channel="")
                | (~Q(asks_for_purpose="") & ~Q(asks_for_channel="")),
                name="campaign_asks_for_both_or_none",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"
