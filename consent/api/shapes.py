"""Reading check requests by hand: these run for every message sent, so no serializer stands between.

Every function collects what is wrong with its JSON pointer; nothing is guessed or ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils.translation import gettext_noop as _

from audit.problems import FieldError
from consent.decisions.plans import Asked
from consent.domain.terms import SUBJECT_REF
from consent.services.checks import SubjectRef
from governance.crypto.blind_index import lookup_maker, lookup_version
from governance.domain.identifiers import IDENTIFIER_TYPES, IdentifierType, canonical_reader

MAX_TEXT = 200
MAX_FIELDS = 100
CHECK_KEYS = frozenset(
    {
        "subject",
        "purpose",
        "channel",
        "brand",
        "campaign",
        "fields",
        "recipient",
        "personalised",
        "planned_at",
        "as_of",
        "rule_set",
    }
)
SUBJECT_TYPES = (*IDENTIFIER_TYPES, "phone_hmac", "subject")
_SUBJECT_KEYS = frozenset({"type", "id", "app"})


@dataclass(slots=True)
class Errors:
    """What is wrong with a body, so far."""

    found: list[FieldError] = field(default_factory=list)

    def add(self, pointer: str, code: str, detail: str, **places: object) -> None:
        self.found.append(FieldError(pointer, code, detail, places))


@dataclass(frozen=True, slots=True)
class CheckRequest:
    subject: SubjectRef
    asked: Asked
    as_of: datetime | None = None
    draft: bool = False


def read_check(
    body: object, *, now: datetime, member_id_pattern: str, errors: Errors, pointer: str = "", simulate: bool = True
) -> CheckRequest | None:
    """Read one check. None if anything is wrong; `errors` says what."""
    before = len(errors.found)
    if not isinstance(body, Mapping):
        errors.add(pointer, "invalid", _("An object is expected."))
        return None
    allowed = CHECK_KEYS if simulate else CHECK_KEYS - {"as_of", "rule_set"}
    refuse_unknown(body, allowed, errors, pointer)
    subject = read_subject(body.get("subject"), member_id_pattern, errors, f"{pointer}/subject")
    planned_at = read_time(body, "planned_at", errors, pointer)
    if planned_at is not None and planned_at < now - timedelta(minutes=5):
        errors.add(f"{pointer}/planned_at", "in_the_past", _("A past instant is judged with as_of."))
    as_of = read_time(body, "as_of", errors, pointer)
    rule_set = body.get("rule_set")
    if rule_set not in (None, "draft"):
        errors.add(f"{pointer}/rule_set", "invalid", _('Only "draft" can be asked for.'))
    asked = Asked(
        purpose=read_text(body, "purpose", errors, pointer),
        channel=read_text(body, "channel", errors, pointer),
        brand=read_text(body, "brand", errors, pointer),
        campaign=read_text(body, "campaign", errors, pointer),
        fields=_read_fields(body.get("fields"), errors, f"{pointer}/fields"),
        recipient=read_text(body, "recipient", errors, pointer),
        in_house="recipient" in body and body["recipient"] is None,
        personalised=_read_flag(body, "personalised", errors, pointer),
        planned_at=planned_at,
    )
    if asked.campaign is None and (asked.purpose is None or asked.channel is None):
        errors.add(pointer, "required", _("Name a campaign, or a purpose and a channel."))
    if len(errors.found) > before or subject is None:
        return None
    return CheckRequest(subject, asked, as_of, rule_set == "draft")


def refuse_unknown(body: Mapping[str, object], allowed: Collection[str], errors: Errors, pointer: str) -> None:
    for key in body:
        if key not in allowed:
            errors.add(f"{pointer}/{key[:60]}", "unknown_field", _("This field is not known."))


def read_subject(value: object, member_id_pattern: str, errors: Errors, pointer: str) -> SubjectRef | None:
    """Read a subject reference of any kind the contract names (docs/api.md, rule 10)."""
    if not isinstance(value, Mapping):
        errors.add(pointer, "required" if value is None else "invalid", _("An object with type and id is expected."))
        return None
    refuse_unknown(value, _SUBJECT_KEYS, errors, pointer)
    kind, number = value.get("type"), value.get("id")
    if not isinstance(number, str) or not 0 < len(number) <= MAX_TEXT:
        errors.add(f"{pointer}/id", "invalid", _("A text of 1 to %(most)s characters is expected."), most=MAX_TEXT)
        return None
    if kind == "subject":
        found = _read_opaque(number)
    elif kind == "phone_hmac":
        found = _read_hashed(number)
    elif isinstance(kind, str) and kind in IDENTIFIER_TYPES:
        identifier = IDENTIFIER_TYPES[kind]
        canonical = canonical_reader(identifier, member_id_pattern)(number)
        found = SubjectRef(identifier.value, lookup_maker(identifier)(canonical)) if canonical else None
    else:
        errors.add(
            f"{pointer}/type", "invalid", _("One of these is expected: %(words)s."), words=", ".join(SUBJECT_TYPES)
        )
        return None
    if found is None:
        errors.add(f"{pointer}/id", "identifier_malformed", _("This is no valid %(kind)s."), kind=kind)
    return found


def _read_opaque(text: str) -> SubjectRef | None:
    value = text.removeprefix("sub_").replace("-", "")
    try:
        return SubjectRef(SUBJECT_REF, bytes.fromhex(value)) if len(value) == 32 else None
    except ValueError:
        return None


def _read_hashed(text: str) -> SubjectRef | None:
    """Read `k<key version>:<32 hex digits>`: a look-up value made by somebody who holds the index key."""
    version, _, value = text.partition(":")
    if version != f"k{lookup_version()}" or len(value) != 32:
        return None
    try:
        return SubjectRef(IdentifierType.PHONE.value, bytes.fromhex(value))
    except ValueError:
        return None


def read_text(body: Mapping[str, object], key: str, errors: Errors, pointer: str) -> str | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        errors.add(f"{pointer}/{key}", "invalid", _("A text of 1 to %(most)s characters is expected."), most=MAX_TEXT)
        return None
    return value


def _read_flag(body: Mapping[str, object], key: str, errors: Errors, pointer: str) -> bool | None:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        errors.add(f"{pointer}/{key}", "invalid", _("True or false is expected."))
        return None
    return value


def _read_fields(value: object, errors: Errors, pointer: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) > MAX_FIELDS
        or not all(isinstance(item, str) and 0 < len(item) <= MAX_TEXT for item in value)
    ):
        errors.add(pointer, "invalid", _("A list of at most %(most)s field names is expected."), most=MAX_FIELDS)
        return None
    return tuple(value)


def read_time(body: Mapping[str, object], key: str, errors: Errors, pointer: str) -> datetime | None:
    """Read an RFC 3339 instant; the offset is required."""
    value = body.get(key)
    if value is None:
        return None
    at = parse_rfc3339(value)
    if at is None:
        errors.add(f"{pointer}/{key}", "invalid", _("An RFC 3339 time with offset is expected."))
    return at


def parse_rfc3339(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > 40 or "T" not in value.upper():
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else None
