"""What people are told, and where they are asked."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audit.admin_base import Labels, actor_of, choice_filter
from consent.admin import offers
from consent.admin.words import POINTS
from consent.models import CollectionPoint, Notice, NoticeTerms, NoticeVersion, SourceBatch
from consent.services.notices import notice_publish
from governance.admin.base import RegisterAdmin, RegisterForm, RegisterInline
from governance.admin.fields import CountsField
from governance.admin.register import CodedAdmin


@admin.register(Notice)
class NoticeAdmin(CodedAdmin):
    list_display = ("code", "name", "newest")
    fields = ("code", "name", "versions")
    readonly_fields = ("versions",)
    empty_hint = _("A notice tells people what you do with their data (PIPL 17). Its versions never change.")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("versions")

    @admin.display(description=_("newest version"), empty_value="–")
    def newest(self, notice: Notice) -> object:
        return next((version.version for version in notice.versions.all()), None)

    @admin.display(description=_("versions"))
    def versions(self, notice: Notice) -> str:
        if notice._state.adding:
            return gettext("Save the notice first, then publish its first version.")
        rows = format_html_join(
            "",
            '<li><a href="{}">{}</a> · {} {}</li>',
            (
                (
                    reverse("admin:consent_noticeversion_change", args=[version.pk]),
                    version,
                    timezone.localtime(version.effective_at).strftime("%Y-%m-%d"),
                    gettext("material change") if version.material else "",
                )
                for version in notice.versions.all()
            ),
        )
        add = reverse("admin:consent_noticeversion_add")
        return format_html(
            '<ul class="zx-plain">{}</ul><a class="button" href="{}?notice={}">{}</a>',
            rows,
            add,
            notice.pk,
            gettext("Publish a new version"),
        )


class NoticeVersionForm(RegisterForm):
    def clean_effective_at(self) -> Any:
        at = self.cleaned_data["effective_at"]
        if at < timezone.now():
            raise ValidationError(gettext("A notice cannot take effect before it is published."))
        return at


class TermsForm(RegisterForm):
    declared_per_month = CountsField(
        label=_("messages a month by channel"),
        required=False,
        help_text=_("One a line: channel code = number. It is a promise: more than that is denied."),
    )


class TermsInline(RegisterInline):
    model = NoticeTerms
    form = TermsForm
    extra = 1
    fields = ("purpose", "valid_months", "categories", "declared_per_month")
    codes: ClassVar[Any] = {"purpose": offers.purposes}
    help_texts: ClassVar[dict[str, Any]] = {
        "valid_months": _("Empty: the notice names no period."),
        "categories": _("Categories of data the notice names, one a line. Data beyond them needs a new consent."),
    }


@admin.register(NoticeVersion)
class NoticeVersionAdmin(offers.FreshOffers, RegisterAdmin):
    form = NoticeVersionForm
    list_display = ("__str__", "effective_at", "material", "change")
    list_filter = ("notice", "material")
    list_select_related = ("notice",)
    fields = ("notice", "version", "effective_at", "material", "affects", "change", "text", "text_sha256")
    readonly_fields = ("version", "text_sha256")
    inlines = (TermsInline,)
    rows: ClassVar[dict[str, int]] = {"text": 20}
    codes: ClassVar[Any] = {"affects": offers.purposes}
    help_texts: ClassVar[dict[str, Any]] = {
        "effective_at": _("Not before now: nobody was shown it earlier."),
        "material": _("Purpose, method or kind of data changed (PIPL 14): consents to the old version end."),
        "affects": _("Purposes whose consents end with a material change."),
        "text": _("Exactly what people are shown. It cannot be changed once it is published."),
    }

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a published version never changes."""
        return False

    def trail_ref(self, obj: NoticeVersion) -> str:
        return str(obj)

    def save_registered(self, request: HttpRequest, row: Any, *, parts: Any, **_others: Any) -> None:
        notice_publish(row, terms=parts, actor=actor_of(request), at=timezone.now())


@admin.register(CollectionPoint)
class CollectionPointAdmin(offers.FreshOffers, CodedAdmin):
    list_display = ("name", "code", "kind")
    list_filter = (choice_filter("kind", POINTS, _("kind")),)
    fields = ("code", "name", "kind", "double_opt_in")
    labels: ClassVar[dict[str, Labels]] = {"kind": POINTS}
    codes: ClassVar[Any] = {"double_opt_in": offers.channels}
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "kind": _("A migrated list never ends an earlier refusal."),
        "double_opt_in": _("Consents given here over these channels count once they are confirmed."),
    }


@admin.register(SourceBatch)
class SourceBatchAdmin(CodedAdmin):
    list_display = ("code", "source", "collected_by", "collected_on", "provenance_doc")
    search_fields = ("code", "source", "collected_by")
    fields = ("code", "source", "collected_by", "collected_on", "basis", "provenance_doc")
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "source": _("How the list came about. Bought or scraped lists are unlawful sources (PIPL 10)."),
        "provenance_doc": _("What proves it. Without proof, people of this batch are held back."),
    }
