"""Decisions taken, and the screenings that take millions of them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.domain.ids import uuid7
from governance.models import APIClient


class Decision(models.Model):
    """One answer that was given. Append-only. The words of a code are in the rule set named.

    `snapshot` (pg_snapshot) and `row_xid` (xid8) are added in SQL: what the decision saw, and the transaction that
    kept it. With them it is judged again on the same facts (consent/services/replays.py).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    decided_at = models.DateTimeField(_("decided at"))
    judged_at = models.DateTimeField(_("judged for"))
    client = models.ForeignKey(
        APIClient,
        models.PROTECT,
        related_name="+",
        null=True,
        db_index=False,
        db_constraint=False,
        verbose_name=_("client"),
    )
    campaign = models.CharField(_("campaign"), max_length=64)
    purpose = models.CharField(_("purpose"), max_length=64)
    channel = models.CharField(_("channel"), max_length=64)
    request_hash = models.BinaryField(_("request hash"), max_length=16)
    type = models.SmallIntegerField(_("identifier"))
    lookup = models.BinaryField(_("look-up value"), max_length=16, null=True)
    subject_id = models.BigIntegerField(_("person"), null=True)
    subject_version = models.IntegerField(_("person's version"), null=True)
    register_version = models.BigIntegerField(_("register version"))
    rule_set = models.CharField(_("rule set"), max_length=20)
    send_codes = models.CharField(_("findings on the send"), max_length=2000, blank=True)
    subject_bits = models.BigIntegerField(_("findings on the person"))
    outcome = models.SmallIntegerField(
        _("outcome"),
        choices=[(0, _("allow")), (1, _("allow with obligations")), (2, _("defer")), (3, _("hold")), (4, _("deny"))],
    )
    asked = models.TextField(_("what was asked"), blank=True, default="")
    ledger_size = models.BigIntegerField(_("size of the ledger"), null=True)

    class Meta:
        db_table = "consent_decision"
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        default_permissions = ("view",)
        ordering = ["-id"]
        indexes = [models.Index(fields=["lookup"], name="decision_lookup")]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class DecisionSeal(models.Model):
    """All decisions of the transactions from `since` to before `until`, sealed by one entry of the ledger."""

    entry_id = models.UUIDField(primary_key=True)
    since = models.BigIntegerField()
    until = models.BigIntegerField(unique=True)
    count = models.BigIntegerField(_("decisions"))
    root = models.BinaryField(_("root"), max_length=32)
    sealed_at = models.DateTimeField(_("sealed at"))

    class Meta:
        db_table = "consent_decision_seal"
        default_permissions = ()


class Upload(models.Model):
    """A file somebody sent us to work on. The file is deleted after a day; its digest stays."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    client = models.ForeignKey(APIClient, models.SET_NULL, related_name="+", null=True)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "consent_upload"
        default_permissions = ()


class Job(models.Model):
    """The row is the job: it is claimed with a lease, and whoever finds the lease over may take it on."""

    STATUSES = ("queued", "running", "done", "failed", "cancelled", "expired")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    status = models.CharField(_("status"), max_length=10, default="queued", choices=[(s, _(s)) for s in STATUSES])
    rows_done = models.BigIntegerField(_("rows done"), default=0)
    rows_total = models.BigIntegerField(_("rows"), null=True)
    attempt = models.PositiveSmallIntegerField(_("attempts"), default=0)
    lease_until = models.DateTimeField(null=True)
    error_code = models.CharField(_("error"), max_length=40, blank=True)
    error_detail = models.CharField(_("error detail"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    started_at = models.DateTimeField(_("started at"), null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)
    client = models.ForeignKey(APIClient, models.SET_NULL, related_name="+", null=True, verbose_name=_("client"))
    actor_kind = models.CharField(max_length=10, default="system")
    actor_ref = models.CharField(max_length=64, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.id)


class Screening(Job):
    """One audience file screened for one campaign."""

    campaign = models.CharField(_("campaign"), max_length=64)
    purpose = models.CharField(_("purpose"), max_length=64)
    channel = models.CharField(_("channel"), max_length=64)
    subject_type = models.CharField(_("identifier"), max_length=20)
    source = models.CharField(max_length=500)  # path of the input on this host
    source_format = models.CharField(max_length=10, default="csv")
    column = models.CharField(max_length=100, blank=True)
    carry_columns = models.JSONField(default=list)
    input_sha256 = models.CharField(_("SHA-256 of the input"), max_length=64)
    as_of = models.DateTimeField(_("as of"), null=True)
    counts = models.JSONField(_("counts"), default=dict)
    by_code = models.JSONField(_("by code"), default=dict)
    offsets = models.JSONField(default=dict)  # bytes of each result file that are committed
    register_version = models.BigIntegerField(null=True)
    send_codes = models.CharField(_("findings on the send"), max_length=2000, blank=True)
    judged_at = models.DateTimeField(_("judged at"), null=True)
    snapshot_xid = models.BigIntegerField(null=True)  # changes from this transaction on are new to it
    manifest = models.TextField(_("manifest"), blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True)

    class Meta:
        db_table = "consent_screening"
        verbose_name = _("screening")
        verbose_name_plural = _("screenings")
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(status__in=Job.STATUSES), name="screening_status_known")]


class ScreeningRow(models.Model):
    """The verdict on one row. The identifier stands here by its look-up value only."""

    pk = models.CompositePrimaryKey("screening_id", "row_no")
    screening = models.ForeignKey(Screening, models.CASCADE, related_name="rows", db_index=False)
    row_no = models.IntegerField()
    type = models.SmallIntegerField()
    lookup = models.BinaryField(max_length=16)
    subject_id = models.BigIntegerField(null=True)
    subject_bits = models.BigIntegerField()
    outcome = models.SmallIntegerField()

    class Meta:
        db_table = "consent_screening_row"
        default_permissions = ()


class ConsentImport(Job):
    """One file of historic consents on its way into the ledger."""

    source = models.CharField(max_length=500)
    sha256 = models.CharField(_("SHA-256 of the input"), max_length=64)
    dry_run = models.BooleanField(_("dry run"), default=False)
    imported_at = models.DateTimeField(_("imported as of"))
    accepted = models.BigIntegerField(_("accepted"), default=0)
    refused = models.BigIntegerField(_("refused"), default=0)
    replayed = models.BigIntegerField(_("replayed"), default=0)
    by_code = models.JSONField(_("refused by code"), default=dict)
    errors_offset = models.BigIntegerField(default=0)

    class Meta:
        db_table = "consent_import"
        verbose_name = _("consent import")
        verbose_name_plural = _("consent imports")
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(status__in=Job.STATUSES), name="import_status_known")]


class PreferenceLink(models.Model):
    """A link by which a person opens his own choices. Only a hash of its secret is stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subject = models.ForeignKey("consent.DataSubject", models.CASCADE, related_name="+")
    token_sha256 = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "consent_preference_link"
        default_permissions = ()
