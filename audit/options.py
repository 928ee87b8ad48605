"""The installation's own options (settings.ZHIXU), read where they are used."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def option(name: str) -> Any:
    """Return one option. Raises KeyError for a name that settings do not have: a typo must not pass for a value."""
    return settings.ZHIXU[name]
