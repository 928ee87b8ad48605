"""Run the sequencer: entries into the tree, heads signed, until stopped."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from audit.domain.roles import SEQUENCER
from audit.services.roles import role_guard
from audit.services.sequencing import sequence_until


class Command(BaseCommand):
    help = "Put committed audit entries into the tree and sign its head, every second until stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is due and exit")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between rounds")

    def handle(self, *args: Any, **options: Any) -> None:
        role_guard(SEQUENCER)
        stop = threading.Event()
        if options["once"]:
            stop.set()
        else:
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, lambda *_: stop.set())
        sequence_until(stop, interval=options["interval"])
