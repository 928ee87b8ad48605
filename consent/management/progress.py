"""A progress bar for people at a terminal; a line now and then for logs."""

from __future__ import annotations

import sys
import time

_WIDTH = 28


class Progress:
    """Call it with (rows done, rows in all). `done()` ends the line."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._drawn = False

    def __call__(self, rows: int, total: int) -> None:
        share = rows / total if total else 1.0
        speed = rows / max(time.monotonic() - self._started, 0.001)
        bar = "█" * int(share * _WIDTH) + "·" * (_WIDTH - int(share * _WIDTH))
        text = f"{self._label} {bar} {share:4.0%}  {rows:,}/{total:,}  {speed:,.0f}/s"
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{text}")
            self._drawn = True
        elif rows >= total:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def done(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
