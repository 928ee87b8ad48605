"""Judge a past decision again and compare, finding by finding."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from audit.actors import SYSTEM
from audit.errors import ZhixuError
from audit.problems import words_of
from consent.services.replays import decision_replay

DIFFERENT = 2


class Command(BaseCommand):
    help = "Judge a past decision again, with its rule set and the database it saw. Exit 0: the same; 2: different."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("id", help="the decision's id, as the answer gave it (dec_…)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            decision_id = UUID(options["id"].removeprefix("dec_"))
        except ValueError:
            raise CommandError("this is no decision id") from None
        try:
            found = decision_replay(decision_id=decision_id, actor=SYSTEM)
        except ZhixuError as error:
            raise CommandError(f"{error.code}: {words_of(error)}") from None
        lines = {
            "decision": f"dec_{decision_id.hex}",
            "decided at": found.decided_at.isoformat(),
            "judged for": found.judged_at.isoformat(),
            "rule set": found.rule_set,
            "snapshot": found.snapshot,
            "ledger size": "–" if found.ledger_size is None else str(found.ledger_size),
            "kept": found.kept.decode(),
            "again": found.again.decode(),
            "same": "yes, byte for byte" if found.same else "NO",
        }
        for name, value in lines.items():
            self.stdout.write(f"{name:<12} {value}")
        if not found.same:
            sys.exit(DIFFERENT)
