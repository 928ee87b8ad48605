"""The register: who we are, why we process, over which channels, with which data."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from governance.domain.identifiers import DEFAULT_MEMBER_ID_PATTERN, IdentifierType
from governance.domain.terms import LegalBasis, PolicyState, WordListKind
from governance.models.base import CodeField, choices


class RegisterHead(models.Model):
    """One row: the version of everything registered. Triggers raise it with every change (migration 0002)."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    version = models.BigIntegerField(default=1)

    class Meta:
        db_table = "governance_register_head"
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(id=1), name="register_head_single")]


class Controller(models.Model):
    """The legal entity (个人信息处理者). One installation serves one."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    code = CodeField(unique=True)
    name = models.CharField(_("name"), max_length=200)
    region = models.CharField(_("region"), max_length=10, blank=True)
    persons = models.BigIntegerField(_("persons held"), default=0)
    small_mode = models.BooleanField(_("small-processor simplifications"), default=False)
    member_id_pattern = models.CharField(_("member id pattern"), max_length=100, default=DEFAULT_MEMBER_ID_PATTERN)

    class Meta:
        db_table = "governance_controller"
        verbose_name = _("legal entity")
        verbose_name_plural = _("legal entity")
        default_permissions = ("change", "view")
        constraints = [models.CheckConstraint(condition=Q(id=1), name="controller_single")]

    def __str__(self) -> str:
        return self.name


class Brand(models.Model):
    code = CodeField(unique=True)
    name = models.CharField(_("name"), max_length=100)
    signatures = ArrayField(
        models.CharField(max_length=40), verbose_name=_("registered signatures"), default=list, blank=True
    )

    class Meta:
        db_table = "governance_brand"
        verbose_name = _("brand")
        verbose_name_plural = _("brands")
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class Channel(models.Model):
    """A way to reach a person, and the kind of identifier it uses."""

    code = CodeField(unique=True)
    name = models.CharField(_("name"), max_length=100)
    identifier_type = models.SmallIntegerField(
        _("identifier"), choices=[(kind.value, kind.word) for kind in IdentifierType]
    )
    aliases = ArrayField(models.CharField(max_length=40), verbose_name=_("words in files"), default=list, blank=True)

    class Meta:
        db_table = "governance_channel"
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(identifier_type__in=[kind.value for kind in IdentifierType]),
                name="channel_identifier_known",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Purpose(models.Model):
    """Why data is processed (处理目的). A consent to a wider purpose includes those it `contains`."""

    code = CodeField(unique=True)
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(
        _("kind"),
        max_length=10,
        choices=[("marketing", _("marketing")), ("service", _("service")), ("separate", _("separate consent"))],
    )
    legal_basis = models.CharField(_("legal basis"), max_length=16, blank=True, choices=choices(LegalBasis))
    contains = models.ManyToManyField(
        "self", symmetrical=False, related_name="contained_in", blank=True, verbose_name=_("contains")
    )
    aliases = ArrayField(models.CharField(max_length=40), verbose_name=_("words in files"), default=list, blank=True)

    class Meta:
        db_table = "governance_purpose"
        verbose_name = _("purpose")
        verbose_name_plural = _("purposes")
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["marketing", "service", "separate"]), name="purpose_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(legal_basis__in=["", *(basis.value for basis in LegalBasis)]), name="purpose_basis_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


class DataField(models.Model):
    """A field of the data catalogue: what it reveals and what it may be used for."""

    code = CodeField(unique=True)
    name = models.CharField(_("name"), max_length=100)
    category = models.CharField(_("category"), max_length=40)
    tier = models.CharField(_("tier"), max_length=2, choices=[("T1", "T1"), ("T2", "T2"), ("T3", "T3")])
    sensitive = models.BooleanField(_("sensitive"), default=False)
    group = models.CharField(_("sensitive group"), max_length=40, blank=True)
    behaviour = models.BooleanField(
        _("behaviour"), default=False, help_text=_("Using it is automated decision-making.")
    )
    device = models.BooleanField(_("device data"), default=False)
    source = models.CharField(_("source"), max_length=40, blank=True)
    allowed_purposes = models.ManyToManyField(
        Purpose, related_name="fields", blank=True, verbose_name=_("allowed purposes")
    )
    aggregate = models.CharField(_("aggregation group"), max_length=40, blank=True)
    bulk_class = models.CharField(_("bulk class"), max_length=40, blank=True)

    class Meta:
        db_table = "governance_data_field"
        verbose_name = _("data field")
        verbose_name_plural = _("data fields")
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(condition=Q(tier__in=["T1", "T2", "T3"]), name="data_field_tier_known"),
            models.CheckConstraint(condition=Q(sensitive=False) | ~Q(group=""), name="data_field_sensitive_has_group"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


class WordList(models.Model):
    """One house list the content and age rules read."""

    kind = models.CharField(_("list"), max_length=20, unique=True, choices=choices(WordListKind))
    words = ArrayField(models.CharField(max_length=100), verbose_name=_("words"), default=list, blank=True)

    class Meta:
        db_table = "governance_word_list"
        verbose_name = _("word list")
        verbose_name_plural = _("word lists")
        ordering = ["kind"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in WordListKind]), name="word_list_kind_known"
            )
        ]

    def __str__(self) -> str:
        return self.kind


class CrossBorderCount(models.Model):
    """Distinct persons sent abroad in a calendar year (XBReg 5)."""

    year = models.SmallIntegerField(_("year"), unique=True)
    ordinary = models.BigIntegerField(_("persons, ordinary data"), default=0)
    sensitive = models.BigIntegerField(_("persons, sensitive data"), default=0)

    class Meta:
        db_table = "governance_cross_border_count"
        verbose_name = _("cross-border count")
        verbose_name_plural = _("cross-border counts")
        ordering = ["-year"]
        constraints = [
            models.CheckConstraint(condition=Q(ordinary__gte=0, sensitive__gte=0), name="cross_border_not_negative")
        ]

    def __str__(self) -> str:
        return str(self.year)


class PolicyRevision(models.Model):
    """House rules with numbers an officer may set. Never law. One revision is published at a time."""

    revision = models.PositiveIntegerField(_("revision"), unique=True)
    state = models.CharField(_("state"), max_length=10, choices=choices(PolicyState), default=PolicyState.DRAFT.value)
    values = models.JSONField(_("values"))
    published_at = models.DateTimeField(_("published at"), null=True, blank=True)

    class Meta:
        db_table = "governance_policy_revision"
        verbose_name = _("policy revision")
        verbose_name_plural = _("policy revisions")
        ordering = ["-revision"]
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=Q(state="published"), name="policy_one_published"),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in PolicyState]), name="policy_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.revision} ({self.state})"
