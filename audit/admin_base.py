"""What all admin pages share: nothing is deleted, nothing huge is counted, and what was read leaves a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.checks import ModelAdminChecks
from django.contrib.admin.options import InlineModelAdmin
from django.contrib.admin.widgets import AdminTextareaWidget, RelatedFieldWidgetWrapper
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.core.paginator import Paginator
from django.db import connection, models, transaction
from django.db.utils import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from audit.actors import Actor
from audit.selectors.entries import Entry, entries_of

Labels = Mapping[Any, Any]
"""Stored value → the words people read."""

PAGES_ROWS = 10_000
"""How far a list can be paged through; beyond it the filters are the way."""

_LIST_TIMEOUT = "5s"
_CANCELLED = "57014"  # query_canceled


def actor_of(request: HttpRequest) -> Actor:
    """Return the signed-in user as the actor services want."""
    return Actor("user", str(request.user.pk))


def user_names(refs: Sequence[str]) -> dict[str, str]:
    """Return the names of users by the reference the trail knows them by."""
    keys = {int(ref) for ref in refs if ref.isdigit()}
    rows = get_user_model().objects.filter(pk__in=keys) if keys else []
    return {str(user.pk): user.get_full_name() or user.get_username() for user in rows}


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of a table that may hold millions: it counts no further than it can show.

    `total` is what people read: exact for small results, the planner's estimate for a whole large table.
    """

    object_list: Any

    @cached_property
    def count(self) -> int:
        if not self._filtered:
            estimate = _rows_about(self.object_list.model._meta.db_table)
            if estimate > PAGES_ROWS:
                self._estimate = estimate
                return PAGES_ROWS
        counted: int = self.object_list.order_by()[: PAGES_ROWS + 1].count()
        self._more = counted > PAGES_ROWS
        return min(counted, PAGES_ROWS)

    _estimate = 0
    _more = False

    @property
    def _filtered(self) -> bool:
        query = self.object_list.query
        return bool(query.where) or query.is_sliced

    @property
    def total(self) -> str:
        count = self.count
        if self._estimate:
            return gettext("about %(count)s; the first %(shown)s can be paged through") % {
                "count": _rounded(self._estimate),
                "shown": f"{PAGES_ROWS:,}",
            }
        if self._more:
            return gettext("more than %(count)s; narrow the filter to see others") % {"count": f"{PAGES_ROWS:,}"}
        return ngettext("%(count)s entry", "%(count)s entries", count) % {"count": f"{count:,}"}


