"""How old somebody is, when all there is is a dirty birth date. The most protective reading wins."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from datetime import date

from governance.domain.calendar import birthday

CHILD_AGE = 14  # PIPL 28, 31: 不满十四周岁
MINOR_AGE = 18  # 未成年人保护法 第二条

_BIRTH = re.compile(
    r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?|/([0-9]{1,2})(?:/([0-9]{1,2}))?"
    r"|\.([0-9]{1,2})(?:\.([0-9]{1,2}))?|年(?:([0-9]{1,2})月(?:([0-9]{1,2})日)?)?)?"
    r"|([0-9]{4})([0-9]{2})([0-9]{2})"
)


def birth_date(text: str, today: date) -> date | None:
    """Read a cleaned cell as a birth date, the latest day it can mean; None if it says nothing.

    A missing or impossible month or day is the latest possible one, at most `today`. A year before
    1900, a future date and other words say nothing.
    """
    match = _BIRTH.fullmatch(text)
    if not match:
        return None
    parts = [int(p) for p in match.groups() if p is not None]
    year = parts[0]
    if not 1900 <= year <= today.year:
        return None
    month = parts[1] if len(parts) > 1 and 1 <= parts[1] <= 12 else 0
    last = calendar.monthrange(year, month or 12)[1]
    day = parts[2] if len(parts) > 2 and 1 <= parts[2] <= last else 0
    if month and day:
        born = date(year, month, day)
        return born if born <= today else None
    if month and (year, month) > (today.year, today.month):
        return None
    return min(date(year, month or 12, day or last), today)


def youngest_birth(texts: Iterable[str], today: date) -> date | None:
    """Return the latest of several birth dates, unreadable ones left out: what protects more counts."""
    return max(filter(None, (birth_date(text, today) for text in texts)), default=None)


def is_under(born: date | None, age: int, today: date) -> bool:
    """Tell whether a person is under `age` today; the whole birthday still counts as under.

    Source: pipl-rules 0.3 (conservative reading of 不满). No known birth date means an adult.
    """
    return born is not None and today <= birthday(born, age)
