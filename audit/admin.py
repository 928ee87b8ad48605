"""The trail, as it was written. No page changes it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.module_loading import import_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_safe

from audit.admin_base import (
    ACTORS,
    EVENTS,
    OBJECTS,
    Labels,
    LedgerAdmin,
    actor_of,
    choice_filter,
    day_or_time,
    user_names,
)
from audit.admin_ledger import text_file
from audit.models import AuditEntry
from audit.options import option
from audit.selectors.entries import entry_body
from audit.selectors.ledger import checkpoint_latest, inclusion_of, leaf_index
from audit.selectors.trail import TrailFilter, trail_filtered
from audit.services.access import subject_view

_SECRET = method_decorator([sensitive_post_parameters("identifier"), csrf_protect])


class NamedList(ChangeList):
    """A page of entries with the names of the users who acted, read at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        entries = list(self.result_list)
        names = user_names([entry.actor_ref for entry in entries if entry.actor_kind == "user"])
        for entry in entries:
            entry.actor_name = names.get(entry.actor_ref, "") if entry.actor_kind == "user" else ""
        self.result_list = entries


_MOST_PEOPLE = 20


class PersonFilter(admin.SimpleListFilter):
    """Entries about one person, or several who share an identifier, by our own references."""

    title = _("person")
    parameter_name = "person"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        value = request.GET.get(self.parameter_name, "")
        refs = self.refs(value)
        return [(value, ", ".join(str(ref)[:8] + "…" for ref in refs))] if refs else []

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        refs = self.refs(self.value())
        return queryset.filter(subject_ref__in=refs) if refs else queryset

    @staticmethod
    def refs(value: str | None) -> list[UUID]:
        """Return the references in a list of them; empty if any is none."""
        try:
            return [UUID(part) for part in (value or "").split(",")][:_MOST_PEOPLE]
        except ValueError:
            return []


class ObjectFilter(admin.SimpleListFilter):
    title = _("about")
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(OBJECTS.items())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(object_kind=self.value()) if self.value() in OBJECTS else queryset


class RecentFilter(admin.SimpleListFilter):
    """The last days, found along the key."""

    title = _("date")
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("last 24 hours")), ("7", _("last 7 days")), ("30", _("last 30 days")), ("365", _("last year"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() not in ("1", "7", "30", "365"):
            return queryset
        since = timezone.now() - timedelta(days=int(self.value() or 1))
        return trail_filtered(queryset, TrailFilter(since=since))


@admin.register(AuditEntry)
class AuditEntryAdmin(LedgerAdmin):
    list_display = ("recorded_at", "type", "about", "actor")
    list_filter = (
        choice_filter("type", EVENTS, _("event")),
        choice_filter("actor_kind", ACTORS, _("actor")),
        ObjectFilter,
        RecentFilter,
        PersonFilter,
    )
    search_fields = ("object_ref",)
    search_help_text = _("Reference of an object, of a person (UUID), or of an actor.")
    change_list_template = "admin/audit/auditentry/change_list.html"
    change_form_template = "admin/audit/auditentry/change_form.html"
    fields = (
        "id",
        "type",
        "recorded_at",
        "actor",
        "subject_ref",
        "about",
        "content",
        "leaf",
        "place",
    )
    readonly_fields = ("id", "about", "actor", "content", "leaf", "place")
    labels: ClassVar[dict[str, Labels]] = {"type": EVENTS}
    empty_hint = _("Every change and every look at a person will stand here.")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find by exact reference only: these columns have an index, nothing else has."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = queryset.filter(object_kind__in=list(OBJECTS), object_ref=term)
        found = found | queryset.filter(actor_kind__in=["user", "api"], actor_ref=term)
        try:
            return found | queryset.filter(subject_ref=UUID(term)), False
        except ValueError:
            return found, False

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("person/", wrap(self.person_view), name="audit_auditentry_person"),
            path("<uuid:pk>/proof/", wrap(self.proof_view), name="audit_auditentry_proof"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the trail. Whoever narrows it to people has looked at them."""
        if self.has_view_permission(request):
            for ref in PersonFilter.refs(request.GET.get(PersonFilter.parameter_name)):
                subject_view(subject=ref, where="admin.trail", actor=actor_of(request))
        return super().changelist_view(request, extra_context)

    @_SECRET
    @method_decorator(sensitive_variables("text"))
    def person_view(self, request: HttpRequest) -> HttpResponse:
        """Find whose entries are wanted by an identifier in the body of the request. It is neither shown nor kept."""
        back = reverse("admin:audit_auditentry_changelist")
        if request.method != "POST":
            return HttpResponseRedirect(back)
        if not self.has_view_permission(request):
            raise PermissionDenied
        find = import_string(option("SUBJECTS_FIND"))
        text = request.POST.get("identifier", "").strip()
        refs: list[UUID] = find(text=text, where="admin.trail", actor=actor_of(request), at=timezone.now())
        if not refs:
            self.message_user(request, gettext("Nobody here holds this identifier."), messages.WARNING)
            return HttpResponseRedirect(back)
        named = ",".join(str(ref) for ref in refs[:_MOST_PEOPLE])
        return HttpResponseRedirect(f"{back}?{PersonFilter.parameter_name}={named}")

    @method_decorator(require_safe)
    def proof_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Hand out the proof that an entry is in the tree, as a file that verifies offline (C2SP tlog-proof)."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not AuditEntry.objects.filter(pk=pk).exists():
            raise Http404
        proof = inclusion_of(pk)
        if proof is None:
            self.message_user(request, gettext("This entry is not in a signed tree yet."), messages.WARNING)
            return HttpResponseRedirect(reverse("admin:audit_auditentry_change", args=[pk]))
        return text_file(proof.text, f"proof-{pk}.txt")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        entry = context.get("original")
        if entry is not None:
            head = checkpoint_latest()
            index = entry.index = leaf_index(entry.pk)
            context["covered_by"] = head if head and index is not None and index < head.size else None
            context["covered_size"] = f"{head.size:,}" if head else ""
            context["may_see_heads"] = request.user.has_perm("audit.view_checkpoint")
        return super().render_change_form(request, context, *args, **kwargs)

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

    @admin.display(description=_("place in the tree"))
    def place(self, entry: AuditEntry) -> str:
        index: int | None = getattr(entry, "index", None)
        return f"{index:,}" if index is not None else gettext("waits to be sequenced")
