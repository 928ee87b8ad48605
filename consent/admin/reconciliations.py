"""Send reconciliation (发送对账): what was sent beside what was allowed, and the receipts it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_safe

from audit.admin_base import Labels, LedgerAdmin, actor_of, choice_filter, day_or_time
from consent.admin.words import FINDINGS, OUTCOME_NUMBERS, SEND_STATUSES, SENDS, STATUSES
from consent.domain.sends import SendFinding, findings_of
from consent.models import SendMatch, SendReceipt, SendReport
from consent.selectors.audiences import campaign_choices
from consent.selectors.jobs import job_error
from consent.selectors.reconciliations import (
    Place,
    Tally,
    decision_outcomes,
    place_of,
    receivers_known,
    reconciliation_get,
    sends_page,
)
from consent.selectors.register import register_live
from consent.services.reconciliation_files import reconciliation_export
from governance.admin.words import IDENTIFIERS
from governance.domain.calendar import day_of, start_of_day
from governance.domain.cells import clean, parse_day

_SAFE = method_decorator(require_safe)
_PROTECTED = method_decorator(csrf_protect)
WEEK = timedelta(days=7)
LONGEST = timedelta(days=400)
BARS = 12
_WIDTH, _ROW = 360, 44

Period = dict[str, Any]


WEIGHTS: dict[SendFinding, str] = {
    SendFinding.NO_DECISION: "deny",
    SendFinding.DENIED: "deny",
    SendFinding.WITHDRAWN: "deny",
    SendFinding.OTHER_PERSON: "deny",
    SendFinding.OTHER_CAMPAIGN: "deny",
    SendFinding.OTHER_CHANNEL: "deny",
    SendFinding.LATE: "hold",
    SendFinding.OTHER_VENDOR: "hold",
    SendFinding.UNMET: "hold",
    SendFinding.DOUBLE: "hold",
    SendFinding.OUTSIDE_WINDOW: "defer",
    SendFinding.UNREPORTED: "defer",
}
"""How bad a finding is, as tags are coloured."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One campaign in the chart: how many sends, and how many of them with findings."""

    code: str
    name: str
    sends: int
    found: int
    y: int
    label_y: int
    width: float
    found_width: float
    end: float


def tags_of(bits: int) -> list[tuple[str, Any, str]]:
    """Return findings as (code, words, weight)."""
    return [(str(finding.name), FINDINGS[finding], WEIGHTS[finding]) for finding in findings_of(bits)]


def bars_of(tallies: Sequence[Tally], names: dict[str, str]) -> list[Bar]:
    """Return the campaigns as bars, the worst first."""
    shown = tallies[:BARS]
    most = max((tally.sends for tally in shown), default=1)
    bars = []
    for place, tally in enumerate(shown):
        width = max(round((_WIDTH - 90) * tally.sends / most, 1), 2)
        found = round(width * tally.found / tally.sends, 1) if tally.sends else 0
        bars.append(
            Bar(
                code=tally.name,
                name=names.get(tally.name, tally.name) or gettext("no campaign named"),
                sends=tally.sends,
                found=tally.found,
                y=place * _ROW + 22,
                label_y=place * _ROW + 16,
                width=width,
                found_width=max(found, 1.5) if tally.found else 0,
                end=width + 6,
            )
        )
    return bars


def period_of(request: HttpRequest) -> tuple[Period, dict[str, str], str]:
    """Return the period a page asks for in Shanghai days, its fields as written, and what was wrong with them."""
    at = timezone.now()
    first = parse_day(clean(request.GET.get("since", "")))
    last = parse_day(clean(request.GET.get("until", "")))
    trouble = ""
    until_day = min(last or day_of(at), day_of(at) + timedelta(days=1))
    since_day = first or until_day - timedelta(days=6)
    if since_day > until_day or until_day - since_day > LONGEST:
        trouble = gettext("The period must begin before it ends, and be of %(most)s days at most.") % {
            "most": LONGEST.days
        }
        until_day, since_day = day_of(at), day_of(at) - timedelta(days=6)
    name = request.GET.get("finding", "")
    finding = SendFinding[name] if name in SendFinding.__members__ else None
    campaign = request.GET.get("campaign", "")[:64]
    period = {
        "since": start_of_day(since_day),
        "until": start_of_day(until_day + timedelta(days=1)),
        "campaign": campaign,
        "finding": finding,
        "found_only": request.GET.get("show") == "found",
    }
    written = {
        "since": since_day.isoformat(),
        "until": until_day.isoformat(),
        "campaign": campaign,
        "finding": name if finding else "",
        "show": "found" if period["found_only"] else "",
    }
    return period, written, trouble


