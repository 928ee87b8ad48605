"""House policy: numbers an officer may set. Drafted, checked, then put in force by a service."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.text import format_lazy
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from audit.admin_base import Labels, actor_of, yes_no
from audit.problems import words_of
from governance.admin.base import RegisterAdmin, RegisterForm
from governance.admin.words import POLICY_STATES, POLICY_VALUES
from governance.domain.register import DEFAULT_POLICY, PolicyError, policy_from
from governance.domain.terms import PolicyState
from governance.models import PolicyRevision
from governance.selectors.policies import policy_values
from governance.services.register import policy_draft_save, policy_publish


class _Readable(json.JSONEncoder):
    """Indented, Chinese as Chinese."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs | {"indent": 2, "ensure_ascii": False})


class PolicyForm(RegisterForm):
    values = forms.JSONField(
        label=_("values"),
        encoder=_Readable,
        widget=forms.Textarea(attrs={"rows": 24, "class": "zx-json", "spellcheck": "false"}),
        help_text=format_lazy(
            "{} {}", _("JSON. What is left out has its default. Keys:"), ", ".join(sorted(DEFAULT_POLICY))
        ),
    )

    def clean_values(self) -> dict[str, object]:
        values = self.cleaned_data["values"]
        if not isinstance(values, dict):
            raise ValidationError(gettext("A JSON object is expected."))
        try:
            policy_from(values, 0)
        except PolicyError as error:
            raise ValidationError(words_of(error)) from None
        return values


def _policy_words(value: Any) -> Any:
    """Return one value of a policy as people read it; a table has a line for each entry."""
    if isinstance(value, bool):
        return yes_no(value)
    if isinstance(value, list):
        return "–".join(map(str, value))
    if isinstance(value, dict) and set(value) == {"max", "days"}:
        return ngettext("%(max)s in %(days)s day", "%(max)s in %(days)s days", value["days"]) % value
    if isinstance(value, dict):
        lines = [(key, _policy_words(entry)) for key, entry in sorted(value.items())]
        return format_html_join("", "<div><code>{}</code> {}</div>", lines) if lines else gettext("none")
    return gettext("none") if value is None else f"{value:,}" if isinstance(value, int) else str(value)


@admin.register(PolicyRevision)
class PolicyRevisionAdmin(RegisterAdmin):
    form = PolicyForm
    list_display = ("revision", "state", "published_at")
    fields = ("revision", "state", "published_at", "values")
    readonly_fields = ("revision", "state", "published_at", "in_words")
    labels: ClassVar[dict[str, Labels]] = {"state": POLICY_STATES}
    tags = ("state",)
    actions = ("publish",)
    change_form_template = "admin/governance/policyrevision/change_form.html"

    def trail_ref(self, obj: PolicyRevision) -> str:
        return str(obj.revision)

    def name_of(self, obj: PolicyRevision) -> str:
        return gettext("Revision %(revision)s") % {"revision": obj.revision}

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show what is in force in words; a draft is written as JSON."""
        fields = list(super().get_fields(request, obj))
        return (
            fields if self._may_write(request, obj) else ["in_words" if name == "values" else name for name in fields]
        )

    @admin.display(description=_("values"))
    def in_words(self, revision: PolicyRevision) -> str:
        lines = [
            (POLICY_VALUES.get(key, key), key, _policy_words(value))
            for key, value in (DEFAULT_POLICY | revision.values).items()
        ]
        return format_html(
            '<table class="zx-small-table">{}</table>',
            format_html_join("", '<tr><th scope="row">{}<br><code>{}</code></th><td>{}</td></tr>', lines),
        )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.state == PolicyState.DRAFT)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"values": policy_values()}

    def save_registered(self, request: HttpRequest, row: Any, **_parts: Any) -> None:
        policy_draft_save(row, actor=actor_of(request), at=timezone.now())

    @admin.action(description=_("Put in force"), permissions=["change"])
    def publish(self, request: HttpRequest, queryset: Any) -> None:
        chosen = list(queryset.values_list("revision", flat=True)[:2])
        if len(chosen) != 1:
            self.message_user(request, gettext("Choose exactly one draft."), "error")
            return
        self._publish(request, chosen[0])

    def _publish(self, request: HttpRequest, revision: int) -> None:
        done = gettext("Revision %(revision)s is in force. The next decision reads it.") % {"revision": revision}
        self.tell(request, partial(policy_publish, revision=revision, actor=actor_of(request), at=timezone.now()), done)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.publish_view))
        return [
            path("<int:pk>/publish/", view, name="governance_policyrevision_publish"),
            *super().get_urls(),
        ]

    def publish_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self.get_object(request, str(pk))
        if row is not None and self.has_change_permission(request):
            self._publish(request, row.revision)
        return HttpResponseRedirect(reverse("admin:governance_policyrevision_changelist"))
