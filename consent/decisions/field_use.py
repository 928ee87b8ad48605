"""Which fields of the catalogue a send may use, and how: the question marketers ask before they ask about people."""

from __future__ import annotations

from consent.decisions.answers import message
from consent.decisions.facts import Register
from consent.decisions.reasons import Reason
from governance.domain.register import DataField

ROLES = frozenset({"marketer", "analyst", "vendor"})
_SEEN_MASKED = {"marketer": frozenset({"T1"}), "analyst": frozenset({"T1", "T2"})}
"""Tiers whose values a role sees only masked or as a filter (pipl-rules section 16, marks `m` and `seg`)."""


def fields_usable(
    register: Register, *, purpose: str, recipient: str | None, role: str, language: str
) -> list[dict[str, object]]:
    """Return one line per catalogue field, in order: `allowed`, `masked` or `forbidden`, with the reasons.

    `separate_consent` names the sensitive group whose own consent each person must have given.
    """
    return [_usable(f, register, purpose, recipient, role, language) for f in register.fields.values()]


def _usable(
    f: DataField, register: Register, purpose: str, recipient: str | None, role: str, language: str
) -> dict[str, object]:
    codes = _forbidden(f, register, purpose, recipient)
    use = "allowed"
    if codes:
        use = "forbidden"
    elif f.tier in _SEEN_MASKED.get(role, ()) or (f.sensitive and role != "vendor"):
        use = "masked"
    line: dict[str, object] = {
        "field": f.id,
        "use": use,
        "reasons": [{"code": code.name, "message": message(code, language)} for code in codes],
    }
    if use != "forbidden" and f.sensitive:
        line["separate_consent"] = f.group
    if use != "forbidden" and f.behaviour:
        line["automated_decision"] = True
    return line


def _forbidden(f: DataField, register: Register, purpose: str, recipient: str | None) -> list[Reason]:
    if purpose not in register.book.purposes or (recipient and recipient not in register.recipients):
        return [Reason.POLICY_GAP]
    codes = []
    if purpose not in f.allowed_purposes:
        codes.append(Reason.FIELD_PURPOSE_MISMATCH)
    if f.source == "CCTV":
        codes.append(Reason.CCTV_PURPOSE)
    if f.sensitive and purpose not in f.allowed_purposes:
        codes.append(Reason.SENSITIVE_NOT_NECESSARY)
    allowed = register.recipients[recipient].allowed_fields if recipient else None
    if allowed is not None and f.id not in allowed and Reason.FIELD_PURPOSE_MISMATCH not in codes:
        codes.append(Reason.FIELD_PURPOSE_MISMATCH)
    return codes
