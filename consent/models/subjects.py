"""People, and what identifies them. Values are encrypted; look-up goes by keyed hash only."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.domain.ids import uuid7
from governance.domain.identifiers import IdentifierType

STATUS_BITS = 7  # SubjectStatus: frozen 1, deceased 2, erased 4


class DataSubject(models.Model):
    """One person (个人), and the head every change of his locks and raises.

    `version` proves which state a decision saw. `changed_xid` is the transaction of the last change, set by a
    trigger: the exact delta of a screening reads it. `child_until` and `minor_until` are set for minors only,
    so that an adult's birth date stands nowhere in clear.
    """

    id = models.BigAutoField(primary_key=True)
    ref = models.UUIDField(_("reference"), unique=True, default=uuid7, editable=False)
    is_guest = models.BooleanField(_("known by one contact only"), default=False)
    version = models.IntegerField(_("version"), default=0)
    status = models.SmallIntegerField(_("status"), default=0)
    sourcing = models.CharField(
        _("source"),
        max_length=8,
        default="lawful",
        choices=[("lawful", _("lawful")), ("unproven", _("unproven")), ("unlawful", _("unlawful"))],
    )
    last_active_on = models.DateField(_("last active on"), null=True, blank=True)
    child_until = models.DateField(_("under 14 until"), null=True, blank=True)
    minor_until = models.DateField(_("under 18 until"), null=True, blank=True)
    personalisation_off_at = models.DateTimeField(_("personalisation off since"), null=True, blank=True)
    paused_until = models.DateField(_("paused until"), null=True, blank=True)
    restricted = ArrayField(models.BigIntegerField(), verbose_name=_("restricted purposes"), null=True, blank=True)
    granted = ArrayField(models.BigIntegerField(), verbose_name=_("granted purposes"), null=True, blank=True)
    widely_listed = models.BooleanField(_("has wide opt-outs or listings"), default=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        db_table = "consent_subject"
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.CheckConstraint(condition=Q(status__gte=0, status__lte=STATUS_BITS), name="subject_status_known"),
            models.CheckConstraint(
                condition=Q(sourcing__in=["lawful", "unproven", "unlawful"]), name="subject_sourcing_known"
            ),
        ]

    def __str__(self) -> str:
        return str(self.ref)


class Identifier(models.Model):
    """One way to reach or recognise a person. Several people may hold the same one.

    `lookup` is a keyed BLAKE2b-128 of the canonical value, with a key per legal entity, kind and version.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subject = models.ForeignKey(DataSubject, models.CASCADE, related_name="identifiers", verbose_name=_("person"))
    type = models.SmallIntegerField(_("kind"), choices=[(kind.value, kind.word) for kind in IdentifierType])
    app = models.CharField(_("WeChat app"), max_length=40, blank=True)
    lookup = models.BinaryField(_("look-up value"), max_length=16)
    key_version = models.SmallIntegerField(_("look-up key version"), default=1)
    sealed = models.BinaryField(_("encrypted value"))
    verified_at = models.DateTimeField(_("verified at"), null=True, blank=True)
    bound_at = models.DateTimeField(_("bound at"), null=True, blank=True)
    lost_on = models.DateField(_("went to somebody else on"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        db_table = "consent_identifier"
        verbose_name = _("identifier")
        verbose_name_plural = _("identifiers")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["subject", "type", "lookup"], name="identifier_once_per_subject"),
            models.UniqueConstraint(
                fields=["lookup"], condition=Q(type=IdentifierType.MEMBER_ID.value), name="identifier_member_id_once"
            ),
            models.CheckConstraint(
                condition=Q(type__in=[kind.value for kind in IdentifierType]), name="identifier_type_known"
            ),
        ]
        indexes = [models.Index(fields=["lookup", "type"], include=["subject", "lost_on"], name="identifier_lookup")]

    def __str__(self) -> str:
        return str(self.id)


class SubjectProfile(models.Model):
    """What a person's record says of him beside identifiers, encrypted under his own key."""

    subject = models.OneToOneField(DataSubject, models.CASCADE, primary_key=True, related_name="profile")
    row_version = models.PositiveIntegerField(default=1)
    name = models.BinaryField(_("name"), null=True)
    gender = models.BinaryField(_("gender"), null=True)
    births = models.BinaryField(_("birth date as given"), null=True)
    batches = ArrayField(models.CharField(max_length=64), verbose_name=_("source batches"), default=list)

    class Meta:
        db_table = "consent_subject_profile"
        default_permissions = ()


class Guardianship(models.Model):
    """A guardian's consent for a child under 14 (PIPL 31). Only a complete one is stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    child = models.ForeignKey(DataSubject, models.CASCADE, related_name="guardianships", verbose_name=_("child"))
    guardian = models.BinaryField(_("guardian"))
    relation = models.CharField(_("relation"), max_length=40)
    purposes = ArrayField(models.BigIntegerField(), verbose_name=_("purposes"))
    given_at = models.DateTimeField(_("given at"))
    withdrawn_at = models.DateTimeField(_("withdrawn at"), null=True, blank=True)
    proof = models.CharField(_("proof"), max_length=100)
    source_key = models.BinaryField(max_length=16, unique=True, null=True)

    class Meta:
        db_table = "consent_guardianship"
        verbose_name = _("guardian's consent")
        verbose_name_plural = _("guardians' consents")
        constraints = [models.CheckConstraint(condition=~Q(relation="") & ~Q(proof=""), name="guardianship_complete")]