@admin.register(SendReceipt)
class SendReceiptAdmin(LedgerAdmin):
    list_display = ("sent_at", "status", "kind", "channel", "campaign", "recipient", "message_id", "verdict")
    list_filter = (
        choice_filter("status", SEND_STATUSES, _("status")),
        choice_filter("kind", SENDS, _("kind")),
        ("channel", admin.RelatedFieldListFilter),
    )
    list_select_related = ("channel", "match")
    ordering = ("-id",)
    search_fields = ("message_id",)
    search_help_text = _("Id of a receipt (snd_…), of a decision (dec_…), or the sender's message id.")
    fieldsets = (
        (
            None,
            {"fields": ("reference", "sent_at", "reported_at", "status", "kind", "channel", "campaign", "template")},
        ),
        (_("The sender"), {"fields": ("recipient", "in_house", "message_id", "met", "unmet")}),
        (_("What it rests on"), {"fields": ("verdict", "decision", "screened", "type")}),
    )
    readonly_fields = ("reference", "verdict", "decision", "screened")
    labels: ClassVar[dict[str, Labels]] = {"status": SEND_STATUSES, "kind": SENDS, "type": IDENTIFIERS}
    empty_hint = _(
        "No send has been reported yet. Senders report through POST /api/v1/send-receipts, or in a file: "
        "manage.py receipts_import."
    )

    def name_of(self, obj: SendReceipt) -> str:
        return f"{obj.channel.name} · {day_or_time(obj.sent_at)}"

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            if term.startswith("dec_"):
                return queryset.filter(match__basis=UUID(term.removeprefix("dec_"))), False
            return queryset.filter(id=UUID(term.removeprefix("snd_"))), False
        except ValueError:
            return queryset.filter(message_id=term), False

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [path("export/", wrap(self.export_view), name="consent_reconciliation_export"), *super().get_urls()]

    def pages(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [path("reconciliation/", wrap(self.reconciliation_view), name="consent_reconciliation")]

    @admin.display(description=_("reference"))
    def reference(self, receipt: SendReceipt) -> str:
        return str(receipt)

    @admin.display(description=_("findings"))
    def verdict(self, receipt: SendReceipt) -> str:
        match: SendMatch | None = getattr(receipt, "match", None)
        if match is None:
            return "–"
        tags = tags_of(match.findings)
        if not tags:
            return format_html('<span class="zx-tag zx-allow">{}</span>', gettext("as allowed"))
        return format_html_join(
            " ", '<span class="zx-tag zx-{}">{}</span>', ((weight, words) for _code, words, weight in tags)
        )

    @admin.display(description=_("decision"))
    def decision(self, receipt: SendReceipt) -> str:
        match: SendMatch | None = getattr(receipt, "match", None)
        if match is None or match.decision_id is None:
            return "–"
        address = reverse("admin:consent_decision_change", args=[match.decision_id])
        return format_html('<a href="{}">dec_{}</a>', address, match.decision_id.hex)

    @admin.display(description=_("screening"))
    def screened(self, receipt: SendReceipt) -> str:
        match: SendMatch | None = getattr(receipt, "match", None)
        if match is None or match.screening_id is None:
            return "–"
        address = reverse("admin:consent_screening_change", args=[match.screening_id])
        return format_html('<a href="{}">scr_{}</a> · {}', address, match.screening_id.hex, match.row_no)

    @_SAFE
    def reconciliation_view(self, request: HttpRequest) -> HttpResponse:
        """Show the sends of a period beside the answers they rest on."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        period, written, trouble = period_of(request)
        if trouble:
            self.message_user(request, trouble, messages.WARNING)
        found = reconciliation_get(since=period["since"], until=period["until"], campaign=period["campaign"])
        page, more = sends_page(**period, after=_place(request.GET.get("after", "")))
        names = dict(campaign_choices())
        recipients = register_live().rules.recipients
        people, outcomes = receivers_known(page), decision_outcomes(page)
        places = {key: value for key, value in written.items() if value}
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Send reconciliation"),
            "opts": self.opts,
            "written": written,
            "period": period,
            "found": found,
            "clean": found.total.sends - found.total.found,
            "campaigns": sorted({*names, *(tally.name for tally in found.campaigns if tally.name)}),
            "campaign_names": names,
            "tiles": [
                (
                    str(finding.name),
                    FINDINGS[finding],
                    WEIGHTS[finding],
                    found.total.by_finding[finding],
                    urlencode(places | {"finding": str(finding.name), "show": "found"}),
                )
                for finding in SendFinding
            ],
            "everything": urlencode({key: value for key, value in places.items() if key not in ("finding", "show")}),
            "bars": bars_of(found.campaigns, names),
            "chart_height": max(min(len(found.campaigns), BARS) * _ROW, _ROW),
            "vendors": [
                (getattr(recipients.get(tally.name), "name", "") or tally.name, tally) for tally in found.recipients
            ],
            "rows": [
                (
                    row,
                    names.get(row.campaign, row.campaign),
                    getattr(recipients.get(row.recipient), "name", "") or row.recipient,
                    tags_of(row.findings),
                    people.get(row.receipt_id),
                    OUTCOME_NUMBERS.get(outcomes.get(row.decision_id)) if row.decision_id else None,
                    SEND_STATUSES.get(row.receipt.status, row.receipt.status),
                )
                for row in page
            ],
            "query": urlencode(places),
            "after": request.GET.get("after", ""),
            "next": urlencode(places | {"after": _place_text(page[-1])}) if more and page else "",
            "reported_ever": bool(page) or SendReceipt.objects.exists(),
        }
        return TemplateResponse(request, "admin/consent/reconciliation.html", context)

    @_PROTECTED
    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Hand out the table of a period; taking it is an entry in the trail."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:consent_reconciliation"))
        period, written, _trouble = period_of(request)
        lines = reconciliation_export(**period, actor=actor_of(request))
        response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
        name = f"send-reconciliation-{written['since']}-{written['until']}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response


def _place_text(row: SendMatch) -> str:
    place = place_of(row)
    return f"{place.sent_at.astimezone(UTC).isoformat()}|{place.id.hex}"


def _place(text: str) -> Place | None:
    at, _, key = text.partition("|")
    try:
        place = Place(datetime.fromisoformat(at), UUID(hex=key))
    except ValueError:
        return None
    return place if place.sent_at.tzinfo else None


@admin.register(SendReport)
class SendReportAdmin(LedgerAdmin):
    list_display = ("created_at", "status", "source_format", "rows_done", "accepted", "replayed", "refused")
    list_filter = (choice_filter("status", STATUSES, _("status")),)
    fields = (
        "reference",
        "status",
        "source_format",
        "rows_done",
        "accepted",
        "replayed",
        "refused",
        "refusals",
        "sha256",
        "error_code",
        "trouble",
        "created_at",
        "finished_at",
    )
    readonly_fields = ("reference", "refusals", "trouble", "created_at")
    labels: ClassVar[dict[str, Labels]] = {"status": STATUSES}
    tags = ("status",)
    amounts = ("rows_done", "accepted", "replayed", "refused")
    trail_kind = "send_report"
    empty_hint = _("Nobody has reported sends yet.")

    def name_of(self, obj: SendReport) -> str:
        return gettext("Send report of %(time)s") % {"time": day_or_time(obj.created_at)}

    @admin.display(description=_("reference"))
    def reference(self, report: SendReport) -> str:
        return f"srp_{report.pk.hex}"

    @admin.display(description=_("error detail"))
    def trouble(self, report: SendReport) -> str:
        return job_error(report) or "–"

    @admin.display(description=_("refused by code"))
    def refusals(self, report: SendReport) -> str:
        counts = sorted(report.by_code.items(), key=lambda pair: (-pair[1], pair[0]))
        lines = format_html_join(
            "",
            '<tr><th scope="row"><code>{}</code></th><td class="zx-num">{}</td></tr>',
            ((code, f"{count:,}") for code, count in counts),
        )
        return format_html('<table class="zx-small-table">{}</table>', lines) if counts else "–"
