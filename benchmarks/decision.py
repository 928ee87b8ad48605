"""One decision about one person in memory, with all reasons: our rules beside Cedar's engine. No database is asked.

    python -m benchmarks.decision [--quick] [--rounds N]        needs the extra `bench` (cedarpy)

The cases are the rows of all sample audiences. Both sides are handed what is known of the person; Cedar its policies
parsed, its campaigns parsed, and its requests as ready JSON. Cases with several holders of one identifier Cedar
cannot express (it walks no lists of people): they are counted and left to us.
"""

from __future__ import annotations

import json
import random
import sys
import time
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median

from benchmarks.harness import Goals, WrongAnswerError, laboratory, machine, say, spread, table
from benchmarks.retailer import questions, retailer_load

GOAL = 2
"""The rule book is plain Python, for people to read; it must not be slower for it than an engine in Rust."""

BATCH = 1000
SEVERITIES_THAT_STOP = ("deny", "hold", "defer")


@dataclass
class Case:
    campaign: str
    judgement: object
    facts: object
    request: dict[str, object]


@dataclass
class Timed:
    """One way to decide all cases, and its CPU µs for one, a value a round."""

    name: str
    decide_all: Callable[[], int]
    us: list[float] = field(default_factory=list)

    def round(self) -> None:
        start = time.process_time()
        decided = self.decide_all()
        self.us.append(1e6 * (time.process_time() - start) / decided)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the cases")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with laboratory(durable=False):
        sys.exit(run(rounds=options.rounds, quick=options.quick))


def run(*, rounds: int, quick: bool) -> int:
    from cedarpy import Entities, PolicySet, is_authorized, is_authorized_batch

    from benchmarks.cedar.world import POLICIES
    from consent.decisions.bits import bits_of, verdict_of
    from consent.decisions.engine import SendJudgement, judge_row, judge_send
    from consent.selectors.register import register_live

    retailer_load()
    cases, entities, left_out = cases_make()
    random.Random(20261122).shuffle(cases)  # noqa: S311 - an order that favours nobody
    if quick:
        cases = cases[: len(cases) // 5]
    policies = PolicySet.from_str(POLICIES.read_text())
    campaigns = Entities.from_json_str(json.dumps(entities))
    say(f"comparing {len(cases):,} cases")
    allowed = compare(cases, policies, campaigns)

    rules = register_live().rules
    plans = [(rules.plans[case.campaign], case.judgement.requirement.at) for case in cases]
    requests = [case.request for case in cases]
    bits = [
        bits_of(dict(judge_row(case.facts, SendJudgement({}, case.judgement.requirement, True)).findings))
        for case in cases
    ]

    def ours() -> int:
        for case in cases:
            judge_row(case.facts, case.judgement)
        return len(cases)

    def ours_with_send() -> int:
        for case, (plan, at) in zip(cases, plans, strict=True):
            judge_row(case.facts, judge_send(plan, register=rules, at=at))
        return len(cases)

    def ours_from_bits() -> int:
        for case, found in zip(cases, bits, strict=True):
            verdict_of(found, case.judgement.findings, marketing=case.judgement.marketing)
        return len(cases)

    def cedar() -> int:
        for request in requests:
            is_authorized(request, policies, campaigns)
        return len(cases)

    def cedar_batch() -> int:
        for start in range(0, len(requests), BATCH):
            is_authorized_batch(requests[start : start + BATCH], policies, campaigns)
        return len(cases)

    timed = [
        Timed("ours, the rules about one person", ours),
        Timed("ours, the rules about the send as well", ours_with_send),
        Timed("ours, from the bits PostgreSQL found", ours_from_bits),
        Timed("Cedar, one request", cedar),
        Timed(f"Cedar, batches of {BATCH:,}", cedar_batch),
    ]
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}" if number else "warming up")
        for way in timed:
            way.round()
    print("\n".join([*machine(), f"cedarpy {version('cedarpy')}"]))
    print(
        f"cases: {len(cases):,} with one holder ({allowed:,} may be sent), all equal in may-send and in every code "
        f"that stops; {left_out:,} with several holders or without a plan left out\n"
    )
    report(timed, rounds, len(cases), goals := Goals())
    return goals.end()


def cases_make() -> tuple[list[Case], list[dict[str, object]], int]:
    """Return the cases, the campaigns as Cedar's entities, and how many cases Cedar cannot express."""
    from benchmarks.cedar.world import campaign_entity, request
    from consent.decisions.engine import judge_send
    from consent.decisions.history import Contact
    from consent.selectors.history import past_of
    from consent.selectors.register import register_live
    from governance.crypto.blind_index import lookup_maker
    from governance.domain.identifiers import IDENTIFIER_TYPES

    register = register_live()
    makers = {word: (kind, lookup_maker(kind)) for word, kind in IDENTIFIER_TYPES.items()}
    contacts: dict[str, list[Contact]] = defaultdict(list)
    for question in questions():
        kind, make = makers[question.kind]
        contacts[question.campaign].append(Contact(kind, make(question.value)))
    cases, entities, left_out = [], [], 0
    for campaign, asked in contacts.items():
        plan = register.rules.plans[campaign]
        judgement = judge_send(plan, register=register.rules, at=plan.planned_at)
        if judgement.requirement is None:
            left_out += len(asked)
            continue
        entities.append(campaign_entity(campaign, judgement, judgement.requirement))
        past = past_of(set(asked), register)
        for contact in asked:
            facts = past.facts(contact, judgement.requirement)
            if len(facts.holders) > 1:
                left_out += 1
            else:
                cases.append(Case(campaign, judgement, facts, request(campaign, facts, judgement.requirement)))
    return cases, entities, left_out


def compare(cases: Sequence[Case], policies: object, campaigns: object) -> int:
    """Raises WrongAnswerError unless both sides agree about every case; returns how many may be sent."""
    from cedarpy import is_authorized_batch

    from consent.decisions.engine import SendJudgement, judge_row

    allowed = 0
    found = is_authorized_batch([case.request for case in cases], policies, campaigns)
    for case, theirs in zip(cases, found, strict=True):
        if theirs.diagnostics.errors:
            raise WrongAnswerError(f"Cedar: {theirs.diagnostics.errors[0]}")
        verdict = judge_row(case.facts, case.judgement)
        person = judge_row(case.facts, SendJudgement({}, case.judgement.requirement, case.judgement.marketing))
        ours = {reason.name for reason, severity in person.findings if severity in SEVERITIES_THAT_STOP}
        codes = set(theirs.diagnostics.id_annotations_by_reason.values()) - {"SEND"}
        if verdict.outcome.may_send != theirs.allowed or ours != codes:
            raise WrongAnswerError(f"{case.campaign}: ours {verdict}, Cedar {theirs.decision} {sorted(codes)}")
        allowed += theirs.allowed
    return allowed


def report(timed: Sequence[Timed], rounds: int, cases: int, goals: Goals) -> None:
    for way in timed:
        del way.us[0]  # the warm-up
    base = median(timed[0].us)
    wanted = [None, None, None, GOAL, GOAL]
    rows = []
    for way, least in zip(timed, wanted, strict=True):
        ratio = median(way.us) / base
        rows.append(
            [
                way.name,
                f"{median(way.us):.1f}",
                spread(way.us),
                f"{ratio:.1f}",
                goals.at_least(way.name, ratio, least) if least else "",
                f"{rounds} x {cases:,}",
            ]
        )
    print(table(["one decision in memory", "CPU µs", "spread", "ratio", "goal", "rounds x cases"], rows), end="\n\n")


if __name__ == "__main__":
    main()
