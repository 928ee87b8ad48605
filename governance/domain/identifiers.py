"""One canonical form for each kind of identifier; whatever has none is malformed, never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from functools import cache

from governance.domain.cells import clean


class IdentifierType(IntEnum):
    """What kind of identifier a value is. The numbers are stored: never change or reuse one."""

    PHONE = 1
    EMAIL = 2
    MEMBER_ID = 3
    WECHAT_OPENID = 4
    WECHAT_UNIONID = 5
    DEVICE = 6

    @property
    def word(self) -> str:
        """The name in the API and in files."""
        return self.name.lower()


IDENTIFIER_TYPES = {kind.word: kind for kind in IdentifierType}
DEFAULT_MEMBER_ID_PATTERN = r"[A-Z0-9][A-Z0-9_-]{0,39}"

_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_PHONE_NOISE = re.compile(r"[\s\-().]")
_EMAIL = re.compile(r"[a-z0-9](?:[a-z0-9._+-]{0,62}[a-z0-9])?@(?:[a-z0-9-]+\.)+[a-z]{2,}")
_OPENID = re.compile(r"o[A-Za-z0-9_-]{27}")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:.-]{7,127}")
_EMAIL_MAX = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets


def phone(value: str) -> str | None:
    """Return a mainland mobile number in E.164 (`+8613800138000`), or None if it is none."""
    text = _PHONE_NOISE.sub("", clean(value))
    if text.startswith("+86"):
        text = text[3:]
    elif text.startswith("0086"):
        text = text[4:]
    elif len(text) == 13 and text.startswith("86"):
        text = text[2:]
    return f"+86{text}" if _MOBILE.fullmatch(text) else None


def email(value: str) -> str | None:
    """Return an e-mail address in lower case, plus-tags and dots kept, or None."""
    text = clean(value).lower()
    if len(text) > _EMAIL_MAX or ".." in text:
        return None
    return text if _EMAIL.fullmatch(text) else None


def member_id(value: str, pattern: str = DEFAULT_MEMBER_ID_PATTERN) -> str | None:
    """Return a member id in upper case if the retailer's pattern fits the whole of it, or None."""
    text = clean(value).upper()
    return text if _compiled(pattern).fullmatch(text) else None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def wechat_id(value: str) -> str | None:
    """Return a WeChat openid or unionid, case kept, or None."""
    text = clean(value)
    return text if _OPENID.fullmatch(text) else None


def device(value: str) -> str | None:
    """Return a device id (OAID, IDFA, IMEI …), case folded, or None."""
    text = clean(value)
    return text.lower() if _DEVICE.fullmatch(text) else None


def canonical_reader(kind: IdentifierType, member_id_pattern: str) -> Callable[[str], str | None]:
    """Return the function that reads values of one kind; it gives None for a malformed value."""
    if kind is IdentifierType.MEMBER_ID:
        return lambda value: member_id(value, member_id_pattern)
    return {
        IdentifierType.PHONE: phone,
        IdentifierType.EMAIL: email,
        IdentifierType.WECHAT_OPENID: wechat_id,
        IdentifierType.WECHAT_UNIONID: wechat_id,
        IdentifierType.DEVICE: device,
    }[kind]
