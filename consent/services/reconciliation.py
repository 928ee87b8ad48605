"""Reconciliation (影子审计): each send beside the answer of ours it rests on, and what is wrong with it.

Set-based: three statements for any number of sends. The plain reading of the same is in
tests/consent/plain_reconciliation.py; a property test holds both equal.

A send rests on the decision it names; else on the row of the screening it names; else on what was answered about the
same receiver, for the same campaign and channel, before it went out: an allow that was still good then, the newest one
first, or else the newest answer of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from audit.bulk import stage_rows
from audit.options import option
from consent.decisions.answers import obligations
from consent.decisions.bits import bit, verdict_of
from consent.decisions.engine import judge_send
from consent.decisions.plans import Asked, plan_of
from consent.decisions.reasons import Reason
from consent.domain.sends import FINDINGS, REPORTED_DUTIES, SENDER_SKEW, SendFinding, findings_of
from consent.domain.terms import Severity
from consent.models import SendReceipt
from consent.selectors.register import LiveRegister, register_live
from governance.domain.identifiers import IdentifierType

REPORT_LOCK = 0x7A78_7372  # "zxsr"
_SLICE = timedelta(days=1)
_REACHABLE = f"({IdentifierType.PHONE.value}, {IdentifierType.EMAIL.value})"

_BASIS_TABLE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS send_basis (
        receipt uuid, needs boolean, decision uuid, screening uuid, row_no int, outcome smallint, bits bigint,
        decided_at timestamptz, expires_at timestamptz, campaign text, channel text, purpose text, asked text,
        subject_id bigint, type smallint, lookup bytea
    ) ON COMMIT DELETE ROWS;
    TRUNCATE pg_temp.send_basis
"""

_ROW = """
    SELECT s.id, NULL::uuid AS decision, w.screening_id AS screening, w.row_no,
        coalesce(past.outcome, w.outcome) AS outcome, coalesce(past.subject_bits, w.subject_bits) AS bits,
        p.judged_at AS decided_at, p.valid_until AS expires_at, z.campaign, z.channel, z.purpose, '' AS asked,
        w.subject_id, w.type, w.lookup
    FROM judged s
    JOIN consent_screening z ON {screening}
    JOIN consent_screening_row w ON w.screening_id = z.id AND {row}
    JOIN LATERAL (
        SELECT q.judged_at, q.valid_until FROM consent_screening_pass q
        WHERE q.screening_id = z.id AND q.valid_from <= s.latest ORDER BY q.valid_from DESC, q.id DESC LIMIT 1
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT o.outcome, o.subject_bits FROM consent_screening_row_past o
        WHERE o.screening_id = w.screening_id AND o.row_no = w.row_no AND o.until > s.sent_at
        ORDER BY o.until, o.id LIMIT 1
    ) past ON true
    WHERE s.decision_id IS NULL AND {named}"""

_DECISION = """
    SELECT s.id, d.id AS decision, NULL::uuid AS screening, NULL::int AS row_no, d.outcome, d.subject_bits AS bits,
        d.decided_at, d.decided_at + %(ttl)s AS expires_at, d.campaign, d.channel, d.purpose, d.asked,
        d.subject_id, d.type, d.lookup
    FROM judged s JOIN consent_decision d ON {decision}
    WHERE d.decided_at <= s.latest"""

_SAME_RECEIVER = "w.type = s.type AND w.lookup = s.lookup"