def _rows_about(table: str) -> int:
    """Return the planner's estimate of a table's rows; below zero before its first analyse."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [table])
        row = cursor.fetchone()
    return int(row[0])


def _rounded(number: int) -> str:
    """Return an estimate with the two digits it is good for."""
    digits = len(str(number)) - 2
    return f"{round(number, -digits):,}"


class GovernedChecks(ModelAdminChecks):
    """Sealed values and look-up bytes have no place on any page."""

    def check(self, admin_obj: Any, **kwargs: Any) -> list[checks.CheckMessage]:
        return [*super().check(admin_obj, **kwargs), *self._check_binary(admin_obj)]

    def _check_binary(self, obj: Any) -> list[checks.CheckMessage]:
        named = [
            *(name for name in obj.list_display if isinstance(name, str)),
            *(name if isinstance(name, str) else name[0] for name in obj.list_filter if not isinstance(name, type)),
            *(name.lstrip("=^@") for name in obj.search_fields),
            *(name for name in obj.fields or () if isinstance(name, str)),
            *(name for name in obj.readonly_fields if isinstance(name, str)),
        ]
        return [
            checks.Error(f"{name} is binary and must not be shown or searched", obj=obj.__class__, id="zhixu.E101")
            for name in named
            if isinstance(_field(obj.model, name), models.BinaryField)
        ]


def _field(model: type[models.Model], name: str) -> Any:
    try:
        return model._meta.get_field(name.split("__")[0])
    except FieldDoesNotExist:
        return None


class _Shown:
    """What both pages and inlines do with fields: words for stored codes, plain line ends, help."""

    labels: ClassVar[Mapping[str, Labels]] = {}
    help_texts: ClassVar[Mapping[str, Any]] = {}
    rows: ClassVar[Mapping[str, int]] = {}  # height of text areas

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.help_texts:
            kwargs.setdefault("help_text", self.help_texts[db_field.name])
        if isinstance(db_field, models.TextField) and not db_field.choices:
            kwargs.setdefault("form_class", PlainTextField)
            kwargs.setdefault("widget", AdminTextareaWidget(attrs={"rows": self.rows.get(db_field.name, 3)}))
        if isinstance(db_field, models.DateTimeField):
            kwargs.setdefault("widget", NamedDateTime)
        elif isinstance(db_field, models.DateField):
            kwargs.setdefault("widget", NativeDate)
        field = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if isinstance(getattr(field, "widget", None), RelatedFieldWidgetWrapper):
            field.widget.can_add_related = field.widget.can_change_related = field.widget.can_view_related = False
        return field

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.labels and "choices" not in kwargs:
            words = self.labels[db_field.name]
            blank = [("", "—")] if db_field.blank else []
            kwargs["choices"] = [
                *blank,
                *((value, words.get(value, name)) for value, name in db_field.choices if value),
            ]
        return super().formfield_for_choice_field(db_field, request, **kwargs)  # type: ignore[misc]


class NativeDate(forms.DateInput):
    """A date in the browser's own picker, which knows the reader's language and needs no script of ours."""

    input_type = "date"

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs, format="%Y-%m-%d")


class NativeTime(forms.TimeInput):
    input_type = "time"

    def __init__(self, attrs: Any = None) -> None:
        super().__init__({"step": 1} | (attrs or {}), format="%H:%M:%S")


class NamedDateTime(forms.SplitDateTimeWidget):
    """Date and time in two inputs, each with a name a screen reader can say, and the zone they are read in."""

    def __init__(self, attrs: Any = None) -> None:
        forms.MultiWidget.__init__(self, [NativeDate, NativeTime], attrs)
        for widget, name in zip(self.widgets, (_("Date"), _("Time")), strict=True):
            widget.attrs["aria-label"] = name

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        inputs = super().render(name, value, attrs, renderer)
        return format_html(
            '<span class="zx-when-input">{} <span class="zx-zone">{}</span></span>', inputs, gettext("Beijing time")
        )


class PlainTextField(forms.CharField):
    """Text whose every character counts: kept as it is, but for the line ends browsers make."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs | {"strip": False})

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n").replace("\r", "\n")


class GovernedInline(_Shown, InlineModelAdmin):  # type: ignore[type-arg]
    """Parts of a registered thing."""

    template = "admin/edit_inline/stacked.html"
    extra = 0


