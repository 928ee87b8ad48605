"""API clients, to look at. Their secrets are made and shown once elsewhere, and stored as hashes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.sites import NotRegistered  # type: ignore[attr-defined]
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oauth2_provider.models import (
    get_access_token_model,
    get_grant_model,
    get_id_token_model,
    get_refresh_token_model,
)

from audit.admin_base import LedgerAdmin
from governance.models import APIClient

_OTHERS: list[Callable[[], Any]] = [
    get_access_token_model,
    get_grant_model,
    get_id_token_model,
    get_refresh_token_model,
]
for _model in (APIClient, *(find() for find in _OTHERS)):
    try:
        admin.site.unregister(_model)  # the toolkit's own pages list tokens; nobody needs to see them
    except NotRegistered:
        continue


@admin.register(APIClient)
class APIClientAdmin(LedgerAdmin):
    list_display = ("name", "client_id", "active", "expires_at", "shown_scopes")
    list_filter = ("active",)
    search_fields = ("name", "client_id")
    fields = (
        "name",
        "client_id",
        "active",
        "expires_at",
        "scopes",
        "limits",
        "networks",
        "requests_per_minute",
        "created",
    )
    readonly_fields = ("created", "limits")
    empty_hint = _("No system calls the decision API yet.")

    @admin.display(description=_("limits"))
    def limits(self, client: APIClient) -> str:
        """Say what the client may ask about; what is not limited is all there is."""
        lines = [
            (getattr(self.opts.get_field(name), "verbose_name", name), _limit(getattr(client, name)))
            for name in ("brands", "purposes", "channels", "fields", "recipients")
        ]
        return format_html('<dl class="zx-facts">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", lines))

    @admin.display(description=_("scopes"))
    def shown_scopes(self, client: APIClient) -> str:
        return ", ".join(client.scopes)


def _limit(codes: list[str] | None) -> str:
    return gettext("all") if codes is None else ", ".join(codes) or gettext("none")