_BASIS = f"""
    INSERT INTO pg_temp.send_basis
    WITH judged AS (
        SELECT r.id, r.type, r.lookup, r.campaign, c.code AS channel, r.sent_at, r.sent_at + %(skew)s AS latest,
            r.decision_id, r.screening_id, r.row_no, n.needs
        FROM {{scope}} x
        JOIN consent_send_receipt r ON r.id = x.id
        JOIN governance_channel c ON c.id = r.channel_id
        CROSS JOIN LATERAL (SELECT r.kind <> 'service' OR r.campaign = ANY(%(marketing)s) AS needs) n
        WHERE n.needs OR r.decision_id IS NOT NULL OR r.screening_id IS NOT NULL
    ),
    candidate AS (
        {_DECISION.format(decision="d.id = s.decision_id")}
        UNION ALL
        {
    _DECISION.format(
        decision="d.lookup = s.lookup AND d.type = s.type AND d.campaign = s.campaign AND d.channel = s.channel"
    )
} AND s.decision_id IS NULL AND s.screening_id IS NULL AND s.campaign <> ''
        UNION ALL
        {
    _ROW.format(
        screening="z.id = s.screening_id",
        row="w.row_no = s.row_no",
        named="s.row_no IS NOT NULL",
    )
}
        UNION ALL
        {
    _ROW.format(
        screening="z.id = s.screening_id",
        row=_SAME_RECEIVER,
        named="s.row_no IS NULL",
    )
}
        UNION ALL
        {
    _ROW.format(
        screening="z.campaign = s.campaign AND z.channel = s.channel",
        row=_SAME_RECEIVER,
        named="s.screening_id IS NULL AND s.campaign <> ''",
    )
}
    )
    SELECT DISTINCT ON (s.id) s.id, s.needs, c.decision, c.screening, c.row_no, c.outcome, c.bits, c.decided_at,
        c.expires_at, c.campaign, c.channel, c.purpose, c.asked, c.subject_id, c.type, c.lookup
    FROM judged s LEFT JOIN candidate c ON c.id = s.id
    ORDER BY s.id, (c.outcome <= 1 AND s.sent_at <= c.expires_at) DESC NULLS LAST, c.decided_at DESC NULLS LAST,
        (c.decision IS NOT NULL) DESC, c.decision DESC, c.screening DESC, c.row_no DESC
"""  # noqa: S608 - text of our own

_TERMS = """
    SELECT DISTINCT coalesce(b.campaign, r.campaign), coalesce(b.channel, c.code), coalesce(b.purpose, '')
    FROM pg_temp.send_basis b JOIN consent_send_receipt r ON r.id = b.receipt
    JOIN governance_channel c ON c.id = r.channel_id
"""

# A "no" of the person, or to the identifier, that we had acknowledged before the send and after the answer, and that
# no later "yes" had lifted by then. What a narrower purpose heard counts; a wider "no" does unless the purpose has a
# "yes" of its own.
_GIVEN = """
    SELECT FROM consent_record g WHERE g.subject_id = {subject} AND g.act IN ('grant', 'renew') AND NOT g.separate
    AND g.recorded_at <= s.sent_at AND g.channel_id = s.channel_id"""
_SINCE = "{table}.recorded_at <= s.sent_at AND (s.decided_at IS NULL OR {table}.recorded_at > s.decided_at)"
_WITHDRAWN = f"""
    EXISTS (
        SELECT FROM unnest(s.holders) AS who(subject_id) JOIN consent_record n ON n.subject_id = who.subject_id
        WHERE n.act IN ('deny', 'withdraw') AND NOT n.separate AND {_SINCE.format(table="n")}
        AND (n.channel_id IS NULL OR n.channel_id = s.channel_id)
        AND (n.purpose_id IS NULL OR n.purpose_id = ANY(s.heard) OR (n.purpose_id = ANY(s.wider)
            AND NOT EXISTS ({_GIVEN.format(subject="n.subject_id")} AND g.purpose_id = s.own)))
        AND NOT EXISTS ({_GIVEN.format(subject="n.subject_id")} AND g.said_at > n.said_at
            AND (g.purpose_id = s.own OR g.purpose_id = ANY(s.wider)))
    )
    OR EXISTS (
        SELECT FROM consent_suppression x
        WHERE x.kind IN ('opt_out', 'listed') AND {_SINCE.format(table="x")}
        AND (x.said_at IS NULL OR x.said_at <= s.sent_at) AND (x.removed_at IS NULL OR x.removed_at > s.sent_at)
        AND ((x.channel_id IS NULL OR x.channel_id = s.channel_id)
                AND ((x.lookup = s.lookup AND x.type = s.type) OR (x.lookup = s.reached AND x.type = s.reached_type))
            OR x.channel_id IS NULL AND x.type IN {_REACHABLE} AND (x.type, x.lookup) IN (
                SELECT i.type, i.lookup FROM consent_identifier i WHERE i.subject_id = ANY(s.holders)))
        AND NOT (x.kind = 'opt_out' AND x.said_at IS NOT NULL AND EXISTS (
            SELECT FROM unnest(s.holders) AS who(subject_id)
            WHERE EXISTS ({_GIVEN.format(subject="who.subject_id")} AND g.said_at > x.said_at
                AND (g.purpose_id = s.own OR g.purpose_id = ANY(s.wider)))))
    )
"""  # noqa: S608 - text of our own

