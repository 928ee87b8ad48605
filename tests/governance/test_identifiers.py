"""Identifiers and cells: however dirty they come, one thing has one form, and nothing is guessed."""

from __future__ import annotations

import csv
import io
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from governance.domain.calendar import SHANGHAI
from governance.domain.cells import clean, parse_day, parse_instant, split_list
from governance.domain.identifiers import (
    DEFAULT_MEMBER_ID_PATTERN,
    IdentifierType,
    canonical_reader,
    email,
    member_id,
    phone,
)
from governance.domain.tables import TableError, open_text, read_rows
from tests.strategies import few

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
NATIONAL = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)
ADDRESSES = st.from_regex(r"[a-z0-9]([a-z0-9._+-]{0,20}[a-z0-9])?@([a-z0-9-]{1,10}\.){1,2}[a-z]{2,5}", fullmatch=True)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def full_width(text: str) -> str:
    return "".join(chr(ord(ch) + 0xFEE0) if "!" <= ch <= "~" else ch for ch in text)


@st.composite
def written(draw: st.DrawFn, national: str) -> str:
    """A mobile number as people write it: prefix, blanks and dashes anywhere, full-width, invisible characters."""
    text = draw(st.sampled_from(["", "+86", "86", "0086"])) + national
    noise = st.text(st.sampled_from([*" -().\t\u3000\u00a0", *INVISIBLE]), max_size=2)
    text = "".join(ch + draw(noise) for ch in text)
    return draw(noise) + (full_width(text) if draw(st.booleans()) else text)


@given(st.data(), NATIONAL)
@few(300)
def test_a_mobile_number_is_one_number_however_it_is_written(data: st.DataObject, national: str) -> None:
    assert phone(data.draw(written(national))) == f"+86{national}"


@given(NATIONAL, NATIONAL)
@few(100)
def test_two_numbers_are_never_taken_for_one(one: str, other: str) -> None:
    assert (phone(one) == phone(other)) == (one == other)


@given(NATIONAL, st.sampled_from("0123456789"), st.integers(0, 11))
@few(100)
def test_a_digit_too_many_or_too_few_makes_a_number_none(national: str, digit: str, place: int) -> None:
    assert phone(national[:-1]) is None
    longer = national[:place] + digit + national[place:]
    assume(not longer.startswith("86"))
    assert phone(longer) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "86",
        "+86",
        "+85213800138000",
        "+1 13800138000",
        "13800138000/13900139000",
        "13800138000 转 8",
        "1380013800O",
        "1.38E+10",
        "12345678901",
        "+8686 13800138000",
        "++8613800138000",
        "१३८००१३८०००",
        "١٣٨٠٠١٣٨٠٠٠",
    ],
)
def test_what_is_no_mainland_mobile_number_is_none(value: str) -> None:
    assert phone(value) is None


@given(ANY_TEXT, st.sampled_from(list(IdentifierType)))
@few(500)
def test_reading_what_was_read_changes_nothing(text: str, kind: IdentifierType) -> None:
    read = canonical_reader(kind, DEFAULT_MEMBER_ID_PATTERN)
    found = read(text)

    assert found is None or read(found) == found


@given(ADDRESSES)
@few(200)
def test_an_address_is_one_address_in_any_case_width_and_with_blanks_around(address: str) -> None:
    assume(".." not in address)
    assume(email(address) is not None)

    assert email(address) == address
    assert email(f" {address.upper()}\u3000") == address
    assert email(full_width(address)) == address
    assert email(INVISIBLE.join(address)) == address


def test_dots_and_tags_of_an_address_are_kept() -> None:
    """They are the mailbox's own business: two addresses are two people until somebody says otherwise."""
    assert email("a.b+sale@example.com") == "a.b+sale@example.com"
    assert email("ab@example.com") == "ab@example.com"


@pytest.mark.parametrize(
    "value",
    [
        "a@b",
        "a b@example.com",
        "a..b@example.com",
        "@example.com",
        "a@example.com,b@example.com",
        "a@例子.com",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 250}.com",
        "a@example.com\nbcc:x@example.com",
        "=cmd@example.com",
    ],
)
def test_what_is_no_address_is_none(value: str) -> None:
    assert email(value) is None


