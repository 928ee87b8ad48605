"""What people are told (告知), and where they are asked."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from consent.domain.terms import PointKind
from governance.models.base import CodeField, choices


class Notice(models.Model):
    code = CodeField(unique=True)
    name = models.CharField(_("name"), max_length=100, blank=True)

    class Meta:
        db_table = "consent_notice"
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering = ["code"]

    def __str__(self) -> str:
        return str(self.code)


class NoticeVersion(models.Model):
    """One version of a notice, kept readable for ever (PIPL 17). The text never changes: triggers see to it."""

    notice = models.ForeignKey(Notice, models.PROTECT, related_name="versions", verbose_name=_("notice"))
    version = models.PositiveIntegerField(_("version"))
    effective_at = models.DateTimeField(_("effective at"))
    material = models.BooleanField(_("material change"), default=False)
    affects = ArrayField(
        models.CharField(max_length=64),
        verbose_name=_("purposes that must be asked again"),
        default=list,
        blank=True,
    )
    change = models.TextField(_("what changed"), blank=True)
    text = models.TextField(_("text"), blank=True)
    text_sha256 = models.CharField(_("SHA-256 of the text"), max_length=64)

    class Meta:
        db_table = "consent_notice_version"
        verbose_name = _("notice version")
        verbose_name_plural = _("notice versions")
        ordering = ["notice", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["notice", "version"], name="notice_version_once"),
            models.CheckConstraint(condition=Q(text_sha256__regex=r"^[0-9a-f]{64}$"), name="notice_version_hash_form"),
        ]

    def __str__(self) -> str:
        return f"{self.notice_id and self.notice.code}@{self.version}"


class NoticeTerms(models.Model):
    """What a notice version promises for one purpose."""

    notice_version = models.ForeignKey(
        NoticeVersion, models.CASCADE, related_name="terms", verbose_name=_("notice version")
    )
    purpose = models.CharField(_("purpose"), max_length=64)
    valid_months = models.PositiveIntegerField(_("period in months"), null=True, blank=True)
    categories = ArrayField(
        models.CharField(max_length=40), verbose_name=_("categories of data"), default=list, blank=True
    )
    declared_per_month = models.JSONField(_("messages a month by channel"), default=dict, blank=True)

    class Meta:
        db_table = "consent_notice_terms"
        verbose_name = _("terms for a purpose")
        verbose_name_plural = _("terms by purpose")
        constraints = [models.UniqueConstraint(fields=["notice_version", "purpose"], name="notice_terms_once")]

    def __str__(self) -> str:
        return self.purpose


class CollectionPoint(models.Model):
    """Where consent is asked for: a page, a till, a hotline, a migrated list."""

    code = CodeField(unique=True)
    name = models.CharField(_("name"), max_length=100, blank=True)
    kind = models.CharField(_("kind"), max_length=14, choices=choices(PointKind))
    double_opt_in = ArrayField(
        models.CharField(max_length=64), verbose_name=_("channels that need confirming"), default=list, blank=True
    )

    class Meta:
        db_table = "consent_collection_point"
        verbose_name = _("collection point")
        verbose_name_plural = _("collection points")
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in PointKind]), name="collection_point_kind_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


class SourceBatch(models.Model):
    """Where a list of people came from, and what proves it (PIPL 10)."""

    code = CodeField(unique=True)
    source = models.CharField(_("source"), max_length=40)
    collected_by = models.CharField(_("collected by"), max_length=100, blank=True)
    collected_on = models.DateField(_("collected on"), null=True, blank=True)
    basis = models.CharField(_("basis"), max_length=40, blank=True)
    provenance_doc = models.CharField(_("proof of origin"), max_length=200, blank=True)

    class Meta:
        db_table = "consent_source_batch"
        verbose_name = _("source batch")
        verbose_name_plural = _("source batches")
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.code} ({self.source})"
