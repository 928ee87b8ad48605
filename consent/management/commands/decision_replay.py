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
from consent.services.decision_seals import SealedProof, decision_prove
from consent.services.replays import Replay, decision_replay

DIFFERENT = 2


class Command(BaseCommand):
    help = "Judge a past decision again, with its rule set and the database it saw. Exit 0: the same; 2: different."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="+", metavar="id", help="ids of decisions, as the answers gave them (dec_…)")

    def handle(self, *args: Any, **options: Any) -> None:
        same = True
        for text in options["ids"]:
            found = self._replay(text)
            self.stdout.write(_shown(found, decision_prove(found.decision_id)))
            same = same and found.same
        if not same:
            sys.exit(DIFFERENT)

    def _replay(self, text: str) -> Replay:
        try:
            decision_id = UUID(text.removeprefix("dec_"))
        except ValueError:
            raise CommandError(f"{text[:60]} is no decision id") from None
        try:
            return decision_replay(decision_id=decision_id, actor=SYSTEM)
        except ZhixuError as error:
            raise CommandError(f"{error.code}: {words_of(error)}") from None


def _shown(found: Replay, proof: SealedProof | None) -> str:
    lines = {
        "decision": f"dec_{found.decision_id.hex}",
        "decided at": found.decided_at.isoformat(),
        "judged for": found.judged_at.isoformat(),
        "rule set": found.rule_set,
        "snapshot": found.snapshot,
        "ledger size": "–" if found.ledger_size is None else str(found.ledger_size),
        "sealed in": f"entry {proof.entry_id}, {proof.index + 1} of {proof.count}, root sha256:{proof.root.hex()}"
        if proof
        else "–",
        "kept": found.kept.decode(),
        "again": found.again.decode(),
        "same": "yes, byte for byte" if found.same else "NO",
    }
    return "".join(f"{name:<12} {value}\n" for name, value in lines.items())
