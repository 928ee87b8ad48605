"""Form fields for lists and codes: one a line, or ticked from what is registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

Choices = list[tuple[str, str]]


class LinesField(forms.Field):
    """A list of short texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 4, "class": "zx-lines"})

    def __init__(self, *, base_field: Any = None, max_length: int | None = None, **kwargs: Any) -> None:
        self._max = max_length or getattr(base_field, "max_length", None) or 200
        kwargs["help_text"] = kwargs.get("help_text") or _("One a line.")
        super().__init__(**kwargs | {"show_hidden_initial": False})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        lines = value if isinstance(value, list) else str(value or "").splitlines()
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))

    def validate(self, value: list[str]) -> None:
        super().validate(value)
        for line in value:
            if len(line) > self._max:
                raise ValidationError(
                    gettext("A line has more than %(limit)s characters.") % {"limit": self._max}, code="max_length"
                )

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.to_python(data)


class PairsField(LinesField):
    """A list of {first, second} objects, one `first | second` a line; the second may be missing."""

    def __init__(self, first: str, second: str, **kwargs: Any) -> None:
        self._names = first, second
        super().__init__(**{"max_length": 1000} | kwargs)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        first, second = self._names
        return "\n".join(f"{pair.get(first, '')} | {pair.get(second, '')}".rstrip(" |") for pair in value)

    def to_python(self, value: Any) -> list[Any]:
        if isinstance(value, list):
            return value
        pairs = [line.partition("|") for line in str(value or "").splitlines() if line.strip()]
        return [dict(zip(self._names, (head.strip(), tail.strip()), strict=True)) for head, _bar, tail in pairs]

    def validate(self, value: list[Any]) -> None:
        forms.Field.validate(self, value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.to_python(data)


class CountsField(LinesField):
    """A table of whole numbers by code, one `code = number` a line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name} = {count}" for name, count in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        counts: dict[str, int] = {}
        for line in str(value or "").splitlines():
            name, _sign, count = (part.strip() for part in line.partition("="))
            if not name:
                continue
            if not count.isdigit():
                raise ValidationError(gettext("Write each line as: code = number"), code="invalid")
            counts[name] = int(count)
        return counts

    def validate(self, value: Any) -> None:
        forms.Field.validate(self, value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or {}) != self.to_python(data))


class _Registered:
    """Offers what is registered; a stored code that is not is offered too, and marked."""

    choices: Any

    def offer(self, stored: Any) -> None:
        codes = [stored] if isinstance(stored, str) else list(stored or [])
        known = {code for code, _words in self.choices}
        extra = [(code, gettext("%(code)s (not registered)") % {"code": code}) for code in codes if code]
        self.choices = [*self.choices, *(pair for pair in extra if pair[0] not in known)]


class CodeField(_Registered, forms.ChoiceField):
    """One registered code, or none."""

    def __init__(self, *, offers: Callable[[], Choices], **kwargs: Any) -> None:
        super().__init__(choices=[("", "—"), *offers()], **kwargs)


class CodesField(_Registered, forms.MultipleChoiceField):
    """Registered codes to tick. `null_if_empty`: none ticked is stored as NULL, not as an empty list."""

    widget = forms.CheckboxSelectMultiple

    def __init__(
        self, *, offers: Callable[[], Choices], null_if_empty: bool = False, base_field: Any = None, **kwargs: Any
    ) -> None:
        kwargs.pop("max_length", None)
        super().__init__(choices=offers(), **kwargs | {"show_hidden_initial": False})
        self._null = null_if_empty

    def clean(self, value: Any) -> Any:
        ticked = super().clean(value)
        return None if self._null and not ticked else ticked