F = SendFinding


def _when(condition: str, finding: SendFinding) -> str:
    return f"CASE WHEN {condition} THEN {finding.value} ELSE 0 END"


_GENERIC = bit(Reason.PERSONALISATION_OFF, Severity.STRIP)
_DROP = bit(Reason.SENSITIVE_NO_SEPARATE_CONSENT, Severity.STRIP)
_FINDINGS = " | ".join(
    [
        _when("s.judged AND NOT s.found", F.NO_DECISION),
        _when("s.found AND s.outcome > 1", F.DENIED),
        _when("s.found AND s.outcome <= 1 AND s.sent_at > s.expires_at", F.LATE),
        _when(f"s.needs AND ({_WITHDRAWN})", F.WITHDRAWN),
        _when(
            """s.needs AND s.delivered AND s.opens IS NOT NULL AND NOT CASE WHEN s.opens <= s.closes
            THEN s.clock >= s.opens AND s.clock < s.closes ELSE s.clock >= s.opens OR s.clock < s.closes END""",
            F.OUTSIDE_WINDOW,
        ),
        _when("s.allowed AND s.delivered AND s.duties && s.unmet", F.UNMET),
        _when("s.allowed AND s.delivered AND NOT s.owed <@ (s.met || s.unmet)", F.UNREPORTED),
        _when("s.found AND s.said_vendor AND s.sender <> s.vendor", F.OTHER_VENDOR),
        _when("s.found AND s.other_channel", F.OTHER_CHANNEL),
        _when("s.found AND s.other_campaign", F.OTHER_CAMPAIGN),
        _when("s.found AND s.other_person", F.OTHER_PERSON),
    ]
)

_MATCH = f"""
    INSERT INTO consent_send_match
        (receipt_id, sent_at, campaign, recipient, decision_id, screening_id, row_no, expires_at, basis, findings)
    WITH placed AS (
        SELECT r.id, r.sent_at, r.campaign, r.recipient, r.channel_id, r.type, r.lookup,
            r.status = 'delivered' AS delivered,
            r.met::text[] AS met, r.unmet::text[] AS unmet, c.code AS channel, k.type AS reached_type,
            k.lookup AS reached, (r.sent_at AT TIME ZONE 'Asia/Shanghai')::time AS clock,
            r.in_house OR r.recipient <> '' AS said_vendor, r.recipient AS sender,
            b.receipt IS NOT NULL AS judged, coalesce(b.needs, false) AS needs, b.decision, b.screening, b.row_no,
            b.outcome, b.bits, b.decided_at, b.expires_at, b.decided_at IS NOT NULL AS found,
            coalesce(b.outcome <= 1, false) AS allowed,
            b.channel <> c.code AS other_channel, b.campaign <> r.campaign AS other_campaign,
            CASE WHEN b.type = r.type THEN b.lookup IS DISTINCT FROM r.lookup
                WHEN r.type = 0 THEN NOT EXISTS (
                    SELECT FROM consent_subject o WHERE o.id = b.subject_id AND o.ref = encode(r.lookup, 'hex')::uuid)
                ELSE NOT EXISTS (
                    SELECT FROM consent_identifier i
                    WHERE i.subject_id = b.subject_id AND i.type = r.type AND i.lookup = r.lookup) END AS other_person,
            b.subject_id, t.heard, t.wider, t.own, t.opens, t.closes,
            CASE WHEN b.asked <> '' AND (b.asked::jsonb ->> 'in_house')::boolean THEN ''
                ELSE coalesce(CASE WHEN b.asked <> '' THEN b.asked::jsonb ->> 'recipient' END, t.vendor) END AS vendor,
            t.duties,
            t.owed || CASE WHEN b.bits & {_GENERIC} <> 0 AND t.marketing THEN '{{{{USE_GENERIC_VARIANT}}}}'::text[]
                ELSE '{{{{}}}}' END
                || CASE WHEN b.bits & {_DROP} <> 0 AND t.marketing THEN '{{{{DROP_FIELDS}}}}'::text[]
                ELSE '{{{{}}}}' END AS owed
        FROM {{scope}} x
        JOIN consent_send_receipt r ON r.id = x.id
        JOIN governance_channel c ON c.id = r.channel_id
        LEFT JOIN consent_send_record k ON k.id = r.record_id
        LEFT JOIN pg_temp.send_basis b ON b.receipt = r.id
        LEFT JOIN {{terms}} t ON t.campaign = coalesce(b.campaign, r.campaign)
            AND t.channel = coalesce(b.channel, c.code) AND t.purpose = coalesce(b.purpose, '')
    ),
    s AS MATERIALIZED (
        SELECT p.*, ARRAY(
            SELECT i.subject_id FROM consent_identifier i WHERE p.needs
                AND ((i.lookup = p.lookup AND i.type = p.type) OR (i.lookup = p.reached AND i.type = p.reached_type))
            UNION
            SELECT o.id FROM consent_subject o WHERE p.needs AND p.type = 0 AND o.ref = encode(p.lookup, 'hex')::uuid
            UNION
            SELECT p.subject_id WHERE p.needs AND p.subject_id IS NOT NULL AND NOT p.other_person
        ) AS holders
        FROM placed p
    )
    SELECT s.id, s.sent_at, s.campaign, s.recipient, s.decision, s.screening, s.row_no, s.expires_at,
        CASE WHEN NOT s.judged THEN NULL
            WHEN s.decision IS NOT NULL THEN s.decision
            WHEN s.screening IS NOT NULL THEN md5(s.screening || ':' || s.row_no)::uuid
            WHEN s.campaign <> '' THEN
                md5(s.type || ':' || encode(s.lookup, 'hex') || ':' || s.channel || ':' || s.campaign)::uuid END,
        {_FINDINGS}
    FROM s
    ON CONFLICT (receipt_id) DO UPDATE SET sent_at = excluded.sent_at, campaign = excluded.campaign,
        recipient = excluded.recipient, decision_id = excluded.decision_id, screening_id = excluded.screening_id,
        row_no = excluded.row_no, expires_at = excluded.expires_at, basis = excluded.basis,
        findings = excluded.findings | (consent_send_match.findings & {F.DOUBLE.value})
"""  # noqa: S608 - text of our own

