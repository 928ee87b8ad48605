"""API clients, to look at. Their secrets are made and shown once elsewhere, and stored as hashes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.sites import NotRegistered  # type: ignore[attr-defined]
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
        "brands",
        "purposes",
        "channels",
        "fields",
        "recipients",
        "networks",
        "requests_per_minute",
        "created",
    )
    readonly_fields = ("created",)
    empty_hint = _("No system calls the decision API yet.")

    @admin.display(description=_("scopes"))
    def shown_scopes(self, client: APIClient) -> str:
        return ", ".join(client.scopes)
