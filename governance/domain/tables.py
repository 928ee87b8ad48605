"""Reading CSV exports of unknown origin: encoding found out, headers in two languages, rows as named cells."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from governance.domain.cells import clean

CELL_LIMIT = 131_072
"""Longest cell in characters; a longer one is a broken quote or an attack, not data."""

_CHUNK = 1 << 20


class TableError(ValueError):
    """A file that cannot be read as a table at all. `code` is public; `row` counts data rows from 1."""

    def __init__(self, code: str, detail: str, row: int = 0) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
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
            raise TableError("empty_file", "the file is empty")
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise TableError("not_text", "UTF-16 is not supported; save the file as UTF-8 or GB18030")
        names = ["utf-8"] if head.startswith(codecs.BOM_UTF8) else ["utf-8", "gb18030"]
        for name in names:
            stream.seek(0)
            if _decodes(stream, name):
                return "utf-8-sig" if name == "utf-8" else name
    raise TableError("wrong_encoding", "the file is neither UTF-8 nor GB18030")


def _decodes(stream: IO[bytes], name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)("strict")
    try:
        while chunk := stream.read(_CHUNK):
            if b"\0" in chunk:
                raise TableError("not_text", "the file is binary, not text")
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
    header = next_row(reader, 0)
    if header is None:
        raise TableError("empty_file", "the file has no header row")
    places = _places(header, headers)
    for name in required:
        if name not in places:
            accepted = ", ".join([name, *headers[name]])
            raise TableError("missing_column", f"column {name} is missing; accepted headers: {accepted}")
    absent = dict.fromkeys(set(headers) - set(places), "")
    number = 0
    while (raw := next_row(reader, number + 1)) is not None:
        number += 1
        if len(raw) != len(header):
            yield Row(number, None, raw)
        else:
            yield Row(number, absent | {name: clean(raw[place]) for name, place in places.items()}, raw)


def next_row(reader: Iterator[list[str]], number: int) -> list[str] | None:
    """Return the next row of a csv reader, or None at the end; a broken row is an error with its number."""
    try:
        return next(reader)
    except StopIteration:
        return None
    except csv.Error as error:
        raise TableError("broken_csv", f"row {number}: {error}", number) from None


def _places(header: Sequence[str], headers: Mapping[str, Sequence[str]]) -> dict[str, int]:
    names = {word.casefold(): name for name, words in headers.items() for word in (name, *words)}
    places: dict[str, int] = {}
    for place, cell in enumerate(header):
        name = names.get(clean(cell).casefold())
        if name is None:
            continue
        if name in places:
            raise TableError("duplicate_column", f"column {name} stands twice in the header")
        places[name] = place
    return places


csv.field_size_limit(CELL_LIMIT)