@given(st.from_regex(r"M[0-9]{6}", fullmatch=True))
@few(50)
def test_a_member_id_must_fit_the_retailers_pattern_as_a_whole(number: str) -> None:
    assert member_id(f" {number.lower()} ", "M[0-9]{6}") == number
    assert member_id(f"{number}0", "M[0-9]{6}") is None
    assert member_id(f"x{number}", "M[0-9]{6}") is None
    assert member_id(number, "K[0-9]{6}") is None


# -- cells -----------------------------------------------------------------------------------------------------------


@given(ANY_TEXT)
@example("\ufb00\u200b")
@example("\u0344")
@example(" \u200b ")
@few(500)
def test_a_clean_cell_is_clean(text: str) -> None:
    found = clean(text)

    assert clean(found) == found
    assert found == found.strip()
    assert unicodedata.is_normalized("NFKC", found)
    assert not set(found) & set(INVISIBLE)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2999, 12, 31)), st.integers(0, 5))  # noqa: DTZ001 - as written
@few(200)
def test_a_time_is_one_instant_in_every_way_of_writing_it(at: datetime, way: int) -> None:
    at = at.replace(microsecond=0)
    text = [
        f"{at:%Y-%m-%d %H:%M:%S}",
        f"{at.year}/{at.month}/{at.day}  {at.hour}:{at:%M:%S}",
        f"{at.year}.{at.month}.{at.day} {at:%H:%M:%S}",
        f"{at.year}年{at.month}月{at.day}日 {at:%H:%M:%S}",
        f"{at:%Y%m%d%H%M%S}",
        f"{at - timedelta(hours=8):%Y-%m-%dT%H:%M:%S}Z",
    ][way]

    assert parse_instant(text) == at.replace(tzinfo=SHANGHAI)
    assert parse_day(text) == at.date()


@given(ANY_TEXT)
@few(300)
def test_any_text_is_an_aware_time_or_none(text: str) -> None:
    at = parse_instant(clean(text))

    assert at is None or at.tzinfo is not None


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("0001-01-01 00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("0001-01-01 08:00:01", datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("9999-12-31 23:59:59", datetime(9999, 12, 31, 15, 59, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59-12:00", None),
        ("0000-01-01", None),
        ("2026-02-29", None),
        ("2026-01-01 24:00:00", None),
        ("2026-01-01 00:60", None),
        ("2026-01-01T00:00:00+08:60", None),
        ("45000", None),
    ],
)
def test_the_edges_of_time_are_stored_or_unreadable(text: str, utc: datetime | None) -> None:
    assert parse_instant(text) == utc


@given(st.lists(st.text(st.characters(exclude_characters="|;,、", exclude_categories=["Cs", "Z", "C"]), min_size=1)))
@few(100)
def test_a_list_in_a_cell_is_its_words_whatever_stands_between_them(words: list[str]) -> None:
    for separator in ("|", ";", ",", "、", " | ", ",,"):
        assert split_list(separator.join(words)) == words


# -- tables ----------------------------------------------------------------------------------------------------------

HEADERS = {"phone": ("手机号", "手机"), "act": ("动作",)}
CELLS = st.text(
    st.characters(exclude_categories=["Cs", "Co", "Cn"], exclude_characters="\0\r\n\x1c\x1d\x1e\x85\u2028\u2029"),
    max_size=20,
)


@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=8),
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]),
    st.sampled_from(["phone", "手机号", "手机", " Phone "]),
    st.sampled_from(["\n", "\r\n"]),
)
@few(200)
def test_a_table_is_read_as_it_was_written_in_every_encoding(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], encoding: str, head: str, newline: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=newline)
    writer.writerows([(head, "备注", "动作"), *((one, "?", other) for one, other in rows)])
    data = text.getvalue().encode(encoding)
    assume(encoding != "gb18030" or not _utf8(data))
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_bytes(data)

    with open_text(path) as stream:
        found = list(read_rows(stream, HEADERS, required=("phone",)))

    assert [row.number for row in found] == list(range(1, len(rows) + 1))
    assert [dict(row.cells or {}) for row in found] == [{"phone": clean(p), "act": clean(a)} for p, a in rows]


def _utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf")
@example(b'phone\n"')
@example(b"phone\r\r\n")
@few(500)
def test_any_bytes_are_a_table_or_refused_with_a_code(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "bytes.csv"
    path.write_bytes(b"phone,act\n" + data if len(data) % 2 else data)

    try:
        with open_text(path) as stream:
            rows = list(read_rows(stream, HEADERS, required=("phone",)))
    except TableError:
        return
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
