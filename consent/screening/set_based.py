"""The set-based backend: the subject stage of every rule as one SQL statement over the stored states.

Each line below is one rule of consent/decisions/rules, written as "fine → 0, else its bit". The fine branch is
the only positive one: NULL and whatever nobody thought of land in the other. Holders are combined as the
engine combines them. Vectors, the samples and a property test hold this equal to the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import connection

from consent.decisions.bits import OUTCOME_NUMBERS, bit, mask_of, verdict_of
from consent.decisions.engine import SendJudgement, Verdict
from consent.decisions.facts import Requirement
from consent.decisions.history import Contact
from consent.decisions.reasons import Reason
from consent.domain.records import Slot
from consent.domain.terms import SUBJECT_REF, Outcome, Severity
from consent.selectors.register import LiveRegister
from governance.domain.identifiers import IdentifierType

_UNKNOWN = 0  # a slot, purpose or notice without a database key matches nothing


@dataclass(frozen=True, slots=True)
class Shape:
    """Which parts a statement needs. Statements of one shape have one text, so they are prepared once."""

    marketing: bool
    phone: bool
    one_time: bool
    retention: bool
    separate: bool
    cap: bool
    asks: bool
    mixed: bool = False  # some rows name a person by something else than the channel's identifier
    bulk: bool = False  # many rows: lists are grouped once instead of looked up row by row
    evidence: bool = False


def shape_of(r: Requirement, *, mixed: bool = False, bulk: bool = False, evidence: bool = False) -> Shape:
    return Shape(
        marketing=r.marketing,
        phone=r.channel.uses_phone,
        one_time=r.one_time,
        retention=r.marketing and r.retention_months is not None,
        separate=r.marketing and bool(r.strip_consents or r.deny_consents or r.third_party or r.cross_border),
        cap=r.marketing and r.frequency_cap is not None,
        asks=r.marketing and r.asks_for is not None,
        mixed=mixed,
        bulk=bulk,
        evidence=evidence,
    )


def parameters(r: Requirement, register: LiveRegister) -> dict[str, Any]:
    """Return what a statement needs to know of the requirement, as database keys."""
    governed = register.governed
    slots = register.slot_keys
    purpose = governed.purpose_keys.get(r.purpose, _UNKNOWN)
    needed = [
        *((slot, bit(Reason.SENSITIVE_NO_SEPARATE_CONSENT)) for slot in r.deny_consents),
        *((slot, bit(Reason.SENSITIVE_NO_SEPARATE_CONSENT, Severity.STRIP)) for slot in r.strip_consents),
        *([(r.third_party, bit(Reason.THIRD_PARTY_NO_SEPARATE_CONSENT))] if r.third_party else []),
        *([(r.cross_border, bit(Reason.XB_NO_SEPARATE_CONSENT))] if r.cross_border else []),
    ]
    personalisation = Severity.STRIP if r.generic_variant else Severity.DENY
    return {
        "at": r.at,
        "today": r.today,
        "type": r.channel.identifier.value,
        "channel": governed.channel_keys.get(r.channel.id, _UNKNOWN),
        "purpose": purpose,
        "slot": slots.get(Slot(r.purpose, r.channel.id), _UNKNOWN),
        "automated": r.automated,
        "barred": r.barred_for_minors,
        "personalisation_bit": bit(Reason.PERSONALISATION_OFF, personalisation),
        "retention": r.retention_months or 0,
        "stale": _stale(r.scope_changed, register),
        "needed_slots": [slots.get(slot, _UNKNOWN) for slot, _ in needed],
        "needed_bits": [value for _, value in needed],
        "separate_stale": _stale(r.separate_stale, register),
        "month": r.month_starts_at,
        "cap": r.frequency_cap or 0,
        "window": r.window_starts_at or r.at,
        "since": min(r.month_starts_at, r.window_starts_at or r.at),
        "template": r.template_id,
        "ask_slot": slots.get(r.asks_for, _UNKNOWN) if r.asks_for else _UNKNOWN,
        "ask_channel": governed.channel_keys.get(r.asks_for.channel or "", _UNKNOWN) if r.asks_for else _UNKNOWN,
        "ask_type": r.asks_for_identifier.value if r.asks_for_identifier else _UNKNOWN,
        "cooldown": r.reask_cooldown_days,
    }


def _stale(by_purpose: object, register: LiveRegister) -> list[int]:
    """Return (purpose, notice version) pairs that cover no use any more, as one number each."""
    return [
        register.governed.purpose_keys[purpose] << 32 | register.notice_keys[ref]
        for purpose, refs in by_purpose.items()  # type: ignore[attr-defined]
        for ref in refs
        if purpose in register.governed.purpose_keys
    ]


def outcome_of(bits: str) -> str:
    """Return the outcome number of a row as SQL. Parameters: `worst` rank of the send's findings, `may_send`.

    Sending is the first and only positive branch; whatever is not clearly less is a denial.
    """
    deny, hold, defer = mask_of(Severity.DENY), mask_of(Severity.HOLD), mask_of(Severity.DEFER)
    return f"""CASE WHEN {bits} & {deny | hold | defer} = 0 AND %(worst)s < {Severity.DEFER.rank} THEN %(may_send)s
            WHEN {bits} & {deny | hold} = 0 AND %(worst)s < {Severity.HOLD.rank} THEN {OUTCOME_NUMBERS[Outcome.DEFER]}
            WHEN {bits} & {deny} = 0 AND %(worst)s < {Severity.DENY.rank} THEN {OUTCOME_NUMBERS[Outcome.HOLD]}
            ELSE {OUTCOME_NUMBERS[Outcome.DENY]} END"""


def outcome_parameters(judgement: SendJudgement) -> dict[str, Any]:
    """Return the parameters of `outcome_of`."""
    may_send = Outcome.ALLOW_WITH_OBLIGATIONS if judgement.marketing else Outcome.ALLOW
    return {
        "worst": max((severity.rank for severity in judgement.findings.values()), default=0),
        "may_send": OUTCOME_NUMBERS[may_send],
    }


def _fires(fine: str, reason: Reason, severity: Severity = Severity.DENY) -> str:
    return f"CASE WHEN {fine} THEN 0 ELSE {bit(reason, severity)}::bigint END"


NOT_JUDGED = """verdict AS (
    SELECT a.n, a.lookup, NULL::bigint AS subject_id, NULL::int AS version, 0::bigint AS bits FROM aud a
)"""
"""The stage of a send that cannot be judged at all: nothing is found on anybody."""


@cache
def subject_stage(shape: Shape) -> str:
    """Return the CTEs that turn `aud(n, type, lookup)` into `verdict(n, bits, subject_id, version …)`.

    One row per `aud` row, always. Parameters: those of `parameters`.
    """
    return f"""
