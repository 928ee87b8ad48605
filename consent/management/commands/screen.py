"""Screen an audience file for a campaign, with progress; writes allow, deny and invalid lists and the manifest."""

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
from consent.screening.audience import FORMATS
from consent.selectors.jobs import job_error
from consent.services.screenings import FILES, AudienceFile, screening_folder, screening_run, screening_start
from governance.domain.cells import clean, parse_instant
from governance.domain.identifiers import IDENTIFIER_TYPES


class Command(BaseCommand):
    help = "Screen an audience file for a campaign."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--campaign", required=True)
        parser.add_argument("--type", default="phone", choices=sorted(IDENTIFIER_TYPES), help="kind of identifier")
        parser.add_argument("--column", default="", help="column of the identifier (not needed if there is one)")
        parser.add_argument("--format", default="csv", choices=FORMATS)
        parser.add_argument("--carry", action="append", default=[], help="a column to copy to the results")
        parser.add_argument("--as-of", help="judge from the ledger as of this instant; a simulation")
        parser.add_argument("--out", type=Path, help="copy the result files and the manifest to this folder")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"].resolve()
        if not path.is_file():
            raise CommandError(f"{options['file']} is no file")
        as_of = None
        if options["as_of"]:
            as_of = parse_instant(clean(options["as_of"]))
            if as_of is None:
                raise CommandError("--as-of: write it as 2026-11-20 22:00:00 or with an offset")
        audience = AudienceFile(path, options["format"], options["column"], tuple(options["carry"]))
        try:
            screening = screening_start(
                audience=audience,
                campaign=options["campaign"],
                subject_type=options["type"],
                actor=SYSTEM,
                at=timezone.now(),
                as_of=as_of,
            )
        except ZhixuError as error:
            raise CommandError(f"{error.context.get('reason', error.code)}: {words_of(error)}") from None
        progress = Progress("screening")
        done = screening_run(screening.pk, on_progress=progress)
        progress.done()
        if done is None or done.status != "done":
            raise CommandError(f"{done.error_code}: {job_error(done)}" if done else "the screening was taken over")
        folder = screening_folder(done.pk)
        if options["out"]:
            options["out"].mkdir(parents=True, exist_ok=True)
            for name in FILES:
                shutil.copyfile(folder / f"{name}.csv", options["out"] / f"{name}.csv")
            (options["out"] / "manifest.txt").write_text(done.manifest)
            folder = options["out"]
        counts = ", ".join(f"{count:,} {name}" for name, count in done.counts.items())
        self.stdout.write(f"{done.rows_done:,} rows: {counts}")
        for code, count in sorted(done.by_code.items(), key=lambda pair: -pair[1]):
            self.stdout.write(f"  {code}: {count:,}")
        self.stdout.write(f"results: {folder}")
