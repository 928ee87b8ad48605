"""What only services write: read, filtered, never changed here."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from audit.admin_base import ACTORS, Labels, LedgerAdmin, actor_of, choice_filter, day_or_time, tag
from audit.errors import ZhixuError
from audit.problems import words_of
from consent.admin.shown import channel_words, chart_of, counted, purpose_words, reason_words, shown_verdict
from consent.admin.words import (
    ACTS,
    BUNDLES,
    CONTROLS,
    OUTCOME_NUMBERS,
    PRIVATE,
    REVEALS,
    SENDS,
    STATUSES,
    SUPPRESSIONS,
    WX_ACTIONS,
)
from consent.models import (
    Campaign,
    ConsentImport,
    ConsentRecord,
    Decision,
    Screening,
    SendRecord,
    Suppression,
    TemplateSubscription,
)
from consent.selectors.jobs import job_error
from consent.selectors.people import decision_verdict
from consent.services.evidence import RevealReason, evidence_is_sealed, evidence_reveal
from governance.admin.words import IDENTIFIERS

_SECRET = method_decorator([sensitive_post_parameters("note"), csrf_protect])


def _campaign_words(row: Any) -> str:
    title = getattr(row, "campaign_title", None)
    return f"{title} ({row.campaign})" if title else row.campaign or ""


class _Planned(LedgerAdmin):
    """Rows that name a purpose, a channel and a campaign by their codes."""

    def get_queryset(self, request: HttpRequest) -> Any:
        """Read the name of a row's campaign along with it; it may have none, or one that was never registered."""
        name = Campaign.objects.filter(code=OuterRef("campaign")).values("name")[:1]
        return super().get_queryset(request).annotate(campaign_title=Subquery(name))

    @admin.display(description=_("campaign"))
    def campaign_name(self, row: Any) -> str:
        return _campaign_words(row) or "–"

    @admin.display(description=_("purpose"))
    def purpose_name(self, row: Any) -> str:
        return purpose_words(row.purpose)

    @admin.display(description=_("channel"))
    def channel_name(self, row: Any) -> str:
        return channel_words(row.channel)


def _person_link(subject_id: int | None) -> str:
    if subject_id is None:
        return "–"
    return format_html(
        '<a href="{}">#{}</a>', reverse("admin:consent_datasubject_change", args=[subject_id]), subject_id
    )


class RevealForm(forms.Form):
    """Why sealed evidence is opened."""

    why = forms.ChoiceField(label=_("reason"), choices=list(REVEALS.items()))
    note = forms.CharField(label=_("what for, in a few words"), min_length=4, max_length=300)


