"""The words of consent: closed lists that are stored, sent and shown. Values are never changed or reused."""

from __future__ import annotations

from enum import IntFlag, StrEnum

SUBJECT_REF = 0
"""The "kind" of a reference that names a person by our own id: the 16 bytes of its UUID."""


class Act(StrEnum):
    """What a person did about one purpose."""

    GRANT = "grant"
    RENEW = "renew"
    CONFIRM = "confirm"
    DENY = "deny"
    WITHDRAW = "withdraw"


NO = frozenset({Act.DENY, Act.WITHDRAW})
ACT_ORDER = {Act.GRANT: 0, Act.RENEW: 1, Act.CONFIRM: 2, Act.DENY: 3, Act.WITHDRAW: 3}
"""The order of acts of the same instant: the "no" is heard last, so it wins."""


class Bundle(StrEnum):
    """With what a consent was asked for."""

    OWN = "own"  # its own prompt
    TERMS = "terms"  # a clause of something else; also the reading of "unknown"
    ACCEPT_ALL = "accept_all"  # one button for several switches


class Control(StrEnum):
    """What the person touched or said."""

    CHECKBOX = "checkbox"
    TOGGLE = "toggle"
    BUTTON = "button"
    SIGNATURE = "signature"
    VOICE = "voice"
    REPLY = "reply"
    CONTINUE_TO_USE = "continue_to_use"


class PointKind(StrEnum):
    """Where consent is collected; `IMPORT` is a migrated list, which never ends a "no"."""

    APP = "app"
    MINI_PROGRAM = "mini_program"
    WEB = "web"
    STORE = "store"
    CALL_CENTER = "call_center"
    SMS = "sms"
    IMPORT = "import"


class SubjectStatus(IntFlag):
    """What stands against using a person's data at all; several may hold at once."""

    ACTIVE = 0
    FROZEN = 1
    DECEASED = 2
    ERASED = 4  # erased or account closed


class Sourcing(StrEnum):
    """What the import batches say of where a person's data came from (PIPL 10)."""

    LAWFUL = "lawful"
    UNPROVEN = "unproven"
    UNLAWFUL = "unlawful"


class SendKind(StrEnum):
    MARKETING = "marketing"
    SERVICE = "service"
    SOLICITATION = "solicitation"


class WxAction(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    BAN = "ban"


class SuppressionKind(StrEnum):
    """Who says no: the person, our own list, or the carrier."""

    OPT_OUT = "opt_out"  # a later good grant of the same person lifts it
    LISTED = "listed"  # only removing it from the list ends it
    CARRIER = "carrier"


class Outcome(StrEnum):
    ALLOW = "allow"
    ALLOW_WITH_OBLIGATIONS = "allow_with_obligations"
    DEFER = "defer"
    HOLD = "hold"
    DENY = "deny"

    @property
    def may_send(self) -> bool:
        return self in (Outcome.ALLOW, Outcome.ALLOW_WITH_OBLIGATIONS)


class Severity(StrEnum):
    """What one finding does to the outcome, from weak to strong."""

    WARN = "warn"
    STRIP = "strip"
    DEFER = "defer"
    HOLD = "hold"
    DENY = "deny"

    @property
    def rank(self) -> int:
        return _RANK[self]


_RANK = {severity: rank for rank, severity in enumerate(Severity)}
