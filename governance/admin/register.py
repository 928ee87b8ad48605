"""Who we are, why we process, over which channels, with which data and words."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from audit.admin_base import Labels, choice_filter
from governance.admin.base import RegisterAdmin
from governance.admin.words import IDENTIFIERS, LEGAL_BASES, PURPOSE_KINDS, TIERS, WORD_LISTS
from governance.models import Brand, Channel, Controller, CrossBorderCount, DataField, Purpose, WordList

CODE_HELP = _("Used in files and in the API. Letters, digits, dot, dash and underscore; it cannot be changed later.")
ALIASES_HELP = _("Other words for it in the files you import, one a line.")


class CodedAdmin(RegisterAdmin):
    """A register whose rows have a code. The code is fixed once it is given."""

    search_fields: ClassVar[tuple[str, ...]] = ("code", "name")
    ordering: ClassVar[tuple[str, ...]] = ("code",)
    help_texts: ClassVar[dict[str, Any]] = {"code": CODE_HELP, "aliases": ALIASES_HELP}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fixed = super().get_readonly_fields(request, obj)
        return ["code", *fixed] if obj and "code" not in fixed else fixed


@admin.register(Controller)
class ControllerAdmin(RegisterAdmin):
    list_display = ("name", "code", "persons")
    amounts = ("persons",)
    fields = ("code", "name", "region", "persons", "small_mode", "member_id_pattern")
    readonly_fields = ("code",)
    help_texts: ClassVar[dict[str, Any]] = {
        "persons": _("Natural persons held, of all brands together. It decides which duties of size apply."),
        "small_mode": _("Simplifications for those who hold fewer than 100,000 persons (SmallReg)."),
        "member_id_pattern": _("Regular expression of the whole member id, upper case. Other values are malformed."),
        "region": _("ISO 3166-2, such as CN-SH."),
    }

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Open the only one there is."""
        only = self.get_queryset(request).first()
        if only is None:
            return super().changelist_view(request, extra_context)
        return HttpResponseRedirect(reverse("admin:governance_controller_change", args=[only.pk]))


@admin.register(Brand)
class BrandAdmin(CodedAdmin):
    list_display = ("name", "code", "shown_signatures")
    fields = ("code", "name", "signatures")
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "signatures": _("SMS signatures registered with the carriers, without brackets, one a line."),
    }

    @admin.display(description=_("registered signatures"))
    def shown_signatures(self, brand: Brand) -> str:
        return "".join(f"【{signature}】" for signature in brand.signatures)


@admin.register(Channel)
class ChannelAdmin(CodedAdmin):
    list_display = ("name", "code", "identifier_type")
    fields = ("code", "name", "identifier_type", "aliases")
    labels: ClassVar[dict[str, Labels]] = {"identifier_type": IDENTIFIERS}
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "identifier_type": _("What a person is reached by on this channel."),
    }


@admin.register(Purpose)
class PurposeAdmin(CodedAdmin):
    list_display = ("name", "code", "kind", "legal_basis")
    list_filter = (
        choice_filter("kind", PURPOSE_KINDS, _("kind")),
        choice_filter("legal_basis", LEGAL_BASES, _("legal basis")),
    )
    fields = ("code", "name", "kind", "legal_basis", "contains", "aliases")
    labels: ClassVar[dict[str, Labels]] = {"kind": PURPOSE_KINDS, "legal_basis": LEGAL_BASES}
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "kind": _("Marketing asks for consent; service messages carry out a contract or a duty of law."),
        "legal_basis": _("Ground of PIPL 13. Marketing stands on consent or on the consumer's own request."),
        "contains": _("Narrower purposes that a consent to this one includes."),
    }


@admin.register(DataField)
class DataFieldAdmin(CodedAdmin):
    list_display = ("name", "code", "category", "tier", "sensitive", "behaviour")
    list_filter = (choice_filter("tier", TIERS, _("tier")), "sensitive", "behaviour")
    fieldsets = (
        (None, {"fields": ("code", "name", "category", "tier", "source")}),
        (_("What it reveals"), {"fields": ("sensitive", "group", "behaviour", "device", "aggregate", "bulk_class")}),
        (_("What it may be used for"), {"fields": ("allowed_purposes",)}),
    )
    labels: ClassVar[dict[str, Labels]] = {"tier": TIERS}
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "sensitive": _("Sensitive personal information (PIPL 28): it needs a separate consent that names its group."),
        "group": _("The group a separate consent names. Fields of one group share it."),
        "device": _("Says something about the person's device."),
        "aggregate": _("Fields of one aggregation group may be sensitive together."),
        "bulk_class": _("Class of the threshold from which a second approver is needed (house policy)."),
    }


@admin.register(WordList)
class WordListAdmin(RegisterAdmin):
    list_display = ("kind", "amount_words")
    fields = ("kind", "words")
    labels: ClassVar[dict[str, Labels]] = {"kind": WORD_LISTS}
    rows: ClassVar[dict[str, int]] = {"words": 14}

    @admin.display(description=_("words"))
    def amount_words(self, row: WordList) -> int:
        return len(row.words)

    def name_of(self, obj: WordList) -> str:
        return str(WORD_LISTS.get(obj.kind, obj.kind))

    def trail_ref(self, obj: WordList) -> str:
        return str(obj.kind)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fixed = super().get_readonly_fields(request, obj)
        return [self._worded("kind"), *fixed] if obj else fixed


@admin.register(CrossBorderCount)
class CrossBorderCountAdmin(RegisterAdmin):
    list_display = ("year", "ordinary", "sensitive")
    amounts = ("ordinary", "sensitive")
    fields = ("year", "ordinary", "sensitive")
    help_texts: ClassVar[dict[str, Any]] = {
        "ordinary": _("Distinct persons of whom ordinary data went abroad in that calendar year."),
        "sensitive": _("Distinct persons of whom sensitive data went abroad in that calendar year."),
    }

    def trail_ref(self, obj: CrossBorderCount) -> str:
        return str(obj.year)
