"""Fold the whole consent ledger anew into the stored states."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from consent.services.states import states_rebuild


class Command(BaseCommand):
    help = "Rebuild every person's consent states from the ledger. Safe while serving: people are locked in batches."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{states_rebuild():,} people rebuilt")
