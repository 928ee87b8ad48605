"""What a reply means. Ambiguous words take the widest reading (pipl-rules WD-SCOPE)."""

from __future__ import annotations

import re
from typing import Final

from governance.domain.cells import clean

EVERYTHING: Final = "*"

_KEYWORDS = re.compile(r"(?:R|TD|T|N|QX|STOP)+")
_PHRASES = ("退订", "拒收", "取消订阅", "停止发送", "不要再发", "别再发", "别发了", "短信不要")
_WIDE = ("全部", "所有", "不要再发", "别再发", "别发了")
_PHONE_REFUSALS = {"拒绝", "已拒绝", "refused"}


def optout_scope(channel: str, text: str) -> str | None:
    """Return the channel a reply opts out of, `EVERYTHING`, or None if it is no opt-out.

    SMS is read by keywords and phrases, the outcome of a call by its word; on any other channel
    whatever arrives is an opt-out (a click on "unsubscribe", a bounce).
    """
    if channel == "sms":
        letters = "".join(ch for ch in clean(text).upper() if ch.isalnum())
        if not (_KEYWORDS.fullmatch(letters) or any(phrase in letters for phrase in _PHRASES)):
            return None
        return EVERYTHING if "短信" not in letters and any(word in letters for word in _WIDE) else channel
    if channel == "phone":
        return channel if clean(text).casefold() in _PHONE_REFUSALS else None
    return channel
