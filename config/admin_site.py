"""The officer's desk: what is on fire first, then everything by what it is about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from governance.domain.calendar import day_of

_GROUPS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (_("People"), ("datasubject", "why", "states", "consentrecord", "suppression", "templatesubscription")),
    (_("Campaigns"), ("campaign", "content", "screening", "decision")),
    (_("Sends"), ("reconciliation", "sendreceipt", "sendreport", "sendrecord")),
    (_("What people are told"), ("notice", "noticeversion", "collectionpoint", "sourcebatch", "consentimport")),
    (_("Register"), ("purpose", "channel", "datafield", "brand", "wordlist", "policyrevision", "controller")),
    (_("Recipients and papers"), ("recipient", "impactassessment", "crossbordercount")),
    (_("Trail and ledger"), ("ledger", "auditentry", "checkpoint", "anchor", "verification")),
    (_("Access"), ("apiclient", "user", "group")),
)
"""What the navigation shows, by what it is about and not by which package it lives in."""


SHADOW_DAYS = 7


class ZhixuAdminSite(AdminSite):
    site_header = _("Zhixu · consent and data governance")
    site_title = _("Zhixu")
    index_title = _("Overview")
    site_url = None
    empty_value_display = "–"
    index_template = "admin/index.html"

    def get_urls(self) -> list[Any]:
        """Add the pages that belong to no model alone: an admin class names them in `pages`."""
        found: list[Any] = []
        for model_admin in self._registry.values():
            found += getattr(model_admin, "pages", list)()
        return [*found, *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        if app_label is not None:
            return super().get_app_list(request, app_label)
        models = {
            model["object_name"].lower(): model
            for app in self._build_app_dict(request).values()
            for model in app["models"]
        }
        if "datasubject" in models:
            models |= {
                "why": _page(_("Why this decision?"), "Why", "admin:consent_why"),
                "states": _page(_("Consent states"), "States", "admin:consent_states"),
            }
        if "checkpoint" in models:
            models["ledger"] = _page(_("Is the ledger whole?"), "Ledger", "admin:audit_ledger")
        if "sendreceipt" in models:
            models["reconciliation"] = _page(_("Send reconciliation"), "Reconciliation", "admin:consent_reconciliation")
        groups = [self._group(place, title, names, models) for place, (title, names) in enumerate(_GROUPS)]
        named = {name for _title, names in _GROUPS for name in names}
        groups.append(self._group(len(groups), _("Other"), tuple(name for name in models if name not in named), models))
        return [group for group in groups if group["models"]]

    def _group(self, place: int, title: Any, names: tuple[str, ...], models: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": title,
            "app_label": f"group{place}",
            "app_url": f"{reverse('admin:index')}#group{place}",
            "has_module_perms": True,
            "models": [models[name] for name in names if name in models],
        }

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from audit.admin_base import OBJECTS
        from audit.admin_ledger import TROUBLES, VERDICTS
        from audit.selectors.entries import entries_of_type
        from audit.services.standing import ledger_standing
        from consent.admin.shown import shown_findings
        from consent.admin.words import STATUSES
        from consent.selectors.dashboards import PLANNED_DAYS, overview_get
        from consent.selectors.reconciliations import shadow_sends
        from governance.selectors.deadlines import deadlines

        now = timezone.now()
        overview = overview_get(at=now)
        standing = ledger_standing(now) if request.user.has_perm("audit.view_checkpoint") else None
        context = {
            "standing": standing,
            "ledger_sizes": (f"{standing.size:,}", f"{standing.pending:,}") if standing else (),
            "ledger_verdict": VERDICTS[standing.colour] if standing else "",
            "ledger_troubles": [TROUBLES[trouble] for trouble in standing.troubles] if standing else [],
            "overview": overview,
            "sizes": {
                name: f"{size.rows:,}" if size.exact else f"≈ {size.rows:,}" for name, size in overview.sizes.items()
            },
            "campaigns": [(row, shown_findings(row.findings)) for row in overview.campaigns],
            "deadlines": deadlines(today=day_of(now)),
            "jobs": [(job, STATUSES.get(job.status, job.status)) for job in overview.jobs],
            "screenings": [
                (row, overview.names.get(row.campaign, row.campaign), STATUSES.get(row.status, row.status), _share(row))
                for row in overview.screenings
            ],
            "changes": [
                (entry, OBJECTS.get(entry.object_kind, entry.object_kind), _action(entry))
                for entry in entries_of_type(["register.changed"], limit=6)
            ],
            "shadow_days": SHADOW_DAYS,
            "shadows": shadow_sends(since=now - timedelta(days=SHADOW_DAYS))
            if request.user.has_perm("consent.view_sendreceipt")
            else 0,
            "planned_days": PLANNED_DAYS,
            "today": day_of(now),
        }
        return super().index(request, context | (extra_context or {}))


def _share(row: Any) -> int:
    """Return how many rows in a hundred may be sent, in steps of five: a style sheet has a width for each."""
    return 5 * round(20 * row.counts.get("allow", 0) / row.rows_done) if row.rows_done else 0


def _action(entry: Any) -> Any:
    from audit.admin_base import ACTIONS

    action = entry.details.get("action", "")
    return ACTIONS.get(action, action)


def _page(name: Any, object_name: str, view: str) -> dict[str, Any]:
    return {
        "name": name,
        "object_name": object_name,
        "perms": {"view": True},
        "admin_url": reverse(view),
        "add_url": None,
        "view_only": True,
    }