@admin.register(ConsentRecord)
class ConsentRecordAdmin(LedgerAdmin):
    list_display = ("said_at", "act", "person", "purpose_name", "channel", "notice_version", "point_name", "evidence")
    list_filter = (
        choice_filter("act", ACTS, _("act")),
        ("purpose", admin.RelatedFieldListFilter),
        ("channel", admin.RelatedFieldListFilter),
        "separate",
    )
    list_select_related = ("purpose", "channel", "notice_version__notice", "point")
    search_fields = ("ref",)
    search_help_text = _("Reference of a record (cev_…).")
    fieldsets = (
        (_("What was said"), {"fields": ("act", "person", "purpose", "channel", "said_at", "recorded_at")}),
        (_("Separate consent"), {"fields": ("separate", "field_group", "recipient")}),
        (
            _("How it was asked"),
            {"fields": ("point", "notice_version", "language", "text_hash", "control", "pre_checked", "bundle")},
        ),
        (_("Proof"), {"fields": ("valid_until", "evidence", "proof", "actor_kind", "actor_ref", "reference")}),
    )
    readonly_fields = ("person", "reference")
    labels: ClassVar[dict[str, Labels]] = {"act": ACTS, "control": CONTROLS, "bundle": BUNDLES, "actor_kind": ACTORS}
    tags = ("act",)
    change_form_template = "admin/consent/consentrecord/change_form.html"
    empty_hint = _("Nobody has said yes or no yet. Import historic consents, or record them through the API.")

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/reveal/", wrap(self.reveal_view), name="consent_consentrecord_reveal"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        record = context.get("original")
        if record is not None:
            context |= {
                "sealed": evidence_is_sealed(record),
                "may_reveal": self._may_reveal(request),
                "form": RevealForm(),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    @_SECRET
    @method_decorator(sensitive_variables("content"))
    def reveal_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Open the sealed evidence of one record, for this one answer, which is kept nowhere (`admin_view`)."""
        back = HttpResponseRedirect(reverse("admin:consent_consentrecord_change", args=[pk]))
        if request.method != "POST":
            return back
        record = self.get_object(request, str(pk))
        if not self.has_view_permission(request, record) or not self._may_reveal(request):
            raise PermissionDenied
        if record is None:
            raise Http404
        form = RevealForm(request.POST)
        if not form.is_valid():
            self.message_user(request, gettext("Say why, and in a few words what for."), messages.ERROR)
            return back
        try:
            content = evidence_reveal(
                record=record,
                why=RevealReason(form.cleaned_data["why"]),
                note=form.cleaned_data["note"],
                actor=actor_of(request),
                where="admin.record",
            )
        except ZhixuError as error:
            self.message_user(request, words_of(error), messages.ERROR)
            return back
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Sealed evidence of %(record)s") % {"record": record},
            "opts": self.opts,
            "original": record,
            "content": [(PRIVATE.get(name, name), value) for name, value in (content or {}).items()],
        }
        return TemplateResponse(request, "admin/consent/consentrecord/revealed.html", context)

    @staticmethod
    def _may_reveal(request: HttpRequest) -> bool:
        return request.user.has_perm("consent.reveal_consentrecord")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find by reference only, with or without its prefix."""
        term = search_term.strip().removeprefix("cev_")
        if not term:
            return queryset, False
        try:
            return queryset.filter(ref=UUID(term)), False
        except ValueError:
            return queryset.none(), False

    def name_of(self, obj: ConsentRecord) -> str:
        return f"{ACTS.get(obj.act, obj.act)} · {day_or_time(obj.said_at)}"

    @admin.display(description=_("person"))
    def person(self, record: ConsentRecord) -> str:
        return _person_link(record.subject_id)

    @admin.display(description=_("purpose"))
    def purpose_name(self, record: ConsentRecord) -> str:
        name = (record.purpose.name or record.purpose.code) if record.purpose else gettext("everything")
        if not record.separate:
            return name
        return format_html("{} {}", name, tag(gettext("separate consent")))

    @admin.display(description=_("collection point"), empty_value="–")
    def point_name(self, record: ConsentRecord) -> str | None:
        return (record.point.name or record.point.code) if record.point else None

    @admin.display(description=_("reference"))
    def reference(self, record: ConsentRecord) -> str:
        return format_html("<code>{}</code>", record)


@admin.register(Decision)
class DecisionAdmin(_Planned):
    list_display = ("decided_at", "outcome", "primary", "campaign_name", "purpose_name", "channel_name", "person")
    list_filter = (choice_filter("outcome", OUTCOME_NUMBERS, _("outcome")),)
    search_fields = ("id",)
    search_help_text = _("Id of a decision (dec_…), or code of a campaign.")
    fields = (
        "reference",
        "decided_at",
        "judged_at",
        "outcome",
        "campaign_name",
        "purpose_name",
        "channel_name",
        "type",
        "person",
        "subject_version",
        "register_version",
        "rule_set",
    )
    readonly_fields = ("reference", "campaign_name", "purpose_name", "channel_name", "person")
    labels: ClassVar[dict[str, Labels]] = {"outcome": OUTCOME_NUMBERS, "type": IDENTIFIERS}
    tags = ("outcome",)
    change_form_template = "admin/consent/decision/change_form.html"
    empty_hint = _("No check has been made yet. Every check by the API leaves its decision here.")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find by id, or by the code of a campaign."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(id=UUID(term.removeprefix("dec_"))), False
        except ValueError:
            return queryset.filter(campaign=term), False

    def name_of(self, obj: Decision) -> str:
        return f"{OUTCOME_NUMBERS.get(obj.outcome, obj.outcome)} · {day_or_time(obj.decided_at)}"

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        row = context.get("original")
        if row is not None:
            found = decision_verdict(row)
            context |= {"outcome": found.outcome.value, "reasons": shown_verdict(found, None)}
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("primary reason"))
    def primary(self, decision: Decision) -> str:
        return reason_words(decision_verdict(decision).primary)

    @admin.display(description=_("person"))
    def person(self, decision: Decision) -> str:
        return _person_link(decision.subject_id)

    @admin.display(description=_("reference"))
    def reference(self, decision: Decision) -> str:
        return f"dec_{decision.id.hex}"


