"""The check: one statement reads token, limits, register version and state in one snapshot, and keeps the decision.

An allow without its row cannot exist: the row is inserted by the statement that makes the decision. If the
register has changed since this process read it, nothing is decided or kept, the register is read anew and the
question asked again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple

import psycopg
from django.db import connection

from audit.domain.ids import uuid7s
from consent.decisions.answers import Evidence
from consent.decisions.bits import bit, send_text, verdict_of
from consent.decisions.engine import SendJudgement, Verdict, judge_send
from consent.decisions.facts import Plan
from consent.decisions.plans import Asked, asked_text, plan_of
from consent.decisions.reasons import RULE_SET, Reason
from consent.screening.set_based import (
    NOT_JUDGED,
    Shape,
    outcome_of,
    outcome_parameters,
    parameters,
    shape_of,
    subject_stage,
)
from consent.selectors.register import LiveRegister, register_in_hand, register_live

MAX_SKEW = timedelta(seconds=2)
_ATTEMPTS = 3


class SubjectRef(NamedTuple):
    """A person as the caller names him: kind of identifier (0: our own reference) and look-up value."""

    kind: int
    lookup: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. The token is known by its checksum only."""

    token_checksum: str
    scope: str
    ip: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The decision on one person, already stored under `decision_id`."""

    decision_id: str
    verdict: Verdict
    subject_version: int | None
    evidence: Evidence


class LedgerHead(NamedTuple):
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class CheckResult:
    plan: Plan
    judgement: SendJudgement
    register: LiveRegister
    judged_at: datetime
    decided_at: datetime
    ledger: LedgerHead | None  # the newest signed head when it was decided
    items: list[Checked]


class CallerRefusedError(Exception):
    """The token or its client may not ask this. `why`: token, scope or limits."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


_offset = timedelta()


def decisions_check(
    subjects: Sequence[SubjectRef], asked: Asked, *, caller: Caller, request_hash: bytes, evidence: bool
) -> CheckResult:
    """Decide for each subject, in order, and keep every decision. One statement, however many subjects.

    The instant is the database's clock, or `asked.planned_at` if that lies ahead.

    Raises:
        CallerRefusedError: nothing was decided.
    """
    global _offset
    register = register_in_hand()
    for _ in range(_ATTEMPTS):
        now = datetime.now(UTC) + _offset
        at = max(asked.planned_at or now, now)
        plan = plan_of(asked, register.rules, at)
        judgement = judge_send(plan, register=register.rules, at=at)
        rows = _execute(subjects, asked, plan, judgement, at, caller, request_hash, evidence, register)
        gate = rows[0]
        if gate.client is None or not gate.fresh:
            raise CallerRefusedError("token")
        if not gate.scoped:
            raise CallerRefusedError("scope")
        if not gate.permitted:
            raise CallerRefusedError("limits")
        skew = gate.clock - datetime.now(UTC) - _offset
        if gate.register_version != register.version:
            register = register_live(version=gate.register_version)
        elif abs(skew) > MAX_SKEW:
            _offset += skew
        else:
            items = [
                _checked(row, judgement, register) for row in sorted(rows[: len(subjects)], key=lambda r: r.n or 0)
            ]
            head = LedgerHead(gate.ledger_size, gate.ledger_root or b"") if gate.ledger_size is not None else None
            return CheckResult(plan, judgement, register, at, gate.clock, head, items)
    raise RuntimeError("the register changes faster than it can be read")


class _Row(NamedTuple):
    client: int | None
    fresh: bool | None
    scoped: bool | None
    permitted: bool | None
    register_version: int
    clock: datetime
    ledger_size: int | None
    ledger_root: bytes | None
    n: int | None
    bits: int | None
    decision: object
    version: int | None
    grant: object = None
    granted_at: datetime | None = None
    notice: int | None = None
    point: int | None = None
    refusal: object = None
    refused_at: datetime | None = None
    in_window: int | None = None


