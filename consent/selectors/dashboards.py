"""What is on fire, in a handful of cheap queries: nothing here counts people or records one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q

from consent.decisions.engine import Findings, judge_send
from consent.domain.terms import Severity
from consent.models import Campaign, ConsentImport, Screening
from consent.selectors.jobs import job_error
from consent.selectors.register import LiveRegister, register_live

PLANNED_DAYS = 14
FAILED_DAYS = 7
STUCK = timedelta(minutes=10)
_COUNTED = 10_000
_TABLES = {
    "people": "consent_subject",
    "records": "consent_record",
    "decisions": "consent_decision",
    "suppressions": "consent_suppression",
    "entries": "audit_entry",
}


@dataclass(frozen=True, slots=True)
class PlannedCampaign:
    """A campaign that is due soon and would not go out as it is."""

    pk: int
    code: str
    name: str
    planned_at: datetime
    findings: Findings  # those that deny or hold


@dataclass(frozen=True, slots=True)
class TroubledJob:
    kind: str  # screening or import
    pk: object
    name: str
    status: str
    stuck: bool
    created_at: datetime
    error_code: str
    error_detail: str


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows a table holds: counted while it is small, afterwards the planner's estimate."""

    rows: int
    exact: bool


@dataclass(frozen=True)
class Overview:
    campaigns: list[PlannedCampaign]
    jobs: list[TroubledJob]
    screenings: list[Screening]
    names: Mapping[str, str]  # codes of their campaigns → names
    register: Mapping[str, int]  # registered thing → how many
    sizes: Mapping[str, Size]
    register_version: int


def overview_get(*, at: datetime) -> Overview:
    """Return what the first page shows."""
    register = register_live()
    rules = register.rules
    screenings = list(Screening.objects.order_by("-id")[:6])
    return Overview(
        campaigns=_campaigns(register, at),
        jobs=_jobs(at),
        screenings=screenings,
        names=dict(Campaign.objects.filter(code__in=[row.campaign for row in screenings]).values_list("code", "name")),
        register={
            "campaign": len(rules.plans),
            "purpose": len(rules.book.purposes),
            "channel": len(rules.channels),
            "datafield": len(rules.fields),
            "recipient": len(rules.recipients),
            "impactassessment": len(rules.assessments),
            "noticeversion": len(rules.book.notices),
            "collectionpoint": len(rules.book.points),
        },
        sizes=_sizes(),
        register_version=register.version,
    )


def _campaigns(register: LiveRegister, at: datetime) -> list[PlannedCampaign]:
    until = at + timedelta(days=PLANNED_DAYS)
    plans = [p for p in register.rules.plans.values() if p.planned_at and at <= p.planned_at <= until]
    troubled: dict[str | None, Findings] = {}
    for plan in plans:
        findings = judge_send(plan, register=register.rules, at=plan.planned_at or at).findings
        serious: Findings = {
            reason: weight for reason, weight in findings.items() if weight in (Severity.DENY, Severity.HOLD)
        }
        if serious:
            troubled[plan.campaign] = serious
    rows = Campaign.objects.filter(code__in=troubled).order_by("planned_at")
    return [
        PlannedCampaign(row.pk, row.code, row.name, row.planned_at, troubled[row.code])
        for row in rows
        if row.planned_at
    ]


def _jobs(at: datetime) -> list[TroubledJob]:
    troubled = (
        Q(status="failed", finished_at__gte=at - timedelta(days=FAILED_DAYS))
        | Q(status="queued", created_at__lt=at - STUCK)
        | Q(status="running", lease_until__lt=at)
    )
    rows: list[Screening | ConsentImport] = [
        *Screening.objects.filter(troubled).order_by("-id")[:10],
        *ConsentImport.objects.filter(troubled).order_by("-id")[:10],
    ]
    return [
        TroubledJob(
            kind="screening" if isinstance(row, Screening) else "import",
            pk=row.pk,
            name=row.campaign if isinstance(row, Screening) else "",
            status=row.status,
            stuck=row.status != "failed",
            created_at=row.created_at,
            error_code=row.error_code,
            error_detail=job_error(row),
        )
        for row in sorted(rows, key=lambda row: row.created_at, reverse=True)
    ]


def _sizes() -> dict[str, Size]:
    """Count small tables, and no further than `_COUNTED`; ask the planner about large ones. One statement."""
    counts = ", ".join(
        f"(SELECT reltuples::bigint FROM pg_class WHERE oid = '{table}'::regclass), "  # noqa: S608 - our own names
        f"(SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {_COUNTED + 1}) AS head)"
        for table in _TABLES.values()
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts}")
        row = cursor.fetchone()
    pairs = zip(_TABLES, row[::2], row[1::2], strict=True)
    return {
        name: Size(head, True) if head <= _COUNTED else Size(max(estimate, _COUNTED), False)
        for name, estimate, head in pairs
    }
