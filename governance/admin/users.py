"""Who may come in. Users are switched off, never deleted: the trail names them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from audit.admin_base import day_or_time, yes_no

admin.site.unregister([User, Group])


class _Kept(admin.ModelAdmin):  # type: ignore[type-arg]
    actions = None
    show_facets = admin.ShowFacets.NEVER
    view_on_site = False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class KeptUserAdmin(_Kept, UserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "full_name", "email", "may_enter", "signed_in_at")
    list_filter = ("is_active", "is_superuser", "groups")

    @admin.display(description=_("name"), empty_value="–")
    def full_name(self, user: User) -> str | None:
        return user.get_full_name() or None

    @admin.display(description=_("may sign in"), ordering="is_active")
    def may_enter(self, user: User) -> str:
        return yes_no(user.is_active and user.is_staff)

    @admin.display(description=_("last sign-in"), ordering="last_login", empty_value="–")
    def signed_in_at(self, user: User) -> str | None:
        return day_or_time(user.last_login)


@admin.register(Group)
class KeptGroupAdmin(_Kept, GroupAdmin):
    """Duties as groups of permissions."""
