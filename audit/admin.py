"""The trail, as it was written. No page changes it."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from audit.admin_base import ACTORS, EVENTS, Labels, LedgerAdmin, choice_filter
from audit.models import AuditEntry
from audit.selectors.entries import entry_body


@admin.register(AuditEntry)
class AuditEntryAdmin(LedgerAdmin):
    list_display = ("recorded_at", "type", "object_kind", "object_ref", "actor_kind", "actor_ref")
    list_filter = (
        choice_filter("type", EVENTS, _("event")),
        choice_filter("actor_kind", ACTORS, _("actor")),
    )
    search_fields = ("object_ref",)
    search_help_text = _("Reference of an object, or of a person (UUID).")
    fields = (
        "id",
        "type",
        "recorded_at",
        "actor_kind",
        "actor_ref",
        "subject_ref",
        "object_kind",
        "object_ref",
        "content",
        "leaf",
    )
    readonly_fields = ("id", "content", "leaf")
    labels: ClassVar[dict[str, Labels]] = {"type": EVENTS, "actor_kind": ACTORS}
    empty_hint = _("Every change and every look at a person will stand here.")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find by exact reference only: both columns have an index, nothing else has."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(subject_ref=UUID(term)) | queryset.filter(object_ref=term), False
        except ValueError:
            return queryset.filter(object_ref=term), False

    @admin.display(description=_("canonical body"))
    def content(self, entry: AuditEntry) -> str:
        return format_html("<pre>{}</pre>", json.dumps(entry_body(entry), ensure_ascii=False, indent=2))

    @admin.display(description=_("leaf hash"))
    def leaf(self, entry: AuditEntry) -> str:
        return format_html("<code>{}</code>", bytes(entry.leaf_hash).hex())
