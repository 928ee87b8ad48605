"""Small helpers all registers share."""

from __future__ import annotations

from enum import Enum

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

code_validator = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", _("Letters, digits, dot, dash and underscore only.")
)


def choices(words: type[Enum]) -> list[tuple[object, str]]:
    return [(word.value, word.name) for word in words]


class CodeField(models.CharField):  # type: ignore[type-arg]
    """The public id of a registered thing: unique, short, and safe in files and addresses."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("max_length", 64)
        kwargs.setdefault("validators", [code_validator])
        kwargs.setdefault("verbose_name", _("code"))
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
