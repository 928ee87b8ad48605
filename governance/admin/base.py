"""Registers in the admin: forms people can fill in, saved by one service call with its trace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.postgres.fields import ArrayField
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone

from audit.admin_base import GovernedAdmin, GovernedInline, actor_of
from audit.errors import ZhixuError
from audit.problems import words_of
from governance.admin.fields import Choices, CodeField, CodesField, LinesField
from governance.services.register import register_save

Offers = Mapping[str, Callable[[], Choices]]


class RegisterForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form whose code fields also offer what is stored, registered or not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if isinstance(field, CodeField | CodesField):
                field.offer(self.get_initial_for_field(field, name))


class _Codes:
    """`codes`: fields that hold codes of the register → what to offer. Other lists are written one a line."""

    codes: ClassVar[Offers] = {}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        offers = self.codes.get(db_field.name)
        if isinstance(db_field, ArrayField):
            kwargs["form_class"] = (
                partial(CodesField, offers=offers, null_if_empty=db_field.null) if offers else LinesField
            )
        elif offers:
            kwargs["form_class"] = partial(_code_field, offers=offers)
        return super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Tick from what is registered; there are dozens, not thousands."""
        kwargs["widget"] = forms.CheckboxSelectMultiple()
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None:
            field.help_text = db_field.help_text or self.help_texts.get(db_field.name, "")  # type: ignore[attr-defined]
        return field


def _code_field(*, offers: Callable[[], Choices], **kwargs: Any) -> CodeField:
    wanted = {name: value for name, value in kwargs.items() if name in ("label", "help_text", "required", "initial")}
    return CodeField(offers=offers, **wanted)


class RegisterInline(_Codes, GovernedInline):
    form = RegisterForm


class RegisterAdmin(_Codes, GovernedAdmin):
    """One registered kind of thing. Its row and all its parts are one change with one entry in the trail."""

    form = RegisterForm

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: past decisions name registered things, and must stay explainable."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Wait for `save_related`: a thing is saved together with its parts."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        parts: list[Model] = []
        removed: list[Model] = []
        for formset in formsets:
            parts += formset.save(commit=False)
            removed += formset.deleted_objects
        sets = {
            field.name: list(form.cleaned_data[field.name])
            for field in self.opts.many_to_many
            if field.name in form.cleaned_data
        }
        self.save_registered(request, form.instance, sets=sets, parts=parts, removed=removed)

    def save_registered(
        self,
        request: HttpRequest,
        row: Any,
        *,
        sets: Mapping[str, Collection[Model]],
        parts: Sequence[Model],
        removed: Sequence[Model],
    ) -> None:
        register_save(
            row,
            code=self.trail_ref(row),
            actor=actor_of(request),
            at=timezone.now(),
            sets=sets,
            parts=parts,
            removed=removed,
        )

    def tell(self, request: HttpRequest, act: Callable[[], object], done: Any) -> None:
        """Call a service and say how it went."""
        try:
            act()
        except ZhixuError as error:
            self.message_user(request, words_of(error), messages.ERROR)
        else:
            self.message_user(request, done, messages.SUCCESS)
