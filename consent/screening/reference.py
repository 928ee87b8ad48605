"""The reference backend: the pure rules on facts folded from the records. Any instant, one row at a time."""

from __future__ import annotations

from collections.abc import Sequence

from consent.decisions.engine import SendJudgement, Verdict, judge_row
from consent.decisions.facts import RowFacts
from consent.decisions.history import Contact
from consent.selectors.history import past_of
from consent.selectors.register import LiveRegister


class ReferenceBackend:
    def __init__(self, register: LiveRegister) -> None:
        self._register = register

    def screen(self, contacts: Sequence[Contact], judgement: SendJudgement) -> list[Verdict]:
        requirement = judgement.requirement
        if requirement is None:
            return [judge_row(RowFacts(), judgement) for _ in contacts]
        past = past_of(set(contacts), self._register)
        return [judge_row(past.facts(contact, requirement), judgement) for contact in contacts]
