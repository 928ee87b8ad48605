"""Calendar rules of the mainland: days, months and instants as the law counts them."""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta, timezone

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
"""Legal time of the whole mainland, a fixed offset (the zone had summer time only until 1991)."""


def day_of(at: datetime) -> date:
    """Return the Shanghai calendar day of an aware instant."""
    return at.astimezone(SHANGHAI).date()


def start_of_day(day: date) -> datetime:
    """Return the instant at which a Shanghai calendar day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)


def add_months(day: date, months: int) -> date:
    """Return the same day of the month `months` later; a missing day falls on the month's last day.

    Source: 民法典 第二百零二条. PostgreSQL's `date + interval 'n months'` gives the same day.
    """
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month0 + 1, min(day.day, calendar.monthrange(year, month0 + 1)[1]))


def birthday(born: date, age: int) -> date:
    """Return the day a person turns `age`; born on 29 February, it falls on the month's last day."""
    return add_months(born, 12 * age)
