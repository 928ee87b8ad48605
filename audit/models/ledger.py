"""The tree over the entries, its signed heads, and where they are kept outside."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from audit.domain.merkle import EMPTY_ROOT


class PendingEntry(models.Model):
    """An entry that is not in the tree yet. A trigger writes the row with the entry; only the sequencer deletes it."""

    entry_id = models.UUIDField(primary_key=True)

    class Meta:
        db_table = "audit_pending"
        default_permissions = ()


class Payload(models.Model):
    """The personal part of an entry, sealed under the person's key. Gone when the person is erased."""

    entry_id = models.UUIDField(primary_key=True)
    subject_ref = models.UUIDField(_("person"), db_index=True)
    sealed = models.BinaryField(_("sealed payload"))

    class Meta:
        db_table = "audit_payload"
        default_permissions = ()


class Leaf(models.Model):
    """Place of an entry in the tree."""

    idx = models.BigIntegerField(primary_key=True)
    entry_id = models.UUIDField(unique=True)

    class Meta:
        db_table = "audit_leaf"
        default_permissions = ()


class Tile(models.Model):
    """256 hashes of one level (audit/domain/tiles.py). Only the last tile of a level may grow."""

    pk = models.CompositePrimaryKey("level", "n")
    level = models.SmallIntegerField()
    n = models.BigIntegerField()
    hashes = models.BinaryField()

    class Meta:
        db_table = "audit_tile"
        default_permissions = ()


class Tree(models.Model):
    """The right edge of the tree: one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    size = models.BigIntegerField(_("size"), default=0)
    edge = models.BinaryField(default=b"")  # the compact range, largest subtree first
    root = models.BinaryField(_("root"), max_length=32, default=EMPTY_ROOT)

    class Meta:
        db_table = "audit_tree"
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(id=1), name="audit_tree_is_one")]


class Checkpoint(models.Model):
    """A signed head (C2SP tlog-checkpoint)."""

    size = models.BigIntegerField(_("size"), primary_key=True)
    root = models.BinaryField(_("root"), max_length=32)
    note = models.TextField(_("signed note"))
    signed_at = models.DateTimeField(_("signed at"), db_default=Now())

    class Meta:
        db_table = "audit_checkpoint"
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        default_permissions = ("view",)
        ordering = ["-size"]

    def __str__(self) -> str:
        return str(self.size)


class Anchor(models.Model):
    """A checkpoint that was put where nobody who runs the database can change it, and what came back."""

    id = models.BigAutoField(primary_key=True)
    size = models.BigIntegerField(_("size"))
    kind = models.CharField(_("kind"), max_length=10)
    target = models.CharField(_("target"), max_length=200)
    note = models.TextField(_("what was anchored"))
    reply = models.TextField(_("reply"), blank=True)
    succeeded = models.BooleanField(_("succeeded"))
    anchored_at = models.DateTimeField(_("anchored at"), db_default=Now())

    class Meta:
        db_table = "audit_anchor"
        verbose_name = _("anchor")
        verbose_name_plural = _("anchors")
        default_permissions = ("view",)
        ordering = ["-id"]
        indexes = [models.Index(fields=["kind", "target", "-id"], name="audit_anchor_target")]
        constraints = [
            models.UniqueConstraint(
                fields=["size", "kind", "target"], condition=Q(succeeded=True), name="audit_anchor_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.size} · {self.kind}"


class Verification(models.Model):
    """One time somebody asked whether the ledger is whole, and the answer. Append-only."""

    id = models.BigAutoField(primary_key=True)
    size = models.BigIntegerField(_("size"))
    root = models.BinaryField(_("root"), max_length=32)
    heads = models.BigIntegerField(_("heads compared"))
    pending = models.BigIntegerField(_("waiting entries"))
    result = models.CharField(_("result"), max_length=6)
    findings = models.JSONField(_("findings"), default=list)  # [{"code", "count", "places"}]
    actor_kind = models.CharField(_("asked by"), max_length=10)
    actor_ref = models.CharField(_("actor reference"), max_length=64, blank=True)
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"))

    class Meta:
        db_table = "audit_verification"
        verbose_name = _("verification")
        verbose_name_plural = _("verifications")
        default_permissions = ("add", "view")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(result__in=["whole", "broken"]), name="audit_verification_result_known"),
            models.CheckConstraint(
                condition=Q(result="whole", findings=[]) | (Q(result="broken") & ~Q(findings=[])),
                name="audit_verification_broken_says_what",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M}"
