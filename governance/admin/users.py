"""Who may come in. Users are switched off, never deleted: the trail names them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from audit.admin_base import day_or_time, yes_no

admin.site.unregister([User, Group])


class _Kept(admin.ModelAdmin):  # type: ignore[type-arg]
    actions = None
    filter_horizontal = ()
    show_facets = admin.ShowFacets.NEVER
    view_on_site = False

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Tick what is allowed; a list to move things between needs a mouse."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs | {"widget": forms.CheckboxSelectMultiple})
        if field is not None:
            field.help_text = db_field.help_text
        return field

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class KeptUserAdmin(_Kept, UserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "full_name", "email", "may_enter", "signed_in_at")
    list_filter = ("is_active", "is_superuser", "groups")
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")

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
class KeptGroupAdmin(_Kept, GroupAdmin):  # type: ignore[misc]
    """Duties as groups of permissions."""

    filter_horizontal = ()
