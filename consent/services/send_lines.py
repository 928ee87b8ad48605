"""Reading send reports: lines of JSON and rows of tables become the same values, or are refused with one code.

Nothing is guessed: a word nobody knows, a field nobody knows and a time without its offset are errors of that line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import TypeVar
from uuid import UUID

import orjson

from consent.domain.imports import CLOCK_SKEW, Cells
from consent.domain.sends import DUTIES, LineError, LineRefused, ReportedSend, SendStatus
from consent.domain.terms import SUBJECT_REF, SendKind
from consent.domain.vocabulary import DUTY_WORDS, IDENTIFIERS, IN_HOUSE, SEND_KINDS, SEND_STATUSES
from consent.selectors.register import LiveRegister
from governance.crypto.blind_index import lookup_maker, lookup_version
from governance.domain import identifiers
from governance.domain.cells import parse_instant, split_list
from governance.domain.identifiers import IDENTIFIER_TYPES, IdentifierType, canonical_reader

Read = ReportedSend | LineRefused
Contact = tuple[int, bytes]
Word = TypeVar("Word")

KEYS = frozenset(
    {
        "sent_at",
        "decision_id",
        "screening",
        "row_no",
        "subject",
        "campaign",
        "channel",
        "recipient",
        "kind",
        "template",
        "obligations",
        "status",
        "message_id",
    }
)
_SUBJECT_KEYS = frozenset({"type", "id", "app"})
_DUTY_KEYS = frozenset({"met", "unmet"})
_LONGEST = {"campaign": 64, "channel": 64, "recipient": 64, "template": 64, "message_id": 100}
_ROWS = 2**31 - 1


class _RefusedError(Exception):
    def __init__(self, error: LineError, field: str = "") -> None:
        super().__init__(error.value)
        self.error = error
        self.field = field


class LineReader:
    """Reads lines by the register in hand, as of one instant."""

    def __init__(self, register: LiveRegister, at: datetime) -> None:
        self._register = register
        self._latest = at + CLOCK_SKEW
        self._readers: dict[IdentifierType, Callable[[str], bytes | None]] = {}

    def json_lines(self, lines: Iterable[tuple[int, str | bytes]]) -> Iterator[Read]:
        """Read numbered lines of JSON. Empty lines are left out."""
        for number, text in lines:
            if text.strip():
                yield self._one(number, lambda text=text, number=number: self._json(number, text))  # type: ignore[misc]

    def table_rows(self, rows: Iterable[tuple[int, Cells | None]]) -> Iterator[Read]:
        """Read numbered rows of a table. Cells None: the row could not be read."""
        for number, cells in rows:
            yield self._one(number, lambda cells=cells, number=number: self._row(number, cells))  # type: ignore[misc]

    def _one(self, number: int, read: Callable[[], ReportedSend]) -> Read:
        try:
            found = read()
            self._refuse_unknown(found)
        except _RefusedError as refused:
            return LineRefused(number, refused.error, refused.field)
        return found

    # -- JSON

    def _json(self, number: int, text: str | bytes) -> ReportedSend:
        try:
            body = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _RefusedError(LineError.INVALID) from None
        if not isinstance(body, Mapping):
            raise _RefusedError(LineError.INVALID)
        _refuse_keys(body, KEYS, "")
        duties = body.get("obligations", {})
        if not isinstance(duties, Mapping):
            raise _RefusedError(LineError.INVALID, "/obligations")
        _refuse_keys(duties, _DUTY_KEYS, "/obligations")
        kind, lookup = self._subject(body["subject"]) if "subject" in body else (None, None)
        in_house = "recipient" in body and body["recipient"] is None
        return ReportedSend(
            number=number,
            sent_at=_time(body.get("sent_at")),
            decision_id=_public(body, "decision_id", "dec_"),
            screening_id=_public(body, "screening", "scr_"),
            row_no=_row_number(body.get("row_no")),
            type=kind,
            lookup=lookup,
            campaign=_text(body, "campaign"),
            channel=_text(body, "channel"),
            recipient="" if in_house else _text(body, "recipient"),
            in_house=in_house,
            kind=_word(body, "kind", {kind.value: kind for kind in SendKind}, SendKind.MARKETING),
            template=_text(body, "template"),
            met=_codes(duties, "met"),
            unmet=_codes(duties, "unmet"),
            status=_word(body, "status", {status.value: status for status in SendStatus}, SendStatus.DELIVERED),
            message_id=_text(body, "message_id"),
        )

    def _subject(self, value: object) -> Contact:
        if not isinstance(value, Mapping):
            raise _RefusedError(LineError.INVALID, "/subject")
        _refuse_keys(value, _SUBJECT_KEYS, "/subject")
        kind, number = value.get("type"), value.get("id")
        if not isinstance(number, str) or not isinstance(kind, str) or len(number) > 200:
            raise _RefusedError(LineError.INVALID, "/subject")
        if kind == "subject":
            return SUBJECT_REF, _hex(number.removeprefix("sub_").replace("-", ""))
        if kind == "phone_hmac":
            version, _, digits = number.partition(":")
            if version != f"k{lookup_version()}":
                raise _RefusedError(LineError.IDENTIFIER_MALFORMED, "/subject/id")
            return IdentifierType.PHONE.value, _hex(digits)
        if kind not in IDENTIFIER_TYPES:
            raise _RefusedError(LineError.INVALID, "/subject/type")
        return self._contact(IDENTIFIER_TYPES[kind], number, "/subject/id")

    # -- tables

    def _row(self, number: int, cells: Cells | None) -> ReportedSend:
        if cells is None:
            raise _RefusedError(LineError.INVALID)
        at = parse_instant(cells["sent_at"])
        if at is None:
            raise _RefusedError(LineError.INVALID, "sent_at")
        channel = self._channel(cells["channel"])
        kind, lookup = self._receiver(cells, channel)
        in_house = cells["recipient"].casefold() in IN_HOUSE
        return ReportedSend(
            number=number,
            sent_at=at,
            decision_id=_public(cells, "decision_id", "dec_"),
            screening_id=_public(cells, "screening", "scr_"),
            row_no=_row_number(int(cells["row_no"]) if cells["row_no"].isdecimal() else cells["row_no"] or None),
            type=kind,
            lookup=lookup,
            campaign=_text(cells, "campaign"),
            channel=channel,
            recipient="" if in_house else _text(cells, "recipient"),
            in_house=in_house,
            kind=_cell_word(cells, "kind", SEND_KINDS, SendKind.MARKETING),
            template=_text(cells, "template"),
            met=_cell_duties(cells, "met"),
            unmet=_cell_duties(cells, "unmet"),
            status=_cell_word(cells, "status", SEND_STATUSES, SendStatus.DELIVERED),
            message_id=_text(cells, "message_id"),
        )

    def _channel(self, text: str) -> str:
        if not text:
            return ""
        channel = self._register.words.channel(text)
        if channel is None:
            raise _RefusedError(LineError.CHANNEL_UNKNOWN, "channel")
        return channel

    def _receiver(self, cells: Cells, channel: str) -> tuple[int | None, bytes | None]:
        if not cells["identifier"]:
            return None, None
        kind = IDENTIFIERS.get(cells["identifier_type"].casefold())
        if kind is None and not cells["identifier_type"] and channel:
            kind = self._register.governed.channels[channel].identifier
        if kind is None:
            raise _RefusedError(LineError.INVALID, "identifier_type")
        return self._contact(kind, cells["identifier"], "identifier")

    # -- both

    def _contact(self, kind: IdentifierType, text: str, field: str) -> Contact:
        if kind not in self._readers:
            read, make = canonical_reader(kind, self._register.governed.member_id_pattern), lookup_maker(kind)
            self._readers[kind] = lambda value: make(found) if (found := read(value)) else None
        lookup = self._readers[kind](text)
        if lookup is None:
            raise _RefusedError(LineError.IDENTIFIER_MALFORMED, field)
        return kind.value, lookup

    def _refuse_unknown(self, send: ReportedSend) -> None:
        """Refuse what the register does not know, a time to come, and identifiers where they have no place."""
        for field in ("campaign", "template", "message_id"):
            text = getattr(send, field)
            if identifiers.phone(text) or identifiers.email(text):
                raise _RefusedError(LineError.HOLDS_IDENTIFIER, field)
        if send.channel and send.channel not in self._register.governed.channels:
            raise _RefusedError(LineError.CHANNEL_UNKNOWN, "channel")
        if send.recipient and send.recipient not in self._recipients:
            raise _RefusedError(LineError.RECIPIENT_UNKNOWN, "recipient")
        if send.sent_at > self._latest:
            raise _RefusedError(LineError.IN_FUTURE, "sent_at")
        if set(send.met) & set(send.unmet):
            raise _RefusedError(LineError.INVALID, "obligations")
        if send.row_no is not None and send.screening_id is None:
            raise _RefusedError(LineError.INCOMPLETE, "screening")

    @cached_property
    def _recipients(self) -> frozenset[str]:
        return frozenset(self._register.governed.recipients)


def _refuse_keys(body: Mapping[str, object], known: frozenset[str], place: str) -> None:
    for key in body:
        if key not in known:
            shown = re.sub(r"[^A-Za-z_]", "", key)[:40]  # a name may be anything, a number of a person too
            raise _RefusedError(LineError.UNKNOWN_FIELD, f"{place}/{shown}")


def _time(value: object) -> datetime:
    """Read an RFC 3339 instant; its offset is required."""
    if isinstance(value, str) and len(value) <= 40 and "T" in value.upper():
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise _RefusedError(LineError.INVALID, "sent_at") from None
        if at.tzinfo and at.year > 1900:
            return at
    raise _RefusedError(LineError.INVALID, "sent_at")


def _public(body: Mapping[str, object], key: str, prefix: str) -> UUID | None:
    value = body.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) <= 60:
        try:
            return UUID(value.removeprefix(prefix))
        except ValueError:
            pass
    raise _RefusedError(LineError.INVALID, key)


def _row_number(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _ROWS:
        return value
    raise _RefusedError(LineError.INVALID, "row_no")


def _text(body: Mapping[str, object], key: str) -> str:
    value = body.get(key, "")
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST[key] or any(ord(ch) < 32 for ch in value):
        raise _RefusedError(LineError.INVALID, key)
    return value


def _word(body: Mapping[str, object], key: str, words: Mapping[str, Word], unsaid: Word) -> Word:
    value = body.get(key)
    if value is None:
        return unsaid
    if not isinstance(value, str) or value not in words:
        raise _RefusedError(LineError.INVALID, key)
    return words[value]


def _codes(duties: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = duties.get(key, [])
    if not isinstance(value, list) or not all(isinstance(code, str) for code in value):
        raise _RefusedError(LineError.INVALID, f"/obligations/{key}")
    if not set(value) <= set(DUTIES):
        raise _RefusedError(LineError.DUTY_UNKNOWN, f"/obligations/{key}")
    return tuple(sorted(set(value)))


def _cell_word(cells: Cells, key: str, words: Mapping[str, Word], unsaid: Word) -> Word:
    text = cells[key].casefold()
    if not text:
        return unsaid
    if text not in words:
        raise _RefusedError(LineError.INVALID, key)
    return words[text]


def _cell_duties(cells: Cells, key: str) -> tuple[str, ...]:
    words = [word.casefold() for word in split_list(cells[key])]
    if not all(word in DUTY_WORDS for word in words):
        raise _RefusedError(LineError.DUTY_UNKNOWN, key)
    return tuple(sorted({DUTY_WORDS[word] for word in words}))


def _hex(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 16 or len(text) != 32:
        raise _RefusedError(LineError.IDENTIFIER_MALFORMED, "/subject/id")
    return value