class GovernedAdmin(_Shown, admin.ModelAdmin):  # type: ignore[type-arg]
    """Base of every admin page. Registered things are changed by services, and nothing is ever deleted."""

    checks_class = GovernedChecks
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # a facet is a count of everything
    list_per_page = 50
    list_max_show_all = 200
    view_on_site = False
    trail_kind = ""  # how the trail calls these objects; empty: the model's name
    empty_hint: ClassVar[Any] = ""
    amounts: ClassVar[Sequence[str]] = ()  # fields that hold counts: grouped digits, to the right
    tags: ClassVar[Sequence[str]] = ()  # fields of codes shown as a coloured tag

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def trail_ref(self, obj: Any) -> str:
        """Return how the trail refers to this object."""
        return str(getattr(obj, "code", obj.pk))

    def name_of(self, obj: Any) -> str:
        """Return what the heading of this object's page says."""
        return str(obj)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        if context.get("original") is not None:
            context["subtitle"] = self.name_of(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def trail(self, obj: Any) -> list[Entry]:
        return entries_of(kind=self.trail_kind or self.opts.model_name or "", ref=self.trail_ref(obj))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave the trace to the service; there is one trail, not two."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave the trace to the service."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        obj = self.get_object(request, object_id)
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        entries = self.trail(obj)
        names = user_names([entry.actor_ref for entry in entries if entry.actor_kind == "user"])
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("History of %(object)s") % {"object": self.name_of(obj)},
            "name": self.name_of(obj),
            "entries": [
                (
                    entry,
                    EVENTS.get(entry.type, entry.type),
                    ACTORS.get(entry.actor_kind, entry.actor_kind),
                    names.get(entry.actor_ref, entry.actor_ref),
                )
                for entry in entries
            ],
            "object": obj,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/object_history.html", context)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list, but never let one page keep the database busy for long."""
        context = {"empty_hint": self.empty_hint, **(extra_context or {})}
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_LIST_TIMEOUT])
                response = super().changelist_view(request, context)
                if isinstance(response, SimpleTemplateResponse):
                    response.render()
                return response
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != _CANCELLED or not request.GET:
                raise
        self.message_user(
            request,
            gettext("That filter matches too few of too many entries to be found quickly. Try another one."),
            messages.WARNING,
        )
        return HttpResponseRedirect(request.path)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [self._worded(name) for name in super().get_list_display(request)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        names = list(super().get_readonly_fields(request, obj))
        if not self._may_write(request, obj):
            names += [name for name in self._worded_names if name not in names]
        return [self._worded(name) for name in names]

    @cached_property
    def _worded_names(self) -> list[str]:
        """Return the fields that read better in our words than in Django's."""
        return [
            field.name
            for field in self.opts.get_fields()
            if field.name in self.labels or field.name in self.amounts or isinstance(field, _PLAIN)
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = {getattr(shown, "field", shown) for shown in self.get_readonly_fields(request, obj)}
        return [
            (title, options | {"fields": [self._worded(name) if name in fixed else name for name in options["fields"]]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def _may_write(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)

    def _worded(self, name: Any) -> Any:
        """Return a field name, or for a field of codes, times or counts a callable that shows it in words."""
        if not isinstance(name, str) or hasattr(self, name):
            return name
        if name not in self._words:
            self._words[name] = self._shown(name) if name in self._worded_names else name
        return self._words[name]

    @cached_property
    def _words(self) -> dict[str, Any]:
        return {}

    def _shown(self, name: str) -> Callable[[Any], Any]:
        field = self.opts.get_field(name)
        show: Callable[[Any], Any]
        kind = "shown"
        if name in self.labels:
            words, tagged = self.labels[name], name in self.tags

            def show(obj: Any) -> Any:
                value = getattr(obj, name)
                text = str(words.get(value, value))
                return tag(text, f"zx-{name}-{value}") if tagged and text else text

        elif isinstance(field, models.BooleanField):

            def show(obj: Any) -> Any:
                return yes_no(getattr(obj, name))

        elif name in self.amounts:
            kind = "amount"

            def show(obj: Any) -> Any:
                value = getattr(obj, name)
                return "–" if value is None else f"{value:,}"

        else:

            def show(obj: Any) -> Any:
                return day_or_time(getattr(obj, name)) or "–"

        show.__name__ = f"{kind}_{name}"
        shown: Any = admin.display(
            show, description=getattr(field, "verbose_name", name), ordering=name, empty_value="–"
        )
        shown.field = name
        return shown  # type: ignore[no-any-return]


_PLAIN = (models.BooleanField, models.DateField)  # a DateTimeField is a DateField


def day_or_time(value: Any) -> str | None:
    """Return a date or an instant in one width, so that columns can be read downwards; instants in local time."""
    if value is None:
        return None
    if hasattr(value, "tzinfo"):
        return timezone.localtime(value).strftime("%Y-%m-%d %H:%M")
    return str(value.strftime("%Y-%m-%d"))


def yes_no(value: bool | None) -> str:
    """Return yes or no in words: a green tick or a red cross would judge what is only a fact."""
    return gettext("yes") if value else gettext("no") if value is not None else "–"


def tag(text: Any, *classes: str) -> str:
    """Return a coloured tag. The colour says nothing the text does not."""
    return format_html('<span class="zx-tag {}">{}</span>', " ".join(classes), text)


class LedgerAdmin(GovernedAdmin):
    """A table that only services write. Newest first, no sorting: every list is one walk along the key."""

    sortable_by: ClassVar[Any] = ()
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def choice_filter(field: str, labels: Labels, title: Any) -> type[admin.SimpleListFilter]:
    """Return a list filter on a field of codes, in words."""

    class Filter(admin.SimpleListFilter):
        parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
            return [(str(value), words) for value, words in labels.items()]

        def queryset(self, request: HttpRequest, queryset: Any) -> Any:
            value = self.value()
            known = {str(code) for code in labels}
            return queryset.filter(**{field: value}) if value in known else queryset

    Filter.title = title
    return Filter


EVENTS: Labels = {
    "consent.granted": _("Consent given"),
    "consent.renewed": _("Consent renewed"),
    "consent.confirmed": _("Consent confirmed"),
    "consent.denied": _("Consent refused"),
    "consent.withdrawn": _("Consent withdrawn"),
    "subject.created": _("Person recorded"),
    "subject.changed": _("Person changed"),
    "subject.viewed": _("Person looked at"),
    "subject.erased": _("Person erased"),
    "subject.revealed": _("Sealed evidence opened"),
    "suppression.added": _("Opt-out or listing added"),
    "guardian.recorded": _("Guardian's consent recorded"),
    "import.finished": _("Import finished"),
    "register.changed": _("Register changed"),
    "sends.reported": _("Sends reported"),
    "reconciliation.exported": _("Reconciliation exported"),
    "letter.exported": _("Letter exported"),
    "screening.started": _("Screening started"),
    "screening.finished": _("Screening finished"),
    "screening.rechecked": _("Screening rechecked"),
    "screening.cancelled": _("Screening cancelled"),
    "preference_link.created": _("Preference link created"),
    "access.denied": _("Access refused"),
    "api_client.changed": _("API client changed"),
    "decision.sealed": _("Decisions sealed"),
    "decision.replayed": _("Decision judged again"),
    "states.folded": _("Stored states folded anew"),
    "key.announced": _("Signing key announced"),
    "ledger.heartbeat": _("Ledger at rest, still running"),
    "ledger.exported": _("Ledger exported"),
    "ledger.anchored": _("Ledger anchored outside"),
    "ledger.verified": _("Ledger verified"),
}
OBJECTS: Labels = {
    "api_client": _("API client"),
    "brand": _("brand"),
    "campaign": _("campaign"),
    "channel": _("channel"),
    "collectionpoint": _("collection point"),
    "consent": _("consent record"),
    "consent_import": _("consent import"),
    "content": _("content"),
    "controller": _("legal entity"),
    "crossbordercount": _("cross-border count"),
    "datafield": _("data field"),
    "decision": _("decision"),
    "file": _("file"),
    "impactassessment": _("impact assessment"),
    "key": _("key"),
    "notice": _("notice"),
    "noticeversion": _("notice version"),
    "policyrevision": _("policy revision"),
    "preference_link": _("preference link"),
    "purpose": _("purpose"),
    "recipient": _("recipient"),
    "register": _("register file"),
    "screening": _("screening"),
    "sourcebatch": _("source batch"),
    "suppression": _("opt-out or suppression"),
    "wordlist": _("word list"),
}
ACTIONS: Labels = {
    "approved": _("approved"),
    "changed": _("changed"),
    "created": _("created"),
    "demo": _("prepared for the demo"),
    "loaded": _("loaded"),
    "pending": _("review asked for"),
    "published": _("put in force"),
    "rejected": _("rejected"),
    "retired": _("retired"),
}
ACTORS: Labels = {
    "customer": _("customer"),
    "user": _("user"),
    "api": _("API client"),
    "system": _("system"),
}
