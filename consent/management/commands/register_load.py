"""Load purposes, notices, recipients, campaigns and the rest of the register from a folder."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.actors import SYSTEM
from audit.errors import ZhixuError
from audit.problems import words_of
from consent.services.register_files import register_load
from governance.domain.identifiers import DEFAULT_MEMBER_ID_PATTERN


class Command(BaseCommand):
    help = "Load the register from JSON files (see docs/samples.md). Everything or nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--member-id-pattern", default=DEFAULT_MEMBER_ID_PATTERN)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            register_load(
                folder=options["folder"],
                member_id_pattern=options["member_id_pattern"],
                actor=SYSTEM,
                at=timezone.now(),
            )
        except ZhixuError as error:
            raise CommandError(f"{error.code}: {words_of(error)}") from None
        self.stdout.write("register loaded")
