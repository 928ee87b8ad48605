"""Write a new key ring. Keep a copy in a safe place: without it the stored data cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.options import option
from governance.crypto.keyring import keyring_create


class Command(BaseCommand):
    help = "Create the key ring at ZHIXU_KEYRING. Never overwrites one."
    requires_system_checks: list[str] = []  # they want the key ring, and a demo's would make one

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(option("KEYRING"))
        if path.exists():
            raise CommandError(f"{path} exists; a key ring is never overwritten")
        keyring_create(path)
        self.stdout.write(f"{path} written, readable by its owner only")
