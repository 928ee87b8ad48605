"""Verify the whole ledger and say what was found."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actors import SYSTEM
from audit.errors import ZhixuError
from audit.services.verification import ledger_verify


class Command(BaseCommand):
    help = "Compute the ledger again from its entries and compare it with everything that was signed and anchored."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = ledger_verify(actor=SYSTEM)
        except ZhixuError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{found.result}: {found.size:,} entries, {found.heads:,} signed heads, root {bytes(found.root).hex()}"
        )
        for finding in found.findings:
            self.stdout.write(f"  {finding['code']}: {finding['count']} ({', '.join(finding['places'])})")
        if found.result != "whole":
            raise CommandError("the ledger is not whole", returncode=2)
