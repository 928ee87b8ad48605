"""Export the ledger as evidence that anybody verifies offline with `zhixu-verify`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.actors import SYSTEM
from audit.errors import ZhixuError
from audit.problems import words_of
from audit.services.exports import ledger_export


class Command(BaseCommand):
    help = (
        "Write the whole ledger, its signed heads and where everybody stands into an empty folder. "
        "Nothing in it is personal data in clear. Check it with: zhixu-verify FOLDER"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--wait", type=float, default=5.0, help="seconds to wait for a running sequencer")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = ledger_export(
                folder=options["folder"],
                actor=SYSTEM,
                at=timezone.now(),
                wait=options["wait"],
                on_progress=self._progress if sys.stderr.isatty() else None,
            )
        except ZhixuError as error:
            raise CommandError(words_of(error)) from None
        self.stdout.write(f"{done.size:,} entries exported; the export is entry {done.entry}")
        if not done.sealed:
            self.stderr.write(f"the ledger did not take the export's own entry: {done.reason}")
            sys.exit(1)

    def _progress(self, what: str, done: int, total: int) -> None:
        of = f"/{total:,}" if total else ""
        self.stderr.write(f"\r\x1b[K{what} {done:,}{of}", ending="\n" if done >= total > 0 else "")