_DOUBLE = f"""
    UPDATE consent_send_match m SET findings = o.findings FROM (
        SELECT a.receipt_id, a.findings AS before, (a.findings & ~{F.DOUBLE.value}) | CASE
            WHEN r.status = 'delivered' AND row_number() OVER (
                PARTITION BY a.basis, r.status ORDER BY a.sent_at, a.receipt_id) > 1
            THEN {F.DOUBLE.value} ELSE 0 END AS findings
        FROM consent_send_match a JOIN consent_send_receipt r ON r.id = a.receipt_id
        WHERE a.basis IN (
            SELECT DISTINCT n.basis FROM {{scope}} x JOIN consent_send_match n ON n.receipt_id = x.id)
    ) o WHERE o.receipt_id = m.receipt_id AND o.findings <> o.before
"""  # noqa: S608 - text of our own

_FOUND = """
    SELECT m.findings, count(*) FROM {scope} x JOIN consent_send_match m ON m.receipt_id = x.id GROUP BY m.findings
"""


def sends_match(receipts: Iterable[SendReceipt]) -> dict[str, int]:
    """Match these sends in the caller's transaction; returns how many have each finding, by its name."""
    return _match(stage_rows("send_scope", {"id": "uuid"}, [(receipt.pk,) for receipt in receipts]))


def sends_reconcile(*, since: datetime, until: datetime, campaign: str = "") -> int:
    """Match every send of a period anew, a day at a time; returns how many. What was right stays what it was.

    Receipts are matched when they come in. This finds what was not known then: a register put right, a row of a
    screening that was still to come.
    """
    count = 0
    start = since
    while start < until:
        end = min(start + _SLICE, until)
        with transaction.atomic():
            reports_lock()
            scope = stage_rows("send_scope", {"id": "uuid"}, [])
            wanted = SendReceipt.objects.filter(sent_at__gte=start, sent_at__lt=end)
            if campaign:
                wanted = wanted.filter(campaign=campaign)
            text, values = wanted.order_by().values("id").query.sql_with_params()
            with connection.cursor() as cursor:
                cursor.execute(f"INSERT INTO {scope} (id) {text}", values)
                found = cursor.rowcount
            if found:
                _match(scope)
            count += found
        start = end
    return count


