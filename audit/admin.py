"""The trail, as it was written. No page changes it."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audit.admin_base import (
    ACTORS,
    EVENTS,
    OBJECTS,
    Labels,
    LedgerAdmin,
    choice_filter,
    day_or_time,
    user_names,
)
from audit.models import AuditEntry
from audit.selectors.entries import entry_body


class NamedList(ChangeList):
    """A page of entries with the names of the users who acted, read at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        entries = list(self.result_list)
        names = user_names([entry.actor_ref for entry in entries if entry.actor_kind == "user"])
        for entry in entries:
            entry.actor_name = names.get(entry.actor_ref, "") if entry.actor_kind == "user" else ""
        self.result_list = entries


@admin.register(AuditEntry)
class AuditEntryAdmin(LedgerAdmin):
    list_display = ("recorded_at", "type", "about", "actor")
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
        "actor",
        "subject_ref",
        "about",
        "content",
        "leaf",
    )
    readonly_fields = ("id", "about", "actor", "content", "leaf")
    labels: ClassVar[dict[str, Labels]] = {"type": EVENTS}
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

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NamedList

    def name_of(self, obj: AuditEntry) -> str:
        return f"{EVENTS.get(obj.type, obj.type)} · {day_or_time(obj.recorded_at)}"

    @admin.display(description=_("about"), empty_value="–")
    def about(self, entry: AuditEntry) -> str | None:
        if entry.object_kind:
            kind = OBJECTS.get(entry.object_kind, entry.object_kind)
            return format_html("{} <code>{}</code>", kind, entry.object_ref)
        return format_html("{} <code>{}</code>", gettext("person"), entry.subject_ref) if entry.subject_ref else None

    @admin.display(description=_("actor"))
    def actor(self, entry: AuditEntry) -> str:
        kind = ACTORS.get(entry.actor_kind, entry.actor_kind)
        name = getattr(entry, "actor_name", "") or entry.actor_ref
        return str(kind) if entry.actor_kind == "system" else f"{kind} {name}"

    @admin.display(description=_("canonical body"))
    def content(self, entry: AuditEntry) -> str:
        return format_html("<pre>{}</pre>", json.dumps(entry_body(entry), ensure_ascii=False, indent=2))

    @admin.display(description=_("leaf hash"))
    def leaf(self, entry: AuditEntry) -> str:
        return format_html("<code>{}</code>", bytes(entry.leaf_hash).hex())
