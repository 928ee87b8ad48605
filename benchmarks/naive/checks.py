"""One check: fetch, judge, keep the decision."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from benchmarks.naive.people import person_load
from benchmarks.naive.rules import Decided, combine, judge_person
from benchmarks.naive.sends import Findings, judge_send, send_load
from consent.decisions.bits import OUTCOME_NUMBERS
from consent.decisions.reasons import RULE_SET
from consent.models import Decision
from governance.crypto.blind_index import lookup
from governance.domain.identifiers import IDENTIFIER_TYPES, canonical_reader
from governance.models import APIClient, Controller


def identifier_read(kind: str, value: str) -> bytes | None:
    """Return the look-up value of an identifier, or None for a malformed one."""
    identifier = IDENTIFIER_TYPES[kind]
    pattern = Controller.objects.get().member_id_pattern if kind == "member_id" else ""
    canonical = canonical_reader(identifier, pattern)(value)
    return lookup(identifier, canonical) if canonical else None


def check(
    *, key: bytes, kind: str, campaign: str, planned_at: datetime | None, client: APIClient | None, request_hash: bytes
) -> tuple[Decided, Decision]:
    """Decide for one identifier and save the decision."""
    now = timezone.now()
    at = max(planned_at or now, now)
    findings: Findings = {}
    send = send_load(campaign, at, findings)
    if send is not None:
        judge_send(send, findings)
        judge_person(send, person_load(send, key), findings)
    decided = combine(findings, marketing=send.marketing if send else True)
    decision = Decision.objects.create(
        decided_at=now,
        judged_at=at,
        client=client,
        campaign=campaign,
        purpose=send.purpose.code if send else "",
        channel=send.channel.code if send else "",
        request_hash=request_hash,
        type=IDENTIFIER_TYPES[kind].value,
        lookup=key,
        register_version=0,
        rule_set=RULE_SET,
        send_codes=";".join(code.name for code in decided.codes)[:400],
        subject_bits=0,
        outcome=OUTCOME_NUMBERS[decided.outcome],
    )
    return decided, decision