def _execute(
    subjects: Sequence[SubjectRef],
    asked: Asked,
    plan: Plan,
    judgement: SendJudgement,
    at: datetime,
    caller: Caller,
    request_hash: bytes,
    evidence: bool,
    register: LiveRegister,
) -> list[_Row]:
    requirement = judgement.requirement
    shape = None
    values: dict[str, object] = {"at": at}
    if requirement is not None:
        mixed = any(kind != requirement.channel.identifier for kind, _ in subjects)
        shape = shape_of(requirement, mixed=mixed, evidence=evidence)
        values = parameters(requirement, register)
    values |= outcome_parameters(judgement)
    values |= {
        "token": caller.token_checksum,
        "scope": caller.scope,
        "ip": caller.ip,
        "brand": plan.brand,
        "p_code": plan.purpose,
        "c_code": plan.channel,
        "fields": [*plan.fields, *plan.segment_fields],
        "recipient": plan.recipient or "",
        "register": register.version,
        "campaign": plan.campaign or "",
        "asked": asked_text(asked),
        "request_hash": request_hash,
        "send_codes": send_text(judgement.findings),
        "rule_set": RULE_SET,
    }
    kinds, lookups, ids = [kind for kind, _ in subjects], [lookup for _, lookup in subjects], uuid7s(len(subjects))
    single = len(subjects) == 1
    if single:
        values |= {"kind": kinds[0], "lookup": lookups[0], "id": ids[0]}
    else:
        values |= {"kinds": kinds, "lookups": lookups, "ids": ids}
    text, names = _statement(shape, single)
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.RawCursor(connection.connection) as cursor:
        cursor.execute(text, [_literal(values[name]) for name in names], prepare=True, binary=True)
        return [_Row(*row) for row in cursor.fetchall()]


def _literal(value: object) -> object:
    """Write a value as PostgreSQL reads it; the statement casts every parameter.

    The driver's own adapters for numbers, times and lists cost more than the rest of a check, and prepare one
    statement for each size of number.
    """
    if value is None or isinstance(value, str | bytes):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list):
        return f"{{{','.join([_element(item) for item in value])}}}"
    return str(value)


def _element(value: object) -> str:
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


def _checked(row: _Row, judgement: SendJudgement, register: LiveRegister) -> Checked:
    bits = row.bits if row.bits is not None else bit(Reason.E_INPUT)
    notice = register.notice_refs.get(row.notice or 0)
    return Checked(
        decision_id=f"dec_{row.decision.hex}",  # type: ignore[attr-defined]
        verdict=verdict_of(bits, judgement.findings, marketing=judgement.marketing),
        subject_version=row.version,
        evidence=Evidence(
            grant=f"cev_{row.grant.hex}" if row.grant else None,  # type: ignore[attr-defined]
            granted_at=row.granted_at,
            notice=f"{notice.id}@{notice.version}" if notice else None,
            point=register.point_codes.get(row.point or 0),
            refusal=f"cev_{row.refusal.hex}" if row.refusal else None,  # type: ignore[attr-defined]
            refused_at=row.refused_at,
            sent_in_window=row.in_window or 0,
        ),
    )


