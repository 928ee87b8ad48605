"""What went wrong with a screening or an import, in words."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from consent.models import ConsentImport, Screening, SendReport
from governance.domain.tables import TABLE_ERRORS

JOB_ERRORS: dict[str, str] = TABLE_ERRORS | {
    "file_unreadable": _("The file is gone or cannot be read."),
    "too_many_attempts": _("The job broke off again and again. Look into the log of the worker."),
}


def job_error(job: Screening | ConsentImport | SendReport) -> str:
    """Return why a job failed, in the active language; empty if it did not."""
    words = JOB_ERRORS.get(job.error_code)
    return gettext(words) % {"what": job.error_detail} if words else job.error_code
