"""Refresh the catalogs of messages from the sources. Needs Babel, and no gettext on the machine."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Bring the translations in step with the sources; --check only says what is not."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if anything is out of step")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from audit.management.catalogs import catalogs_differ, catalogs_write
        except ImportError as error:
            raise CommandError(f"{error}; install requirements/test.txt") from None
        if options["check"]:
            differences = catalogs_differ()
            for line in differences:
                self.stderr.write(line)
            if differences:
                self.stderr.write("run manage.py messages and translate what is new")
                sys.exit(1)
            return
        missing = catalogs_write()
        for package, keys in missing.items():
            self.stdout.write(f"{package}: {len(keys)} to translate")
        if not missing:
            self.stdout.write("every message is translated")
