"""What only services write: read, filtered, never changed here."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from audit.admin_base import ACTORS, Labels, LedgerAdmin, actor_of, choice_filter
from audit.errors import ZhixuError
from audit.problems import words_of
from consent.admin.shown import chart_of, counted, shown_verdict
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
    list_display = ("said_at", "act", "person", "purpose", "channel", "notice_version", "point", "evidence")
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
        """Open the sealed evidence of one record, for this one answer."""
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
        response = TemplateResponse(request, "admin/consent/consentrecord/revealed.html", context)
        response["Cache-Control"] = "no-store"
        return response

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

    @admin.display(description=_("person"))
    def person(self, record: ConsentRecord) -> str:
        return _person_link(record.subject_id)

    @admin.display(description=_("reference"))
    def reference(self, record: ConsentRecord) -> str:
        return str(record)


@admin.register(Decision)
class DecisionAdmin(LedgerAdmin):
    list_display = ("decided_at", "outcome", "primary", "campaign", "purpose", "channel", "person")
    list_filter = (choice_filter("outcome", OUTCOME_NUMBERS, _("outcome")),)
    search_fields = ("id",)
    search_help_text = _("Id of a decision (dec_…), or code of a campaign.")
    fields = (
        "reference",
        "decided_at",
        "judged_at",
        "outcome",
        "reasons",
        "campaign",
        "purpose",
        "channel",
        "type",
        "person",
        "subject_version",
        "register_version",
        "rule_set",
    )
    readonly_fields = ("reference", "reasons", "person")
    labels: ClassVar[dict[str, Labels]] = {"outcome": OUTCOME_NUMBERS, "type": IDENTIFIERS}
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

    @admin.display(description=_("primary reason"))
    def primary(self, decision: Decision) -> str:
        return decision_verdict(decision).primary.name

    @admin.display(description=_("person"))
    def person(self, decision: Decision) -> str:
        return _person_link(decision.subject_id)

    @admin.display(description=_("reference"))
    def reference(self, decision: Decision) -> str:
        return f"dec_{decision.id.hex}"

    @admin.display(description=_("reasons"))
    def reasons(self, decision: Decision) -> str:
        lines = shown_verdict(decision_verdict(decision), None)
        return "; ".join(f"{line.code} {line.message}" for line in lines)


@admin.register(Screening)
class ScreeningAdmin(LedgerAdmin):
    list_display = ("created_at", "campaign", "status", "rows_done", "allowed", "denied", "valid_until")
    list_filter = (choice_filter("status", STATUSES, _("status")),)
    search_fields = ("campaign",)
    search_help_text = _("Code of a campaign.")
    fieldsets = (
        (
            None,
            {"fields": ("reference", "campaign", "purpose", "channel", "subject_type", "status", "judged_at", "as_of")},
        ),
        (_("Rows"), {"fields": ("rows_total", "rows_done", "valid_until")}),
        (_("If something went wrong"), {"fields": ("error_code", "trouble", "attempt")}),
        (_("Proof"), {"fields": ("input_sha256", "register_version", "send_codes", "signed")}),
    )
    readonly_fields = ("reference", "signed", "register_version", "trouble")
    labels: ClassVar[dict[str, Labels]] = {"status": STATUSES}
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

    @admin.display(description=_("reference"))
    def reference(self, row: Screening) -> str:
        return f"scr_{row.pk.hex}"

    @admin.display(description=_("may be sent"), empty_value="–")
    def allowed(self, row: Screening) -> object:
        return row.counts.get("allow")

    @admin.display(description=_("may not be sent"), empty_value="–")
    def denied(self, row: Screening) -> object:
        return sum(row.counts.get(name, 0) for name in ("deny", "hold", "defer")) if row.counts else None

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
    empty_hint = _("No consents have been imported yet.")

    @admin.display(description=_("error detail"))
    def trouble(self, row: ConsentImport) -> str:
        return job_error(row) or "–"

    @admin.display(description=_("refused by code"))
    def refusals(self, row: ConsentImport) -> str:
        return format_html("<pre>{}</pre>", json.dumps(row.by_code, indent=2)) if row.by_code else "–"


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


@admin.register(TemplateSubscription)
class TemplateSubscriptionAdmin(LedgerAdmin):
    list_display = ("said_at", "template", "action")
    list_filter = (choice_filter("action", WX_ACTIONS, _("action")),)
    ordering = ("-id",)
    fields = ("said_at", "template", "action")
    labels: ClassVar[dict[str, Labels]] = {"action": WX_ACTIONS}
    empty_hint = _("No answer to a WeChat subscription prompt is recorded yet.")
