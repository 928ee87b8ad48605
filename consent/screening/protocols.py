"""What a screening backend is: any way to judge many identifiers that gives the answers of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from consent.decisions.engine import SendJudgement, Verdict
from consent.decisions.history import Contact


class ScreeningBackend(Protocol):
    def screen(self, contacts: Sequence[Contact], judgement: SendJudgement) -> list[Verdict]:
        """Return one verdict per contact, in the order given, as of `judgement.requirement.at`."""
        ...