@admin.register(Screening)
class ScreeningAdmin(_Planned):
    list_display = (
        "created_at",
        "campaign_name",
        "status",
        "rows_done",
        "amount_allowed",
        "amount_denied",
        "valid_until",
    )
    list_filter = (choice_filter("status", STATUSES, _("status")),)
    search_fields = ("campaign",)
    search_help_text = _("Code of a campaign.")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "reference",
                    "campaign_name",
                    "purpose_name",
                    "channel_name",
                    "subject_type",
                    "status",
                    "judged_at",
                    "as_of",
                )
            },
        ),
        (_("Rows"), {"fields": ("rows_total", "rows_done", "valid_until")}),
        (_("If something went wrong"), {"fields": ("error_code", "trouble", "attempt")}),
        (_("Proof"), {"fields": ("input_sha256", "register", "send_codes", "signed")}),
    )
    readonly_fields = (
        "reference",
        "campaign_name",
        "purpose_name",
        "channel_name",
        "signed",
        "register",
        "trouble",
    )
    labels: ClassVar[dict[str, Labels]] = {"status": STATUSES, "subject_type": IDENTIFIERS}
    tags = ("status",)
    amounts = ("rows_total", "rows_done")
    change_form_template = "admin/consent/screening/change_form.html"
    empty_hint = _("No audience has been screened yet. Start one from a campaign's page or through the API.")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return (queryset.filter(campaign=search_term.strip()) if search_term.strip() else queryset), False

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        row = context.get("original")
        if row is not None:
            judged = sum(row.counts.get(name, 0) for name in ("allow", "deny", "hold", "defer"))
            context |= {
                "counts": counted(row.counts) if judged else [],
                "counts_invalid": row.counts.get("invalid", 0),
                "counts_duplicates": row.counts.get("duplicates", 0),
                "chart": chart_of(row.by_code, judged),
                "running": row if row.status in ("queued", "running") else None,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def name_of(self, obj: Screening) -> str:
        return f"{_campaign_words(obj) or obj.purpose} · {day_or_time(obj.created_at)}"

    @admin.display(description=_("reference"))
    def reference(self, row: Screening) -> str:
        return format_html("<code>scr_{}</code>", row.pk.hex)

    @admin.display(description=_("register version"), empty_value="–")
    def register(self, row: Screening) -> int | None:
        return row.register_version

    @admin.display(description=_("may be sent"), empty_value="–")
    def amount_allowed(self, row: Screening) -> object:
        return f"{row.counts['allow']:,}" if "allow" in row.counts else None

    @admin.display(description=_("may not be sent"), empty_value="–")
    def amount_denied(self, row: Screening) -> object:
        return f"{sum(row.counts.get(name, 0) for name in ('deny', 'hold', 'defer')):,}" if row.counts else None

    @admin.display(description=_("error detail"))
    def trouble(self, row: Screening) -> str:
        return job_error(row) or "–"

    @admin.display(description=_("signed manifest"))
    def signed(self, row: Screening) -> str:
        return format_html("<pre>{}</pre>", row.manifest) if row.manifest else "–"


@admin.register(ConsentImport)
class ConsentImportAdmin(LedgerAdmin):
    list_display = ("created_at", "status", "dry_run", "rows_done", "accepted", "refused", "replayed")
    list_filter = (choice_filter("status", STATUSES, _("status")), "dry_run")
    fields = (
        "id",
        "status",
        "dry_run",
        "imported_at",
        "rows_total",
        "rows_done",
        "accepted",
        "refused",
        "replayed",
        "refusals",
        "sha256",
        "error_code",
        "trouble",
        "started_at",
        "finished_at",
    )
    readonly_fields = ("id", "refusals", "trouble")
    labels: ClassVar[dict[str, Labels]] = {"status": STATUSES}
    tags = ("status",)
    amounts = ("rows_total", "rows_done", "accepted", "refused", "replayed")
    empty_hint = _("No consents have been imported yet.")

    def name_of(self, obj: ConsentImport) -> str:
        return gettext("Import of %(time)s") % {"time": day_or_time(obj.created_at)}

    @admin.display(description=_("error detail"))
    def trouble(self, row: ConsentImport) -> str:
        return job_error(row) or "–"

    @admin.display(description=_("refused by code"))
    def refusals(self, row: ConsentImport) -> str:
        counts = sorted(row.by_code.items(), key=lambda pair: (-pair[1], pair[0]))
        lines = format_html_join(
            "",
            '<tr><th scope="row"><code>{}</code></th><td class="zx-num">{}</td></tr>',
            ((c, f"{n:,}") for c, n in counts),
        )
        return format_html('<table class="zx-small-table">{}</table>', lines) if counts else "–"


@admin.register(Suppression)
class SuppressionAdmin(LedgerAdmin):
    """Identifiers stand here by look-up value only: who they belong to is asked on the page of people."""

    list_display = ("said_at", "kind", "type", "scope", "removed_at", "reason", "source", "recorded_at")
    list_filter = (
        choice_filter("kind", SUPPRESSIONS, _("kind")),
        choice_filter("type", IDENTIFIERS, _("identifier")),
    )
    list_select_related = ("channel",)
    ordering = ("-id",)
    fields = ("id", "kind", "type", "scope", "said_at", "removed_at", "reason", "source", "recorded_at")
    readonly_fields = ("id", "scope", "recorded_at")
    labels: ClassVar[dict[str, Labels]] = {"kind": SUPPRESSIONS, "type": IDENTIFIERS}
    empty_hint = _("Nobody has opted out yet, and no list is loaded.")

    def name_of(self, obj: Suppression) -> str:
        kind, type_ = SUPPRESSIONS.get(obj.kind, obj.kind), IDENTIFIERS.get(obj.type, obj.type)
        return f"{kind} · {type_} · {self.scope(obj)}"

    @admin.display(description=_("scope"))
    def scope(self, row: Suppression) -> str:
        return str(row.channel) if row.channel else str(_("everything"))


@admin.register(SendRecord)
class SendRecordAdmin(LedgerAdmin):
    list_display = ("sent_at", "kind", "channel", "campaign", "template", "type")
    list_filter = (
        choice_filter("kind", SENDS, _("kind")),
        ("channel", admin.RelatedFieldListFilter),
    )
    list_select_related = ("channel",)
    ordering = ("-id",)
    fields = ("sent_at", "kind", "channel", "campaign", "template", "type")
    labels: ClassVar[dict[str, Labels]] = {"kind": SENDS, "type": IDENTIFIERS}
    empty_hint = _("No send has been reported yet. Frequency caps and quotas count what is reported here.")

    def name_of(self, obj: SendRecord) -> str:
        return f"{obj.channel.name} · {day_or_time(obj.sent_at)}"


@admin.register(TemplateSubscription)
class TemplateSubscriptionAdmin(LedgerAdmin):
    list_display = ("said_at", "template", "action")
    list_filter = (choice_filter("action", WX_ACTIONS, _("action")),)
    ordering = ("-id",)
    fields = ("said_at", "template", "action")
    labels: ClassVar[dict[str, Labels]] = {"action": WX_ACTIONS}
    tags = ("action",)
    empty_hint = _("No answer to a WeChat subscription prompt is recorded yet.")

    def name_of(self, obj: TemplateSubscription) -> str:
        return f"{WX_ACTIONS.get(obj.action, obj.action)} · {obj.template} · {day_or_time(obj.said_at)}"
