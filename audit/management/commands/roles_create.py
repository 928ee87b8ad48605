"""Make the database roles and exactly their rights; run it before the first migrate and after every migrate."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from audit.errors import ZhixuError
from audit.services.roles import roles_create


class Command(BaseCommand):
    help = "Make or correct the database roles zx_owner, zx_web, zx_worker, zx_seq, zx_erase, zx_read and their rights."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--passwords", type=Path, metavar="FOLDER", help="one file per role; a missing one gets a new password"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            told = roles_create(passwords=options["passwords"], dry_run=options["dry_run"])
        except ZhixuError as error:
            raise CommandError(str(error)) from None
        except (DatabaseError, OSError) as error:
            raise CommandError(f"nothing was changed: {error}") from None
        for line in told:
            self.stdout.write(line)
        if not told:
            self.stdout.write("nothing to do: roles and rights are as they should be")
        elif options["dry_run"]:
            self.stdout.write("nothing was changed (--dry-run)")