@cache
def _statement(shape: Shape | None, single: bool) -> tuple[bytes, list[str]]:
    """Return the statement of a shape with numbered parameters, and the parameters' names in order.

    `single`: for one person, who is then no table of one row but three parameters.
    """
    aud = "SELECT 0 AS n, %(kind)s AS type, %(lookup)s AS lookup"
    asked = "SELECT v.*, %(id)s AS decision, %(kind)s AS type"
    if not single:
        aud = """SELECT u.n, u.type, u.lookup, u.decision
    FROM unnest(%(kinds)s::smallint[], %(lookups)s::bytea[], %(ids)s::uuid[])
        WITH ORDINALITY AS u(type, lookup, decision, n)"""
        asked = "SELECT v.*, a.decision, a.type"
    stage = subject_stage(shape) if shape else NOT_JUDGED
    proof = bool(shape and shape.evidence)
    columns = ", g2.ref, g2.said_at, g2.notice_version_id, g2.point_id, r2.ref, r2.said_at" if proof else ""
    if proof and shape and shape.marketing:
        columns += ", v.in_window"
    joins = (
        """LEFT JOIN consent_record g2 ON g2.id = v.grant_id
        LEFT JOIN consent_record r2 ON r2.id = v.refusal_id"""
        if proof
        else ""
    )
    text = f"""
WITH auth AS (
    SELECT a.id AS client, a.scopes, a.brands, a.purposes, a.channels, a.fields, a.recipients, a.networks, t.scope,
        t.expires > now() AND a.active AND (a.expires_at IS NULL OR a.expires_at > now()) AS fresh
    FROM oauth2_provider_accesstoken t JOIN governance_api_client a ON a.id = t.application_id
    WHERE t.token_checksum = %(token)s
),
gate AS MATERIALIZED (
    SELECT a.client, a.fresh,
        %(scope)s = ANY(a.scopes) AND %(scope)s = ANY(string_to_array(a.scope, ' ')) AS scoped,
        (a.brands IS NULL OR %(brand)s = ANY(a.brands))
        AND (a.purposes IS NULL OR %(p_code)s = ANY(a.purposes))
        AND (a.channels IS NULL OR %(c_code)s = ANY(a.channels))
        AND (a.fields IS NULL OR %(fields)s::text[] <@ a.fields::text[])
        AND (a.recipients IS NULL OR %(recipient)s = '' OR %(recipient)s = ANY(a.recipients))
        AND (a.networks IS NULL OR %(ip)s::inet <<= ANY(a.networks::cidr[])) AS permitted,
        h.version AS register_version, l.size AS ledger_size, l.root AS ledger_root
    FROM governance_register_head h LEFT JOIN auth a ON true
        LEFT JOIN (SELECT size, root FROM audit_checkpoint ORDER BY size DESC LIMIT 1) l ON true
),
aud AS (
    {aud}
    WHERE (SELECT g.fresh AND g.scoped AND g.permitted AND g.register_version = %(register)s FROM gate g)
),
{stage},
decided AS (
    {asked}, {outcome_of("v.bits")} AS outcome
    FROM verdict v {"" if single else "JOIN aud a ON a.n = v.n"}
),
kept AS (
    INSERT INTO consent_decision (id, decided_at, judged_at, client_id, campaign, purpose, channel, request_hash,
        type, lookup, subject_id, subject_version, register_version, rule_set, send_codes, subject_bits, outcome,
        asked, ledger_size)
    SELECT d.decision, now(), %(at)s, g.client, %(campaign)s, %(p_code)s, %(c_code)s, %(request_hash)s,
        d.type, d.lookup, d.subject_id, d.version, g.register_version, %(rule_set)s, %(send_codes)s, d.bits, d.outcome,
        %(asked)s, g.ledger_size
    FROM decided d CROSS JOIN gate g
)
SELECT g.client, g.fresh, g.scoped, g.permitted, g.register_version, clock_timestamp(), g.ledger_size, g.ledger_root,
    v.n, v.bits, v.decision, v.version {columns}
FROM gate g LEFT JOIN decided v ON true {joins}
"""
    return _numbered(text)


_CASTS = {
    "id": "uuid",
    "kind": "smallint",
    "lookup": "bytea",
    "at": "timestamptz",
    "today": "date",
    "type": "smallint",
    "channel": "bigint",
    "purpose": "bigint",
    "slot": "int",
    "automated": "boolean",
    "barred": "boolean",
    "personalisation_bit": "bigint",
    "retention": "int",
    "month": "timestamptz",
    "cap": "bigint",
    "window": "timestamptz",
    "since": "timestamptz",
    "template": "text",
    "ask_slot": "int",
    "ask_channel": "bigint",
    "ask_type": "smallint",
    "cooldown": "int",
    "token": "text",
    "scope": "text",
    "ip": "text",
    "brand": "text",
    "p_code": "text",
    "c_code": "text",
    "recipient": "text",
    "register": "bigint",
    "campaign": "text",
    "asked": "text",
    "request_hash": "bytea",
    "send_codes": "text",
    "worst": "int",
    "may_send": "smallint",
    "rule_set": "text",
}


def _numbered(text: str) -> tuple[bytes, list[str]]:
    """Turn named parameters into numbered ones: PostgreSQL's own form, which is prepared as it stands."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        name = match.group(1)
        place = names.setdefault(name, len(names) + 1)
        return f"${place}::{_CASTS[name]}" if name in _CASTS else f"${place}"

    return re.sub(r"%\((\w+)\)s", number, text).encode(), list(names)
