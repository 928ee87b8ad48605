"""Doors for the queue. A message carries a kind and an id and nothing else; the row is the job."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from audit.actors import SYSTEM
from audit.services.verification import ledger_verify, verification_due
from consent.services.jobs import job_run, jobs_sweep
from consent.services.screenings import screenings_expire
from consent.services.uploads import uploads_expire


@shared_task(name="consent.job_run")
def run_job(kind: str, job_id: str) -> None:
    """Run one job. Delivered twice, it runs once: the second finds it claimed or done."""
    job_run(kind, UUID(job_id))


@shared_task(name="consent.jobs_sweep")
def sweep() -> None:
    """Restart orphaned jobs and delete files whose day is over."""
    at = timezone.now()
    jobs_sweep()
    screenings_expire(at=at)
    uploads_expire(at=at)


@shared_task(name="audit.ledger_verify")
def verify_ledger() -> None:
    """Verify the ledger once a day, whoever calls how often."""
    if verification_due(timezone.now()):
        ledger_verify(actor=SYSTEM)
