"""Reading CSV exports of unknown origin: encoding found out, headers in two languages, rows as named cells."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from audit.domain.worded import WordedError
from audit.domain.worded import message_id as _
from governance.domain.cells import clean

CELL_LIMIT = 131_072
"""Longest cell in characters; a longer one is a broken quote or an attack, not data."""

_CHUNK = 1 << 20


TABLE_ERRORS: dict[str, str] = {
    "empty_file": _("The file is empty or has no header row."),
    "not_text": _("The file is not text: it is binary, or UTF-16. Save it as UTF-8 or GB18030."),
    "wrong_encoding": _("The file is neither UTF-8 nor GB18030."),
    "missing_column": _("A column is missing: %(what)s."),
    "duplicate_column": _("A column stands twice in the header: %(what)s."),
    "broken_csv": _("Row %(what)s is no CSV: a quote is not closed, or a cell is too long."),
    "file_changed": _("The file was changed after the job was queued. Start a new one."),
    "not_parquet": _("The file is no Parquet file."),
    "format_unsupported": _("To read Parquet, install the extra: pip install 'zhixu[parquet]'"),
}
"""Public codes and what they say; `what` names a column or a row."""


class TableError(WordedError):
    """A file that cannot be read as a table at all. `code` is public; `row` counts data rows from 1."""

    def __init__(self, code: str, what: str = "", row: int = 0) -> None:
        super().__init__(TABLE_ERRORS[code], what=what)
        self.code = code
        self.what = what
        self.row = row


@dataclass(frozen=True, slots=True)
class Row:
    """One data row. `cells` is None if the row has another number of cells than the header."""

    number: int
    cells: Mapping[str, str] | None
    raw: Sequence[str]


def file_encoding(path: Path) -> str:
    """Return the encoding of a text file of any size: BOM means UTF-8, else strict UTF-8, else GB18030.

    Raises:
        TableError: `empty_file`, `not_text` (a NUL byte, UTF-16) or `wrong_encoding`.
    """
    with path.open("rb") as stream:
        head = stream.read(4)
        if not head:
            raise TableError("empty_file")
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise TableError("not_text")
        names = ["utf-8"] if head.startswith(codecs.BOM_UTF8) else ["utf-8", "gb18030"]
        for name in names:
            stream.seek(0)
            if _decodes(stream, name):
                return "utf-8-sig" if name == "utf-8" else name
    raise TableError("wrong_encoding")


def _decodes(stream: IO[bytes], name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)("strict")
    try:
        while chunk := stream.read(_CHUNK):
            if b"\0" in chunk:
                raise TableError("not_text")
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def open_text(path: Path) -> IO[str]:
    """Open a text file in the encoding found out, ready for the csv module."""
    return path.open(encoding=file_encoding(path), newline="")


def read_rows(stream: IO[str], headers: Mapping[str, Sequence[str]], *, required: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the data rows of a CSV stream, cells cleaned and named by column.

    `headers`: column → accepted headers; the column's own name is accepted too, case is ignored.
    Columns that are missing read as empty cells, columns nobody knows are left out.

    Raises:
        TableError: no header, a required column missing, a column twice, a broken quote.
    """
    reader = csv.reader(stream)
    width, places = _head(reader, headers, required)
    absent = dict.fromkeys(set(headers) - set(places), "")
    for number, raw in _numbered(reader):
        if len(raw) != width:
            yield Row(number, None, raw)
        else:
            named = {name: clean(cell) if (cell := raw[place]) else "" for name, place in places.items()}
            yield Row(number, absent | named, raw)


def count_rows(stream: IO[str], headers: Mapping[str, Sequence[str]], *, required: Sequence[str] = ()) -> int:
    """Return how many rows `read_rows` would yield. Raises what it would raise, before anything is worked on."""
    reader = csv.reader(stream)
    _head(reader, headers, required)
    return sum(1 for _ in _numbered(reader))


def _head(
    reader: Iterator[list[str]], headers: Mapping[str, Sequence[str]], required: Sequence[str]
) -> tuple[int, dict[str, int]]:
    """Read the header row; returns how many cells it has, and where each known column is."""
    header = next_row(reader, 0)
    if header is None:
        raise TableError("empty_file")
    places = _places(header, headers)
    for name in required:
        if name not in places:
            raise TableError("missing_column", " / ".join(dict.fromkeys([name, *headers[name]])))
    return len(header), places


def _numbered(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    number = 0
    while (raw := next_row(reader, number + 1)) is not None:
        number += 1
        yield number, raw


def next_row(reader: Iterator[list[str]], number: int) -> list[str] | None:
    """Return the next row of a csv reader, or None at the end; a broken row is an error with its number."""
    try:
        return next(reader)
    except StopIteration:
        return None
    except csv.Error:
        raise TableError("broken_csv", str(number), number) from None


def _places(header: Sequence[str], headers: Mapping[str, Sequence[str]]) -> dict[str, int]:
    names = {word.casefold(): name for name, words in headers.items() for word in (name, *words)}
    places: dict[str, int] = {}
    for place, cell in enumerate(header):
        name = names.get(clean(cell).casefold())
        if name is None:
            continue
        if name in places:
            raise TableError("duplicate_column", name)
        places[name] = place
    return places


csv.field_size_limit(CELL_LIMIT)
