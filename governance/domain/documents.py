"""Reading JSON registers written by people: what is missing or wrong is named by file and place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

from audit.domain.worded import WordedError
from governance.domain.cells import clean, parse_day, parse_instant


class DocumentError(WordedError):
    """A register file cannot be used; the message names the file, the place and what is expected."""


class Entry:
    """One JSON object with its place. Absent and null read alike."""

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise DocumentError("%(place)s: an object is expected.", place=place)
        self._value = value
        self.place = place

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text; without a default it must be there and not be empty."""
        value = self._value.get(key)
        if value is None or value == "":
            if default is None:
                raise DocumentError("%(place)s is missing.", place=f"{self.place}.{key}")
            return default
        if not isinstance(value, str):
            raise DocumentError("%(place)s: a text is expected.", place=f"{self.place}.{key}")
        return value

    def number(self, key: str, default: int | None = None) -> int:
        value = self._value.get(key, default)
        if value is None:
            value = default
        if isinstance(value, bool) or not isinstance(value, int):
            raise DocumentError("%(place)s: a whole number is expected.", place=f"{self.place}.{key}")
        return value

    def optional_number(self, key: str) -> int | None:
        return None if self._value.get(key) is None else self.number(key)

    def flag(self, key: str) -> bool:
        value = self._value.get(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise DocumentError("%(place)s: true or false is expected.", place=f"{self.place}.{key}")
        return value

    def instant(self, key: str) -> datetime | None:
        """Return an instant, or None where it is absent or unreadable: both are missing input."""
        value = self._value.get(key)
        return parse_instant(clean(value)) if isinstance(value, str) else None

    def day(self, key: str) -> date | None:
        value = self._value.get(key)
        return parse_day(clean(value)) if isinstance(value, str) else None

    def texts(self, key: str) -> list[str]:
        value = self._value.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise DocumentError("%(place)s: a list of texts is expected.", place=f"{self.place}.{key}")
        return value

    def optional_texts(self, key: str) -> list[str] | None:
        return None if self._value.get(key) is None else self.texts(key)

    def entry(self, key: str) -> Entry | None:
        value = self._value.get(key)
        return None if value is None else Entry(value, f"{self.place}.{key}")

    def entries(self, key: str) -> list[Entry]:
        return entries(self._value.get(key) or [], f"{self.place}.{key}")

    def table(self, key: str) -> Iterator[tuple[str, Entry]]:
        value = self._value.get(key) or {}
        if not isinstance(value, dict):
            raise DocumentError("%(place)s: an object is expected.", place=f"{self.place}.{key}")
        for name, item in value.items():
            yield name, Entry(item, f"{self.place}.{key}.{name}")

    def raw(self, key: str) -> object:
        return self._value.get(key)


def entries(value: object, place: str) -> list[Entry]:
    if not isinstance(value, list):
        raise DocumentError("%(place)s: a list is expected.", place=place)
    return [Entry(item, f"{place}[{index}]") for index, item in enumerate(value)]


def read_json(path: Path) -> object:
    """Read a JSON file. Raises DocumentError naming the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DocumentError("%(place)s is missing.", place=path.name) from None
    except (UnicodeDecodeError, ValueError) as error:
        raise DocumentError("%(place)s is no JSON in UTF-8: %(error)s", place=path.name, error=error) from None
