"""Compare the stored states with the ledger; a changed row is named. Exits 1 if there is one."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from consent.services.states import states_verify


class Command(BaseCommand):
    help = "Verify that the stored consent states are the fold of the ledger."

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        for line in states_verify():
            count += 1
            self.stdout.write(line)
        self.stdout.write(f"{count} differences" if count else "the stored states agree with the ledger")
        if count:
            sys.exit(1)
