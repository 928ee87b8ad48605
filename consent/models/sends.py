"""What senders report of what they really sent, and which answer of ours each send is matched to."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from audit.domain.ids import uuid7
from consent.domain.sends import SendStatus
from consent.domain.terms import SUBJECT_REF, SendKind
from consent.models.contacts import SendRecord
from consent.models.decisions import Job, Screening
from governance.domain.identifiers import IdentifierType
from governance.models import Channel
from governance.models.base import choices


def _codes(label: Any) -> ArrayField:  # type: ignore[type-arg]
    return ArrayField(models.CharField(max_length=40), verbose_name=label, default=list, blank=True)


class SendReport(Job):
    """One batch of send receipts: a call, or a file on its way in. A call is done when it is answered."""

    source = models.CharField(max_length=500, blank=True)  # path of the file on this host; empty: a call
    source_format = models.CharField(_("format"), max_length=10, default="ndjson")
    sha256 = models.CharField(_("SHA-256 of the input"), max_length=64)
    accepted = models.BigIntegerField(_("accepted"), default=0)
    refused = models.BigIntegerField(_("refused"), default=0)
    replayed = models.BigIntegerField(_("replayed"), default=0)
    by_code = models.JSONField(_("refused by code"), default=dict)
    errors_offset = models.BigIntegerField(default=0)

    class Meta:
        db_table = "consent_send_report"
        verbose_name = _("send report")
        verbose_name_plural = _("send reports")
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(status__in=Job.STATUSES), name="send_report_status_known")]


class SendReceipt(models.Model):
    """One message as its sender reports it. Append-only. The receiver stands here by look-up value only.

    `decision_id`, `screening_id` and `row_no` are what the sender named; what fits is in SendMatch. `record` is the
    row the frequency cap counts; a message that failed has none.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    report = models.ForeignKey(SendReport, models.PROTECT, related_name="receipts", verbose_name=_("send report"))
    source_key = models.BinaryField(max_length=16, unique=True)
    source_digest = models.BinaryField(max_length=16)
    decision_id = models.UUIDField(_("decision"), null=True)
    screening_id = models.UUIDField(_("screening"), null=True)
    row_no = models.IntegerField(_("row"), null=True)
    type = models.SmallIntegerField(_("identifier"))
    lookup = models.BinaryField(_("look-up value"), max_length=16)
    campaign = models.CharField(_("campaign"), max_length=64, blank=True)
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="+", db_index=False, verbose_name=_("channel"))
    recipient = models.CharField(_("recipient"), max_length=64, blank=True)
    in_house = models.BooleanField(_("sent without a recipient"), default=False)
    sent_at = models.DateTimeField(_("sent at"))
    kind = models.CharField(_("kind"), max_length=12, choices=choices(SendKind))
    template = models.CharField(_("template"), max_length=64, blank=True)
    met = _codes(_("duties met"))
    unmet = _codes(_("duties not met"))
    status = models.CharField(_("status"), max_length=10, choices=choices(SendStatus))
    message_id = models.CharField(_("sender's message id"), max_length=100, blank=True)
    reported_at = models.DateTimeField(_("reported at"))
    record = models.ForeignKey(
        SendRecord, models.PROTECT, related_name="receipts", null=True, verbose_name=_("send record")
    )

    class Meta:
        db_table = "consent_send_receipt"
        verbose_name = _("send receipt")
        verbose_name_plural = _("send receipts")
        default_permissions = ("view",)
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["sent_at", "id"], name="send_receipt_sent"),
            models.Index(fields=["lookup", "sent_at"], name="send_receipt_lookup"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(type__in=[SUBJECT_REF, *(kind.value for kind in IdentifierType)]),
                name="send_receipt_type_known",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in SendKind]), name="send_receipt_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(status__in=[status.value for status in SendStatus]), name="send_receipt_status_known"
            ),
            models.CheckConstraint(condition=Q(in_house=False) | Q(recipient=""), name="send_receipt_one_sender"),
        ]

    def __str__(self) -> str:
        return f"snd_{self.id.hex}"


class SendMatch(models.Model):
    """What a send rests on, and what is wrong with it. A projection: the reconciliation makes it again at any time.

    `basis` tells which sends rest on the same answer, or go to the same receiver for the same campaign without one;
    empty: nothing to compare with. `findings` are the bits of SendFinding.
    """

    receipt = models.OneToOneField(SendReceipt, models.PROTECT, primary_key=True, related_name="match")
    sent_at = models.DateTimeField()
    campaign = models.CharField(max_length=64, blank=True)
    recipient = models.CharField(max_length=64, blank=True)
    decision_id = models.UUIDField(null=True)
    screening_id = models.UUIDField(null=True)
    row_no = models.IntegerField(null=True)
    expires_at = models.DateTimeField(null=True)
    basis = models.UUIDField(null=True)
    findings = models.IntegerField(default=0)

    class Meta:
        db_table = "consent_send_match"
        default_permissions = ()
        indexes = [
            models.Index(fields=["basis"], name="send_match_basis", condition=Q(basis__isnull=False)),
            models.Index(fields=["sent_at", "receipt"], name="send_match_found", condition=~Q(findings=0)),
            models.Index(fields=["sent_at"], name="send_match_sent"),
        ]


class ScreeningPass(models.Model):
    """One time a screening was judged: what it said then was good from `valid_from` until `valid_until`."""

    screening = models.ForeignKey(Screening, models.CASCADE, related_name="passes")
    judged_at = models.DateTimeField()
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()

    class Meta:
        db_table = "consent_screening_pass"
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=Q(valid_from__lte=F("valid_until")), name="screening_pass_forward")
        ]


class ScreeningRowPast(models.Model):
    """What a row of a screening said until a recheck changed it. Written by a trigger."""

    screening = models.ForeignKey(Screening, models.CASCADE, related_name="+", db_index=False)
    row_no = models.IntegerField()
    until = models.DateTimeField()
    outcome = models.SmallIntegerField()
    subject_bits = models.BigIntegerField()

    class Meta:
        db_table = "consent_screening_row_past"
        default_permissions = ()
        indexes = [models.Index(fields=["screening", "row_no", "until"], name="screening_row_past_row")]
