"""What an export of the ledger says of people: where each stands, and what folding his acts must know. No names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from audit.services.exports import Rows, stamp
from consent.domain.evidence import book_row
from consent.models import DataSubject
from consent.selectors.register import LiveRegister, register_live
from consent.selectors.states import phone_bound_at

_BATCH = 2_000
_STATES = """
    SELECT st.subject_id, p.code, ch.code, sl.field_group, rc.code, g.ref, st.grant_purpose_id, st.notice_version_id,
        st.origin_at, r.ref, st.refused_at, st.confirmed, st.bad_form, st.bundled, st.no_evidence, st.expires_on,
        st.declared, st.lift_at, st.narrower
    FROM consent_state st
    JOIN consent_slot sl ON sl.id = st.slot_id
    JOIN governance_purpose p ON p.id = sl.purpose_id
    LEFT JOIN governance_channel ch ON ch.id = sl.channel_id
    LEFT JOIN governance_recipient rc ON rc.id = sl.recipient_id
    LEFT JOIN consent_record g ON g.id = st.grant_id
    LEFT JOIN consent_record r ON r.id = st.refusal_id
    WHERE st.subject_id = ANY(%s)
    ORDER BY st.subject_id, st.slot_id
"""


def evidence_files() -> Iterator[tuple[str, Rows]]:
    """Yield the files of an export that are about consent, by name. In the snapshot of the export."""
    register = register_live()
    yield "book.json", [book_row(register.rules.book)]
    yield "states.ndjson", people_rows(register)


def people_rows(register: LiveRegister) -> Rows:
    """Yield every person with version and states, as they are stored."""
    last = 0
    while people := list(
        DataSubject.objects.filter(id__gt=last).order_by("id").values_list("id", "ref", "version", "granted")[:_BATCH]
    ):
        ids = [key for key, _, _, _ in people]
        bound = phone_bound_at(ids)
        states = _states(ids, register)
        for key, ref, version, granted in people:
            row: dict[str, object] = {"subj": str(ref), "ver": version, "states": states.get(key, [])}
            if key in bound:
                row["phone_bound_at"] = stamp(bound[key])
            if granted:
                row["granted"] = sorted(_code(register.purpose_codes, purpose) for purpose in granted)
            yield row
        last = ids[-1]


def _states(ids: list[int], register: LiveRegister) -> dict[int, list[dict[str, object]]]:
    found: dict[int, list[dict[str, object]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_STATES, [ids])
        for subject, *row in cursor.fetchall():
            found.setdefault(subject, []).append(_state(row, register))
    return found


def _state(row: list[Any], register: LiveRegister) -> dict[str, object]:
    (purpose, channel, group, recipient, grant, grant_purpose, notice, origin_at, refusal, refused_at, *rest) = row
    (confirmed, bad_form, bundled, no_evidence, expires_on, declared, lift_at, narrower) = rest
    values = {
        "purpose": purpose,
        "channel": channel,
        "group": group or None,
        "recipient": recipient,
        "grant": str(grant) if grant else None,
        "grant_purpose": _code(register.purpose_codes, grant_purpose) if grant_purpose else None,
        "notice": _notice(register, notice) if notice else None,
        "origin_at": _stamp(origin_at),
        "refusal": str(refusal) if refusal else None,
        "refused_at": _stamp(refused_at),
        "confirmed": confirmed,
        "bad_form": bad_form,
        "bundled": bundled,
        "no_evidence": no_evidence,
        "expires_on": expires_on.isoformat() if expires_on else None,
        "declared": declared,
        "lift_at": _stamp(lift_at),
        "narrower": narrower,
    }
    return {name: value for name, value in values.items() if value is not None and value is not False}


def _stamp(at: datetime | None) -> str | None:
    return stamp(at) if at else None


def _code(codes: Mapping[int, str], key: int) -> str:
    """Return a code, or the bare key of what is not registered: an export shows what is there, right or wrong."""
    return codes.get(key, f"#{key}")


def _notice(register: LiveRegister, key: int) -> str:
    ref = register.notice_refs.get(key)
    return f"{ref.id}@{ref.version}" if ref else f"#{key}"
