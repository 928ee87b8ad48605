"""Import a file of historic consents. Run it again after a fix: rows that are in are skipped."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.actors import SYSTEM
from audit.errors import ZhixuError
from audit.problems import words_of
from consent.management.progress import Progress
from consent.models import ConsentImport
from consent.selectors.jobs import job_error
from consent.services.imports import (
    consents_import_run,
    consents_import_start,
    file_sha256,
    import_errors_path,
)
from governance.domain.cells import clean, parse_instant


class Command(BaseCommand):
    help = "Import historic consents from a CSV file (GB18030 or UTF-8, Chinese or English headers)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="judge every row, write nothing")
        parser.add_argument("--imported-at", help="the instant of import; later events are refused (default: now)")
        parser.add_argument("--errors", type=Path, help="where to write the refused rows (row,code)")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"].resolve()
        if not path.is_file():
            raise CommandError(f"{options['file']} is no file")
        imported_at = timezone.now()
        if options["imported_at"]:
            given = parse_instant(clean(options["imported_at"]))
            if given is None:
                raise CommandError("--imported-at: write it as 2026-11-20 22:00:00 or with an offset")
            imported_at = min(given, imported_at)
        try:
            job = self._unfinished(path, dry_run=options["dry_run"]) or consents_import_start(
                path=path, dry_run=options["dry_run"], imported_at=imported_at, actor=SYSTEM
            )
        except ZhixuError as error:
            raise CommandError(f"{error.context.get('reason', error.code)}: {words_of(error)}") from None
        progress = Progress("importing")
        done = consents_import_run(job.pk, on_progress=progress)
        progress.done()
        if done is None:
            raise CommandError("another process is working on this import")
        if done.status != "done":
            raise CommandError(f"{done.error_code}: {job_error(done)}")
        if options["errors"]:
            shutil.copyfile(import_errors_path(done), options["errors"])
        self.stdout.write(
            f"{'dry run: ' if done.dry_run else ''}{done.rows_done:,} rows, {done.accepted:,} accepted, "
            f"{done.refused:,} refused, {done.replayed:,} replayed"
        )
        for code, count in done.by_code.items():
            self.stdout.write(f"  {code}: {count:,}")

    def _unfinished(self, path: Path, *, dry_run: bool) -> ConsentImport | None:
        """An import of this very file that a killed process left: go on with it."""
        return ConsentImport.objects.filter(
            source=str(path),
            sha256=file_sha256(path),
            dry_run=dry_run,
            status="running",
            lease_until__lt=timezone.now(),
        ).first()
