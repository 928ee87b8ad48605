"""Put every send of a period beside the answer it rests on, and print what is wrong."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from consent.domain.sends import FINDINGS
from consent.management.tables import table
from consent.selectors.reconciliations import Tally, reconciliation_get
from consent.services.reconciliation import sends_reconcile
from governance.domain.cells import clean, parse_instant

FOUND = 2


class Command(BaseCommand):
    help = "Reconcile sends with decisions. Exit 0: every send was allowed and as allowed; 2: something was found."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", help="from this instant on (default: a week before its end)")
        parser.add_argument("--until", help="to before this instant (default: now)")
        parser.add_argument("--campaign", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        until = _instant(options["until"], "--until") or timezone.now()
        since = _instant(options["since"], "--since") or until - timedelta(days=7)
        if since >= until:
            raise CommandError("--since must lie before --until")
        sends_reconcile(since=since, until=until, campaign=options["campaign"])
        found = reconciliation_get(since=since, until=until, campaign=options["campaign"])
        self.stdout.write(
            f"{found.total.sends:,} sends from {since.isoformat()} to {until.isoformat()}, "
            f"{found.total.found:,} with findings\n"
        )
        if not found.total.sends:
            return
        groups = [("campaign", found.campaigns), ("recipient", found.recipients)]
        used = [finding for finding in FINDINGS if found.total.by_finding[finding]]
        self.stdout.write(
            table(
                ["finding", "sends"],
                [[finding.name, f"{found.total.by_finding[finding]:,}"] for finding in used],
                right=(1,),
            )
            if used
            else "nothing found"
        )
        for name, tallies in groups:
            head = [name, "sends", "found", *(str(finding.name) for finding in used)]
            rows = [_row(tally, used) for tally in tallies]
            self.stdout.write(f"\n{table(head, rows, right=range(1, len(head)))}")
        if found.total.found:
            sys.exit(FOUND)


def _row(tally: Tally, used: list[Any]) -> list[object]:
    counts = [tally.sends, tally.found, *(tally.by_finding[finding] for finding in used)]
    return [tally.name or "–", *(f"{count:,}" for count in counts)]


def _instant(text: str | None, name: str) -> datetime | None:
    if not text:
        return None
    at = parse_instant(clean(text))
    if at is None:
        raise CommandError(f"{name}: write it as 2026-11-20 22:00:00 or with an offset")
    return at
