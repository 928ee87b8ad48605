"""How identifiers are shown to people: recognisable by who knows them, useless to who does not."""

from __future__ import annotations

import re

from governance.domain.identifiers import IdentifierType

_MAINLAND = re.compile(r"\+86(1[3-9][0-9])[0-9]{4}([0-9]{4})")
_TAIL = 4


def mask_mobile(number: str) -> str:
    """Return an E.164 mainland number as its first 3 and last 4 national digits: `138****8000`.

    Raises ValueError for anything else: never guess with personal data.
    """
    match = _MAINLAND.fullmatch(number)
    if match is None:
        raise ValueError("not a mainland mobile number in E.164")
    return f"{match.group(1)}****{match.group(2)}"


def mask_email(address: str) -> str:
    """Return an address with its first letter and its domain: `a***@x.cn`. The length is hidden."""
    name, at, domain = address.rpartition("@")
    if not (name and at and domain):
        raise ValueError("not an e-mail address")
    return f"{name[0]}***@{domain}"


def mask_tail(value: str) -> str:
    """Return the last 4 characters of an opaque id; of a shorter one than 8 only half of it."""
    shown = min(_TAIL, len(value) // 2)
    return "****" + (value[-shown:] if shown else "")


def masked(kind: IdentifierType, value: str) -> str:
    """Return a canonical identifier as it may be shown. Raises ValueError if it is not one of its kind."""
    if kind is IdentifierType.PHONE:
        return mask_mobile(value)
    if kind is IdentifierType.EMAIL:
        return mask_email(value)
    return mask_tail(value)
