"""The row is the job. It is claimed with a lease; a lease that ran out may be claimed by anybody.

With a broker configured a worker runs it, without one a thread of this process does. Either way a process
that dies leaves a row that the next one finds, and the work goes on where its last commit stands.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TypeVar
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import close_old_connections, connection, transaction
from django.db.models import Q
from django.utils import timezone

from consent.models import ConsentImport, Job, Screening, SendReport

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 5
JOB_KINDS: dict[str, type[Job]] = {"screening": Screening, "consent_import": ConsentImport, "send_report": SendReport}

AnyJob = TypeVar("AnyJob", Screening, ConsentImport, SendReport)


class JobLostError(RuntimeError):
    """Somebody else has the job now, or it was cancelled: stop without another write."""


def job_claim(model: type[AnyJob], job_id: UUID, *, at: datetime) -> AnyJob | None:
    """Take a job that nobody works on. None: done, taken, cancelled, or tried too often."""
    with transaction.atomic():
        job = model.objects.select_for_update(skip_locked=True).filter(pk=job_id).filter(_free(at)).first()
        if job is None:
            return None
        if job.attempt >= MAX_ATTEMPTS:
            job_fail(job, code="too_many_attempts", at=at)
            return None
        job.status = "running"
        job.attempt += 1
        job.lease_until = at + LEASE
        job.started_at = job.started_at or at
        job.save(update_fields=["status", "attempt", "lease_until", "started_at"])
    return job


def _free(at: datetime) -> Q:
    return Q(status="queued") | Q(status="running", lease_until__lt=at)


def job_keep(job: Job, at: datetime) -> None:
    """Renew the lease in the caller's transaction, and with it see that the job is still ours.

    Raises:
        JobLostError: cancelled, or claimed by another process.
    """
    held = type(job).objects.filter(pk=job.pk, status="running", attempt=job.attempt)  # type: ignore[attr-defined]
    if not held.update(lease_until=at + LEASE):
        raise JobLostError(str(job.pk))


def job_fail(job: Job, *, code: str, what: str = "", at: datetime) -> None:
    """End a job with a code of JOB_ERRORS and the column or row it is about: no personal data, and no language."""
    job.status, job.error_code, job.error_detail, job.finished_at = "failed", code, what[:500], at
    job.save(update_fields=["status", "error_code", "error_detail", "finished_at"])


def job_cancel(job: Job, *, at: datetime) -> bool:
    """Cancel a job that has not ended; the worker notices at its next commit. False: it had ended."""
    open_jobs = type(job).objects.filter(pk=job.pk, status__in=["queued", "running"])  # type: ignore[attr-defined]
    return bool(open_jobs.update(status="cancelled", finished_at=at))


def job_start(kind: str, job_id: UUID) -> None:
    """Have a job run after the current transaction commits: by a worker, or by a thread of this process."""
    if settings.CELERY_BROKER_URL:
        task = current_app.signature("consent.job_run", args=[kind, str(job_id)], immutable=True)
        transaction.on_commit(partial(task.delay), robust=True)
    else:
        transaction.on_commit(partial(_pool().submit, _in_thread, kind, job_id), robust=True)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="zhixu-job")


def _in_thread(kind: str, job_id: UUID) -> None:
    close_old_connections()
    try:
        _runner(kind)(job_id)
    finally:
        connection.close()


def _runner(kind: str) -> Callable[[UUID], object]:
    from consent.services.imports import consents_import_run
    from consent.services.screenings import screening_run
    from consent.services.send_reports import report_run

    return {"screening": screening_run, "consent_import": consents_import_run, "send_report": report_run}[kind]


def job_run(kind: str, job_id: UUID) -> None:
    """Run one job now, in this process."""
    _runner(kind)(job_id)


def jobs_sweep() -> int:
    """Start every job that is queued or whose worker died. Returns how many."""
    at = timezone.now()
    count = 0
    for kind, model in JOB_KINDS.items():
        stale = model.objects.filter(  # type: ignore[attr-defined]
            Q(status="queued", created_at__lt=at - timedelta(seconds=10)) | Q(status="running", lease_until__lt=at)
        )
        for job_id in stale.values_list("pk", flat=True):
            job_start(kind, job_id)
            count += 1
    return count
