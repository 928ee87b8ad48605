"""One check, or many for one campaign: fetch, judge, keep the decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from benchmarks.naive.people import person_load
from benchmarks.naive.rules import Decided, combine, judge_person
from benchmarks.naive.screening import BatchLoader
from benchmarks.naive.sends import Findings, Send, judge_send, send_load
from consent.decisions.bits import OUTCOME_NUMBERS
from consent.decisions.reasons import RULE_SET
from consent.models import Decision
from governance.crypto.blind_index import lookup
from governance.domain.identifiers import IDENTIFIER_TYPES, canonical_reader
from governance.models import APIClient, Controller


@dataclass(frozen=True)
class Asked:
    """What a call asks about, beside the person."""

    kind: str
    campaign: str
    planned_at: datetime | None
    client: APIClient
    request_hash: bytes


def identifier_read(kind: str, value: str) -> bytes | None:
    """Return the look-up value of an identifier, or None for a malformed one."""
    identifier = IDENTIFIER_TYPES[kind]
    pattern = Controller.objects.get().member_id_pattern if kind == "member_id" else ""
    canonical = canonical_reader(identifier, pattern)(value)
    return lookup(identifier, canonical) if canonical else None


def check(key: bytes, asked: Asked) -> tuple[Decided, Decision]:
    """Decide for one identifier and save the decision."""
    now = timezone.now()
    at = max(asked.planned_at or now, now)
    findings: Findings = {}
    send = send_load(asked.campaign, at, findings)
    if send is not None:
        judge_send(send, findings)
        judge_person(send, person_load(send, key), findings)
    decided = combine(findings, marketing=send.marketing if send else True)
    decision = _decision(key, asked, send, decided, now, at)
    decision.save(force_insert=True)
    return decided, decision


def check_many(keys: list[bytes], asked: Asked) -> list[tuple[Decided, Decision]]:
    """Decide for many identifiers with a number of queries that does not grow. Plain marketing campaigns only."""
    now = timezone.now()
    at = max(asked.planned_at or now, now)
    findings: Findings = {}
    send = send_load(asked.campaign, at, findings)
    assert send is not None, "the benchmark's campaign can be judged"
    judge_send(send, findings)
    facts = BatchLoader(send).load(keys)
    made = []
    for key in keys:
        found = dict(findings)
        judge_person(send, facts[key], found)
        decided = combine(found, marketing=send.marketing)
        made.append((decided, _decision(key, asked, send, decided, now, at)))
    Decision.objects.bulk_create([decision for _, decision in made])
    return made


def _decision(key: bytes, asked: Asked, send: Send | None, decided: Decided, now: datetime, at: datetime) -> Decision:
    return Decision(
        decided_at=now,
        judged_at=at,
        client=asked.client,
        campaign=asked.campaign,
        purpose=send.purpose.code if send else "",
        channel=send.channel.code if send else "",
        request_hash=asked.request_hash,
        type=IDENTIFIER_TYPES[asked.kind].value,
        lookup=key,
        register_version=0,
        rule_set=RULE_SET,
        send_codes=";".join(code.name for code in decided.codes)[:400],
        subject_bits=0,
        outcome=OUTCOME_NUMBERS[decided.outcome],
    )
