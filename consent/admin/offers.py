"""What forms offer to choose from, out of the register in memory.

A page asks once whether that register is current (`FreshOffers`); its dozen fields then ask nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse

from consent.selectors.register import register_in_hand, register_live
from governance.admin.fields import Choices
from governance.admin.words import PURPOSE_KINDS
from governance.domain.terms import PurposeKind
from governance.selectors.choices import field_choices


class FreshOffers:
    """A page whose fields offer what is registered now."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        register_live()
        return super().changeform_view(request, *args, **kwargs)  # type: ignore[misc,no-any-return]


def purposes() -> Choices:
    return [(p.id, f"{p.name} ({p.id})") for p in register_in_hand().rules.book.purposes.values()]


def channels() -> Choices:
    return [(c.id, f"{c.name} ({c.id})") for c in register_in_hand().rules.channels.values()]


def fields() -> Choices:
    return list(_fields_of(register_in_hand().version))


@lru_cache(maxsize=2)
def _fields_of(version: int) -> tuple[tuple[str, str], ...]:
    return tuple(field_choices())


def recipients() -> Choices:
    return [(r.id, f"{r.name} ({r.id})") for r in register_in_hand().rules.recipients.values()]


def kinds() -> Choices:
    return [(value, str(PURPOSE_KINDS[value])) for value in (PurposeKind.MARKETING.value, PurposeKind.SERVICE.value)]


def assessments() -> Choices:
    return [(code, code) for code in register_in_hand().rules.assessments]


def brands() -> Choices:
    return [(code, f"{name} ({code})") for code, name in register_in_hand().governed.brands.items()]
