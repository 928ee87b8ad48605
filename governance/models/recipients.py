"""Who else gets data, on what papers, and what was assessed before."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from governance.domain.terms import MechanismKind, RecipientRole
from governance.models.base import CodeField, choices
from governance.models.register import Purpose


class Recipient(models.Model):
    """An entrusted party (受托人), an independent recipient (接收方) or a joint controller."""

    code = CodeField(unique=True)
    name = models.CharField(_("name"), max_length=200)
    role = models.CharField(_("role"), max_length=12, choices=choices(RecipientRole))
    country = models.CharField(_("country"), max_length=2, help_text=_("ISO 3166; HK, MO and TW count as abroad."))
    allowed_fields = ArrayField(
        models.CharField(max_length=64),
        verbose_name=_("allowed fields"),
        null=True,
        blank=True,
        help_text=_("Empty: the contract names no list."),
    )
    restricted_categories = ArrayField(
        models.CharField(max_length=40), verbose_name=_("restricted categories"), default=list, blank=True
    )

    class Meta:
        db_table = "governance_recipient"
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=[role.value for role in RecipientRole]), name="recipient_role_known"
            ),
            models.CheckConstraint(condition=Q(country__regex=r"^[A-Z]{2}$"), name="recipient_country_code"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


class Agreement(models.Model):
    """The entrusting contract of a recipient. The six clauses are those of PIPL 21 and 59."""

    recipient = models.OneToOneField(Recipient, models.CASCADE, related_name="agreement", verbose_name=_("recipient"))
    purpose = models.TextField(_("purpose"), blank=True)
    method = models.TextField(_("method"), blank=True)
    categories = models.TextField(_("categories"), blank=True)
    measures = models.TextField(_("protective measures"), blank=True)
    duties = models.TextField(_("rights and duties"), blank=True)
    assistance = models.TextField(_("assistance"), blank=True)
    valid_from = models.DateField(_("valid from"), null=True, blank=True)
    valid_to = models.DateField(_("valid to"), null=True, blank=True)

    class Meta:
        db_table = "governance_agreement"
        verbose_name = _("contract")
        verbose_name_plural = _("contracts")

    def __str__(self) -> str:
        return f"{self.recipient_id}"


class Subprocessor(models.Model):
    recipient = models.ForeignKey(Recipient, models.CASCADE, related_name="subprocessors", verbose_name=_("recipient"))
    name = models.CharField(_("name"), max_length=200)
    approved = models.BooleanField(_("approved"), default=False)

    class Meta:
        db_table = "governance_subprocessor"
        verbose_name = _("sub-entrusted party")
        verbose_name_plural = _("sub-entrusted parties")
        constraints = [models.UniqueConstraint(fields=["recipient", "name"], name="subprocessor_once")]

    def __str__(self) -> str:
        return self.name


class TransferMechanism(models.Model):
    """The route by which a recipient abroad lawfully gets data (PIPL 38)."""

    recipient = models.OneToOneField(Recipient, models.CASCADE, related_name="mechanism", verbose_name=_("recipient"))
    kind = models.CharField(_("kind"), max_length=12, choices=choices(MechanismKind))
    valid_from = models.DateField(_("valid from"))
    valid_to = models.DateField(_("valid to"))

    class Meta:
        db_table = "governance_transfer_mechanism"
        verbose_name = _("cross-border mechanism")
        verbose_name_plural = _("cross-border mechanisms")
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in MechanismKind]), name="mechanism_kind_known"
            ),
            models.CheckConstraint(condition=Q(valid_to__gte=F("valid_from")), name="mechanism_dates_in_order"),
        ]

    def __str__(self) -> str:
        return self.kind


class ImpactAssessment(models.Model):
    """个人信息保护影响评估 (PIPL 55, 56): what was assessed, until when it counts."""

    code = CodeField(unique=True)
    approved_at = models.DateTimeField(_("approved at"), null=True, blank=True)
    expires_on = models.DateField(_("last valid day"), null=True, blank=True)
    purposes = models.ManyToManyField(Purpose, related_name="+", blank=True, verbose_name=_("purposes"))
    recipients = models.ManyToManyField(Recipient, related_name="+", blank=True, verbose_name=_("recipients"))
    automated_decisions = models.BooleanField(_("covers automated decisions"), default=False)
    sensitive_groups = ArrayField(
        models.CharField(max_length=40), verbose_name=_("sensitive groups"), default=list, blank=True
    )
    overseas = models.BooleanField(_("covers sending abroad"), default=False)

    class Meta:
        db_table = "governance_impact_assessment"
        verbose_name = _("impact assessment")
        verbose_name_plural = _("impact assessments")
        ordering = ["code"]

    def __str__(self) -> str:
        return str(self.code)
