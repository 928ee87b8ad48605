"""Who else gets data, on what papers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from audit.admin_base import Labels, choice_filter, day_or_time
from governance.admin.base import RegisterInline
from governance.admin.register import CodedAdmin
from governance.admin.words import MECHANISMS, ROLES
from governance.models import Agreement, ImpactAssessment, Recipient, Subprocessor, TransferMechanism
from governance.selectors.choices import field_choices, group_choices


class AgreementInline(RegisterInline):
    model = Agreement
    max_num = 1
    fields = ("purpose", "method", "categories", "measures", "duties", "assistance", ("valid_from", "valid_to"))
    help_texts: ClassVar[dict[str, Any]] = {
        "purpose": _("The six clauses are those of PIPL 21 and 59. A contract that lacks one does not count."),
    }


class SubprocessorInline(RegisterInline):
    model = Subprocessor
    fields = (("name", "approved"),)


class MechanismInline(RegisterInline):
    model = TransferMechanism
    max_num = 1
    fields = ("kind", ("valid_from", "valid_to"))
    labels: ClassVar[dict[str, Labels]] = {"kind": MECHANISMS}


@admin.register(Recipient)
class RecipientAdmin(CodedAdmin):
    list_display = ("name", "code", "role", "country", "contract_until")
    list_filter = (choice_filter("role", ROLES, _("role")),)
    list_select_related = ("agreement",)
    fields = ("code", "name", "role", "country", "allowed_fields", "restricted_categories")
    labels: ClassVar[dict[str, Labels]] = {"role": ROLES}
    codes: ClassVar[Any] = {"allowed_fields": field_choices}
    inlines = (AgreementInline, SubprocessorInline, MechanismInline)
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "role": _("An entrusted party acts for us (PIPL 21); an independent recipient decides itself (PIPL 23)."),
        "country": _("ISO 3166, two capital letters. HK, MO and TW count as abroad."),
        "allowed_fields": _("Fields the contract names. None ticked: the contract names no list."),
        "restricted_categories": _("Product categories this recipient does not send for, one a line."),
    }

    @admin.display(description=_("contract until"), ordering="agreement__valid_to", empty_value="–")
    def contract_until(self, recipient: Recipient) -> object:
        agreement = getattr(recipient, "agreement", None)
        return day_or_time(agreement.valid_to) if agreement else None


@admin.register(ImpactAssessment)
class ImpactAssessmentAdmin(CodedAdmin):
    list_display = ("code", "approved_at", "expires_on", "automated_decisions", "overseas")
    search_fields = ("code",)
    fieldsets = (
        (None, {"fields": ("code", "approved_at", "expires_on")}),
        (
            _("What was assessed"),
            {"fields": ("purposes", "recipients", "sensitive_groups", "automated_decisions", "overseas")},
        ),
    )
    codes: ClassVar[Any] = {"sensitive_groups": group_choices}
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "approved_at": _("Without it, the assessment does not count (PIPL 55)."),
        "expires_on": _("The last day it counts. Without it, the assessment does not count."),
    }
