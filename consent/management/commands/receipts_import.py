"""Take in a file of send receipts. Run it again after a fix: what was taken before is not taken again."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.actors import SYSTEM
from audit.errors import ZhixuError
from audit.problems import words_of
from consent.management.progress import Progress
from consent.models import SendReport
from consent.selectors.jobs import job_error
from consent.services.imports import file_sha256
from consent.services.send_reports import FORMATS, report_errors_path, report_run, report_start

REFUSED = 2


class Command(BaseCommand):
    help = "Take in what was really sent, as CSV or as lines of JSON. Exit 0: all lines; 2: some were refused."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", choices=FORMATS, help="told by the file's name unless given")
        parser.add_argument("--errors", type=Path, help="copy the row-level errors (row,code,field) here")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"].resolve()
        if not path.is_file():
            raise CommandError(f"{options['file']} is no file")
        form = options["format"] or ("csv" if path.suffix.lower() == ".csv" else "ndjson")
        try:
            report = _broken_off(path, form) or report_start(path=path, form=form, actor=SYSTEM)
        except ZhixuError as error:
            raise CommandError(f"{error.context.get('reason', error.code)}: {words_of(error)}") from None
        progress = Progress("receipts")
        done = report_run(report.pk, on_progress=progress)
        progress.done()
        if done is None or done.status != "done":
            raise CommandError(f"{done.error_code}: {job_error(done)}" if done else "the report was taken over")
        errors = report_errors_path(done)
        if options["errors"]:
            shutil.copyfile(errors, options["errors"])
            errors = options["errors"]
        self.stdout.write(
            f"{done.rows_done:,} lines: {done.accepted:,} taken, {done.replayed:,} known before, "
            f"{done.refused:,} refused"
        )
        for code, count in sorted(done.by_code.items(), key=lambda pair: -pair[1]):
            self.stdout.write(f"  {code}: {count:,}")
        if done.refused:
            self.stdout.write(f"errors: {errors}")
            sys.exit(REFUSED)


def _broken_off(path: Path, form: str) -> SendReport | None:
    """Return the report of this very file that a killed process left: go on with it."""
    return SendReport.objects.filter(
        source=str(path),
        source_format=form,
        sha256=file_sha256(path),
        status="running",
        lease_until__lt=timezone.now(),
    ).first()
