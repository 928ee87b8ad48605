"""Send receipts: the words of what senders report, and what can be wrong with a send."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntFlag, StrEnum
from uuid import UUID

from consent.domain.terms import SendKind

SENDER_SKEW = timedelta(seconds=5)
"""How far a sender's clock may be behind ours: a send that much before its answer still counts as after it."""

DUTIES = (
    "APPEND_OPTOUT_TEXT",
    "SHOW_SENDER_SIGNATURE",
    "EMAIL_AD_PREFIX",
    "SEND_WINDOW",
    "FREQUENCY_REMAINING",
    "DROP_FIELDS",
    "USE_GENERIC_VARIANT",
    "REPORT_SEND",
)
"""Every obligation a decision may carry (consent/decisions/answers.py)."""

REPORTED_DUTIES = frozenset(DUTIES) - {"SEND_WINDOW", "FREQUENCY_REMAINING", "REPORT_SEND"}
"""Those only the sender can tell about: the hours are read off the time, the cap is counted by us."""


class SendStatus(StrEnum):
    DELIVERED = "delivered"
    FAILED = "failed"


class LineError(StrEnum):
    """Why a line of a send report is refused. Public codes, in the order they are looked for."""

    INVALID = "invalid"
    UNKNOWN_FIELD = "unknown_field"
    IDENTIFIER_MALFORMED = "identifier_malformed"
    HOLDS_IDENTIFIER = "holds_identifier"
    CHANNEL_UNKNOWN = "channel_unknown"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    DUTY_UNKNOWN = "duty_unknown"
    IN_FUTURE = "in_future"
    INCOMPLETE = "incomplete"
    CLIENT_LIMIT = "client_limit"
    REPORTED_OTHERWISE = "reported_otherwise"


@dataclass(frozen=True, slots=True)
class LineRefused:
    """One refused line: which, why, and the field it is about."""

    number: int
    error: LineError
    field: str = ""


@dataclass(frozen=True, slots=True)
class ReportedSend:
    """One line as its sender wrote it, read but not yet completed. None and empty: not said.

    `type` and `lookup` name the receiver: kind of identifier (0: our own reference) and look-up value.
    """

    number: int
    sent_at: datetime
    decision_id: UUID | None = None
    screening_id: UUID | None = None
    row_no: int | None = None
    type: int | None = None
    lookup: bytes | None = None
    campaign: str = ""
    channel: str = ""
    recipient: str = ""
    in_house: bool = False
    kind: SendKind = SendKind.MARKETING
    template: str = ""
    met: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    status: SendStatus = SendStatus.DELIVERED
    message_id: str = ""


class SendFinding(IntFlag):
    """What can be wrong with one send; several at once. Bits are stored: never change or reuse one."""

    NO_DECISION = 1  # nothing of ours allowed it: a shadow send
    DENIED = 2  # the answer was deny, hold or defer
    LATE = 4  # after the answer had expired
    WITHDRAWN = 8  # after a "no" that we had acknowledged since the answer
    OUTSIDE_WINDOW = 16  # outside the hours house policy allows
    UNMET = 32  # a duty was reported as not met
    UNREPORTED = 64  # nothing was reported about a duty
    OTHER_VENDOR = 128
    OTHER_CHANNEL = 256
    OTHER_CAMPAIGN = 512
    OTHER_PERSON = 1024  # the answer was about somebody else
    DOUBLE = 2048  # an earlier send rests on the same answer


FINDINGS = tuple(SendFinding)


def findings_of(bits: int) -> list[SendFinding]:
    """Return the findings of a stored number, in their order."""
    return [finding for finding in FINDINGS if bits & finding]
