"""What forms offer to choose from: the register in memory, field names from their table."""

from __future__ import annotations

from consent.selectors.register import register_live
from governance.admin.fields import Choices
from governance.selectors.choices import field_choices


def purposes() -> Choices:
    return [(p.id, f"{p.name} ({p.id})") for p in register_live().rules.book.purposes.values()]


def channels() -> Choices:
    return [(c.id, f"{c.name} ({c.id})") for c in register_live().rules.channels.values()]


def fields() -> Choices:
    return field_choices()


def recipients() -> Choices:
    return [(r.id, f"{r.name} ({r.id})") for r in register_live().rules.recipients.values()]


def assessments() -> Choices:
    return [(code, code) for code in register_live().rules.assessments]


def brands() -> Choices:
    return [(code, f"{name} ({code})") for code, name in register_live().governed.brands.items()]
