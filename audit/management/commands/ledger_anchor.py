"""Anchor the newest signed head now, without waiting for the intervals."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.errors import ZhixuError
from audit.selectors.ledger import checkpoint_latest
from audit.services.anchor_targets import anchor_targets
from audit.services.anchors import anchor_put


class Command(BaseCommand):
    help = "Put the newest signed head at every configured anchor that does not keep it yet."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            targets = anchor_targets()
        except ZhixuError as error:
            raise CommandError(str(error)) from None
        if not targets:
            raise CommandError("no anchors are configured: set ZHIXU_ANCHORS (docs/deploy.md)")
        if checkpoint_latest() is None:
            raise CommandError("nothing is signed yet: run ledger_sequencer")
        failed = 0
        for target in targets:
            row = anchor_put(target, at=None)
            failed += row is not None and not row.succeeded
            said = "nothing to do" if row is None else f"kept {row.size}" if row.succeeded else f"FAILED: {row.reply}"
            self.stdout.write(f"{target.kind} {target.target}: {said}")
        if failed:
            raise CommandError(f"{failed} of {len(targets)} anchors failed")
