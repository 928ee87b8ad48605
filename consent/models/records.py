"""The consent ledger and its projection."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from audit.domain.ids import uuid7
from consent.domain.terms import Act, Bundle, Control
from consent.models.notices import CollectionPoint, NoticeVersion
from consent.models.subjects import DataSubject
from governance.models import Channel, Purpose, Recipient
from governance.models.base import choices


class Slot(models.Model):
    """What a consent state is about: a purpose with a channel, or a separate consent without one."""

    id = models.AutoField(primary_key=True)
    purpose = models.ForeignKey(Purpose, models.PROTECT, related_name="+")
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="+", null=True)
    field_group = models.CharField(max_length=40, blank=True)
    recipient = models.ForeignKey(Recipient, models.PROTECT, related_name="+", null=True)

    class Meta:
        db_table = "consent_slot"
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["purpose", "channel", "field_group", "recipient"], nulls_distinct=False, name="slot_once"
            ),
            models.CheckConstraint(
                condition=Q(channel__isnull=True) | Q(field_group="", recipient__isnull=True),
                name="slot_general_or_separate",
            ),
        ]


class ConsentRecord(models.Model):
    """One act of one person. Append-only (triggers). In a "no", an empty purpose or channel means all of them."""

    id = models.BigAutoField(primary_key=True)
    ref = models.UUIDField(_("reference"), unique=True, default=uuid7, editable=False)
    subject = models.ForeignKey(DataSubject, models.PROTECT, related_name="consent_records", verbose_name=_("person"))
    subject_version = models.IntegerField(_("person's version"))
    act = models.CharField(_("act"), max_length=10, choices=choices(Act))
    purpose = models.ForeignKey(
        Purpose, models.PROTECT, related_name="+", null=True, db_index=False, verbose_name=_("purpose")
    )
    channel = models.ForeignKey(
        Channel, models.PROTECT, related_name="+", null=True, db_index=False, verbose_name=_("channel")
    )
    separate = models.BooleanField(_("separate consent"), default=False)
    field_group = models.CharField(_("sensitive group"), max_length=40, blank=True)
    recipient = models.ForeignKey(
        Recipient, models.PROTECT, related_name="+", null=True, db_index=False, verbose_name=_("recipient")
    )
    said_at = models.DateTimeField(_("said at"))
    recorded_at = models.DateTimeField(_("recorded at"))
    point = models.ForeignKey(
        CollectionPoint, models.PROTECT, related_name="+", null=True, db_index=False, verbose_name=_("collection point")
    )
    notice_version = models.ForeignKey(
        NoticeVersion, models.PROTECT, related_name="+", null=True, db_index=False, verbose_name=_("notice")
    )
    language = models.CharField(_("language"), max_length=10, blank=True)
    text_hash = models.CharField(_("text hash"), max_length=64, blank=True)
    control = models.CharField(_("control"), max_length=16, blank=True, choices=choices(Control))
    pre_checked = models.BooleanField(_("pre-ticked"), null=True)
    bundle = models.CharField(_("asked with"), max_length=10, choices=choices(Bundle), default=Bundle.TERMS.value)
    valid_until = models.DateField(_("valid until"), null=True)
    evidence = models.CharField(_("evidence class"), max_length=1, blank=True)
    proof = models.CharField(_("proof"), max_length=100, blank=True)
    actor_kind = models.CharField(_("recorded by"), max_length=10)
    actor_ref = models.CharField(_("operator"), max_length=64, blank=True)
    source_key = models.BinaryField(_("idempotency key"), max_length=16, null=True, unique=True)
    source_digest = models.BinaryField(_("digest of the source"), max_length=16, null=True)

    class Meta:
        db_table = "consent_record"
        verbose_name = _("consent record")
        verbose_name_plural = _("consent records")
        default_permissions = ("view",)
        permissions = [("reveal_consentrecord", "Can open the sealed evidence of a consent record")]
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(act__in=[act.value for act in Act]), name="consent_record_act_known"),
            models.CheckConstraint(
                condition=Q(act__in=["deny", "withdraw"])
                | (Q(purpose__isnull=False) & (Q(separate=True) | Q(channel__isnull=False))),
                name="consent_record_yes_is_definite",
            ),
            models.CheckConstraint(
                condition=Q(separate=True) | Q(field_group="", recipient__isnull=True),
                name="consent_record_general_or_separate",
            ),
            models.CheckConstraint(condition=Q(said_at__lte=F("recorded_at")), name="consent_record_not_from_future"),
            models.CheckConstraint(condition=Q(evidence__in=["", "A", "B", "C"]), name="consent_record_evidence_known"),
            models.UniqueConstraint(fields=["subject", "subject_version"], name="consent_record_one_per_version"),
        ]

    def __str__(self) -> str:
        return f"cev_{self.ref.hex}"


class ConsentState(models.Model):
    """Where a person stands in one slot: the fold of his records, written with them, rebuildable at any time.

    A projection: its other references carry no constraint of their own, `states_verify` compares them with the
    ledger. No row means never asked. A row without grant and refusal only notes that a narrower purpose is granted.
    """

    pk = models.CompositePrimaryKey("slot_id", "subject_id")
    slot = models.ForeignKey(Slot, models.PROTECT, related_name="+", db_index=False)
    subject = models.ForeignKey(DataSubject, models.CASCADE, related_name="consent_states")
    grant = models.ForeignKey(
        ConsentRecord, models.PROTECT, related_name="+", null=True, db_index=False, db_constraint=False
    )
    grant_purpose = models.ForeignKey(
        Purpose, models.PROTECT, related_name="+", null=True, db_index=False, db_constraint=False
    )
    notice_version = models.ForeignKey(
        NoticeVersion, models.PROTECT, related_name="+", null=True, db_index=False, db_constraint=False
    )
    origin_at = models.DateTimeField(null=True)
    refusal = models.ForeignKey(
        ConsentRecord, models.PROTECT, related_name="+", null=True, db_index=False, db_constraint=False
    )
    refused_at = models.DateTimeField(null=True)
    confirmed = models.BooleanField(default=False)
    bad_form = models.BooleanField(default=False)
    bundled = models.BooleanField(default=False)
    no_evidence = models.BooleanField(default=False)
    expires_on = models.DateField(null=True)
    declared = models.IntegerField(null=True)
    lift_at = models.DateTimeField(null=True)
    narrower = models.BooleanField(default=False)

    class Meta:
        db_table = "consent_state"
        verbose_name = _("consent state")
        verbose_name_plural = _("consent states")
        default_permissions = ("view",)