contact AS ({_contact(shape)}),
holder AS ({_holder(shape)}),
fact AS (
    SELECT h.n, h.lookup, h.unclear, h.subject_id, s.version,
        {_out(shape)} AS out,
        {_person(shape)} AS person,
        {_own_no(shape)} AS own_no,
        {_consent(shape)} AS consent
        {_fact_columns(shape)}
    FROM holder h
    LEFT JOIN consent_subject s ON s.id = h.subject_id
    LEFT JOIN consent_state c ON c.slot_id = %(slot)s AND c.subject_id = h.subject_id
    {_wide(shape)}
    {_asked(shape)}
    OFFSET 0
),
person AS (
    SELECT f.n, f.lookup, f.unclear,
        bool_and(f.out <> 0) AS all_out,
        bit_or(f.out) AS out_bits,
        bit_or(f.person) AS person_all,
        bit_or(f.person) FILTER (WHERE f.out = 0) AS person_in,
        bit_or(f.own_no) AS own_no,
        CASE WHEN count(f.subject_id) = 1 THEN min(f.subject_id) END AS subject_id,
        CASE WHEN count(f.subject_id) = 1 THEN min(f.version) END AS version
        {_person_columns(shape)}
    FROM fact f GROUP BY f.n, f.lookup, f.unclear
),
judged AS (
    SELECT p.* {_judged_columns(shape)}
    FROM person p
    {_lists(shape)}
),
verdict AS (
    SELECT j.n, j.lookup, j.subject_id, j.version {_evidence_columns(shape)},
        coalesce({_bits(shape)}, {bit(Reason.E_INPUT)}) AS bits
    FROM judged j
    OFFSET 0
)"""


def _contact(shape: Shape) -> str:
    if not shape.mixed:
        return "SELECT a.n, a.lookup, NULL::bigint AS via, false AS unclear FROM aud a"
    return f"""
    SELECT a.n,
        CASE WHEN a.type = %(type)s THEN a.lookup ELSE i.lookup END AS lookup,
        CASE WHEN a.type <> %(type)s AND i.lookup IS NULL THEN w.subject_id END AS via,
        a.type <> %(type)s AND w.people > 1 AS unclear
    FROM aud a
    LEFT JOIN LATERAL (
        SELECT count(*) AS people, min(o.subject_id) AS subject_id FROM (
            SELECT o.subject_id FROM consent_identifier o
            WHERE a.type NOT IN (%(type)s, {SUBJECT_REF}) AND o.lookup = a.lookup AND o.type = a.type
            UNION ALL
            SELECT s.id FROM consent_subject s
            WHERE a.type = {SUBJECT_REF} AND s.ref = encode(a.lookup, 'hex')::uuid
        ) o
    ) w ON true
    LEFT JOIN LATERAL (
        SELECT o.lookup FROM consent_identifier o WHERE o.subject_id = w.subject_id AND o.type = %(type)s
        ORDER BY o.bound_at DESC NULLS LAST, o.id DESC LIMIT 1
    ) i ON true"""


def _holder(shape: Shape) -> str:
    if not shape.mixed:
        return """
    SELECT k.n, k.lookup, k.unclear, i.subject_id, i.lost_on FROM contact k
    LEFT JOIN consent_identifier i ON i.lookup = k.lookup AND i.type = %(type)s"""
    return """
    SELECT k.n, k.lookup, k.unclear, i.subject_id, i.lost_on FROM contact k
    LEFT JOIN LATERAL (
        SELECT o.subject_id, o.lost_on FROM consent_identifier o WHERE o.lookup = k.lookup AND o.type = %(type)s
        UNION ALL SELECT k.via, NULL WHERE k.via IS NOT NULL
    ) i ON true"""


def _out(shape: Shape) -> str:
    rules = [
        _fires("h.subject_id IS NULL OR s.status & 4 = 0", Reason.SUBJECT_ERASED),
        f"""CASE WHEN h.subject_id IS NULL OR s.sourcing = 'lawful' THEN 0
            WHEN s.sourcing = 'unproven' THEN {bit(Reason.SOURCE_UNLAWFUL, Severity.HOLD)}::bigint
            ELSE {bit(Reason.SOURCE_UNLAWFUL)}::bigint END""",
    ]
    if shape.phone:
        rules.append(_fires("h.lost_on IS NULL OR h.lost_on > %(today)s", Reason.IDENTIFIER_NOT_OWNED))
    if shape.retention:
        rules.append(
            _fires(
                "s.last_active_on IS NULL OR"
                " %(today)s <= (s.last_active_on + make_interval(months => %(retention)s))::date",
                Reason.RETENTION_EXPIRED,
            )
        )
    return _any(rules)


def _person(shape: Shape) -> str:
    rules = [
        _fires("h.subject_id IS NULL OR s.status & 1 = 0", Reason.PROCESSING_FROZEN),
        _fires("h.subject_id IS NULL OR s.status & 2 = 0", Reason.SUBJECT_DECEASED),
    ]
    if shape.marketing:
        rules += [
            _fires(
                """s.child_until IS NULL OR s.child_until < %(today)s OR EXISTS (
                SELECT FROM consent_guardianship g WHERE g.child_id = h.subject_id
                AND %(purpose)s = ANY(g.purposes) AND g.given_at <= %(at)s
                AND (g.withdrawn_at IS NULL OR g.withdrawn_at > %(at)s))""",
                Reason.CHILD_NO_GUARDIAN_CONSENT,
            ),
            _fires(
                "NOT %(automated)s OR s.minor_until IS NULL OR s.minor_until < %(today)s", Reason.MINOR_ADM_MARKETING
            ),
            _fires("NOT %(barred)s OR s.minor_until IS NULL OR s.minor_until < %(today)s", Reason.PRODUCT_TO_MINOR),
            """CASE WHEN NOT %(automated)s OR s.personalisation_off_at IS NULL OR s.personalisation_off_at > %(at)s
            THEN 0 ELSE %(personalisation_bit)s END""",
        ]
    return _any(rules)


def _own_no(shape: Shape) -> str:
    rules = [
        _fires("s.restricted IS NULL OR NOT (%(purpose)s::bigint = ANY(s.restricted))", Reason.PROCESSING_RESTRICTED)
    ]
    if shape.marketing:
        rules.append(_fires("s.paused_until IS NULL OR s.paused_until < %(today)s", Reason.PAUSED_BY_CUSTOMER))
    return _any(rules)


def _consent(shape: Shape) -> str:
    if not shape.marketing:
        return "0::bigint"
    rules = []
    if not shape.one_time:
        rules.append(
            f"""CASE
            WHEN c.grant_id IS NOT NULL AND c.refused_at IS NULL AND c.confirmed
                AND NOT c.bad_form AND NOT c.bundled AND NOT c.no_evidence
                AND (c.expires_on IS NULL OR c.expires_on >= %(today)s)
                AND (c.notice_version_id IS NULL OR
                    NOT (c.grant_purpose_id << 32 | c.notice_version_id = ANY(%(stale)s::bigint[])))
            THEN 0
            WHEN c.grant_id IS NOT NULL THEN
                {_fires("c.confirmed OR c.refused_at IS NOT NULL", Reason.CONSENT_PENDING)}
                | {_fires("NOT c.bad_form", Reason.CONSENT_INVALID_FORM)}
                | {_fires("NOT c.bundled", Reason.CONSENT_BUNDLED)}
                | {_fires("NOT c.no_evidence", Reason.CONSENT_NO_EVIDENCE)}
                | {_fires("c.expires_on IS NULL OR c.expires_on >= %(today)s", Reason.CONSENT_EXPIRED)}
                | {
                _fires(
                    "c.notice_version_id IS NULL OR"
                    " NOT (c.grant_purpose_id << 32 | c.notice_version_id = ANY(%(stale)s::bigint[]))",
                    Reason.CONSENT_SCOPE_CHANGED,
                )
            }
            WHEN c.refused_at IS NOT NULL THEN 0
            WHEN %(purpose)s::bigint = ANY(s.granted) THEN {bit(Reason.CONSENT_CHANNEL_NOT_COVERED)}::bigint
            WHEN c.narrower THEN {bit(Reason.CONSENT_SCOPE_CHANGED)}::bigint
            ELSE {bit(Reason.NO_CONSENT)}::bigint END"""
        )
    if shape.separate:
        rules.append(
            """(SELECT coalesce(bit_or(need.bit), 0)
            FROM unnest(%(needed_slots)s::int[], %(needed_bits)s::bigint[]) AS need(slot, bit)
            WHERE NOT EXISTS (
                SELECT FROM consent_state x WHERE x.slot_id = need.slot AND x.subject_id = h.subject_id
                AND x.grant_id IS NOT NULL AND x.refused_at IS NULL AND NOT x.no_evidence
                AND (x.expires_on IS NULL OR x.expires_on >= %(today)s)
                AND (x.notice_version_id IS NULL OR
                    NOT (x.grant_purpose_id << 32 | x.notice_version_id = ANY(%(separate_stale)s::bigint[])))))"""
        )
    return _any(rules)


def _fact_columns(shape: Shape) -> str:
    columns = []
    if shape.marketing:
        columns += ["c.refused_at", "c.lift_at", "c.declared", "w.optout_at", "w.undated", "w.listed"]
    if shape.asks:
        columns += [
            "q.refused_at AS ask_refused_at",
            "q.lift_at AS ask_lift_at",
            "o.optout_at AS ask_optout_at",
            "o.undated AS ask_undated",
        ]
    if shape.evidence:
        columns += ["c.grant_id", "c.refusal_id"]
    return "".join(f", {column}" for column in columns)


_ACTIVE = "(x.said_at IS NULL OR x.said_at <= %(at)s) AND (x.removed_at IS NULL OR x.removed_at > %(at)s)"
_REACHABLE = f"({IdentifierType.PHONE.value}, {IdentifierType.EMAIL.value})"


def _wide(shape: Shape) -> str:
    """Refusals that touch the row through another identifier of its holder. Looked up for marked people only."""
    if not shape.marketing:
        return ""
    return f"""LEFT JOIN LATERAL (
        SELECT max(x.said_at) FILTER (WHERE x.kind = 'opt_out') AS optout_at,
            bool_or(x.kind = 'opt_out' AND x.said_at IS NULL) AS undated,
            bool_or(x.kind = 'listed') AS listed
        FROM consent_identifier i JOIN consent_suppression x ON x.lookup = i.lookup AND x.type = i.type
        WHERE s.widely_listed AND i.subject_id = h.subject_id AND i.lookup IS DISTINCT FROM h.lookup AND {_ACTIVE}
        AND ((x.channel_id IS NULL AND (x.kind <> 'opt_out' OR i.type IN {_REACHABLE}))
            OR (i.type = {IdentifierType.MEMBER_ID.value} AND x.kind = 'listed' AND x.channel_id = %(channel)s))
    ) w ON true"""


def _asked(shape: Shape) -> str:
    """What a message that asks for consent must know: the earlier "no" to what it asks for."""
    if not shape.asks:
        return ""
    return f"""LEFT JOIN consent_state q ON q.slot_id = %(ask_slot)s AND q.subject_id = h.subject_id
    LEFT JOIN LATERAL (
        SELECT max(x.said_at) AS optout_at, bool_or(x.said_at IS NULL) AS undated
        FROM consent_identifier i JOIN consent_suppression x ON x.lookup = i.lookup AND x.type = i.type
        WHERE i.subject_id = h.subject_id AND x.kind = 'opt_out' AND {_ACTIVE}
        AND ((i.type = %(ask_type)s AND (x.channel_id IS NULL OR x.channel_id = %(ask_channel)s))
            OR (x.channel_id IS NULL AND i.type IN {_REACHABLE}))
        AND EXISTS (SELECT FROM consent_identifier m WHERE m.subject_id = h.subject_id AND m.type = %(ask_type)s)
    ) o ON true"""


def _person_columns(shape: Shape) -> str:
    columns: list[str] = []
    if shape.marketing:
        deny = mask_of(Severity.DENY)
        columns += [
            "bit_or(f.consent) AS consent_all",
            f"bit_or(f.consent) FILTER (WHERE f.consent & {deny} = 0) AS good_all",
            "bit_or(f.consent) FILTER (WHERE f.out = 0) AS consent_in",
            f"bit_or(f.consent) FILTER (WHERE f.out = 0 AND f.consent & {deny} = 0) AS good_in",
            "max(f.refused_at) FILTER (WHERE f.out = 0) AS refused_in",
            "max(f.refused_at) FILTER (WHERE f.out <> 0) AS refused_out",
            "max(f.lift_at) AS lift_all",
            "max(f.lift_at) FILTER (WHERE f.out = 0) AS lift_in",
            "min(f.declared) AS declared_all",
            "min(f.declared) FILTER (WHERE f.out = 0) AS declared_in",
            "max(f.optout_at) AS wide_optout_at",
            "bool_or(f.undated) AS wide_undated",
            "bool_or(f.listed) AS wide_listed",
        ]
    if shape.asks:
        columns += [
            f"max(f.{name}) {only} AS {name}_{suffix}"
            for name in ("ask_refused_at", "ask_lift_at", "ask_optout_at")
            for suffix, only in (("all", ""), ("in", "FILTER (WHERE f.out = 0)"))
        ]
        columns += [
            "bool_or(f.ask_undated) AS ask_undated_all",
            "bool_or(f.ask_undated) FILTER (WHERE f.out = 0) AS ask_undated_in",
        ]
    if shape.evidence:
        columns += ["max(f.grant_id) AS grant_id", "max(f.refusal_id) AS refusal_id"]
    return "".join(f", {column}" for column in columns)


def _judged_columns(shape: Shape) -> str:
    columns = []
    if shape.phone:
        columns.append("l.carrier")
    if shape.marketing:
        columns += [
            "greatest(l.optout_at, p.wide_optout_at) AS optout_at",
            "coalesce(l.undated, false) OR coalesce(p.wide_undated, false) AS undated",
            "coalesce(l.listed, false) OR coalesce(p.wide_listed, false) AS listed",
            "coalesce(t.in_month, 0) AS in_month",
            "coalesce(t.in_window, 0) AS in_window",
        ]
        columns.append(
            "b.accepted_at AS lift_at"
            if shape.one_time
            else "CASE WHEN p.all_out THEN p.lift_all ELSE p.lift_in END AS lift_at"
        )
    if shape.one_time:
        columns += ["coalesce(b.accepted, 0) AS accepted", "coalesce(b.used, 0) AS used"]
    if shape.asks:
        columns += [
            "t.solicited_at",
            *(
                f"CASE WHEN p.all_out THEN p.{name}_all ELSE p.{name}_in END AS {name}"
                for name in ("ask_refused_at", "ask_lift_at", "ask_optout_at", "ask_undated")
            ),
        ]
    return "".join(f", {column}" for column in columns)


def _lists(shape: Shape) -> str:
    """What is recorded about the identifier itself: refusals, sends, subscriptions."""
    joins = []
    if shape.marketing or shape.phone:
        joins.append(
            _listed(
                shape,
                "l",
                "consent_suppression",
                """max(x.said_at) FILTER (WHERE x.kind = 'opt_out') AS optout_at,
                bool_or(x.kind = 'opt_out' AND x.said_at IS NULL) AS undated,
                bool_or(x.kind = 'listed') AS listed,
                bool_or(x.kind = 'carrier') AS carrier""",
                f"x.type = %(type)s AND (x.channel_id IS NULL OR x.channel_id = %(channel)s) AND {_ACTIVE}",
            )
        )
    if shape.marketing:
        solicited = ", max(x.sent_at) FILTER (WHERE x.kind = 'solicitation') AS solicited_at" if shape.asks else ""
        recent = "" if shape.asks else "AND x.sent_at >= %(since)s"
        joins.append(
            _listed(
                shape,
                "t",
                "consent_send_record",
                f"""count(*) FILTER (WHERE x.kind <> 'service' AND x.sent_at >= %(month)s) AS in_month,
                count(*) FILTER (WHERE x.kind <> 'service' AND x.sent_at > %(window)s) AS in_window {solicited}""",
                f"x.channel_id = %(channel)s AND x.sent_at <= %(at)s {recent}",
            )
        )
    if shape.one_time:
        joins.append(
            """LEFT JOIN LATERAL (
            SELECT count(*) FILTER (WHERE x.action = 'accept' AND (ban.at IS NULL OR x.said_at > ban.at)) AS accepted,
                max(x.said_at) FILTER (WHERE x.action = 'accept') AS accepted_at,
                (SELECT count(*) FROM consent_send_record u WHERE u.lookup = p.lookup AND u.channel_id = %(channel)s
                 AND u.template = %(template)s AND u.sent_at <= %(at)s
                 AND (max(ban.at) IS NULL OR u.sent_at > max(ban.at))) AS used
            FROM consent_template_subscription x
            CROSS JOIN LATERAL (
                SELECT max(y.said_at) AS at FROM consent_template_subscription y
                WHERE y.lookup = p.lookup AND y.template = %(template)s AND y.action = 'ban' AND y.said_at <= %(at)s
            ) ban
            WHERE x.lookup = p.lookup AND x.template = %(template)s AND x.said_at <= %(at)s
        ) b ON true"""
        )
    return "\n    ".join(joins)


def _listed(shape: Shape, alias: str, table: str, columns: str, condition: str) -> str:
    if shape.bulk:
        return (
            f"LEFT JOIN (SELECT x.lookup, {columns} FROM {table} x WHERE {condition}"
            f" GROUP BY x.lookup) {alias} ON {alias}.lookup = p.lookup"
        )
    return (
        f"LEFT JOIN LATERAL (SELECT {columns} FROM {table} x WHERE x.lookup = p.lookup AND {condition}) {alias} ON true"
    )


def _bits(shape: Shape) -> str:
    rules = [
        "CASE WHEN j.all_out THEN j.out_bits ELSE 0 END",
        "CASE WHEN j.all_out THEN j.person_all ELSE j.person_in END",
        "j.own_no",
    ]
    if shape.mixed:
        rules.append(_fires("NOT j.unclear", Reason.E_INPUT))
    if shape.phone:
        rules.append(_fires("j.carrier IS NOT TRUE", Reason.CARRIER_BLACKLIST))
    if shape.marketing:
        rules += [
            """CASE WHEN j.all_out THEN coalesce(j.good_all, j.consent_all)
            ELSE coalesce(j.good_in, j.consent_in) END""",
            _fires(
                "NOT j.listed AND NOT j.undated AND (j.optout_at IS NULL OR j.lift_at > j.optout_at)", Reason.OPTED_OUT
            ),
            _fires(_not_refused(shape), Reason.CONSENT_WITHDRAWN),
            _fires(
                "CASE WHEN j.all_out THEN j.declared_all ELSE j.declared_in END IS NULL OR"
                " j.in_month < CASE WHEN j.all_out THEN j.declared_all ELSE j.declared_in END",
                Reason.DECLARED_FREQUENCY_EXCEEDED,
            ),
        ]
    if shape.cap:
        rules.append(_fires("j.in_window < %(cap)s", Reason.FREQUENCY_CAP, Severity.DEFER))
    if shape.marketing and shape.one_time:
        rules.append(_fires("j.accepted > 0", Reason.WX_NO_SUBSCRIPTION))
        rules.append(_fires("j.accepted = 0 OR j.accepted > j.used", Reason.QUOTA_EXHAUSTED))
    if shape.asks:
        rules.append(
            _fires(
                f"""j.ask_undated IS NOT TRUE
                AND {_cooled("j.solicited_at")} AND {_cooled("j.ask_refused_at")}
                AND (j.ask_lift_at > j.ask_optout_at OR {_cooled("j.ask_optout_at")})""",
                Reason.REASK_TOO_SOON,
            )
        )
    return _any(rules)


def _not_refused(shape: Shape) -> str:
    if shape.one_time:
        latest = "greatest(j.refused_in, j.refused_out)"
        return f"{latest} IS NULL OR j.lift_at > {latest}"
    return """CASE WHEN j.all_out THEN j.refused_out IS NULL
            ELSE j.refused_in IS NULL AND (j.refused_out IS NULL OR j.lift_at > j.refused_out) END"""


def _cooled(instant: str) -> str:
    """The Shanghai day of an earlier "no" plus the cooling-off days is over."""
    return f"({instant} IS NULL OR ({instant} AT TIME ZONE INTERVAL '08:00')::date + %(cooldown)s::int <= %(today)s)"


def _evidence_columns(shape: Shape) -> str:
    if not shape.evidence:
        return ""
    return ", j.grant_id, j.refusal_id" + (", j.in_window" if shape.marketing else "")


def _any(rules: Sequence[str]) -> str:
    return "\n        | ".join(f"({rule})" for rule in rules) if rules else "0::bigint"


class SetBasedBackend:
    """Judge contacts by the stored states, all in one statement. For the present only."""

    def __init__(self, register: LiveRegister) -> None:
        self._register = register

    def screen(self, contacts: Sequence[Contact], judgement: SendJudgement) -> list[Verdict]:
        requirement = judgement.requirement
        if requirement is None:
            return [verdict_of(0, judgement.findings, marketing=judgement.marketing) for _ in contacts]
        mixed = any(contact.kind is not requirement.channel.identifier for contact in contacts)
        statement = (
            "WITH aud AS (SELECT * FROM unnest(%(ns)s::int[], %(types)s::smallint[], %(lookups)s::bytea[])"
            f" AS a(n, type, lookup)), {subject_stage(shape_of(requirement, mixed=mixed))}"
            " SELECT n, bits FROM verdict"
        )
        rows: dict[str, Any] = {
            "ns": list(range(len(contacts))),
            "types": [contact.kind.value for contact in contacts],
            "lookups": [contact.lookup for contact in contacts],
        }
        with connection.cursor() as cursor:
            cursor.execute(statement, rows | parameters(requirement, self._register))
            found = dict(cursor.fetchall())
        unanswered = bit(Reason.E_INPUT)
        return [
            verdict_of(found.get(n, unanswered), judgement.findings, marketing=judgement.marketing)
            for n in range(len(contacts))
        ]
