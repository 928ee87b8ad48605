"""Reading an audience file of any size: rows with their identifier, or without one if it is malformed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from governance.domain.cells import clean
from governance.domain.tables import TableError, next_row, open_text

FORMATS = ("csv", "ndjson", "parquet")
_PARQUET_BATCH = 50_000


class AudienceRow(NamedTuple):
    """One row: its number from 1, the identifier as given (None: the row is unreadable), carried cells."""

    number: int
    value: str | None
    carried: Sequence[str]


def read_audience(path: Path, *, form: str, column: str, carry: Sequence[str]) -> Iterator[AudienceRow]:
    """Yield the rows of an audience, in order. An empty `column` means the only one there is.

    Raises:
        TableError: the file cannot be read to its end; `code` says why.
    """
    readers = {"csv": _read_csv, "ndjson": _read_ndjson, "parquet": _read_parquet}
    return readers[form](path, column, carry)


def _read_csv(path: Path, column: str, carry: Sequence[str]) -> Iterator[AudienceRow]:
    with open_text(path) as stream:
        reader = csv.reader(stream)
        header = [clean(cell) for cell in next_row(reader, 0) or []]
        place = _place(header, column)
        carried = [_place(header, name) for name in carry]
        width = len(header)
        number = 0
        while (raw := next_row(reader, number + 1)) is not None:
            number += 1
            if len(raw) == width:
                yield AudienceRow(number, raw[place], [raw[p] for p in carried])
            else:
                yield AudienceRow(number, None, [""] * len(carried))


def _place(header: Sequence[str], column: str) -> int:
    if not column and len(header) == 1:
        return 0
    wanted = clean(column).casefold()
    places = [place for place, name in enumerate(header) if name.casefold() == wanted]
    if not places:
        raise TableError("missing_column", column)  # not what the header holds: it may be a row of numbers
    if len(places) > 1:
        raise TableError("duplicate_column", column)
    return places[0]


def _read_ndjson(path: Path, column: str, carry: Sequence[str]) -> Iterator[AudienceRow]:
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                entry = None
            if not isinstance(entry, dict):
                yield AudienceRow(number, None, [""] * len(carry))
                continue
            value = entry.get(column)
            yield AudienceRow(
                number,
                str(value) if isinstance(value, str | int) else None,
                [str(entry.get(name, "")) for name in carry],
            )


def _read_parquet(path: Path, column: str, carry: Sequence[str]) -> Iterator[AudienceRow]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise TableError("format_unsupported") from None
    try:
        file = parquet.ParquetFile(path)
    except (ArrowInvalid, OSError):
        raise TableError("not_parquet") from None
    for name in (column, *carry):
        if name not in file.schema_arrow.names:
            raise TableError("missing_column", name)
    number = 0
    batches = file.iter_batches(batch_size=_PARQUET_BATCH, columns=list(dict.fromkeys([column, *carry])))
    while True:
        try:
            batch = next(batches, None)
        except (ArrowInvalid, OSError):
            raise TableError("not_parquet") from None
        if batch is None:
            return
        values, *others = [batch.column(name).to_pylist() for name in (column, *carry)]
        for place, value in enumerate(values):
            number += 1
            carried = ["" if other[place] is None else str(other[place]) for other in others]
            yield AudienceRow(number, None if value is None else str(value), carried)