def reports_lock() -> None:
    """Take reports one at a time until the transaction ends: two of the same send must see each other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [REPORT_LOCK])


def _match(scope: str) -> dict[str, int]:
    register = register_live()
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {scope}")
        cursor.execute(
            f"SELECT DISTINCT r.campaign FROM {scope} x JOIN consent_send_receipt r ON r.id = x.id"  # noqa: S608
        )
        marketing = campaigns_marketing({campaign for (campaign,) in cursor.fetchall()}, register)
        cursor.execute(_BASIS_TABLE)
        values: dict[str, Any] = {
            "skew": SENDER_SKEW,
            "ttl": timedelta(seconds=option("CHECK_TTL_SECONDS")),
            "marketing": sorted(marketing),
        }
        cursor.execute(_BASIS.format(scope=scope), values)
        cursor.execute("ANALYZE pg_temp.send_basis")
        cursor.execute(_TERMS)
        asked: list[tuple[str, str, str]] = cursor.fetchall()
    terms = _terms_stage(asked, register)
    with connection.cursor() as cursor:
        cursor.execute(_MATCH.format(scope=scope, terms=terms))
        cursor.execute(_DOUBLE.format(scope=scope))
        cursor.execute(_FOUND.format(scope=scope))
        counts: Counter[SendFinding] = Counter()
        for bits, count in cursor.fetchall():
            counts.update(dict.fromkeys(findings_of(bits), count))
    return {finding.name or "": counts[finding] for finding in FINDINGS if counts[finding]}


def campaigns_marketing(campaigns: Collection[str], register: LiveRegister) -> frozenset[str]:
    """Return which of these campaigns are marketing, by any sign of it, whatever their sends are reported as."""
    at, plans = timezone.now(), register.rules.plans
    return frozenset(
        code
        for code in campaigns
        if code in plans and judge_send(plans[code], register=register.rules, at=at).marketing
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What a send of one campaign, channel and purpose owes, by the register of today. Purposes are database keys."""

    duties: tuple[str, ...] = ()
    vendor: str = ""
    marketing: bool = False
    window: tuple[object, object] | None = None
    own: int | None = None
    heard: tuple[int, ...] = ()
    wider: tuple[int, ...] = ()


def terms_of(campaign: str, channel: str, purpose: str, register: LiveRegister) -> Terms:
    """Return the terms of a send. An empty purpose is the campaign's own."""
    at, rules = timezone.now(), register.rules
    asked = Asked(campaign=campaign or None, channel=channel or None, purpose=purpose or None)
    plan = plan_of(asked, rules, at)
    judgement = judge_send(plan, register=rules, at=at)
    duties = obligations(plan, judgement, verdict_of(0, {}, marketing=judgement.marketing), rules)
    keys, book = register.governed.purpose_keys, rules.book
    known = book.purposes.get(plan.purpose)
    return Terms(
        duties=tuple(str(duty["code"]) for duty in duties),
        vendor=plan.recipient or "",
        marketing=judgement.marketing,
        window=rules.policy.quiet_windows.get(channel) if judgement.marketing else None,
        own=keys.get(plan.purpose),
        heard=tuple(keys[code] for code in sorted({plan.purpose, *known.contains}) if code in keys) if known else (),
        wider=tuple(keys[code] for code in book.wider(plan.purpose) if code in keys) if known else (),
    )


def _terms_stage(asked: Sequence[tuple[str, str, str]], register: LiveRegister) -> str:
    rows = []
    for campaign, channel, purpose in asked:
        terms = terms_of(campaign, channel, purpose, register)
        opens, closes = terms.window or (None, None)
        owed = [code for code in terms.duties if code in REPORTED_DUTIES]
        rows.append(
            (
                campaign,
                channel,
                purpose,
                list(terms.duties),
                owed,
                terms.vendor,
                terms.marketing,
                opens,
                closes,
                terms.own,
                list(terms.heard),
                list(terms.wider),
            )
        )
    return stage_rows(
        "send_terms",
        {
            "campaign": "text",
            "channel": "text",
            "purpose": "text",
            "duties": "text[]",
            "owed": "text[]",
            "vendor": "text",
            "marketing": "boolean",
            "opens": "time",
            "closes": "time",
            "own": "bigint",
            "heard": "bigint[]",
            "wider": "bigint[]",
        },
        rows,
    )
