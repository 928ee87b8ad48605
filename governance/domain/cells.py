"""Reading what people really send: dirty cells, three encodings, a dozen ways to write a time."""

from __future__ import annotations

import codecs
import re
import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone

from governance.domain.calendar import SHANGHAI, day_of

_INVISIBLE = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
_DATE = re.compile(
    r"(?:([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})|([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})"
    r"|([0-9]{4})\.([0-9]{1,2})\.([0-9]{1,2})|([0-9]{4})年([0-9]{1,2})月([0-9]{1,2})日)"
    r"(?:(?:\s+|T)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})([0-9]{2}))?")
_FIRST = datetime(1, 1, 1, tzinfo=UTC)  # PostgreSQL stores less, Python cannot read it back
_LIST = re.compile(r"[|;,、]")


class UnreadableTextError(ValueError):
    """The bytes are no text in any encoding we accept."""


def clean(cell: str) -> str:
    """Return a cell as it is compared: no invisible characters, NFKC, no blanks around it."""
    if cell.isascii():
        return cell.strip()
    return unicodedata.normalize("NFKC", cell.translate(_INVISIBLE)).strip()


def encoding_of(data: bytes) -> str:
    """Return the encoding of a whole text file: BOM means UTF-8, else strict UTF-8, else GB18030.

    Raises:
        UnreadableTextError: binary data (a NUL byte, a UTF-16 mark), or none of the encodings fits.
    """
    if b"\0" in data or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnreadableTextError("binary data, not text")
    names = ["utf-8-sig"] if data.startswith(codecs.BOM_UTF8) else ["utf-8", "gb18030"]
    for name in names:
        try:
            data.decode(name)
        except UnicodeDecodeError:
            continue
        return name
    raise UnreadableTextError("neither UTF-8 nor GB18030")


def parse_instant(text: str) -> datetime | None:
    """Read a cleaned cell as an aware instant; None if it is none.

    No offset means Shanghai time, no time of day means 00:00:00. What programs write for no date (`0001-01-01`)
    is a date; it becomes the first instant that every clock of ours can hold.
    """
    if match := _DATE.fullmatch(text):
        parts = match.groups()
        year, month, day = (int(p) for p in parts[:12] if p is not None)
        hour, minute, second, offset = parts[12:]
    elif match := _COMPACT.fullmatch(text):
        year, month, day = (int(p) for p in match.groups()[:3])
        hour, minute, second = match.groups()[3:]
        offset = None
    else:
        return None
    try:
        at = datetime(year, month, day, int(hour or 0), int(minute or 0), int(second or 0), tzinfo=_zone(offset))
        return max(at, _FIRST).astimezone(SHANGHAI)
    except (ValueError, OverflowError):
        return None


def _zone(offset: str | None) -> timezone:
    if offset is None:
        return SHANGHAI
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if minutes > 59:
        raise ValueError("no such offset")
    return timezone((1 if offset[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))


def parse_day(text: str) -> date | None:
    """Read a cleaned cell as a Shanghai calendar day; None if it is none."""
    at = parse_instant(text)
    return day_of(at) if at else None


def split_list(text: str) -> list[str]:
    """Split a cell that lists several words (`|`, `;`, `,` or `、`), empty ones left out."""
    return [word for part in _LIST.split(text) if (word := part.strip())]
